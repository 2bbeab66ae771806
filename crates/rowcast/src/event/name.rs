//! Names of tables, and how they are written.

use std::fmt;
use std::str::FromStr;

use super::channel::ChannelError;

/// A table's name. The schema is empty where the database has but one (SQLite) or none was given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    /// `public` in `public.orders`; empty for the database's default.
    pub schema: Box<str>,
    /// `orders` in `public.orders`.
    pub name: Box<str>,
}

impl TableName {
    /// A table of the default schema.
    pub fn bare(name: &str) -> Self {
        Self { schema: "".into(), name: name.into() }
    }

    /// Whether it is the table that a name means: a bare one means that of any schema.
    pub fn is_called(&self, name: &Self) -> bool {
        let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
        same(&self.name, &name.name) && (name.schema.is_empty() || same(&self.schema, &name.schema))
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.schema.is_empty() {
            write_part(f, &self.schema)?;
            f.write_str(".")?;
        }
        write_part(f, &self.name)
    }
}

/// Quotes a part only where a reader could not find its end: an empty one, or one with a dot or a quote.
fn write_part(f: &mut fmt::Formatter<'_>, part: &str) -> fmt::Result {
    if part.is_empty() || part.contains(['.', '"']) {
        write!(f, "\"{}\"", part.replace('"', "\"\""))
    } else {
        f.write_str(part)
    }
}

impl FromStr for TableName {
    type Err = ChannelError;

    /// Reads `name`, `schema.name` and the same with SQL's double quotes around a part.
    fn from_str(text: &str) -> Result<Self, ChannelError> {
        let wrong = || ChannelError::Table(text.chars().take(64).collect());
        if text.is_empty() || text.len() > 256 || text.contains(char::is_control) {
            return Err(ChannelError::Length);
        }
        let mut parts = Vec::new();
        let mut rest = text;
        loop {
            let (part, after) = take_part(rest).ok_or_else(wrong)?;
            parts.push(part);
            match after.strip_prefix('.') {
                Some(more) => rest = more,
                None if after.is_empty() => break,
                None => return Err(wrong()),
            }
        }
        match <[String; 2]>::try_from(parts) {
            Ok([schema, name]) => Ok(Self { schema: schema.into(), name: name.into() }),
            Err(mut parts) if parts.len() == 1 => Ok(Self::bare(&parts.remove(0))),
            Err(_) => Err(wrong()),
        }
    }
}

/// One part, plain or quoted, and what follows it.
fn take_part(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find('.').unwrap_or(text.len());
        let (part, rest) = text.split_at(end);
        return (!part.is_empty() && !part.contains('"')).then(|| (part.to_owned(), rest));
    };
    let mut part = String::new();
    let mut rest = quoted;
    loop {
        let end = rest.find('"')?;
        part.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                part.push('"');
                rest = more;
            }
            None => return (!part.is_empty()).then_some((part, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in ["orders", "public.orders", "\"a.b\".\"say \"\"hi\"\"\"", "größe"] {
            assert_eq!(text.parse::<TableName>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn a_quoted_name_is_the_same_as_a_plain_one() {
        assert_eq!("\"orders\"".parse(), Ok(TableName::bare("orders")));
    }

    #[test]
    fn refuses_what_has_no_clear_end() {
        for text in ["", "a.b.c", "a..b", "\"a", "\"a\"b", "a\"b"] {
            assert!(text.parse::<TableName>().is_err(), "{text}");
        }
    }
}
