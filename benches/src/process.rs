//! Servers in processes of their own, and what the kernel says they cost.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::usage::Cpu;

/// A server that ends with this process: it watches its standard input.
pub(crate) struct Server {
    child: Child,
    _stdin: Option<ChildStdin>,
    /// Where clients connect.
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts this program again as one of its servers, and waits until it listens.
    pub(crate) fn start(arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").args(arguments);
        Self::announced(command)
    }

    /// Starts a program that prints `listening ADDRESS`.
    pub(crate) fn announced(mut command: Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            if let Some(("listening", address)) = line.split_once(' ') {
                let (stdin, address) = (child.stdin.take(), address.parse()?);
                return Ok(Self { child, _stdin: stdin, address });
            }
        }
        bail!("{command:?} ended before it listened: {}", child.wait()?)
    }

    /// Starts the binary `rowcast` on a database and waits until it is ready.
    pub(crate) fn binary(program: &Path, database: &Path, data: &Path) -> Result<Self> {
        let mut command = Command::new(program);
        command.arg("serve").arg("--database").arg(format!("sqlite:{}", database.display())).arg("--data").arg(data);
        Self::listening(command)
    }

    /// Starts a command of the binary `rowcast` on a port of its own, and waits until it listens.
    pub(crate) fn listening(mut command: Command) -> Result<Self> {
        let address = free_port()?;
        let program = command.get_program().display().to_string();
        command.arg("--listen").arg(address.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut server = Self { child: command.spawn()?, _stdin: None, address };
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("{program} ended: {status}");
            }
            if Instant::now() > deadline {
                bail!("{program} does not listen");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(server)
    }

    /// Processor time so far, of user and kernel.
    pub(crate) fn cpu(&self) -> Result<Cpu> {
        Cpu::of(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processor time of a process and of those that it has started, in steps of 10 ms.
pub(crate) fn family(parent: u32) -> Result<Duration> {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
    // One may have ended since: then it is among those that its parent counts.
    let children = children.split_whitespace().filter_map(|pid| ticks(pid, 2));
    let ticks = ticks(&parent.to_string(), 4).context("the process is there")? + children.sum::<u32>();
    Ok(Duration::from_millis(10) * ticks)
}

/// The first so many of a process's times: of user, of kernel, and both of its children that have ended.
fn ticks(pid: &str, times: usize) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything.
    let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(times);
    fields.map(|field| field.parse::<u32>().ok()).sum()
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
