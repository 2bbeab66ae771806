//! Why a log cannot be opened, in sentences that say what to do.

use std::io;
use std::path::{Path, PathBuf};

use super::meta::MetaError;
use super::segment::{Damage, OpenSegmentError};

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another log has it open.
    #[error("the log in {} is open in another process: stop that one, or choose another directory", .dir.display())]
    Locked {
        /// The log's directory.
        dir: PathBuf,
    },
    /// The user may not.
    #[error("{} may not be written: let the user that this process runs as own the log's directory ({source})", .path.display())]
    Denied {
        /// What was to be read or written.
        path: PathBuf,
        /// The system's own error.
        source: io::Error,
    },
    /// No space is left.
    #[error("there is no space left to write {}: free some, or keep less of the log", .path.display())]
    Full {
        /// What was to be written.
        path: PathBuf,
        /// The system's own error.
        source: io::Error,
    },
    /// Something is wrong with what was kept, and going on would hide it.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// Part of the log's directory is not there.
    #[error(
        "{} is missing, but other files of the log are there: restore the directory from a backup, or move it away to begin anew",
        .path.display()
    )]
    Missing {
        /// What is missing.
        path: PathBuf,
    },
    /// A later version of Rowcast wrote it.
    #[error("{} has the layout {found}, which this version of Rowcast does not know: use a later version", .path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its layout.
        found: u32,
    },
    /// The disk refused.
    #[error("{}: {source}", .path.display())]
    Io {
        /// What was to be read or written.
        path: PathBuf,
        /// The system's own error.
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let path = path.to_owned();
        match source.kind() {
            PermissionDenied | ReadOnlyFilesystem => Self::Denied { path, source },
            StorageFull | QuotaExceeded => Self::Full { path, source },
            _ => Self::Io { path, source },
        }
    }

    pub(crate) fn segment(path: &Path, error: OpenSegmentError) -> Self {
        match error {
            OpenSegmentError::Io(error) => Self::io(path, error),
            OpenSegmentError::Damaged(damage) => damage.into(),
            OpenSegmentError::Format(found) => Self::Version { path: path.to_owned(), found: found.into() },
        }
    }

    pub(crate) fn meta(path: &Path, error: MetaError) -> Self {
        match error {
            MetaError::Io(error) => Self::io(path, error),
            MetaError::Malformed => {
                Damage { file: path.to_owned(), at: 0, what: "it is not what Rowcast writes" }.into()
            }
            MetaError::Version(found) => Self::Version { path: path.to_owned(), found },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: io::ErrorKind, told: &str) {
        let error = OpenError::io(Path::new("data/log/meta"), kind.into()).to_string();
        assert!(error.contains("data/log/meta") && error.contains(told), "{error}");
    }

    #[test]
    fn what_the_disk_refuses_is_told_with_what_to_do() {
        check(io::ErrorKind::PermissionDenied, "let the user that this process runs as own");
        check(io::ErrorKind::ReadOnlyFilesystem, "may not be written");
        check(io::ErrorKind::StorageFull, "free some, or keep less");
        check(io::ErrorKind::NotADirectory, "not a directory");
    }
}
