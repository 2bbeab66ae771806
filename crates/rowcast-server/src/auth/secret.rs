//! A secret that was made once, for tokens that nobody else has to read.

use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::Context;
use rowcast::auth::{Algorithm, Issuer, Key};

/// Its file in the folder.
const FILE: &str = "secret";

/// What tokens call it.
const KID: &str = "rowcast";

/// The secret that is kept in a folder, for signing and for verifying. `None`: none was made.
pub(super) fn kept(folder: &Path) -> anyhow::Result<Option<(Issuer, Key)>> {
    let path = folder.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("the secret {} cannot be read", path.display())),
    };
    let pair = Issuer::secret(text.trim().as_bytes(), Some(KID.into()), &[Algorithm::Hs256]).with_context(|| {
        format!("{} is damaged; remove it, after which everybody has to log in again", path.display())
    })?;
    Ok(Some(pair))
}

/// The same, made where there is none.
pub(super) fn kept_or_made(folder: &Path) -> anyhow::Result<(Issuer, Key)> {
    if let Some(pair) = kept(folder)? {
        return Ok(pair);
    }
    let make = || -> std::io::Result<()> {
        // Made whole under another name, which nobody else may read; of two processes at once the first one's stands.
        let mut fresh = tempfile::NamedTempFile::new_in(folder)?;
        let text: String = rand::random::<[u8; 48]>().iter().map(|byte| format!("{byte:02x}")).collect();
        fresh.write_all(text.as_bytes())?;
        fresh.as_file().sync_all()?;
        match fresh.persist_noclobber(folder.join(FILE)) {
            Err(error) if error.error.kind() != ErrorKind::AlreadyExists => Err(error.error),
            _ => Ok(()),
        }
    };
    make().with_context(|| format!("a secret cannot be written to {}", folder.display()))?;
    kept(folder)?.context("the secret has gone")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_made_once_and_only_for_its_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(kept(folder.path()).expect("readable").is_none());
        let (_, first) = kept_or_made(folder.path()).expect("made");
        let (_, second) = kept_or_made(folder.path()).expect("kept");
        assert_eq!(first.id(), second.id());
        let mode = std::fs::metadata(folder.path().join(FILE)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(folder.path().join(FILE), "short").expect("written");
        assert!(kept_or_made(folder.path()).is_err());
    }
}
