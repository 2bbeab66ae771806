//! Tokens that are taken back before they expire.
//!
//! All of it is in memory, and in one small file that is written anew each time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::Identity;

/// Tokens that were issued before a moment and are no longer accepted. What is not said narrows nothing: with neither user, tenant
/// nor key, it is every token.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// Of this user only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Of this tenant only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Only those that this key signed, by its `kid` or by its whole name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Issued before; seconds since 1970. A token that does not say when it was issued is old.
    pub before: u64,
}

/// Why a revocation was not kept. Says what to do.
#[derive(Debug, thiserror::Error)]
pub enum RevocationError {
    /// There are too many.
    #[error(
        "there are {REVOCATIONS_MAX} revocations already; set auth.life_max, so that old ones can be forgotten, or revoke a key or a tenant instead of each user"
    )]
    Full,
    /// The file cannot be written.
    #[error("it holds now, but not after a restart, because {path} cannot be written: {error}")]
    NotKept {
        /// The file.
        path: PathBuf,
        /// What failed.
        error: io::Error,
    },
}

/// More than these are not kept: the file is written anew for each.
const REVOCATIONS_MAX: usize = 100_000;

/// What the file is called in its folder.
const FILE: &str = "revocations.json";

/// Everything that was taken back.
#[derive(Debug, Default)]
pub struct Revocations {
    /// With the moment of each.
    all: Arc<Mutex<HashMap<Whose, u64>>>,
    /// Held while the file is written, so that an older state never replaces a newer one.
    writing: Arc<tokio::sync::Mutex<()>>,
    file: Option<PathBuf>,
}

/// Whose tokens: a user, a tenant, a key. `None`: all.
type Whose = [Option<Arc<str>>; 3];

impl Revocation {
    /// What was issued until now, this second included.
    pub fn until(now: SystemTime) -> Self {
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self { before: seconds + 1, ..Self::default() }
    }

    fn whose(&self) -> Whose {
        [&self.user, &self.tenant, &self.key].map(|name| name.as_deref().map(Into::into))
    }
}

impl Revocations {
    /// Those that are kept in a folder, which is made if it is not there. A file that cannot be read is an error: without it, tokens
    /// that were taken back would be good again.
    pub fn open(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let file = folder.join(FILE);
        let all: Vec<Revocation> = match std::fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| {
                let fix = "mend it, or remove it, after which all that was revoked is good again until it expires";
                io::Error::other(format!("{} is not a list of revocations ({error}): {fix}", file.display()))
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let all = all.into_iter().map(|one| (one.whose(), one.before)).collect();
        Ok(Self { all: Arc::new(Mutex::new(all)), file: Some(file), ..Self::default() })
    }

    /// Whether an identity's token was taken back. Takes twelve looks, however many revocations there are.
    pub(super) fn concern(&self, identity: &Identity) -> bool {
        let all = self.all.lock();
        if all.is_empty() {
            return false;
        }
        let kid = identity.key.as_deref().and_then(|id| id.rsplit_once('#')).map(|(kid, _)| kid.into());
        let users = [None, identity.user.clone()];
        let tenants = [None, Some(identity.tenant.clone())];
        let keys = [None, identity.key.clone(), kid];
        let is_old = |before: &u64| identity.issued.is_none_or(|issued| issued < *before);
        users.iter().any(|user| {
            let looks = tenants.iter().flat_map(|tenant| keys.iter().map(move |key| [user, tenant, key]));
            looks.into_iter().any(|whose| all.get(&whose.map(Clone::clone)).is_some_and(is_old))
        })
    }

    /// Adds one, which holds at once, and writes the file. Where no token lives longer than `life`, forgets those that no living token
    /// can be older than.
    pub(super) async fn add(&self, new: Revocation, life: Option<Duration>) -> Result<(), RevocationError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        {
            let mut all = self.all.lock();
            if let Some(life) = life {
                all.retain(|_, before| before.saturating_add(life.as_secs()) >= now);
            }
            let is_full = all.len() >= REVOCATIONS_MAX;
            match all.entry(new.whose()) {
                Entry::Occupied(mut old) => *old.get_mut() = new.before.max(*old.get()),
                Entry::Vacant(_) if is_full => return Err(RevocationError::Full),
                Entry::Vacant(place) => {
                    place.insert(new.before);
                }
            }
        }
        let Some(path) = self.file.clone() else { return Ok(()) };
        let turn = self.writing.clone().lock_owned().await;
        let (all, file) = (self.all.clone(), path.clone());
        // Goes on to its end also when whoever asked for it has gone.
        let written = tokio::task::spawn_blocking(move || {
            let written = text(&all.lock()).and_then(|text| replace(&file, &text));
            drop(turn);
            written
        });
        let written = written.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        written.map_err(|error| RevocationError::NotKept { path, error })
    }
}

fn text(all: &HashMap<Whose, u64>) -> io::Result<Vec<u8>> {
    let name = |name: &Option<Arc<str>>| name.as_deref().map(str::to_owned);
    let one = |([user, tenant, key], before): (&Whose, &u64)| Revocation {
        user: name(user),
        tenant: name(tenant),
        key: name(key),
        before: *before,
    };
    serde_json::to_vec_pretty(&all.iter().map(one).collect::<Vec<_>>()).map_err(io::Error::other)
}

/// The file has the old text or the new one, whenever the machine stops.
fn replace(file: &Path, text: &[u8]) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut fresh = tempfile::NamedTempFile::new_in(folder)?;
    fresh.write_all(text)?;
    fresh.as_file().sync_all()?;
    fresh.persist(file)?;
    #[cfg(unix)]
    std::fs::File::open(folder)?.sync_all()?;
    Ok(())
}
