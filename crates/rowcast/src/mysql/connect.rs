//! Connecting to a MySQL or MariaDB server, and why that fails, in sentences that say what to do.

use std::error::Error as StdError;
use std::io;

use mysql_async::{Conn, DriverError, Error, IoError, Opts, ServerError};
use rustls::CertificateError;

use super::address::{Address, ConnectError, Found, Parts, TlsMode, Way};

/// What is set for each session, also after a pool has reset it. Each stands alone: the driver runs the last one first.
///
/// What other flavors do not know stands in comments that only one of them reads.
pub(super) const SESSION: [&str; 2] = [
    "SET NAMES utf8mb4, @@session.time_zone = '+00:00', @@session.autocommit = 1, \
     @@session.sql_mode = 'STRICT_TRANS_TABLES,STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', \
     @@session.wait_timeout = 2147483, @@session.net_write_timeout = 600, @@session.net_read_timeout = 600, \
     @@session.sql_select_limit = DEFAULT, @@session.max_join_size = DEFAULT, @@session.sql_safe_updates = 0 \
     /*M! , @@session.max_statement_time = 0, @@session.idle_transaction_timeout = 0 */ \
     /*!80000 , @@session.max_execution_time = 0 */",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
];

impl Address {
    /// A connection in UTC that speaks utf8mb4, whose SQL mode is strict, and whose statements never time out by themselves.
    pub async fn connect(&self) -> Result<Conn, ConnectError> {
        if let Some(message) = self.parts.tls.mistake().await {
            return Err(ConnectError::wrong(message));
        }
        let failed = match self.open().await {
            Ok(conn) => return Ok(conn),
            Err(failed) => failed,
        };
        let found = match self.parts.tls.mode {
            TlsMode::Preferred if is_without_tls(&failed) => Found { without_tls: true, name: None },
            TlsMode::VerifyCa => Found { without_tls: false, name: name_of(&failed) },
            _ => Found::default(),
        };
        if found.without_tls || found.name.is_some() {
            *self.found.lock() = found;
            return self.open().await.map_err(|failed| self.told(failed));
        }
        Err(self.told(failed))
    }

    async fn open(&self) -> Result<Conn, Failed> {
        let limit = self.parts.timeout;
        let conn = tokio::time::timeout(limit, Conn::new(Opts::from(self.options()))).await;
        conn.map_err(|_| Failed::Late)?.map_err(Failed::Driver)
    }

    fn told(&self, failed: Failed) -> ConnectError {
        let Parts { way, timeout, .. } = &*self.parts;
        match failed {
            Failed::Late => ConnectError {
                message: format!(
                    "{way} did not let us in within {} s: is the host up, and does a firewall let us through? \
                     (`connect-timeout` sets how long is waited)",
                    timeout.as_secs()
                ),
                retry: true,
                cause: None,
            },
            Failed::Driver(error) => {
                let (message, retry) = told(&self.parts, &error);
                ConnectError { message, retry, cause: Some(error.into()) }
            }
        }
    }
}

enum Failed {
    Late,
    Driver(Error),
}

/// The server offers no TLS, or none that we could use.
fn is_without_tls(failed: &Failed) -> bool {
    matches!(failed, Failed::Driver(Error::Driver(DriverError::NoClientSslFlagFromServer) | Error::Io(IoError::Tls(_))))
        || matches!(failed, Failed::Driver(Error::Io(IoError::Io(io))) if rustls_of(io).is_some())
}

/// A name of a certificate that is signed by one who is trusted, and is for another host.
fn name_of(failed: &Failed) -> Option<String> {
    let Failed::Driver(Error::Io(IoError::Io(io))) = failed else { return None };
    let Some(rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. })) =
        rustls_of(io)
    else {
        return None;
    };
    // `DnsName("*.db")`, `IpAddress(10.0.0.1)`
    let name = presented.first()?.split_once('(')?.1.trim_end_matches(')').trim_matches('"');
    Some(name.replace('*', "any"))
}

fn rustls_of(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn told(parts: &Parts, error: &Error) -> (String, bool) {
    let way = &parts.way;
    match error {
        Error::Server(error) => refused(parts, error),
        Error::Io(IoError::Tls(error)) => (tls(way, &innermost(error)), false),
        Error::Io(IoError::Io(error)) => match rustls_of(error) {
            Some(error) => (tls(way, &error.to_string()), false),
            None => unreachable(way, error),
        },
        Error::Driver(DriverError::NoClientSslFlagFromServer) => (
            format!("{way} offers no TLS, and the URL asks for it: set it up there, or write `ssl-mode=preferred`"),
            false,
        ),
        Error::Driver(DriverError::NoKeyFound) => ("the file of `ssl-key` has no private key in it".into(), false),
        Error::Driver(DriverError::UnknownAuthPlugin { name }) => (
            format!(
                "{way} wants `{}` to log in with the plugin `{name}`, which is not known here: use caching_sha2_password, \
                 mysql_native_password or ed25519",
                parts.user
            ),
            false,
        ),
        Error::Driver(DriverError::MysqlOldPasswordDisabled | DriverError::CleartextPluginDisabled) => (
            format!(
                "{way} asks for the password of `{}` in a form that anybody could read: give it a newer plugin",
                parts.user
            ),
            false,
        ),
        Error::Driver(DriverError::ConnectionClosed) => {
            (format!("{way} closed the connection while we logged in"), true)
        }
        _ => (format!("logging in to {way} failed: {error}"), true),
    }
}

fn tls(way: &Way, reason: &str) -> String {
    let advice = if reason.contains("UnknownIssuer") || reason.contains("CaUsedAsEndEntity") {
        "name the authority that signed its certificate with `ssl-ca`, or write `ssl-mode=required`, which checks nothing"
    } else if reason.contains("NotValidForName") || reason.contains("not valid for name") {
        "its certificate is for another host, or has no name in it (as those that MySQL makes itself): write the host that it \
         is for, give the server one with a name, or write `ssl-mode=verify-ca` or `ssl-mode=required`"
    } else if reason.contains("Expired") || reason.contains("expired") {
        "its certificate has expired: renew it there"
    } else {
        "see `ssl-mode`, `ssl-ca`, `ssl-cert` and `ssl-key` in the URL"
    };
    format!("TLS with {way} failed ({reason}): {advice}")
}

fn unreachable(way: &Way, error: &io::Error) -> (String, bool) {
    if let Way::Socket(path) = way {
        let message = match error.kind() {
            io::ErrorKind::NotFound => {
                format!("there is no socket {path}: is the server running, and is its `socket` this one?")
            }
            io::ErrorKind::ConnectionRefused => format!("nobody listens at the socket {path}: is the server running?"),
            io::ErrorKind::PermissionDenied => {
                format!("the socket {path} may not be used by this user: see its folder's permissions")
            }
            _ => format!("the socket {path} cannot be opened: {error}"),
        };
        return (message, error.kind() != io::ErrorKind::PermissionDenied);
    }
    let text = error.to_string();
    let message = match error.kind() {
        io::ErrorKind::ConnectionRefused => format!(
            "nothing listens at {way}: is the server running there, and does its `bind_address` let others in \
             (and `skip_networking` is off)?"
        ),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            format!("there is no way to {way}: is this machine in the right network?")
        }
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            format!("{way} closed the connection while we logged in")
        }
        _ if text.contains("lookup") => format!("the host of {way} is not known: is its name misspelt? ({error})"),
        _ => format!("{way} cannot be reached: {error}"),
    };
    (message, true)
}

/// The server refused us; its numbers are those of `mysqld_error.h`.
fn refused(parts: &Parts, said: &ServerError) -> (String, bool) {
    let Parts { user, password, way, database, .. } = parts;
    let ServerError { code, message, .. } = said;
    let stop = |text: String| (text, false);
    match code {
        1045 | 1698 if password.is_none() => stop(format!(
            "{way} does not let `{user}` in without a password: write it into the URL (mysql://{user}:PASSWORD@…) or the \
             variable MYSQL_PWD"
        )),
        1045 | 1698 => stop(format!(
            "{way} refused the password of `{user}`, or does not let it in from here: does the user exist for this host \
             (SELECT user, host FROM mysql.user)? The server says: {message}"
        )),
        1044 => stop(format!(
            "{way} lets `{user}` not use the database `{database}`: GRANT SELECT ON `{database}`.* TO `{user}` (or is \
             its name misspelt?)"
        )),
        1049 => stop(format!("{way} has no database `{database}`: create it, or is its name misspelt?")),
        1130 => {
            stop(format!("{way} lets nobody in from this host: {message}. Create the user for it, or as '{user}'@'%'"))
        }
        1129 => {
            stop(format!("{way} has blocked this host after too many broken connections: FLUSH HOSTS mends it there"))
        }
        1251 | 2059 => stop(format!("{way} and we have no way to log in in common: {message}")),
        1820 | 1862 => stop(format!("the password of `{user}` has expired at {way}: ALTER USER gives it a new one")),
        3118 | 4151 => stop(format!("the account of `{user}` is locked at {way}: ALTER USER … ACCOUNT UNLOCK")),
        3159 => stop(format!("{way} lets nobody in without TLS: write `ssl-mode=required` into the URL")),
        1040 | 1203 | 1226 => (
            format!("{way} has no connection left for us: {message}. Raise its `max_connections`, or close others"),
            true,
        ),
        1053 | 1077 | 1079 | 1152 | 1158..=1161 | 3169 | 1927 => (format!("{way} is not ready: {message}"), true),
        _ => stop(format!("{way} does not let us in: {message} (error {code})")),
    }
}

/// The last cause, which says most.
fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut inner = error;
    while let Some(cause) = inner.source() {
        inner = cause;
    }
    inner.to_string()
}
