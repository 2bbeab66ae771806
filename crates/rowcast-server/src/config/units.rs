//! Texts that mean something: durations, sizes, addresses, databases.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// A text that means nothing of the kind, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unclear {
    pub(crate) what: String,
    pub(crate) fix: String,
}

fn unclear<T>(what: impl Into<String>, fix: impl Into<String>) -> Result<T, Unclear> {
    Err(Unclear { what: what.into(), fix: fix.into() })
}

/// Reads `250ms`, `30s`, `5m`, `24h`, `7d`.
pub(crate) fn duration(text: &str) -> Result<Duration, Unclear> {
    let wrong =
        || unclear(format!("expected a duration, got {text:?}"), r#"write for example "250ms", "30s", "5m" or "24h""#);
    let Some((number, unit)) = split(text) else { return wrong() };
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return wrong(),
    };
    match number.checked_mul(unit_ms) {
        Some(ms) => Ok(Duration::from_millis(ms)),
        None => wrong(),
    }
}

/// Reads `64KiB`, `1MiB`, `2GB` or a number of bytes.
pub(super) fn bytes(text: &str) -> Result<u64, Unclear> {
    let wrong = || unclear(format!("expected a size, got {text:?}"), r#"write for example "64KiB", "1MiB" or 65536"#);
    let Some((number, unit)) = split(text) else { return wrong() };
    let unit_bytes: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return wrong(),
    };
    number.checked_mul(unit_bytes).map_or_else(wrong, Ok)
}

/// A whole number and the unit behind it.
fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let number = text[..end].replace('_', "").parse().ok()?;
    Some((number, text[end..].trim_start()))
}

/// An address to serve on: a host by name or number, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listen(String);

impl FromStr for Listen {
    type Err = Unclear;

    fn from_str(text: &str) -> Result<Self, Unclear> {
        let text = text.trim();
        if text.parse::<u16>().is_ok() {
            return unclear(
                format!("{text:?} is a port without an address"),
                format!(r#"write "127.0.0.1:{text}", or "0.0.0.0:{text}" for every interface"#),
            );
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return unclear(format!("{text:?} has no port"), r#"write for example "127.0.0.1:3000""#);
        };
        if host.is_empty() {
            return unclear(
                format!("{text:?} has no address"),
                format!(r#"write "127.0.0.1:{port}", or "0.0.0.0:{port}" for every interface"#),
            );
        }
        if port.parse::<u16>().is_err() {
            return unclear(format!("{port:?} is not a port"), "write a number from 0 to 65535");
        }
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if text.parse::<std::net::SocketAddr>().is_err() && !host.chars().all(name) {
            return unclear(
                format!("{host:?} is not an address"),
                r#"write for example "127.0.0.1:3000" or "[::1]:3000""#,
            );
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a database is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum DatabaseUrl {
    /// A file.
    Sqlite(PathBuf),
    /// A server, as libpq writes it. May hold a password.
    Postgres(String),
    /// A server of MySQL or MariaDB. May hold a password.
    Mysql(String),
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for DatabaseUrl {
    type Err = Unclear;

    /// Reads `sqlite:path`, `sqlite://path`, `sqlite:///absolute/path`, and a bare path that ends as databases do.
    fn from_str(text: &str) -> Result<Self, Unclear> {
        let text = text.trim();
        let fix = r#"write "postgres://user@host/name", "mysql://user@host/name" or "sqlite:path/to/file.db""#;
        if let Some(rest) = text.strip_prefix("sqlite:") {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            if path.is_empty() {
                return unclear("the path of the database is missing", fix);
            }
            if path == ":memory:" {
                return unclear("a database in memory has no other writers to follow", fix);
            }
            return Ok(Self::Sqlite(path.into()));
        }
        let lower = text.to_ascii_lowercase();
        if ["mysql:", "mariadb:"].iter().any(|scheme| lower.starts_with(scheme)) {
            return Ok(Self::Mysql(text.to_owned()));
        }
        // `postgres:` alone takes everything from PG* variables; libpq's other form has no scheme.
        let keyed = ["host=", "dbname=", "service=", "user="].iter().any(|key| lower.starts_with(key));
        if keyed || ["postgres://", "postgresql://"].iter().any(|scheme| lower.starts_with(scheme)) {
            return Ok(Self::Postgres(text.to_owned()));
        }
        if matches!(lower.as_str(), "postgres:" | "postgresql:") {
            return Ok(Self::Postgres("postgres://".to_owned()));
        }
        if [".db", ".sqlite", ".sqlite3", ".db3"].iter().any(|end| lower.ends_with(end)) && !lower.contains("://") {
            return Ok(Self::Sqlite(text.into()));
        }
        unclear(format!("{:?} is not a database that Rowcast knows", without_password(text)), fix)
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DatabaseUrl::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            DatabaseUrl::Postgres(url) if url.contains("://") => f.write_str(&without_password(url)),
            DatabaseUrl::Postgres(_) => f.write_str("postgres"),
            DatabaseUrl::Mysql(url) => f.write_str(&without_password(url)),
        }
    }
}

/// A URL as it may be shown.
pub(crate) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once('@').map(|(user, _)| user) {
        Some(user) if user.contains(':') => {
            let name = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{name}:***{}", &rest[user.len()..])
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(604_800)));
        assert_eq!(bytes("64KiB"), Ok(65_536));
        assert_eq!(bytes("1_000"), Ok(1_000));
        assert_eq!(bytes("2 GB"), Ok(2_000_000_000));
        for text in ["", "30", "s", "1.5s", "-1s", "30 years", "99999999999999999d"] {
            assert!(duration(text).is_err(), "{text}");
        }
        for text in ["", "KiB", "1MIB/s", "99999999999TiB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn databases() {
        let sqlite = |path: &str| Ok(DatabaseUrl::Sqlite(path.into()));
        assert_eq!("sqlite:a/b.db".parse(), sqlite("a/b.db"));
        assert_eq!("sqlite://b".parse(), sqlite("b"));
        assert_eq!("sqlite:///var/b.db".parse(), sqlite("/var/b.db"));
        assert_eq!("./shop.SQLite3".parse(), sqlite("./shop.SQLite3"));
        for text in ["postgres://u:secret@h/db", "PostgreSQL://h", "host=h password=secret", "postgres:"] {
            let server: DatabaseUrl = text.parse().expect(text);
            assert!(matches!(&server, DatabaseUrl::Postgres(_)) && !format!("{server} {server:?}").contains("secret"));
        }
        for text in ["mysql://u:secret@h/db", "MariaDB://u:secret@h:3307/db"] {
            let server: DatabaseUrl = text.parse().expect(text);
            assert!(matches!(&server, DatabaseUrl::Mysql(_)) && !format!("{server} {server:?}").contains("secret"));
        }
        for text in ["sqlite:", "sqlite::memory:", "shop", "http://u:secret@x/shop.db"] {
            let wrong = text.parse::<DatabaseUrl>().expect_err(text);
            assert!(!wrong.what.contains("secret"));
        }
    }

    #[test]
    fn addresses() {
        for text in ["127.0.0.1:3000", "localhost:0", "[::1]:80", "my-host.example:65535"] {
            assert_eq!(text.parse::<Listen>().map(|l| l.to_string()), Ok(text.to_owned()));
        }
        for text in ["3000", ":3000", "localhost", "a b:1", "h:65536", "::1:80", "http://x:1"] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }

    #[test]
    fn passwords_are_hidden() {
        assert_eq!(without_password("http://u:p@h/x?y=a@b"), "http://u:***@h/x?y=a@b");
        assert_eq!(without_password("http://h/a:b@c"), "http://h/a:b@c");
        assert_eq!(without_password("sqlite:a"), "sqlite:a");
    }
}
