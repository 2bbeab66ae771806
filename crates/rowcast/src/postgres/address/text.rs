//! The two ways to write an address: a URL, and `key=value` pairs.
//!
//! Leaves what the parameters mean to `parameters`.

/// The parameters that `text` gives, in the order of the text. What is wrong with it, in a sentence without any secret of it.
pub(super) fn parameters_of(text: &str) -> Result<Vec<(String, String)>, String> {
    let text = text.trim();
    match text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://")) {
        Some(rest) => url(rest),
        None if text.contains("://") || !text.contains('=') => {
            Err("a PostgreSQL address looks like postgres://user:password@host:5432/database, or like \
                 host=… port=… dbname=… user=…; this one does not"
                .into())
        }
        None => pairs(text),
    }
}

/// `user:password@host:port,host:port/database?key=value&…`, after the scheme.
fn url(rest: &str) -> Result<Vec<(String, String)>, String> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    if database.contains('@') {
        return Err("in the address, a `/` or `?` in the user name or password must be written %2F or %3F".into());
    }
    let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (hosts, ports) = hosts_and_ports(hosts)?;
    let mut found = Vec::new();
    for (key, value) in [("user", user), ("password", password), ("host", &*hosts), ("dbname", database)] {
        if !value.is_empty() {
            found.push((key.to_owned(), decoded(value).ok_or_else(|| badly_encoded(key))?));
        }
    }
    if ports.chars().any(|c| c != ',') {
        found.push(("port".into(), ports));
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or("after `?`, the address has a parameter without `=`")?;
        let key = decoded(key).ok_or_else(|| badly_encoded("a parameter's name"))?;
        let value = decoded(value).ok_or_else(|| badly_encoded(&key))?;
        // JDBC's way to say it, which libpq knows, too.
        match (&*key, &*value) {
            ("ssl", "true") => found.push(("sslmode".into(), "require".into())),
            _ => found.push((key, value)),
        }
    }
    Ok(found)
}

/// `a:1,[::1]:2,c` → `a,::1,c` and `1,2,`
fn hosts_and_ports(text: &str) -> Result<(String, String), String> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for part in text.split(',') {
        let (host, port) = match part.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or("in the address, a `[` has no `]` after it")?;
                let port = rest.strip_prefix(':').or_else(|| rest.is_empty().then_some(""));
                (host, port.ok_or("in the address, only `:` and a port may follow a `]`")?)
            }
            None => part.split_once(':').unwrap_or((part, "")),
        };
        // The port is not shown: it may be a piece of a password.
        if port.parse::<u16>().is_err() && !port.is_empty() {
            return Err(
                "in the address, what follows `:` after the host is no port number; a `@`, `/`, `?` or `#` in the \
                        user name or password must be written %40, %2F, %3F or %23"
                    .into(),
            );
        }
        hosts.push(host);
        ports.push(port);
    }
    Ok((hosts.join(","), ports.join(",")))
}

/// `key=value key = 'va\'lue'`
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or("the address ends with a parameter that has no `=`")?;
        let key = key.trim();
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Err(
                "in the address, a `=` does not follow a parameter's name; a value with spaces in it is written \
                        in single quotes"
                    .into(),
            );
        }
        let (value, after) = value(after.trim_start()).ok_or_else(|| format!("the quote of `{key}` does not end"))?;
        found.push((key.to_owned(), value));
        rest = after.trim_start();
    }
    Ok(found)
}

/// A value and what follows it; `None` when its quote does not end.
fn value(text: &str) -> Option<(String, &str)> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut chars = text.char_indices().skip(usize::from(quoted));
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Some((value, &text[at + 1..])),
            _ if !quoted && char.is_whitespace() => return Some((value, &text[at..])),
            _ => value.push(char),
        }
    }
    (!quoted).then_some((value, ""))
}

/// `a%20b` → `a b`
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let (high, low) = (digit(rest.next())?, digit(rest.next())?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn badly_encoded(what: &str) -> String {
    format!(
        "in the address, {what} has a `%` without the two hexadecimal digits of a UTF-8 byte after it; a `%` itself is written %25"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match parameters_of(text) {
            Ok(found) => found.iter().map(|(key, value)| format!("{key}={value};")).collect(),
            Err(error) => error,
        }
    }

    #[test]
    fn urls() {
        assert_eq!(read("postgres://"), "");
        assert_eq!(read("postgres://u:p@h:1/d"), "user=u;password=p;host=h;dbname=d;port=1;");
        assert_eq!(read("postgresql://h1:1,h2,[::1]:3/d"), "host=h1,h2,::1;dbname=d;port=1,,3;");
        assert_eq!(
            read("postgres:///d?host=/tmp&port=5&sslmode=require"),
            "dbname=d;host=/tmp;port=5;sslmode=require;"
        );
        assert_eq!(read("postgres://%2Frun%2Fpg/d?ssl=true"), "host=/run/pg;dbname=d;sslmode=require;");
        assert_eq!(read("postgres://u:p%40%25%2f@h/ü%20x"), "user=u;password=p@%/;host=h;dbname=ü x;");
        assert_eq!(read("postgres://u:p@ss@h"), "user=u;password=p@ss;host=h;");
    }

    #[test]
    fn pairs_with_quotes() {
        assert_eq!(read("host=a port = 5 user='it"), "the quote of `user` does not end");
        assert_eq!(
            read(r"host=a user='x y' password='it\'s' dbname=a\ b"),
            "host=a;user=x y;password=it's;dbname=a b;"
        );
    }

    #[test]
    fn a_mistake_is_told_without_the_password() {
        for text in [
            "postgres://u:sec/ret@h/d",
            "postgres://u:secret:8@h:x/d",
            "postgres://u:%zzsecret@h/d",
            "mysql://u:secret@h/d",
            "secret",
            "host=a password=sec ret",
            "password='secret",
        ] {
            let error = parameters_of(text).expect_err(text);
            assert!(!error.contains("sec"), "{text}: {error}");
        }
    }
}
