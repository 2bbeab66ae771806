//! The servers that are measured, each in a process of its own.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use tempfile::TempDir;

use super::crowd::Protocol;
use super::limits::Cores;
use super::writer::{self, Voice};

/// Node's servers.
const PEERS: &str = include_str!("peers.cjs");
/// The database of a measured Rowcast, in its folder.
const DATABASE: &str = "bench.db";

/// A server to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// One epoll that writes a frame to every socket: about the least that can be done
    Floor,
    /// npm's ws
    Ws,
    /// npm's socket.io
    #[value(name = "socket.io")]
    SocketIo,
    /// `rowcast serve` on a SQLite database
    Rowcast,
}

impl Kind {
    /// In the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Ws => "npm ws",
            Self::SocketIo => "npm socket.io",
            Self::Rowcast => "rowcast",
        }
    }

    /// What its clients can speak.
    pub(crate) fn protocols(self) -> &'static [Protocol] {
        match self {
            Self::Floor | Self::Ws => &[Protocol::Ws],
            Self::SocketIo => &[Protocol::Socketio, Protocol::Polling],
            Self::Rowcast => &[Protocol::Native, Protocol::Sse, Protocol::Socketio, Protocol::Polling],
        }
    }

    /// Whether it writes each message on its own, and so bears a fraction of what the others do.
    pub(crate) fn is_node(self) -> bool {
        matches!(self, Self::Ws | Self::SocketIo)
    }
}

/// A server that ends with this value.
pub(crate) struct Server {
    child: Child,
    /// The server's own end: most of them watch it.
    _stdin: Option<ChildStdin>,
    /// Kept open, so that it may go on printing.
    _stdout: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
    control: Option<SocketAddr>,
    folder: TempDir,
}

/// Where programs and packages are.
pub(crate) struct Places {
    /// The binary `rowcast` that is measured.
    pub(crate) rowcast: PathBuf,
    /// Where npm has put `ws` and `socket.io`.
    pub(crate) node_modules: PathBuf,
    /// The processors of servers.
    pub(crate) cores: Option<Cores>,
}

impl Server {
    /// Starts one, and waits until it listens.
    pub(crate) fn start(kind: Kind, places: &Places) -> Result<Self> {
        let folder = tempfile::tempdir().context("a temporary folder")?;
        let mut command = match kind {
            Kind::Floor => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("bench-floor");
                command
            }
            Kind::Ws => node("ws", places, folder.path())?,
            Kind::SocketIo => node("socket.io", places, folder.path())?,
            Kind::Rowcast => rowcast(places, folder.path())?,
        };
        command.current_dir(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = started(&mut command, places).with_context(|| format!("{} cannot be started", kind.name()))?;
        let mut stdout = BufReader::new(child.stdout.take().context("standard output is piped")?);
        let stdin = child.stdin.take();
        match listening(&mut stdout) {
            Some((address, control)) => Ok(Self { child, _stdin: stdin, _stdout: stdout, address, control, folder }),
            None => {
                let _ = child.kill();
                anyhow::bail!("{} ended before it listened: {}", kind.name(), child.wait()?)
            }
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where changes begin that its clients hear.
    pub(crate) fn voice(&self) -> Result<Voice> {
        match self.control {
            Some(address) => Voice::control(address),
            None => Voice::sqlite(&self.folder.path().join(DATABASE)),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a process that is kept to the servers' processors: a child takes those of the thread that starts it.
fn started(command: &mut Command, places: &Places) -> Result<Child> {
    let Some(cores) = &places.cores else { return Ok(command.spawn()?) };
    let own = Cores::current()?;
    cores.keep()?;
    let child = command.spawn();
    own.keep()?;
    Ok(child?)
}

fn node(kind: &str, places: &Places, folder: &Path) -> Result<Command> {
    let package = places.node_modules.join(kind);
    ensure!(
        package.is_dir(),
        "there is no {}: npm install ws socket.io, or name the folder with --node-modules",
        package.display()
    );
    let script = folder.join("peers.cjs");
    std::fs::File::create(&script)?.write_all(PEERS.as_bytes())?;
    let mut command = Command::new("node");
    command.arg(script).arg(kind).env("NODE_PATH", places.node_modules.canonicalize()?).env("NODE_ENV", "production");
    Ok(command)
}

fn rowcast(places: &Places, folder: &Path) -> Result<Command> {
    let database = folder.join(DATABASE);
    writer::make(&database)?;
    let mut command = Command::new(&places.rowcast);
    command.arg("serve").arg("--database").arg(format!("sqlite:{}", database.display()));
    command.arg("--data").arg(folder.join("data"));
    command.args(["--listen", "127.0.0.1:0", "--log-level", "error"]).env_remove("ROWCAST_CONFIG");
    Ok(command)
}

/// What a server says about its ports: `control ADDRESS` before `listening ADDRESS`, or `listening on http://ADDRESS`.
fn listening(stdout: &mut impl BufRead) -> Option<(SocketAddr, Option<SocketAddr>)> {
    let mut control = None;
    loop {
        let mut line = String::new();
        if stdout.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let last = line.split_whitespace().last().and_then(|word| word.trim_start_matches("http://").parse().ok());
        match line.split_whitespace().next() {
            Some("control") => control = last,
            Some("listening") => return Some((last?, control)),
            _ => {}
        }
    }
}
