//! pgbouncer: a pooler between a client and PostgreSQL.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::folder::User;
use crate::port;

/// A pgbouncer of its own, which ends with this value.
#[derive(Debug)]
pub struct PgBouncer {
    port: u16,
    child: Child,
    _folder: TempDir,
}

impl PgBouncer {
    /// In front of the server at `port` of 127.0.0.1, with this `pool_mode`: `session` or `transaction`.
    pub fn start(server: u16, pool_mode: &str) -> Result<Self> {
        let user = User::unless_root(&["postgres", "nobody"])?;
        let (folder, port) = (user.folder()?, port::free_port()?);
        let file = folder.path().join("pgbouncer.ini");
        // Whoever comes is the server's superuser.
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={server} user=postgres\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = {pool_mode}\n"
        );
        std::fs::write(&file, settings)?;
        user.give(&file)?;
        let mut command = user.command("/usr/sbin/pgbouncer".as_ref());
        let child = command.arg("-q").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut bouncer = Self { port, child: child.spawn().context("pgbouncer could not be run")?, _folder: folder };
        bouncer.wait_until_ready()?;
        Ok(bouncer)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if self.child.try_wait()?.is_some() || Instant::now() > deadline {
                bail!("pgbouncer did not start: is it installed? run ./scripts/install-test-needs");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The superuser's URL of a database behind it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // Nothing of it is needed any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
