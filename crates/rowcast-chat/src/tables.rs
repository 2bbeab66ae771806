//! The chat's tables, in words that every database understands.
//!
//! Ids of users, rooms and files are texts with random UUIDs.

use rowcast::event::TableName;
use rowcast::store::{ColumnDefault, ColumnKind, ColumnSpec, TableSpec};

use ColumnKind::{Boolean, Id, Integer, Text, Timestamp};

/// A UUID as text.
const UUID: ColumnKind = Text(Some(36));

/// Columns that a table gets which is there already.
pub(crate) type TableColumns = (TableName, Vec<ColumnSpec>);

/// Which steps this chat has taken: nobody but the chat reads or writes them.
pub(crate) fn of_the_chat() -> Vec<TableSpec> {
    vec![table("chat_migrations").key("step", Integer).moment("at").done()]
}

/// What only the chat itself reads.
pub(crate) fn private() -> Vec<TableSpec> {
    vec![
        table("chat_accounts")
            .key("user_id", UUID)
            .required("email", Text(Some(254)))
            .required("password_hash", Text(Some(200)))
            .column("verified_at", Timestamp)
            .required("link", UUID)
            .moment("created_at")
            .unique(&["email"])
            .unique(&["link"])
            .done(),
        table("chat_codes")
            .key("user_id", UUID)
            .key("purpose", Text(Some(20)))
            .required("code_hash", Text(Some(64)))
            // Milliseconds since 1970: it is the chat's clock that decides, not the database's.
            .required("expires_at", Integer)
            .number("tries", 0)
            .done(),
    ]
}

/// Files that may be there while nobody has a use for them, since when (milliseconds since 1970).
pub(crate) fn orphans() -> Vec<TableSpec> {
    vec![table("chat_orphans").key("file", UUID).required("since", Integer).index(&["since"]).done()]
}

/// How many bytes the files of an account have. NULL: that was not counted yet.
pub(crate) fn stored() -> Vec<TableColumns> {
    let stored = ColumnSpec { name: "stored".into(), kind: Integer, required: false, default: None };
    vec![(TableName::bare("chat_accounts"), vec![stored])]
}

/// What its users see of it, each by its rule.
pub(crate) fn shown() -> Vec<TableSpec> {
    vec![
        table("chat_profiles")
            .key("id", UUID)
            .required("name", Text(Some(80)))
            .text("about", Some(200))
            .column("picture", UUID)
            .moment("joined_at")
            .done(),
        table("chat_seen").key("user_id", UUID).moment("seen_at").done(),
        table("chat_contacts")
            .key("owner", UUID)
            .key("contact", UUID)
            .required("state", Text(Some(10)))
            .column("requested_by", UUID)
            .column("before", Text(Some(10)))
            .moment("created_at")
            .moment("changed_at")
            .index(&["contact"])
            .done(),
        table("chat_rooms")
            .key("id", UUID)
            .required("kind", Text(Some(10)))
            .column("name", Text(Some(80)))
            .column("picture", UUID)
            .required("created_by", UUID)
            .moment("created_at")
            .number("last_id", 0)
            .moment("last_at")
            .done(),
        table("chat_members")
            .key("room", UUID)
            .key("user_id", UUID)
            .required("role", Text(Some(10)))
            .required("name", Text(Some(80)))
            .column("picture", UUID)
            .moment("joined_at")
            .index(&["user_id"])
            .done(),
        table("chat_receipts")
            .key("room", UUID)
            .key("user_id", UUID)
            .number("delivered", 0)
            .number("read", 0)
            .truth("muted", false)
            .index(&["user_id"])
            .done(),
        table("chat_messages")
            .column("id", Id)
            .required("room", UUID)
            .required("sender", UUID)
            .required("nonce", UUID)
            .required("kind", Text(Some(10)))
            .required("body", Text(None))
            .column("reply_to", Integer)
            .column("file", UUID)
            .moment("created_at")
            .column("edited_at", Timestamp)
            .column("deleted_at", Timestamp)
            .unique(&["sender", "nonce"])
            .index(&["room", "id"])
            .done(),
        table("chat_reactions")
            .key("message", Integer)
            .key("user_id", UUID)
            .key("emoji", Text(Some(32)))
            .required("room", UUID)
            .moment("created_at")
            .index(&["room"])
            .done(),
        table("chat_files")
            .key("id", UUID)
            .required("owner", UUID)
            .column("room", UUID)
            .required("name", Text(Some(255)))
            .required("type", Text(Some(100)))
            .required("bytes", Integer)
            .column("width", Integer)
            .column("height", Integer)
            .truth("thumbnail", false)
            .moment("created_at")
            .index(&["room"])
            .index(&["owner"])
            .done(),
    ]
}

/// A table on its way.
struct Making(TableSpec);

fn table(name: &str) -> Making {
    let name = TableName::bare(name);
    Making(TableSpec { name, columns: Vec::new(), key: Vec::new(), unique: Vec::new(), index: Vec::new() })
}

impl Making {
    fn add(mut self, name: &str, kind: ColumnKind, required: bool, default: Option<ColumnDefault>) -> Self {
        self.0.columns.push(ColumnSpec { name: name.into(), kind, required, default });
        self
    }

    /// One that may be NULL.
    fn column(self, name: &str, kind: ColumnKind) -> Self {
        self.add(name, kind, false, None)
    }

    fn required(self, name: &str, kind: ColumnKind) -> Self {
        self.add(name, kind, true, None)
    }

    /// A further column of the key.
    fn key(mut self, name: &str, kind: ColumnKind) -> Self {
        self.0.key.push(name.into());
        self.required(name, kind)
    }

    /// Empty, where nothing is said.
    fn text(self, name: &str, length: Option<u32>) -> Self {
        self.add(name, Text(length), true, Some(ColumnDefault::Text(String::new())))
    }

    fn number(self, name: &str, number: i64) -> Self {
        self.add(name, Integer, true, Some(ColumnDefault::Number(number.to_string())))
    }

    fn truth(self, name: &str, truth: bool) -> Self {
        self.add(name, Boolean, true, Some(ColumnDefault::Boolean(truth)))
    }

    /// When the row was written.
    fn moment(self, name: &str) -> Self {
        self.add(name, Timestamp, true, Some(ColumnDefault::Now))
    }

    fn unique(mut self, columns: &[&str]) -> Self {
        self.0.unique.push(columns.iter().map(|name| (*name).to_owned()).collect());
        self
    }

    fn index(mut self, columns: &[&str]) -> Self {
        self.0.index.push(columns.iter().map(|name| (*name).to_owned()).collect());
        self
    }

    fn done(self) -> TableSpec {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_database_can_make_them() {
        for table in [of_the_chat(), private(), shown(), orphans()].concat() {
            assert_eq!(table.check(), Ok(()), "{}", table.name);
            assert!(table.name.name.starts_with("chat_"), "{}", table.name);
        }
    }
}
