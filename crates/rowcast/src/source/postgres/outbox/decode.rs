//! Rows of the outbox into changes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::round::PageRow;
use super::shapes::{Shape, Shapes};
use crate::event::{Body, Change, Channel, Message, Op, ResetCause, Row, RowChange, Table, TableName, Value};

/// Makes changes of rows, and notices where a table's columns are others from one row to the next.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    pub(super) shapes: Shapes,
    /// The columns that clients know of, as far as anything was told since the start.
    told: HashMap<u32, Arc<Table>>,
}

/// A row has columns that are not noted: somebody has altered its table, and nobody has looked since.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stale;

/// What `rowcast.publish` writes.
#[derive(Deserialize)]
struct Published<'a> {
    channel: String,
    event: Box<str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

impl Decoder {
    /// Whether what is noted of tables has to be read again before these rows are.
    pub(super) fn is_behind(&self, rows: &[PageRow]) -> bool {
        rows.iter().any(|row| {
            let unknown = row.table().is_some_and(|table| self.shapes.at(table, row.at.id).is_none());
            unknown || matches!(row.op(), "reset" | "missed")
        })
    }

    /// The changes that rows are. With `guess`, columns that are not noted are taken as the row has them.
    pub(super) fn decode(&mut self, rows: &[PageRow], time_ms: u64, guess: bool) -> Result<Vec<Change>, Stale> {
        let mut changes: Vec<Change> = Vec::with_capacity(rows.len());
        let told = self.told.clone();
        for row in rows {
            let bodies = self.bodies(row, guess).inspect_err(|_| self.told = told.clone())?;
            for body in bodies {
                let again =
                    changes.last().is_some_and(|change| change.tx == row.at.tx && is_same_reset(&change.body, &body));
                if !again {
                    changes.push(Change { tx: row.at.tx, last: false, time_ms, body });
                }
            }
            if let Some(change) = changes.last_mut().filter(|change| row.last && change.tx == row.at.tx) {
                change.last = true;
            }
        }
        Ok(changes)
    }

    fn bodies(&mut self, row: &PageRow, guess: bool) -> Result<Vec<Body>, Stale> {
        if row.op() == "message" {
            return Ok(message(row.new_row().unwrap_or_default()).into_iter().collect());
        }
        let Some(number) = row.table() else { return Ok(Vec::new()) };
        // Rows of a table that is no longer captured: who follows it has been told so.
        let Some(noted) = self.shapes.at(number, row.at.id).cloned() else {
            return if guess { Ok(Vec::new()) } else { Err(Stale) };
        };
        let name = noted.table.name.clone();
        let op = match row.op() {
            "insert" => Op::Insert,
            "update" => Op::Update,
            "delete" => Op::Delete,
            "truncate" => {
                return Ok(vec![reset(name.clone(), ResetCause::Altered, &format!("table `{name}` was truncated"))]);
            }
            "reset" => {
                let known = self.told.insert(number, noted.table.clone());
                let told =
                    known.is_some_and(|known| known == noted.table) && row.new_row() == Some("the table was altered");
                return Ok(if told {
                    Vec::new()
                } else {
                    vec![reset(name, ResetCause::Altered, row.new_row().unwrap_or_default())]
                });
            }
            _ => return Ok(vec![reset(name, ResetCause::Missed, row.new_row().unwrap_or_default())]),
        };
        let (old, new) = (row.old_row().map(entries), row.new_row().map(entries));
        let names = new.as_ref().or(old.as_ref()).map(Vec::as_slice).unwrap_or_default();
        let shape = match noted.fits(names) {
            true => noted,
            false => self.later(number, row.at.id, &noted, names, guess)?,
        };
        let mut bodies = Vec::new();
        let known = self.told.insert(number, shape.table.clone());
        if known.is_some_and(|known| known != shape.table) {
            bodies.push(reset(shape.table.name.clone(), ResetCause::Altered, "the table was altered"));
        }
        let values = |entries: Option<Vec<Entry<'_>>>| entries.map(|entries| shape.row(&entries));
        bodies.push(Body::Row(RowChange { table: shape.table.clone(), op, old: values(old), new: values(new) }));
        Ok(bodies)
    }

    /// The shape that was noted only after the row was written.
    fn later(
        &self,
        number: u32,
        id: i64,
        noted: &Arc<Shape>,
        names: &[Entry<'_>],
        guess: bool,
    ) -> Result<Arc<Shape>, Stale> {
        match self.shapes.after(number, id).find(|shape| shape.fits(names)) {
            Some(shape) => Ok(shape.clone()),
            None if guess => {
                let visible =
                    names.iter().map(|(name, _)| &**name).filter(|name| noted.hidden.iter().all(|h| h != name));
                Ok(Arc::new(Shape::of_names(noted, visible)))
            }
            None => Err(Stale),
        }
    }
}

impl Shape {
    /// Whether a row has these columns and no others.
    fn fits(&self, entries: &[Entry<'_>]) -> bool {
        let columns = &self.table.columns;
        if entries.len() == columns.len() && entries.iter().zip(columns).all(|((name, _), c)| *name == *c.name) {
            return true;
        }
        // A partition may have its columns in another order.
        let known = |name: &str| columns.iter().any(|c| &*c.name == name) || self.hidden.iter().any(|h| h == name);
        entries.len() == columns.len() + self.hidden.len() && entries.iter().all(|(name, _)| known(name))
    }

    fn row(&self, entries: &[Entry<'_>]) -> Row {
        let values = self.table.columns.iter().zip(&self.kinds).enumerate().map(|(n, (column, kind))| {
            let here = entries.get(n).filter(|(name, _)| *name == *column.name);
            let entry = here.or_else(|| entries.iter().find(|(name, _)| *name == *column.name));
            entry.map_or(Value::Null, |(_, raw)| kind.from_json(raw.get()))
        });
        Row { values: values.collect() }
    }
}

fn reset(table: TableName, cause: ResetCause, reason: &str) -> Body {
    Body::Reset { channel: Channel::Table(table), cause, reason: reason.into() }
}

/// The truncation of a partitioned table is told by each of its partitions.
fn is_same_reset(a: &Body, b: &Body) -> bool {
    matches!(a, Body::Reset { .. }) && a == b
}

/// One that names no channel is nobody's.
fn message(json: &str) -> Option<Body> {
    let published: Published<'_> = serde_json::from_str(json).ok()?;
    let channel =
        Channel::of_operator(&published.channel).ok().filter(|channel| !matches!(channel, Channel::Table(_)))?;
    Some(Body::Message(Message { channel, event: published.event, json: published.data.get().into() }))
}

type Entry<'a> = (Cow<'a, str>, &'a RawValue);

/// The columns of a row as they were written.
fn entries(json: &str) -> Vec<Entry<'_>> {
    struct Entries<'a>(Vec<Entry<'a>>);
    struct Reader;

    #[derive(Deserialize)]
    struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

    impl<'a> Deserialize<'a> for Entries<'a> {
        fn deserialize<D: serde::Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(Reader).map(Entries)
        }
    }

    impl<'a> Visitor<'a> for Reader {
        type Value = Vec<Entry<'a>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a row as a JSON object")
        }

        fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Self::Value, M::Error> {
            let mut entries = Vec::new();
            while let Some((Name(name), value)) = map.next_entry::<Name<'a>, &'a RawValue>()? {
                entries.push((name, value));
            }
            Ok(entries)
        }
    }

    serde_json::from_str::<Entries<'_>>(json).map(|entries| entries.0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_keeps_its_names_and_texts() {
        let found = entries(r#"{"id":9007199254740993,"say \"hi\"":{"a": 1.50},"ü":null}"#);
        let found: Vec<(&str, &str)> = found.iter().map(|(name, raw)| (&**name, raw.get())).collect();
        assert_eq!(found, [("id", "9007199254740993"), ("say \"hi\"", r#"{"a": 1.50}"#), ("ü", "null")]);
    }
}
