//! Programs in other languages that speak with the server: npm's and Python's clients of `tests/peers`.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::server::DEADLINE;

/// One that runs until the test lets go of it, and says what it hears, line by line.
pub(crate) struct Peer {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    said: Vec<String>,
}

impl Peer {
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let input = child.stdin.take().context("standard input")?;
        let lines = BufReader::new(child.stdout.take().context("standard output")?).lines();
        Ok(Self { child, input, lines, said: Vec::new() })
    }

    /// Gives it a line.
    pub(crate) async fn tell(&mut self, line: &str) -> Result<()> {
        Ok(self.input.write_all(format!("{line}\n").as_bytes()).await?)
    }

    /// The rest of the next line that begins with `start`; others are passed over.
    pub(crate) async fn says(&mut self, start: &str) -> Result<String> {
        loop {
            let line = tokio::time::timeout(DEADLINE, self.lines.next_line()).await;
            let line = line.with_context(|| format!("in vain for {start:?}; so far: {:#?}", self.said))??;
            let Some(line) = line else { bail!("it ended before it said {start:?}:\n{}", self.errors().await) };
            self.said.push(line);
            if let Some(rest) = self.said[self.said.len() - 1].strip_prefix(start) {
                return Ok(rest.trim_start().to_owned());
            }
        }
    }

    async fn errors(&mut self) -> String {
        let mut text = self.said.join("\n");
        if let Some(mut stderr) = self.child.stderr.take() {
            let _ = stderr.read_to_string(&mut text).await;
        }
        text
    }
}

/// A program of `tests/peers` in JavaScript.
pub(crate) fn node(program: &str, arguments: &[&str]) -> Result<Command> {
    ensure!(root("node_modules/socket.io-client-1").exists(), "npm's packages are missing: run `npm ci`");
    Ok(command("node", program, arguments))
}

/// A program of `tests/peers` in Python.
pub(crate) fn python(program: &str, arguments: &[&str]) -> Result<Command> {
    let python = root("target/python/bin/python");
    ensure!(python.exists(), "Python's packages are missing: run ./scripts/install-test-needs");
    Ok(command(&python.to_string_lossy(), program, arguments))
}

fn command(interpreter: &str, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(interpreter);
    command.arg(root("tests/peers").join(program)).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command
}

fn root(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}
