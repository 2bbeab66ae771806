//! Names of tables and channels, and how they are written.

use std::fmt;
use std::str::FromStr;

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

/// A text that names no channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// A table's name with an open quote, an empty part or too many parts.
    #[error("`{0}` is not a table's name; write `orders`, `public.orders` or, with quotes, `\"odd.name\"`")]
    Table(String),
    /// No known kind before the colon.
    #[error("`{0}` is not a channel; a channel is `table:NAME`, `event:NAME`, `room:NAME` or `notify:NAME`")]
    Kind(String),
    /// Empty, longer than 256 bytes, or with control characters.
    #[error("a channel's name has 1 to 256 bytes and no control characters")]
    Length,
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

/// What a client subscribes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// `table:orders`: the rows of a table and their changes.
    Table(TableName),
    /// `room:lobby`: messages that clients publish.
    Room(Box<str>),
    /// `notify:addedrecord`: what the database's own NOTIFY says on that channel.
    Notify(Box<str>),
    /// `event:newData`: what happens to a table, under an application's own event name. Such a name is configured; the log
    /// knows tables only.
    Event(Box<str>),
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Channel::Table(name) => write!(f, "table:{name}"),
            Channel::Room(name) => write!(f, "room:{name}"),
            Channel::Notify(name) => write!(f, "notify:{name}"),
            Channel::Event(name) => write!(f, "event:{name}"),
        }
    }
}

impl FromStr for Channel {
    type Err = ChannelError;

    fn from_str(text: &str) -> Result<Self, ChannelError> {
        match text.split_once(':') {
            Some(("table", name)) => name.parse().map(Channel::Table),
            Some(("room", name)) => plain(name).map(Channel::Room),
            Some(("notify", name)) => plain(name).map(Channel::Notify),
            Some(("event", name)) => plain(name).map(Channel::Event),
            _ => Err(ChannelError::Kind(text.chars().take(64).collect())),
        }
    }
}

/// A name that is taken as it is written.
fn plain(name: &str) -> Result<Box<str>, ChannelError> {
    let odd = name.is_empty() || name.len() > 256 || name.contains(char::is_control);
    if odd { Err(ChannelError::Length) } else { Ok(name.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in [
            "table:orders",
            "table:public.orders",
            "table:\"a.b\".\"say \"\"hi\"\"\"",
            "table:größe",
            "room:a:b c",
            "notify:Added record",
            "event:newData",
        ] {
            assert_eq!(text.parse::<Channel>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn a_quoted_name_is_the_same_as_a_plain_one() {
        assert_eq!("\"orders\"".parse(), Ok(TableName::bare("orders")));
    }

    #[test]
    fn refuses_what_has_no_clear_end() {
        for text in [
            "table:",
            "table:a.b.c",
            "table:a..b",
            "table:\"a",
            "table:\"a\"b",
            "table:a\"b",
            "room:",
            "notify:",
            "lobby",
            "",
        ] {
            assert!(text.parse::<Channel>().is_err(), "{text}");
        }
    }
}
