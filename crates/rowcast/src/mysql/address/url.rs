//! What a database's URL says.

use std::time::Duration;

use super::tls::{Tls, TlsMode};
use super::{Defaults, Parts, Way};

const PARAMETERS: &str = "ssl-mode, ssl-ca, ssl-cert, ssl-key, socket, connect-timeout";

/// Reads a URL. An error shows nothing of it that could be a password.
pub(super) fn parts(text: &str, defaults: &Defaults) -> Result<Parts, String> {
    let rest = match text.split_once("://") {
        Some(("mysql" | "mariadb", rest)) => rest,
        _ => return Err("the database's URL looks like mysql://user:password@host:3306/database".into()),
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    // The last `@` ends the login, so that one in a password does no harm.
    let (login, place) = rest.rsplit_once('@').unwrap_or(("", rest));
    let (place, database) = place.split_once('/').unwrap_or((place, ""));
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(decoded(password, "the password")?)),
        None => (login, None),
    };
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    let user = given(decoded(user, "the user's name")?).or_else(|| defaults.user.clone());
    let database = decoded(database, "the database's name")?;
    if database.is_empty() {
        return Err("the URL names no database: write mysql://user@host/database".into());
    }
    let (host, port) = host_and_port(place)?;
    let mut more = More { host: given(decoded(host, "the host")?), ..More::default() };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or("after `?`, the URL has a parameter without `=`")?;
        more.take(&decoded(name, "a parameter's name")?, decoded(value, name)?)?;
    }
    Ok(Parts {
        user: user.unwrap_or_else(|| "root".into()),
        password: password.or_else(|| defaults.password.clone()),
        database,
        timeout: Duration::from_secs(more.timeout.filter(|seconds| *seconds > 0).unwrap_or(10)),
        tls: Tls::new(more.mode, more.ca, more.cert, more.key)?,
        way: match (more.socket, more.host) {
            (Some(socket), _) => Way::Socket(socket),
            (None, None) if defaults.host.is_none() && port.is_none() && defaults.socket.is_some() => {
                Way::Socket(defaults.socket.clone().unwrap_or_default())
            }
            (None, host) => Way::Tcp {
                host: host.or_else(|| defaults.host.clone()).unwrap_or_else(|| "localhost".into()),
                port: port.or(defaults.port).unwrap_or(3306),
            },
        },
    })
}

/// What stands behind `?`, and the host, which may stand there, too.
#[derive(Default)]
struct More {
    host: Option<String>,
    mode: Option<TlsMode>,
    ca: Option<String>,
    cert: Option<String>,
    key: Option<String>,
    socket: Option<String>,
    timeout: Option<u64>,
}

impl More {
    fn take(&mut self, name: &str, value: String) -> Result<(), String> {
        match name.to_ascii_lowercase().replace('_', "-").as_str() {
            "ssl-mode" | "sslmode" => self.mode = Some(TlsMode::read(name, &value)?),
            "ssl-ca" => self.ca = Some(value),
            "ssl-cert" => self.cert = Some(value),
            "ssl-key" => self.key = Some(value),
            "socket" | "unix-socket" => self.socket = Some(value),
            "connect-timeout" => {
                let seconds =
                    value.parse().map_err(|_| format!("`{name}` is a number of seconds, and not `{value}`"))?;
                self.timeout = Some(seconds);
            }
            _ => return Err(format!("the URL has a parameter `{name}` that is not known; there are {PARAMETERS}")),
        }
        Ok(())
    }
}

/// `db:3306`, `[::1]:3306`, each with or without port.
fn host_and_port(text: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("in the URL, a `[` has no `]` after it")?;
            let port = rest.strip_prefix(':').or_else(|| rest.is_empty().then_some(""));
            (host, port.ok_or("in the URL, only `:` and a port may follow a `]`")?)
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    // The port is not shown: it may be a piece of a password.
    let wrong = "in the URL, what follows `:` after the host is no port number; a `@`, `/`, `?` or `#` in the user name or \
                 password must be written %40, %2F, %3F or %23";
    match port {
        "" => Ok((host, None)),
        port => Ok((host, Some(port.parse().ok().filter(|port| *port != 0).ok_or(wrong)?))),
    }
}

/// `a%20b` → `a b`
fn decoded(text: &str, what: &str) -> Result<String, String> {
    let wrong = || {
        format!(
            "in the URL, {what} has a `%` without the two hexadecimal digits of a UTF-8 byte after it; a `%` itself is written %25"
        )
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16)).ok_or_else(wrong);
            let (high, low) = (digit()?, digit()?);
            bytes.push(u8::try_from(high * 16 + low).map_err(|_| wrong())?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match parts(text, &Defaults::default()) {
            Ok(Parts { user, password, way, database, .. }) => {
                format!("{user} {} {way} {database}", password.unwrap_or_default())
            }
            Err(error) => error,
        }
    }

    #[test]
    fn urls() {
        assert_eq!(read("mysql://u:p@h:1/d"), "u p h:1 d");
        assert_eq!(read("mariadb://u@[::1]/d"), "u  [::1]:3306 d");
        assert_eq!(read("mysql://u:p%40%25%2f@h/%C3%BC%20x"), "u p@%/ h:3306 ü x");
        assert_eq!(read("mysql://u:p@ss@h/d"), "u p@ss h:3306 d");
        assert_eq!(read("mysql:///d?socket=/run/s"), "root  /run/s d");
        assert_eq!(read("mysql://u@h/"), "the URL names no database: write mysql://user@host/database");
        assert!(read("mysql://u@h/d?charset=latin1").contains("`charset` that is not known; there are ssl-mode"));
        assert!(read("mysql://u@h/d?ssl-mode=maybe").contains("disabled, preferred, required, verify-ca"));
        assert!(read("mysql://u@h/d?ssl-cert=/c").contains("ssl-key"));
    }

    #[test]
    fn what_is_left_open_is_taken_from_the_defaults() {
        let defaults = Defaults {
            user: Some("ann".into()),
            password: Some("secret".into()),
            host: Some("db".into()),
            port: Some(7),
            socket: Some("/s".into()),
        };
        let read = |text: &str, defaults: &Defaults| {
            let Parts { user, password, way, .. } = parts(text, defaults).expect("parts");
            format!("{user} {} {way}", password.unwrap_or_default())
        };
        assert_eq!(read("mysql:///d", &defaults), "ann secret db:7");
        assert_eq!(read("mysql://bob:x@h:8/d", &defaults), "bob x h:8");
        assert_eq!(read("mysql:///d", &Defaults { host: None, ..defaults }), "ann secret /s");
    }

    #[test]
    fn a_mistake_is_told_without_the_password() {
        for text in [
            "mysql://u:sec/ret@h:x/d",
            "mysql://u:secret:8@h:x/d",
            "mysql://u:%zzsecret@h/d",
            "postgres://u:secret@h/d",
            "mysql://u:secret",
            "secret",
        ] {
            let error = parts(text, &Defaults::default()).err().expect(text);
            assert!(!error.contains("sec"), "{text}: {error}");
        }
    }
}
