//! One reader for each database, across processes.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::sqlite::file::{DatabaseFile, Failure, Outcome};

/// Held while a source reads. The operating system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock. A reader of this process that is just ending is waited for.
    pub(crate) fn take(database: &DatabaseFile) -> Outcome<Self> {
        let path = database.beside("-rowcast.lock");
        let deadline = Instant::now() + Duration::from_secs(1);
        loop {
            let file = open(&path)?;
            match file.try_lock() {
                Ok(()) if is_at(&file, &path) => return Ok(Self { file, path }),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Failure::stop(format!(
                        "another Rowcast already reads `{}` (it holds `{}`); stop it, or give this one another database",
                        database.path().display(),
                        path.display()
                    )));
                }
                Err(TryLockError::Error(error)) => {
                    return Err(Failure::stop(format!("`{}` cannot be locked: {error}", path.display())));
                }
            }
        }
    }

    /// Gives the lock up and removes its file.
    pub(crate) fn remove(self) {
        // A file that stays does no harm.
        let _ = std::fs::remove_file(&self.path);
        drop(self.file);
    }
}

fn open(path: &Path) -> Outcome<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(|error| Failure::stop(format!("`{}` cannot be made: {error}", path.display())))
}

/// Whether the file is still the one at that path: one that was removed meanwhile locks nobody out.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(held), Ok(found)) => held.ino() == found.ino() && held.dev() == found.dev(),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> bool {
    true
}
