//! Free ports.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};

/// A port of 127.0.0.1 that nobody listens on, and that no other test is given while this process lives: whoever stops a server and starts
/// it again finds its port as it was.
///
/// Below 32768: the ports above are given to outgoing connections, and one of those could take it meanwhile.
pub fn free_port() -> Result<u16> {
    let user = std::fs::metadata("/proc/self").map_or(0, |own| own.uid());
    let folder = std::env::temp_dir().join(format!("rowcast-test-ports-{user}"));
    std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    for _ in 0..1_000 {
        let port = rand::random_range(12_000..32_000);
        if is_ours(&folder, port)? && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("no free port between 12000 and 32000")
}

/// Locks the port's file, which ends with the process.
fn is_ours(folder: &Path, port: u16) -> Result<bool> {
    let path = folder.join(port.to_string());
    let file = File::options().create(true).append(true).open(&path).with_context(|| path.display().to_string())?;
    let ours = file.try_lock().is_ok();
    if ours {
        std::mem::forget(file);
    }
    Ok(ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(is_ours(folder.path(), 12_345).expect("a file"));
        assert!(!is_ours(folder.path(), 12_345).expect("a file"));
    }
}
