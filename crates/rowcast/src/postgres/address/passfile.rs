//! The password file, `~/.pgpass`: lines of `host:port:database:user:password`.

use std::path::Path;

/// What is asked for.
pub(crate) struct Login<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) database: &'a str,
    pub(crate) user: &'a str,
}

/// The password of the first line that fits.
///
/// `Err`: a file that is there and cannot be used, with the reason. A missing one is no error.
pub(crate) fn password(path: &Path, login: &Login<'_>) -> Result<Option<String>, String> {
    let state = match std::fs::metadata(path) {
        Ok(state) if state.is_file() => state,
        _ => return Ok(None),
    };
    if open_to_others(&state) {
        return Err(format!("{0} is not used because others may read it: run `chmod 600 {0}`", path.display()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    Ok(text.lines().find_map(|line| fits(line, login)))
}

#[cfg(unix)]
fn open_to_others(state: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    state.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn open_to_others(_: &std::fs::Metadata) -> bool {
    false
}

/// The password of `line` if its first four fields fit.
fn fits(line: &str, login: &Login<'_>) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let port = login.port.to_string();
    let mut rest = line;
    for wanted in [login.host, &port, login.database, login.user] {
        let (field, after) = field(rest)?;
        if field != "*" && unescaped(field) != wanted {
            return None;
        }
        rest = after;
    }
    // The password ends at the line's end or at a `:`, as in libpq.
    Some(unescaped(field(rest).map_or(rest, |(password, _)| password))).filter(|password| !password.is_empty())
}

/// Up to the next `:` that is not escaped, and what follows it.
fn field(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, char) in text.char_indices() {
        match char {
            ':' if !escaped => return Some((&text[..at], &text[at + 1..])),
            _ => escaped = char == '\\' && !escaped,
        }
    }
    None
}

fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        plain.push(if char == '\\' { chars.next().unwrap_or('\\') } else { char });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGIN: Login<'_> = Login { host: "db", port: 5432, database: "shop", user: "ann" };

    #[test]
    fn fields_wildcards_and_escapes() {
        assert_eq!(fits("db:5432:shop:ann:secret", &LOGIN).as_deref(), Some("secret"));
        assert_eq!(fits("*:*:*:*:a\\:b\\\\c", &LOGIN).as_deref(), Some("a:b\\c"));
        assert_eq!(fits("db:5432:shop:ann:a:b", &LOGIN).as_deref(), Some("a"));
        for line in ["", "#*:*:*:*:x", "db:5433:shop:ann:x", "db:5432:shop:\\*:x", "db:5432:shop:ann", "*:*:*:*:"] {
            assert_eq!(fits(line, &LOGIN), None, "{line}");
        }
        let odd = Login { host: "a:b", user: "*", ..LOGIN };
        assert_eq!(fits("a\\:b:*:shop:\\*:x", &odd).as_deref(), Some("x"));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pass");
        assert_eq!(password(&path, &LOGIN), Ok(None));
        std::fs::write(&path, "x:1:y:z:no\n*:*:shop:*:yes\n").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("permissions");
        assert!(password(&path, &LOGIN).expect_err("refused").contains("chmod 600"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("permissions");
        assert_eq!(password(&path, &LOGIN), Ok(Some("yes".into())));
    }
}
