//! PostgreSQL servers.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use crate::folder::{User, copy, write_private};
use crate::port;

/// The database server's binaries to use: a folder with `initdb` and `postgres` in it. Otherwise the newest that is installed.
const BINARIES: &str = "ROWCAST_TEST_POSTGRES_BIN";
/// The environment variable with the port of a server that many tests share. Otherwise each test starts its own.
pub const SHARED_POSTGRES: &str = "ROWCAST_TEST_POSTGRES";

/// The environment variable with a folder that `initdb` has made: copied instead of made again for each server.
pub const MADE_POSTGRES: &str = "ROWCAST_TEST_POSTGRES_DATA";

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Lines of postgresql.conf, which win over the defaults (logical WAL, no fsync, many slots).
    pub settings: Vec<(String, String)>,
    /// pg_hba.conf; trusts everybody unless given.
    pub hba: Option<String>,
    /// Files put beside the data (certificates): name and content.
    pub files: Vec<(String, String)>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        let settings = [
            ("wal_level", "logical"),
            ("max_replication_slots", "100"),
            ("max_wal_senders", "100"),
            ("max_connections", "200"),
            ("fsync", "off"),
            ("synchronous_commit", "on"),
            ("listen_addresses", "127.0.0.1"),
            ("log_min_messages", "warning"),
        ];
        Self { settings: settings.map(|(k, v)| (k.into(), v.into())).into(), hba: None, files: Vec::new() }
    }
}

impl PostgresOptions {
    /// With one more setting.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.into(), value.into()));
        self
    }
}

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Clients are cut, everything is written.
    Fast,
    /// As in a crash: recovery at the next start.
    Immediate,
}

/// A server of its own, which ends with this value.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    user: User,
    bin: PathBuf,
    port: u16,
    child: Mutex<Option<Child>>,
}

impl Postgres {
    /// A server with the default options.
    pub fn start() -> Result<Self> {
        Self::start_with(&PostgresOptions::default())
    }

    /// Makes and starts a server. Takes about a second.
    pub fn start_with(options: &PostgresOptions) -> Result<Self> {
        let user = User::unless_root(&["postgres", "nobody"])?;
        let bin = binaries()?;
        let folder = user.folder()?;
        let server = Self { folder, user, bin, port: port::free_port()?, child: Mutex::new(None) };
        server.initialise(options)?;
        server.run()?;
        Ok(server)
    }

    fn initialise(&self, options: &PostgresOptions) -> Result<()> {
        let data = self.data();
        match std::env::var_os(MADE_POSTGRES) {
            Some(made) => copy(Path::new(&made), &data)?,
            None => initdb(&self.user, &self.bin, &data)?,
        }
        for (name, content) in &options.files {
            let path = data.join(name);
            write_private(&path, content)?;
            self.user.give(&path)?;
        }
        let socket = ("unix_socket_directories".to_owned(), self.folder.path().display().to_string());
        let settings = options.settings.iter().chain([&socket]);
        let lines: String =
            settings.map(|(name, value)| format!("{name} = '{}'\n", value.replace('\'', "''"))).collect();
        std::fs::write(data.join("postgresql.auto.conf"), lines)?;
        if let Some(hba) = &options.hba {
            std::fs::write(data.join("pg_hba.conf"), hba)?;
        } else {
            let lines = "local all all trust\nhost all all 127.0.0.1/32 trust\nlocal replication all trust\n\
                         host replication all 127.0.0.1/32 trust\n";
            std::fs::write(data.join("pg_hba.conf"), lines)?;
        }
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts it again after [`stop`](Self::stop), on the same port.
    pub fn run(&self) -> Result<()> {
        let log = File::create(self.log_path()).context("the server's log")?;
        let mut command = self.user.command(&self.bin.join("postgres"));
        command.arg("-D").arg(self.data()).arg("-p").arg(self.port.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().context("postgres could not be run")?;
        *self.child.lock().expect("not poisoned") = Some(child);
        self.wait_until_ready()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join(format!("log-{}", rand::random::<u32>()))
    }

    fn wait_until_ready(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            // The line of `postmaster.pid` that says `ready` is written last.
            let state = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
            if state.lines().nth(7).is_some_and(|line| line.trim() == "ready") {
                return Ok(());
            }
            let ended = match self.child.lock().expect("not poisoned").as_mut() {
                Some(child) => child.try_wait()?.is_some(),
                None => true,
            };
            if ended || Instant::now() > deadline {
                bail!("PostgreSQL did not start:\n{}", self.logs());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What the server wrote to its logs.
    pub fn logs(&self) -> String {
        let files = std::fs::read_dir(self.folder.path()).into_iter().flatten().flatten();
        let logs = files.filter(|file| file.file_name().to_string_lossy().starts_with("log-"));
        logs.filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect()
    }

    /// Stops it; [`run`](Self::run) starts it again.
    pub fn stop(&self, how: Stop) -> Result<()> {
        let Some(mut child) = self.child.lock().expect("not poisoned").take() else { return Ok(()) };
        let signal = match how {
            Stop::Fast => "-INT",
            Stop::Immediate => "-QUIT",
        };
        Command::new("kill").arg(signal).arg(child.id().to_string()).status().context("kill")?;
        child.wait().context("the end of the server")?;
        Ok(())
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder with the server's unix socket and, in `data`, its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The superuser's URL of a database that is there.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Another connection, as superuser.
    pub async fn connect(&self, database: &str) -> Result<Client> {
        connect(&self.url(database)).await
    }

    /// A new, empty database of it.
    pub async fn database(&self) -> Result<Database> {
        Database::create(self.port).await
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Nothing of it is needed any more.
        let _ = self.stop(Stop::Immediate);
    }
}

/// A database of its own, on a server that other tests may use, too.
#[derive(Debug)]
pub struct Database {
    /// Its name, which is good for a slot's as well.
    pub name: String,
    port: u16,
    _server: Option<Box<Postgres>>,
}

impl Database {
    /// A new, empty database: on the shared server where there is one, else on a server of its own.
    pub async fn new() -> Result<Self> {
        if let Ok(port) = std::env::var(SHARED_POSTGRES) {
            return Self::create(port.parse().with_context(|| format!("{SHARED_POSTGRES} is the port of a server"))?)
                .await;
        }
        let server = Postgres::start()?;
        let mut database = Self::create(server.port).await?;
        database._server = Some(Box::new(server));
        Ok(database)
    }

    async fn create(port: u16) -> Result<Self> {
        let name = format!("test_{:016x}", rand::random::<u64>());
        let admin = connect(&format!("postgres://postgres@127.0.0.1:{port}/postgres")).await?;
        admin.batch_execute(&format!("create database {name}")).await.context("create database")?;
        Ok(Self { name, port, _server: None })
    }

    /// The superuser's URL.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{}", self.port, self.name)
    }

    /// The server's port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Another connection, as superuser.
    pub async fn connect(&self) -> Result<Client> {
        connect(&self.url()).await
    }

    /// Runs statements, as superuser.
    pub async fn run(&self, sql: &str) {
        let client = self.connect().await.expect("connected");
        client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
}

async fn connect(url: &str) -> Result<Client> {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.with_context(|| format!("connecting {url}"))?;
    tokio::spawn(connection);
    Ok(client)
}

/// A folder as `initdb` makes it, for [`MADE_POSTGRES`].
pub fn made() -> Result<TempDir> {
    let user = User::unless_root(&["postgres", "nobody"])?;
    let folder = user.folder()?;
    initdb(&user, &binaries()?, &folder.path().join("data"))?;
    Ok(folder)
}

fn initdb(user: &User, bin: &Path, data: &Path) -> Result<()> {
    let mut command = user.command(&bin.join("initdb"));
    command.args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "-D"]);
    let made = command.arg(data).stdin(Stdio::null()).output().context("initdb could not be run")?;
    if !made.status.success() {
        bail!("initdb failed: {}", String::from_utf8_lossy(&made.stderr));
    }
    Ok(())
}

fn binaries() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os(BINARIES) {
        return Ok(folder.into());
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| bin.join("initdb").exists())
        .collect();
    found.sort();
    let newest = found.pop().map(|(_, bin)| bin);
    newest.with_context(|| {
        format!("no PostgreSQL server is installed: run ./scripts/install-test-needs, or set {BINARIES}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_survives_a_crash() {
        let server = Postgres::start().expect("started");
        let database = server.database().await.expect("a database");
        database.run("create table t (a int); insert into t values (1)").await;
        server.stop(Stop::Immediate).expect("stopped");
        assert!(database.connect().await.is_err());
        server.run().expect("started again");
        let rows = database.connect().await.expect("connected").query("select a from t", &[]).await.expect("rows");
        assert_eq!(rows.len(), 1);
    }
}
