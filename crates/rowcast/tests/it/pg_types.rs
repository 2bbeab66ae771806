//! Values of every type of PostgreSQL, read in three ways that must agree; and what pgoutput says of old rows, names and
//! transactions that are not committed yet. On a real server.

mod exact;
mod random;
mod rows;
mod stream;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use rowcast::event::{RowChange, Value};
use rowcast::postgres::Types;
use rowcast::source::postgres::pgoutput::{Message, Relations, parse};
use servers::Database;
use tokio_postgres::Client;

/// As every connection of Rowcast has it.
const PINNED: &str = "set timezone = 'UTC'; set datestyle = 'ISO'; set intervalstyle = 'postgres'; \
    set extra_float_digits = 1; set bytea_output = 'hex'; set client_min_messages = 'error'";

/// A database with a slot and a publication of everything.
struct Captured {
    database: Database,
    client: Client,
    types: Arc<Types>,
}

impl Captured {
    /// The slot sees what is committed after this.
    async fn new(schema: &str) -> Self {
        let database = Database::new().await.expect("a database");
        let client = database.connect().await.expect("connected");
        client.batch_execute(PINNED).await.expect("pinned");
        client.batch_execute(schema).await.expect("a schema");
        let name = &database.name;
        let publication = "create publication everything for all tables with (publish_via_partition_root = true)";
        client.batch_execute(publication).await.expect("a publication");
        let slot = format!("select pg_create_logical_replication_slot('{name}', 'pgoutput')");
        client.batch_execute(&slot).await.expect("a slot");
        Self { database, client, types: Arc::new(Types::new()) }
    }

    async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// What the slot holds, without the messages' bytes' places.
    async fn peek(&self, options: &str) -> Vec<Bytes> {
        let name = &self.database.name;
        let sql = format!("select data from pg_logical_slot_peek_binary_changes('{name}', null, null, {options})");
        let rows = self.client.query(&sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        rows.iter().map(|row| Bytes::copy_from_slice(row.get(0))).collect()
    }

    /// The messages of version 1, and the changes of rows among them.
    async fn changes(&self) -> Vec<RowChange> {
        let mut relations = Relations::default();
        let mut changes = Vec::new();
        for data in self.peek("'proto_version', '1', 'publication_names', 'everything'").await {
            let message = parse(&data, false).expect("a message");
            changes.extend(self.take(&mut relations, message).await);
        }
        changes
    }

    /// What a message does: a description is learned, a row is a change.
    async fn take(&self, relations: &mut Relations, message: Message) -> Option<RowChange> {
        match message {
            Message::Type { oid, .. } => self.types.forget(oid),
            Message::Relation { relation, .. } => {
                let columns: Vec<_> = relation.columns.iter().map(|column| (column.oid, column.typmod)).collect();
                self.types.learn(&self.client, &columns).await.expect("learned");
                relations.describe(&relation, &self.types, &["id".into()]);
            }
            Message::Insert { relation, new, .. } => return Some(relations.insert(relation, &new).expect("an insert")),
            Message::Update { relation, old, new, .. } => {
                return Some(relations.update(relation, old.as_ref(), &new).expect("an update"));
            }
            Message::Delete { relation, old, .. } => return Some(relations.delete(relation, &old).expect("a delete")),
            _ => {}
        }
        None
    }

    /// A slot would outlive its database on a shared server.
    async fn end(self) {
        self.run(&format!("select pg_drop_replication_slot('{}')", self.database.name)).await;
    }
}

/// A row's values as JSON by column, `…` where unchanged.
fn shown(change: &RowChange, row: Option<&rowcast::event::Row>) -> Option<BTreeMap<String, String>> {
    let show = |value: &Value| if matches!(value, Value::Unchanged) { "…".to_owned() } else { value.to_json() };
    let names = change.table.columns.iter().map(|column| column.name.to_string());
    row.map(|row| names.zip(row.values.iter().map(show)).collect())
}
