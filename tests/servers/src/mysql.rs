//! MariaDB servers; MySQL servers where [`BINARIES`] names some.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use tempfile::TempDir;

use crate::folder::User;
use crate::{Stop, port};

/// A folder with a `mysqld` of MySQL in it, to use instead of the installed MariaDB.
const BINARIES: &str = "ROWCAST_TEST_MYSQL_BIN";
/// The environment variable with the port of a server that many tests share. Otherwise each test starts its own.
pub const SHARED_MYSQL: &str = "ROWCAST_TEST_MYSQL";
/// The environment variable with a data folder that was made before: copied instead of made again for each server.
pub const MADE_MYSQL: &str = "ROWCAST_TEST_MYSQL_DATA";

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct MysqlOptions {
    /// Options of the command line without their dashes, which win over the defaults (row binlog with full images and
    /// metadata, no fsync). An empty value: the option alone.
    pub settings: Vec<(String, String)>,
    /// Files put beside the data (certificates): name and content.
    pub files: Vec<(String, String)>,
}

impl Default for MysqlOptions {
    fn default() -> Self {
        let settings = [
            ("log-bin", "binlog"),
            ("server-id", "1"),
            ("binlog-format", "ROW"),
            ("binlog-row-image", "FULL"),
            ("binlog-row-metadata", "FULL"),
            ("max-connections", "500"),
            ("innodb-flush-log-at-trx-commit", "2"),
            ("sync-binlog", "0"),
            ("innodb-buffer-pool-size", "128M"),
        ];
        Self { settings: settings.map(|(k, v)| (k.into(), v.into())).into(), files: Vec::new() }
    }
}

impl MysqlOptions {
    /// With one more option.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Without a binlog.
    pub fn without_binlog(mut self) -> Self {
        self.settings.retain(|(known, _)| !known.starts_with("log-bin") && !known.starts_with("binlog"));
        self.set("skip-log-bin", "")
    }
}

/// A server of its own, which ends with this value.
#[derive(Debug)]
pub struct Mysql {
    folder: TempDir,
    user: User,
    bin: Binaries,
    port: u16,
    settings: Mutex<Vec<(String, String)>>,
    child: Mutex<Option<Child>>,
}

#[derive(Debug, Clone)]
enum Binaries {
    Mariadb(PathBuf),
    Mysql(PathBuf),
}

impl Mysql {
    /// A server with the default options.
    pub fn start() -> Result<Self> {
        Self::start_with(&MysqlOptions::default())
    }

    /// Makes and starts a server. Takes about a second.
    pub fn start_with(options: &MysqlOptions) -> Result<Self> {
        let user = User::unless_root(&["mysql", "nobody"])?;
        let bin = binaries()?;
        let folder = user.folder()?;
        let settings = Mutex::new(options.settings.clone());
        let server = Self { folder, user, bin, port: port::free_port()?, settings, child: Mutex::new(None) };
        match std::env::var_os(MADE_MYSQL) {
            Some(made) => crate::folder::copy(Path::new(&made), &server.data())?,
            None => install(&server.user, &server.bin, &server.data())?,
        }
        for (name, content) in &options.files {
            let path = server.data().join(name);
            crate::folder::write_private(&path, content)?;
            server.user.give(&path)?;
        }
        server.run()?;
        Ok(server)
    }

    /// The folder with the server's files: binlogs are here.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Whether it is a MariaDB, and not a MySQL.
    pub fn is_mariadb(&self) -> bool {
        matches!(self.bin, Binaries::Mariadb(_))
    }

    /// Changes an option for the next [`run`](Self::run).
    pub fn set(&self, name: &str, value: &str) {
        let mut settings = self.settings.lock().expect("not poisoned");
        settings.retain(|(known, _)| known != name);
        settings.push((name.into(), value.into()));
    }

    /// Starts it again after [`stop`](Self::stop), on the same port.
    pub fn run(&self) -> Result<()> {
        let log = File::create(self.folder.path().join(format!("log-{}", rand::random::<u32>())))?;
        let program = match &self.bin {
            Binaries::Mariadb(program) | Binaries::Mysql(program) => program,
        };
        let mut command = self.user.command_ended_by("TERM", program);
        command.arg("--no-defaults").args(layout(&self.bin));
        command.arg(format!("--datadir={}", self.data().display()));
        command.arg(own_tmpdir(&self.data()));
        command.arg(format!("--socket={}", self.socket().display()));
        command.arg(format!("--pid-file={}", self.folder.path().join("pid").display()));
        command.arg("--bind-address=127.0.0.1").arg(format!("--port={}", self.port));
        if !self.is_mariadb() {
            command.args(["--mysqlx=OFF", "--secure-file-priv=NULL"]);
        }
        for (name, value) in self.settings.lock().expect("not poisoned").iter() {
            command.arg(if value.is_empty() { format!("--{name}") } else { format!("--{name}={value}") });
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        *self.child.lock().expect("not poisoned") = Some(command.spawn().context("mysqld could not be run")?);
        self.wait_until_ready()
    }

    /// The server's unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn wait_until_ready(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if self.logs_end().contains("ready for connections") {
                return Ok(());
            }
            let ended = match self.child.lock().expect("not poisoned").as_mut() {
                Some(child) => child.try_wait()?.is_some(),
                None => true,
            };
            if ended || Instant::now() > deadline {
                bail!("the MySQL server did not start:\n{}", self.logs());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What the server wrote to its logs.
    pub fn logs(&self) -> String {
        self.log_files().iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect()
    }

    fn logs_end(&self) -> String {
        let newest = self.log_files().into_iter().max_by_key(|path| path.metadata().and_then(|m| m.created()).ok());
        newest.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default()
    }

    fn log_files(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.folder.path()).into_iter().flatten().flatten();
        files.filter(|file| file.file_name().to_string_lossy().starts_with("log-")).map(|file| file.path()).collect()
    }

    /// Stops it; [`run`](Self::run) starts it again. [`Stop::Immediate`] is a `kill -9`.
    pub fn stop(&self, how: Stop) -> Result<()> {
        let Some(mut child) = self.child.lock().expect("not poisoned").take() else { return Ok(()) };
        let signal = match how {
            Stop::Fast => "-TERM",
            Stop::Immediate => "-KILL",
        };
        Command::new("kill").arg(signal).arg(child.id().to_string()).status().context("kill")?;
        child.wait().context("the end of the server")?;
        Ok(())
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The administrator's URL of a database that is there.
    pub fn url(&self, database: &str) -> String {
        url(self.port, database)
    }

    /// Another connection, as administrator.
    pub async fn connect(&self, database: &str) -> Result<Conn> {
        connect(&self.url(database)).await
    }

    /// A new, empty database of it.
    pub async fn database(&self) -> Result<MysqlDatabase> {
        MysqlDatabase::create(self.port).await
    }
}

impl Drop for Mysql {
    fn drop(&mut self) {
        // Nothing of it is needed any more.
        let _ = self.stop(Stop::Immediate);
    }
}

/// A database of its own, on a server that other tests may use, too.
#[derive(Debug)]
pub struct MysqlDatabase {
    /// Its name.
    pub name: String,
    port: u16,
    _server: Option<Box<Mysql>>,
}

impl MysqlDatabase {
    /// A new, empty database: on the shared server where there is one, else on a server of its own.
    pub async fn new() -> Result<Self> {
        if let Ok(port) = std::env::var(SHARED_MYSQL) {
            return Self::create(port.parse().with_context(|| format!("{SHARED_MYSQL} is the port of a server"))?)
                .await;
        }
        let server = Mysql::start()?;
        let mut database = Self::create(server.port).await?;
        database._server = Some(Box::new(server));
        Ok(database)
    }

    async fn create(port: u16) -> Result<Self> {
        let name = format!("test_{:016x}", rand::random::<u64>());
        let mut admin = connect(&url(port, "mysql")).await?;
        admin.query_drop(format!("create database {name} character set utf8mb4")).await.context("create database")?;
        admin.disconnect().await?;
        Ok(Self { name, port, _server: None })
    }

    /// The administrator's URL.
    pub fn url(&self) -> String {
        url(self.port, &self.name)
    }

    /// The server's port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Another connection, as administrator.
    pub async fn connect(&self) -> Result<Conn> {
        connect(&self.url()).await
    }

    /// Runs statements, separated by semicolons, as administrator.
    pub async fn run(&self, sql: &str) {
        let mut conn = self.connect().await.expect("connected");
        conn.query_drop(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        conn.disconnect().await.expect("disconnected");
    }
}

fn url(port: u16, database: &str) -> String {
    format!("mysql://root@127.0.0.1:{port}/{database}")
}

async fn connect(url: &str) -> Result<Conn> {
    Conn::new(Opts::from_url(url)?).await.with_context(|| format!("connecting {url}"))
}

/// A data folder as a server makes it, for [`MADE_MYSQL`].
pub fn made_mysql() -> Result<TempDir> {
    let user = User::unless_root(&["mysql", "nobody"])?;
    let folder = user.folder()?;
    install(&user, &binaries()?, &folder.path().join("data"))?;
    Ok(folder)
}

/// Makes a data folder in which `root` needs no password, from anywhere.
fn install(user: &User, bin: &Binaries, data: &Path) -> Result<()> {
    let mut command = match bin {
        Binaries::Mariadb(_) => {
            let mut command = user.command(Path::new("mariadb-install-db"));
            command.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
            command
        }
        Binaries::Mysql(program) => {
            let mut command = user.command(program);
            command.args(["--no-defaults", "--initialize-insecure"]).args(layout(bin));
            command
        }
    };
    command.arg(format!("--datadir={}", data.display())).arg(own_tmpdir(data));
    let made = command.stdin(Stdio::null()).output().context("the server's data folder could not be made")?;
    if !made.status.success() {
        bail!("the server's data folder could not be made: {}", String::from_utf8_lossy(&made.stderr));
    }
    Ok(())
}

/// The option that keeps temporary tables beside the data: a MariaDB that starts removes all `#sql*` files of its temporary folder, and
/// with a folder that is shared, those of every other server at work.
fn own_tmpdir(data: &Path) -> String {
    format!("--tmpdir={}", data.parent().unwrap_or(data).display())
}

/// Where a MySQL that lies in a folder of its own finds its messages.
fn layout(bin: &Binaries) -> Vec<String> {
    let Binaries::Mysql(program) = bin else { return Vec::new() };
    let Some(usr) = program.parent().and_then(Path::parent).map(|root| root.join("usr")).filter(|usr| usr.is_dir())
    else {
        return Vec::new();
    };
    vec![format!("--basedir={}", usr.display()), format!("--lc-messages-dir={}", usr.join("share/mysql").display())]
}

fn binaries() -> Result<Binaries> {
    if let Some(folder) = std::env::var_os(BINARIES) {
        return Ok(Binaries::Mysql(Path::new(&folder).join("mysqld")));
    }
    let found = ["/usr/sbin/mariadbd", "/usr/local/sbin/mariadbd"].into_iter().map(PathBuf::from).find(|p| p.exists());
    found
        .map(Binaries::Mariadb)
        .with_context(|| format!("no MariaDB server is installed: run ./scripts/install-test-needs, or set {BINARIES}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_survives_a_crash() {
        let server = Mysql::start().expect("started");
        let database = server.database().await.expect("a database");
        database.run("create table t (a int); insert into t values (1)").await;
        server.stop(Stop::Immediate).expect("stopped");
        assert!(database.connect().await.is_err());
        server.run().expect("started again");
        let rows: Vec<i64> = database.connect().await.expect("connected").query("select a from t").await.expect("rows");
        assert_eq!(rows, [1]);
    }
}
