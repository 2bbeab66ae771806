//! Where a MySQL or MariaDB is, and as whom it is used.
//!
//! Leaves reading the URL to `url`, TLS to `tls`, and connecting to `connect`.

mod tls;
mod url;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, SslOpts};

use parking_lot::Mutex;

use tls::Tls;
pub(super) use tls::{Found, TlsMode};

/// A database of a MySQL or MariaDB server. Shown without its password.
#[derive(Clone)]
pub struct Address {
    pub(super) parts: Arc<Parts>,
    pub(super) found: Arc<Mutex<Found>>,
}

/// What a URL says.
pub(super) struct Parts {
    pub(super) user: String,
    pub(super) password: Option<String>,
    pub(super) way: Way,
    pub(super) database: String,
    pub(super) tls: Tls,
    /// How long the server may take to let us in.
    pub(super) timeout: Duration,
}

/// How a server is reached.
pub(super) enum Way {
    Tcp { host: String, port: u16 },
    Socket(String),
}

/// What is used where the URL leaves it open: MySQL's own variables, which a library does not read.
#[derive(Clone, Default)]
pub struct Defaults {
    /// The user (`USER`, and `root` where that is not known).
    pub user: Option<String>,
    /// The password (`MYSQL_PWD`).
    pub password: Option<String>,
    /// The host (`MYSQL_HOST`).
    pub host: Option<String>,
    /// The port (`MYSQL_TCP_PORT`).
    pub port: Option<u16>,
    /// The unix socket (`MYSQL_UNIX_PORT`), used only where neither URL nor variables name a host.
    pub socket: Option<String>,
}

/// Which server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavor {
    /// MariaDB.
    MariaDb,
    /// MySQL, and what calls itself so.
    MySql,
}

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Whose it is.
    pub flavor: Flavor,
    /// Major, minor, patch.
    pub version: (u16, u16, u16),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ConnectError {
    /// For people: what is wrong, and what to do.
    pub message: String,
    /// Whether it may work when tried again.
    pub retry: bool,
    /// The driver's own error.
    #[source]
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Address {
    /// Reads `mysql://user:password@host:port/database?parameters` (or `mariadb://`). An error shows no password.
    ///
    /// Parameters: `ssl-mode`, `ssl-ca`, `ssl-cert`, `ssl-key`, `socket`, `connect-timeout`; see `docs/mysql.md`.
    pub fn parse(text: &str) -> Result<Self, ConnectError> {
        Self::parse_with(text, &Defaults::default())
    }

    /// Reads a URL, and takes from `defaults` what it leaves open.
    pub fn parse_with(text: &str, defaults: &Defaults) -> Result<Self, ConnectError> {
        let parts = url::parts(text, defaults).map_err(ConnectError::wrong)?;
        Ok(Self { parts: Arc::new(parts), found: Arc::default() })
    }

    /// The database that was named.
    pub fn database(&self) -> &str {
        &self.parts.database
    }

    /// The user's name.
    pub fn user(&self) -> &str {
        &self.parts.user
    }

    /// As the driver takes it, with all that [`connect`](Self::connect) sets for a session; for a pool of connections.
    ///
    /// What TLS the server has is found out by [`connect`](Self::connect): call that once before.
    pub fn options(&self) -> OptsBuilder {
        self.builder(self.parts.tls.options(&self.found.lock()))
    }

    fn builder(&self, ssl: Option<SslOpts>) -> OptsBuilder {
        let Parts { user, password, way, database, .. } = &*self.parts;
        let builder = OptsBuilder::default()
            .user(Some(user))
            .pass(password.as_deref())
            .db_name(Some(database))
            // Whoever names a host means it.
            .prefer_socket(false)
            .tcp_keepalive(Some(Duration::from_secs(5)))
            .setup(super::connect::SESSION.map(str::to_owned).to_vec());
        match way {
            Way::Tcp { host, port } => builder.ip_or_hostname(host).tcp_port(*port).ssl_opts(ssl),
            Way::Socket(path) => builder.socket(Some(path)),
        }
    }
}

impl Server {
    /// Asks the server what it is.
    pub async fn of(conn: &mut Conn) -> Result<Self, mysql_async::Error> {
        let version: Option<String> = conn.query_first("SELECT VERSION()").await?;
        Ok(Self::read(&version.unwrap_or_default()))
    }

    /// Reads what `VERSION()` says: `10.11.6-MariaDB-0+deb12u1-log`, `9.7.0`.
    pub fn read(version: &str) -> Self {
        let maria = version.to_ascii_lowercase().contains("mariadb");
        let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        let version = (next(), next(), next());
        Self { flavor: if maria { Flavor::MariaDb } else { Flavor::MySql }, version }
    }

    /// Whether it is a MariaDB.
    pub fn is_mariadb(&self) -> bool {
        self.flavor == Flavor::MariaDb
    }
}

/// `MariaDB 10.11.6`
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.is_mariadb() { "MariaDB" } else { "MySQL" };
        let (major, minor, patch) = self.version;
        write!(f, "{name} {major}.{minor}.{patch}")
    }
}

impl ConnectError {
    /// Something that a person has to mend.
    pub(crate) fn wrong(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry: false, cause: None }
    }
}

/// As a URL without a password: `mysql://ann@db:3306/shop`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { user, way, database, .. } = &*self.parts;
        match way {
            Way::Tcp { .. } => write!(f, "mysql://{user}@{way}/{database}"),
            Way::Socket(path) => write!(f, "mysql://{user}@localhost/{database}?socket={path}"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

/// `db:3306`, `[::1]:3306`, `/run/mysqld/mysqld.sock`
impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Socket(path) => f.write_str(path),
        }
    }
}

/// Without the password.
impl fmt::Debug for Defaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Defaults({:?}@{:?}:{:?}, {:?})", self.user, self.host, self.port, self.socket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_shown_without_its_password() {
        let address = Address::parse("mariadb://ann:secret@[::1]:7/shop?ssl-mode=disabled").expect("an address");
        assert_eq!(address.to_string(), "mysql://ann@[::1]:7/shop");
        assert_eq!(format!("{address:?}"), "Address(mysql://ann@[::1]:7/shop)");
    }

    #[test]
    fn a_server_is_known_by_its_version() {
        let server = Server::read("10.11.6-MariaDB-0+deb12u1-log");
        assert_eq!(server, Server { flavor: Flavor::MariaDb, version: (10, 11, 6) });
        assert_eq!(Server::read("9.7.0"), Server { flavor: Flavor::MySql, version: (9, 7, 0) });
        assert_eq!(Server::read("8.0.36-28").to_string(), "MySQL 8.0.36");
    }
}
