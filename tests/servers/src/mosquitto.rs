//! Mosquitto: an MQTT broker.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::folder::User;
use crate::port;

/// An MQTT broker of its own, which ends with this value. What it keeps for clients survives a restart.
#[derive(Debug)]
pub struct Mosquitto {
    user: User,
    port: u16,
    child: Child,
    folder: TempDir,
}

impl Mosquitto {
    /// A broker that lets everybody in.
    pub fn start() -> Result<Self> {
        Self::start_with("allow_anonymous true\n", &[])
    }

    /// A broker with these lines in its configuration, and these files (name, content) beside it: `{folder}` stands for their
    /// folder.
    pub fn start_with(lines: &str, files: &[(&str, &str)]) -> Result<Self> {
        let user = User::unless_root(&["mosquitto", "nobody"])?;
        let (folder, port) = (user.folder()?, port::free_port()?);
        let place = folder.path().display().to_string();
        for (name, content) in files {
            let path = folder.path().join(name);
            std::fs::write(&path, content)?;
            user.give(&path)?;
        }
        let settings = format!(
            "listener {port} 127.0.0.1\n{}\npersistence true\npersistence_location {place}/\nmax_queued_messages 0\n\
             set_tcp_nodelay true\n",
            lines.replace("{folder}", &place)
        );
        let file = folder.path().join("mosquitto.conf");
        std::fs::write(&file, settings)?;
        user.give(&file)?;
        let child = spawn(&user, &folder)?;
        let mut broker = Self { user, port, child, folder };
        broker.wait_until_ready()?;
        Ok(broker)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if self.child.try_wait()?.is_some() || Instant::now() > deadline {
                bail!("mosquitto did not start: is it installed? run ./scripts/install-test-needs");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends it in order: it writes down what it keeps for clients.
    pub fn stop(&mut self) -> Result<()> {
        let asked = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status()?;
        if !asked.success() {
            bail!("mosquitto had ended already");
        }
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again on the same port.
    pub fn start_again(&mut self) -> Result<()> {
        self.child = spawn(&self.user, &self.folder)?;
        self.wait_until_ready()
    }
}

fn spawn(user: &User, folder: &TempDir) -> Result<Child> {
    let mut command = user.command_ended_by("TERM", "/usr/sbin/mosquitto".as_ref());
    let command = command.arg("-c").arg(folder.path().join("mosquitto.conf"));
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().context("mosquitto could not be run")
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // Nothing of it is needed any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
