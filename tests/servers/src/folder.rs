//! Folders that a server's own user may write to.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// Who a server runs as: PostgreSQL refuses to run as root.
#[derive(Debug, Clone)]
pub(crate) enum User {
    /// Whoever runs the test.
    Own,
    /// Another, because this one is root.
    Named { name: String, uid: u32, gid: u32 },
}

impl User {
    /// The first of `names` that exists, if this process is root.
    pub(crate) fn unless_root(names: &[&str]) -> Result<Self> {
        let own = std::fs::metadata("/proc/self").context("who runs this")?.uid();
        if own != 0 {
            return Ok(Self::Own);
        }
        let passwd = std::fs::read_to_string("/etc/passwd").context("the list of users")?;
        for name in names {
            let found = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|parts| parts[0] == *name);
            if let Some([_, _, uid, gid, ..]) = found.as_deref() {
                return Ok(Self::Named { name: (*name).into(), uid: uid.parse()?, gid: gid.parse()? });
            }
        }
        bail!("this is root, as which a database server does not run, and there is none of the users {names:?}")
    }

    /// A new folder that belongs to the user.
    pub(crate) fn folder(&self) -> Result<TempDir> {
        let folder = tempfile::Builder::new().prefix("rowcast-").tempdir().context("a temporary folder")?;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700))?;
        self.give(folder.path())?;
        Ok(folder)
    }

    /// Makes a file or a folder the user's.
    pub(crate) fn give(&self, path: &Path) -> Result<()> {
        match self {
            Self::Own => Ok(()),
            Self::Named { uid, gid, .. } => {
                chown(path, Some(*uid), Some(*gid)).with_context(|| format!("giving {} away", path.display()))
            }
        }
    }

    /// A command that runs as the user, and is told to stop when its parent dies.
    pub(crate) fn command(&self, program: &Path) -> Command {
        self.command_ended_by("INT", program)
    }

    /// As [`command`](Self::command), told by another signal.
    pub(crate) fn command_ended_by(&self, signal: &str, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        if let Self::Named { name, gid, .. } = self {
            command.arg(format!("--reuid={name}")).arg(format!("--regid={gid}")).arg("--clear-groups");
        }
        command.arg(format!("--pdeathsig={signal}")).arg("--").arg(program);
        command
    }
}

/// Copies a folder with its owners.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().context("cp")?;
    if !copied.success() {
        bail!("{} could not be copied", from.display());
    }
    Ok(())
}

/// Writes a file that only its owner may read.
pub(crate) fn write_private(path: &Path, content: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, content)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(())
}
