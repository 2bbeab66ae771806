//! Messages of the stream as changes.

use tokio_postgres::Client;

use super::super::message::Logical;
use super::{Reading, Trouble};
use crate::event::{Body, Channel, ResetCause, RowChange, TableName};
use crate::source::SourceError;
use crate::source::postgres::pgoutput::{Malformed, Message, Relation, parse};

impl Reading {
    /// Makes changes of the message in hand.
    pub(super) async fn understand(&mut self) -> Result<(), Trouble> {
        let Some((bytes, streamed)) = &self.message else { return Ok(()) };
        let describes = matches!(bytes.first(), Some(b'R' | b'Y'));
        if !describes && (self.skips || self.collected.count()?) {
            self.message = None;
            return Ok(());
        }
        let message = parse(bytes, *streamed)?;
        let logical = bytes.first() == Some(&b'M');
        let bodies = match message {
            Message::Relation { relation, .. } => {
                self.describe(&relation).await?;
                Vec::new()
            }
            Message::Type { oid, .. } => {
                self.types.forget(oid);
                Vec::new()
            }
            Message::Insert { relation, new, .. } => self.row(relation, self.relations.insert(relation, &new)?),
            Message::Update { relation, old, new, .. } => {
                self.row(relation, self.relations.update(relation, old.as_ref(), &new)?)
            }
            Message::Delete { relation, old, .. } => self.row(relation, self.relations.delete(relation, &old)?),
            Message::Truncate { relations, .. } => self.truncated(&relations)?,
            _ if logical => {
                Logical::read(bytes.clone(), *streamed).and_then(|logical| logical.body()).into_iter().collect()
            }
            _ => Vec::new(),
        };
        self.message = None;
        if !bodies.is_empty() {
            self.collected.add(bodies);
        }
        Ok(())
    }

    async fn describe(&mut self, relation: &Relation) -> Result<(), SourceError> {
        let types: Vec<(u32, i32)> = relation.columns.iter().map(|column| (column.oid, column.typmod)).collect();
        self.types.learn(&self.client, &types).await?;
        // The catalog may be ahead of the stream.
        let key = primary_key(&self.client, relation.id).await?;
        let key = key.unwrap_or_else(|| self.known.key(relation.id));
        self.relations.describe(relation, &self.types, &key);
        self.fresh.insert(relation.id);
        Ok(())
    }

    /// The row, and before it that its table has another shape than before.
    fn row(&mut self, relation: u32, row: RowChange) -> Vec<Body> {
        let reason = match self.fresh.remove(&relation) {
            true => self.known.stream_has(relation, &row.table),
            false => None,
        };
        let reset = reason.map(|reason| altered(&row.table.name, &reason));
        reset.into_iter().chain([Body::Row(row)]).collect()
    }

    fn truncated(&mut self, relations: &[u32]) -> Result<Vec<Body>, Malformed> {
        let name = |relation: &u32| Ok(self.relations.get(*relation)?.table.name.clone());
        let names = relations.iter().map(name).collect::<Result<Vec<TableName>, Malformed>>()?;
        Ok(names.iter().map(|name| altered(name, &format!("the table {name} was truncated"))).collect())
    }
}

pub(super) fn altered(table: &TableName, reason: &str) -> Body {
    Body::Reset { channel: Channel::Table(table.clone()), cause: ResetCause::Altered, reason: reason.into() }
}

/// The columns of a table's key in their order: its primary key, or the index that REPLICA IDENTITY names. `None`: the table is gone.
async fn primary_key(client: &Client, table: u32) -> Result<Option<Vec<Box<str>>>, tokio_postgres::Error> {
    let sql = "SELECT a.attname::text
                 FROM pg_class c
                 LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisvalid
                      AND CASE c.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END
                 LEFT JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, n) ON k.n <= i.indnkeyatts
                 LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
                WHERE c.oid = $1
                ORDER BY k.n";
    let rows = client.query(sql, &[&table]).await?;
    let names = rows.iter().filter_map(|row| row.get::<_, Option<&str>>(0)).map(Into::into).collect();
    Ok((!rows.is_empty()).then_some(names))
}
