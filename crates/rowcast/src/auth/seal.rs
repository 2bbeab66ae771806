//! What is known of a client, sealed: the same text for whoever may be told the same, from which nobody can tell what that is.
//!
//! A client that comes back compares it with the one from before, and knows whether what it holds was meant for it.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::path::Path;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Identity, Standing};

/// What the key's file is called in its folder.
const FILE: &str = "seal.key";
const KEY_BYTES: usize = 32;
/// So much of the digest is told: enough that no two are the same by chance.
const TOLD_BYTES: usize = 16;

/// Seals what is known of clients, with a key that only this server has: without it, claims could be guessed until they fit.
pub struct Seal(hmac::Key);

impl Default for Seal {
    /// With a key that nobody keeps: after a restart, everything is sealed differently.
    fn default() -> Self {
        Self::with(&rand::random::<[u8; KEY_BYTES]>())
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal").finish_non_exhaustive()
    }
}

impl Seal {
    /// With the key that is kept in a folder; both are made if they are not there. A file that is no key is replaced.
    pub fn open(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join(FILE);
        match read(&path) {
            Ok(key) => return Ok(Self::with(&key)),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => {}
            Err(error) => return Err(error),
        }
        let key = rand::random::<[u8; KEY_BYTES]>();
        let new = folder.join(format!("{FILE}.new"));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&new)?;
        file.write_all(&key)?;
        file.sync_all()?;
        std::fs::rename(&new, &path)?;
        Ok(Self::with(&key))
    }

    fn with(key: &[u8; KEY_BYTES]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// What is known of a client that rules can go by; `None` where it has not said who it is, or nobody asks.
    pub fn of(&self, identity: &Identity) -> Option<String> {
        let standing = match identity.standing {
            Standing::Known => "known",
            Standing::Anonymous => "anonymous",
            Standing::Trusted | Standing::Unknown => return None,
        };
        let known = (standing, &*identity.tenant, identity.user.as_deref(), identity.said());
        let text = serde_json::to_vec(&known).expect("texts and JSON are always JSON");
        Some(URL_SAFE_NO_PAD.encode(&hmac::sign(&self.0, &text).as_ref()[..TOLD_BYTES]))
    }
}

fn read(path: &Path) -> Result<[u8; KEY_BYTES]> {
    let mut key = Vec::new();
    File::open(path)?.take(KEY_BYTES as u64 + 1).read_to_end(&mut key)?;
    key.try_into().map_err(|_| Error::new(ErrorKind::InvalidData, "the file is no key"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn known(claims: serde_json::Value) -> Identity {
        let claims = claims.as_object().cloned().unwrap_or_default();
        Identity { standing: Standing::Known, user: Some("anna".into()), claims, ..(*Identity::unknown()).clone() }
    }

    #[test]
    fn a_newer_token_that_says_the_same_is_sealed_the_same() {
        let seal = Seal::default();
        let one = seal.of(&known(json!({ "role": "clerk", "exp": 5, "jti": "a" })));
        assert_eq!(one, seal.of(&known(json!({ "exp": 9, "role": "clerk", "iat": 7, "nbf": 7, "jti": "b" }))));
        assert_ne!(one, seal.of(&known(json!({ "role": "chief", "exp": 5 }))));
        let elsewhere = Identity { tenant: "acme".into(), ..known(json!({ "role": "clerk" })) };
        assert_ne!(one, seal.of(&elsewhere));
        assert_ne!(seal.of(&known(json!({}))), seal.of(&Identity::anonymous()));
        assert_eq!((seal.of(&Identity::trusted()), seal.of(&Identity::unknown())), (None, None));
    }

    #[test]
    fn the_key_is_kept_and_is_no_other_servers() {
        let (folder, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let seal = |folder: &tempfile::TempDir| Seal::open(&folder.path().join("auth")).expect("opened");
        let anna = known(json!({ "role": "clerk" }));
        let first = seal(&folder).of(&anna);
        assert_eq!(first, seal(&folder).of(&anna));
        assert_ne!(first, seal(&other).of(&anna));
        std::fs::write(folder.path().join("auth").join(FILE), b"half").expect("written");
        let mended = seal(&folder).of(&anna);
        assert_ne!(first, mended);
        assert_eq!(mended, seal(&folder).of(&anna));
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_reads_the_key() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        Seal::open(folder.path()).expect("opened");
        let mode = std::fs::metadata(folder.path().join(FILE)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
