//! Names of channels, and how they are written.
//!
//! A channel is read from text in two ways only: as a client of some tenant means it, or as the operator writes it. There is no third one,
//! so that nobody reads what a client says and forgets whose it is.

use std::fmt;

use super::name::TableName;

/// The longest name of a tenant, in bytes.
const TENANT_MAX: usize = 128;

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
    /// Between `room@` and the colon.
    #[error(
        "a tenant's name has 1 to 128 bytes and no control characters; in it, `:` is written `%3A` and `%` is written `%25`"
    )]
    Tenant,
}

/// What a client subscribes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// `table:orders`: the rows of a table and their changes.
    Table(TableName),
    /// `room:lobby`: messages that clients publish.
    Room(Room),
    /// `notify:addedrecord`: what the database's own NOTIFY says on that channel.
    Notify(Box<str>),
    /// `event:newData`: what happens to a table, under an application's own event name. Such a name is configured; the log
    /// knows tables only.
    Event(Box<str>),
}

/// A room, and whose it is: rooms of different tenants have nothing to do with each other, whatever they are called.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Room {
    /// Empty: no tenant's.
    pub tenant: Box<str>,
    /// As its tenant's clients call it.
    pub name: Box<str>,
}

impl From<&str> for Room {
    /// No tenant's.
    fn from(name: &str) -> Self {
        Self { tenant: "".into(), name: name.into() }
    }
}

impl Channel {
    /// What a client of this tenant means by a text; empty: of none. It cannot name another tenant's room.
    pub fn of_client(text: &str, tenant: &str) -> Result<Self, ChannelError> {
        match text.split_once(':') {
            Some(("table", name)) => name.parse().map(Self::Table),
            Some(("room", name)) => Ok(Self::Room(Room { tenant: tenant.into(), name: plain(name)? })),
            Some(("notify", name)) => plain(name).map(Self::Notify),
            Some(("event", name)) => plain(name).map(Self::Event),
            _ => Err(ChannelError::Kind(text.chars().take(64).collect())),
        }
    }

    /// What the operator or the database means: `room@acme:lobby` is the room `lobby` of the tenant `acme`.
    pub fn of_operator(text: &str) -> Result<Self, ChannelError> {
        let owned = text.strip_prefix("room@").and_then(|rest| rest.split_once(':'));
        let Some((tenant, name)) = owned else { return Self::of_client(text, "") };
        let tenant = unescape(tenant).ok_or(ChannelError::Tenant)?;
        Ok(Self::Room(Room { tenant: tenant.into(), name: plain(name)? }))
    }
}

impl Channel {
    /// As clients say it: a room as those of its tenant do.
    pub fn as_said(&self) -> String {
        match self {
            Self::Room(Room { name, .. }) => format!("room:{name}"),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Channel {
    /// As [`of_operator`](Self::of_operator) reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(name) => write!(f, "table:{name}"),
            Self::Room(Room { tenant, name }) if tenant.is_empty() => write!(f, "room:{name}"),
            Self::Room(Room { tenant, name }) => write!(f, "room@{}:{name}", escape(tenant)),
            Self::Notify(name) => write!(f, "notify:{name}"),
            Self::Event(name) => write!(f, "event:{name}"),
        }
    }
}

/// A name that is taken as it is written.
fn plain(name: &str) -> Result<Box<str>, ChannelError> {
    let odd = name.is_empty() || name.len() > 256 || name.contains(char::is_control);
    if odd { Err(ChannelError::Length) } else { Ok(name.into()) }
}

/// Without the colon, which ends it.
fn escape(tenant: &str) -> String {
    tenant.replace('%', "%25").replace(':', "%3A")
}

fn unescape(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut tenant = parts.next()?.to_owned();
    for part in parts {
        let (sign, rest) =
            part.strip_prefix("25").map(|rest| ('%', rest)).or_else(|| Some((':', part.strip_prefix("3A")?)))?;
        tenant.push(sign);
        tenant.push_str(rest);
    }
    let fits = (1..=TENANT_MAX).contains(&tenant.len()) && !tenant.contains(char::is_control);
    fits.then_some(tenant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in [
            "table:public.orders",
            "table:\"a.b\".\"say \"\"hi\"\"\"",
            "room:a:b c",
            "room@acme:a:b c",
            "room@urn%3Aa%25:lobby",
            "notify:Added record",
            "event:newData",
        ] {
            assert_eq!(Channel::of_operator(text).expect(text).to_string(), text);
        }
    }

    #[test]
    fn a_client_names_rooms_of_its_own_tenant_and_no_others() {
        for tenant in ["", "acme", "globex"] {
            let room = Room { tenant: tenant.into(), name: "lobby".into() };
            assert_eq!(Channel::of_client("room:lobby", tenant), Ok(Channel::Room(room)));
            for text in ["room@acme:lobby", "room@:lobby", "room@acme", "Room:lobby", " room:lobby"] {
                let unknown = Channel::of_client("rooom:lobby", tenant).map_err(|error| error.to_string());
                let error = Channel::of_client(text, tenant).expect_err("no channel").to_string();
                assert_eq!(Err(error.replace(text, "rooom:lobby")), unknown, "{text}");
            }
        }
    }

    #[test]
    fn every_tenant_has_a_text_of_its_own() {
        let names = ["acme", "acme:x", "acme%3Ax", "a@b", "%", "%%3A", ":", "ä"];
        for tenant in names {
            let room = Channel::Room(Room { tenant: tenant.into(), name: "x".into() });
            assert_eq!(Channel::of_operator(&room.to_string()), Ok(room), "{tenant}");
        }
        for text in ["room@:x", "room@%:x", "room@%3a:x", "room@a\nb:x", &format!("room@{}:x", "t".repeat(129))] {
            assert_eq!(Channel::of_operator(text), Err(ChannelError::Tenant), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_none() {
        for text in ["table:", "table:a.b.c", "room:", "room@acme:", "notify:", "lobby", ""] {
            assert!(Channel::of_operator(text).is_err(), "{text}");
        }
    }
}
