//! Servers in processes of their own, and what the kernel says they cost.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The kernel counts processor time in hundredths of a second, on every Linux that there is.
const TICK: Duration = Duration::from_millis(10);

/// A server that ends with this process: it watches its standard input.
pub(crate) struct Server {
    child: Child,
    _stdin: Option<ChildStdin>,
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    /// Where messages go in, for servers without a database.
    pub(crate) control: Option<SocketAddr>,
}

impl Server {
    /// Starts this program again as one of its servers, and waits until it listens.
    pub(crate) fn start(arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").args(arguments);
        Self::announced(command)
    }

    /// Starts a program that prints `listening ADDRESS` and, if it has one, `control ADDRESS` before it.
    pub(crate) fn announced(mut command: Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut control = None;
        let stdout = child.stdout.take().context("standard output is piped")?;
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            match line.split_once(' ') {
                Some(("control", address)) => control = Some(address.parse()?),
                Some(("listening", address)) => {
                    let (stdin, address) = (child.stdin.take(), address.parse()?);
                    return Ok(Self { child, _stdin: stdin, address, control });
                }
                _ => {}
            }
        }
        bail!("{command:?} ended before it listened: {}", child.wait()?)
    }

    /// Starts the binary `rowcast` on a database and waits until it is ready.
    pub(crate) fn binary(program: &Path, database: &Path, data: &Path) -> Result<Self> {
        let address = free_port()?;
        let mut command = Command::new(program);
        command.arg("serve").arg("--database").arg(format!("sqlite:{}", database.display()));
        command.arg("--data").arg(data).arg("--listen").arg(address.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut server = Self { child: command.spawn()?, _stdin: None, address, control: None };
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("{} ended: {status}", program.display());
            }
            if Instant::now() > deadline {
                bail!("{} does not listen", program.display());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(server)
    }

    /// Processor time so far, of user and kernel.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(self.proc("stat"))?;
        // The name in parentheses may hold anything.
        let rest = stat.rsplit_once(')').context("a name in parentheses")?.1;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks: u32 = fields[11].parse::<u32>()? + fields[12].parse::<u32>()?;
        Ok(TICK * ticks)
    }

    /// Resident memory, in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        let status = std::fs::read_to_string(self.proc("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }

    fn proc(&self, file: &str) -> PathBuf {
        format!("/proc/{}/{file}", self.child.id()).into()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ports of tests stay below the range that connections get theirs from.
fn free_port() -> Result<SocketAddr> {
    for port in 21_000..22_000 {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if std::net::TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no port is free between 21000 and 22000")
}

/// How many connections this process may have open.
pub(crate) fn connections_max() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    soft.unwrap_or(1024).saturating_sub(200)
}
