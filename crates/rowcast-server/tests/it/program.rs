//! The binary as a user starts it: arguments, standard output and error, signals.

use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// How long anything that must happen may take on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A command in a folder, with nothing of the tests' own environment that would change it.
pub(crate) fn rowcast(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rowcast"));
    command
        .args(arguments)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .env_remove("ROWCAST_CONFIG")
        .env_remove("ROWCAST_URL");
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs a command to its end.
pub(crate) async fn ran(folder: &Path, arguments: &[&str]) -> Output {
    let output = tokio::time::timeout(DEADLINE, rowcast(folder, arguments).output()).await;
    output.expect("it ends").expect("it starts")
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

/// A folder with `shop.db`: a table `orders(id, city, price)`.
pub(crate) fn shop() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let schema = "PRAGMA journal_mode = wal; CREATE TABLE orders (id INTEGER PRIMARY KEY, city TEXT, price REAL)";
    database(folder.path()).execute_batch(schema).expect("a table");
    folder
}

/// Another program's connection to the shop.
pub(crate) fn database(folder: &Path) -> Connection {
    let connection = Connection::open(folder.join("shop.db")).expect("a database");
    connection.busy_timeout(DEADLINE).expect("a timeout");
    connection
}

/// A server that runs, on a port of its own choice.
pub(crate) struct Running {
    child: Child,
    /// What it prints after its first line.
    pub(crate) lines: Lines<BufReader<ChildStdout>>,
    pub(crate) url: String,
}

impl Running {
    /// Starts a server and waits for the line that says where it listens.
    pub(crate) async fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let line = tokio::time::timeout(DEADLINE, lines.next_line())
            .await
            .expect("in time")
            .expect("readable")
            .expect("a line");
        let url = line.strip_prefix("listening on ").expect(&line).to_owned();
        Self { child, lines, url }
    }

    /// `rowcast serve` on the shop in the folder.
    pub(crate) async fn serve(folder: &Path, more: &[&str]) -> Self {
        let mut arguments = vec!["serve", "--database", "sqlite:shop.db", "--listen", "127.0.0.1:0", "--data", "data"];
        arguments.extend(more);
        Self::start(rowcast(folder, &arguments)).await
    }

    pub(crate) fn address(&self) -> &str {
        self.url.strip_prefix("http://").expect("http")
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        client().get(format!("{}{path}", self.url)).send().await.expect("an answer")
    }

    pub(crate) async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().await.expect("kill");
        assert!(sent.success());
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        tokio::time::timeout(DEADLINE, self.child.wait()).await.expect("in time").expect("a status")
    }
}

pub(crate) fn client() -> reqwest::Client {
    // A second test may have installed it a moment before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().expect("a client")
}
