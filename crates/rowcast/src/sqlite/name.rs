//! Names as SQL.

/// The start of every name that Rowcast gives to something in a user's database.
pub(crate) const PREFIX: &str = "_rowcast_";

/// An identifier in SQL's double quotes.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Whether `name` belongs to Rowcast or to SQLite itself.
pub(crate) fn is_internal(name: &str) -> bool {
    let starts = |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    starts(PREFIX) || starts("sqlite_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(quote("a\"b"), "\"a\"\"b\"");
    }

    #[test]
    fn internal_names_are_known_in_any_case() {
        assert!(is_internal("_Rowcast_outbox") && is_internal("sqlite_sequence"));
        assert!(!is_internal("rowcast") && !is_internal("größe"));
    }
}
