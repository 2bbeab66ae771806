//! What the log remembers beside its events: its epoch, and how its last run ended.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::Durability;

const FILE: &str = "meta";

/// The layout that this program writes.
pub(crate) const VERSION: u32 = 1;

/// The file `meta`: one JSON object, replaced as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) version: u32,
    pub(crate) epoch: u64,
    /// The boot of the machine during which the log was last opened; `None` where the system does not tell.
    pub(crate) boot: Option<String>,
    /// How the run that opened it last wrote.
    pub(crate) durability: Durability,
    /// Where the log ends, once it is closed and all of it is on the disk.
    pub(crate) closed: Option<Closed>,
}

/// The end of a log that was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Closed {
    pub(crate) segment: u64,
    pub(crate) bytes: u64,
}

/// What is needed of a `meta` of any version.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// Why there is no [`Meta`] to go by.
#[derive(Debug)]
pub(crate) enum MetaError {
    Io(io::Error),
    Malformed,
    Version(u32),
}

impl Meta {
    /// `None` when the directory has none.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>, MetaError> {
        let text = match fs::read(dir.join(FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(MetaError::Io(error)),
        };
        let Versioned { version } = serde_json::from_slice(&text).map_err(|_| MetaError::Malformed)?;
        if version != VERSION {
            return Err(MetaError::Version(version));
        }
        serde_json::from_slice(&text).map(Some).map_err(|_| MetaError::Malformed)
    }

    /// Returns when it is on the disk.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        let unfinished = dir.join("meta.tmp");
        let mut file = File::create(&unfinished)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&unfinished, dir.join(FILE))?;
        sync_dir(dir)
    }
}

/// Returns when the names in the directory are on the disk.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    // Elsewhere a directory cannot be opened as a file, and renames are journaled.
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

/// What tells this boot of the machine from every other one, where the system says.
pub(crate) fn boot_id() -> Option<String> {
    let text = if cfg!(target_os = "macos") {
        let output = Command::new("/usr/sbin/sysctl").args(["-n", "kern.bootsessionuuid"]).output().ok()?;
        String::from_utf8(output.stdout).ok()?
    } else {
        fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?
    };
    let id = text.trim();
    (!id.is_empty()).then(|| id.to_owned())
}
