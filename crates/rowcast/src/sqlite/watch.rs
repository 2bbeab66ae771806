//! Hears from the kernel that some program writes to a database's files, where the kernel tells (inotify, on Linux; not of what other
//! machines write to a shared folder). Only a hint: the write may not be committed yet, or be something else.

use std::path::Path;
use std::sync::Arc;

use super::bell::Bell;

/// Stirs a bell while it lives.
#[derive(Debug)]
pub(crate) struct Watch {
    #[cfg(target_os = "linux")]
    _files: linux::Files,
}

impl Watch {
    /// Of the database at this path, which is canonical; `None` where the kernel does not tell.
    pub(crate) fn of(path: &Path, bell: &Arc<Bell>) -> Option<Self> {
        #[cfg(target_os = "linux")]
        return match linux::Files::watch(path, bell) {
            Ok(files) => Some(Self { _files: files }),
            Err(error) => {
                tracing::debug!(%error, path = %path.display(), "writes are not told by the kernel; they are looked for");
                None
            }
        };
        #[cfg(not(target_os = "linux"))]
        {
            let _ = (path, bell);
            None
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{Error, ErrorKind, Result};
    use std::mem::MaybeUninit;
    use std::os::fd::OwnedFd;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;
    use std::sync::{Arc, Weak};
    use std::time::Duration;

    use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init, remove_watch};
    use rustix::io::Errno;

    use super::Bell;

    /// A transaction is several writes: further ones in so short a time tell nothing new.
    const TOGETHER: Duration = Duration::from_micros(300);

    /// The folder is watched, since the log beside a database comes and goes. Dropping it ends the thread that listens.
    #[derive(Debug)]
    pub(super) struct Files {
        kernel: Arc<OwnedFd>,
        folder: i32,
    }

    impl Files {
        pub(super) fn watch(path: &Path, bell: &Arc<Bell>) -> Result<Self> {
            let nowhere = || Error::from(ErrorKind::NotFound);
            let (folder, file) = (path.parent().ok_or_else(nowhere)?, path.file_name().ok_or_else(nowhere)?);
            let log = [file.as_bytes(), b"-wal"].concat();
            let kernel = Arc::new(init(CreateFlags::CLOEXEC)?);
            let watched = add_watch(&*kernel, folder, WatchFlags::MODIFY)?;
            let files = Self { kernel: kernel.clone(), folder: watched };
            let bell = Arc::downgrade(bell);
            std::thread::Builder::new()
                .name("sqlite watch".into())
                .stack_size(64 << 10)
                .spawn(move || listen(&kernel, &log, &bell))?;
            Ok(files)
        }
    }

    impl Drop for Files {
        fn drop(&mut self) {
            // The thread hears that there is nothing more to hear.
            let _ = remove_watch(&*self.kernel, self.folder);
        }
    }

    fn listen(kernel: &OwnedFd, log: &[u8], bell: &Weak<Bell>) {
        let mut room = [MaybeUninit::uninit(); 4 << 10];
        let mut reader = Reader::new(kernel, &mut room);
        loop {
            let mut stirred = false;
            loop {
                let event = match reader.next() {
                    Ok(event) => event,
                    Err(Errno::INTR) => continue,
                    Err(_) => return,
                };
                if event.events().contains(ReadFlags::IGNORED) {
                    return;
                }
                stirred |= event.file_name().is_some_and(|name| name.to_bytes() == log);
                // What did not fit was something, too.
                stirred |= event.events().contains(ReadFlags::QUEUE_OVERFLOW);
                if reader.is_buffer_empty() {
                    break;
                }
            }
            if stirred {
                let Some(bell) = bell.upgrade() else { return };
                bell.stir();
                std::thread::sleep(TOGETHER);
            }
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sqlite::bell::Rung;

    #[test]
    fn a_write_of_any_program_is_heard() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().canonicalize().expect("a path").join("x.db");
        let bell = Arc::new(Bell::default());
        let _watch = Watch::of(&path, &bell).expect("the kernel tells");
        std::fs::write(folder.path().join("other.db-wal"), "x").expect("written");
        std::fs::write(&path, "x").expect("written");
        assert_eq!(bell.wait(Duration::from_millis(50), true), Rung::No);
        std::fs::write(folder.path().join("x.db-wal"), "x").expect("written");
        assert_eq!(bell.wait(Duration::from_secs(30), true), Rung::Stirred);
    }

    #[test]
    fn whoever_does_not_wait_for_hints_is_left_alone_and_hears_of_them_later() {
        let bell = Bell::default();
        bell.stir();
        let began = std::time::Instant::now();
        assert_eq!(bell.wait(Duration::from_millis(20), false), Rung::Stirred);
        assert!(began.elapsed() >= Duration::from_millis(20));
        bell.ring();
        bell.stir();
        assert_eq!(bell.wait(Duration::from_secs(30), false), Rung::Written);
        assert_eq!(bell.wait(Duration::ZERO, true), Rung::No);
    }
}
