//! Rows of the outbox as changes.

use std::collections::HashMap;
use std::sync::Arc;

use super::reading::now_ms;
use crate::event::{Body, Change, Channel, Op, ResetCause, Row, RowChange, TableName, Value};
use crate::mysql::shape::{Shape, Shapes};
use crate::mysql::text;

/// A row of the outbox.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) id: u64,
    pub(super) seq: u64,
    pub(super) shape: u64,
    pub(super) op: String,
    pub(super) old: Option<String>,
    pub(super) new: Option<String>,
}

/// Makes changes of rows, and knows which shape each table has by now.
///
/// While the triggers of a new shape are made one after the other, those of the old one are all still there. So the old shape's rows
/// are told until the new triggers' mark comes, and from there on the new shape's: at no time half of what happens to a table.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    shapes: Shapes,
    /// The shape whose rows are told; none of a table whose first mark is still to come.
    current: HashMap<TableName, u64>,
}

impl Decoder {
    /// `current` is what the marks have said that were read before.
    pub(super) fn new(shapes: Shapes, current: HashMap<TableName, u64>) -> Self {
        Self { shapes, current }
    }

    /// Whether the row's shape has to be learned first.
    pub(super) fn knows(&self, row: &Written) -> bool {
        self.shapes.get(row.shape).is_some()
    }

    pub(super) fn learn(&mut self, shapes: Shapes) {
        self.shapes = shapes;
    }

    /// The tables that are captured now.
    pub(super) fn captured(&self) -> Vec<TableName> {
        self.shapes.captured()
    }

    /// The change of one row of the outbox, or none.
    pub(super) fn change(&mut self, row: &Written) -> Option<Change> {
        let (name, shape) = self.shapes.get(row.shape)?;
        let current = self.current.get(name).copied().unwrap_or(0);
        let body = match (&*row.op, shape) {
            ("R", shape) if row.shape > current => {
                let reason = if shape.is_some() { "the table was altered or made again" } else { "the table is gone" };
                let body = reset(name, ResetCause::Altered, reason);
                self.current.insert(name.clone(), row.shape);
                body
            }
            ("R", _) | (_, None) => return None,
            (_, Some(shape)) if row.shape == current => change(shape, row).unwrap_or_else(|| {
                reset(name, ResetCause::Missed, "a change of it could not be written down by its trigger")
            }),
            // The other shape's triggers have written it down, too.
            (_, Some(_)) => return None,
        };
        Some(Change { tx: row.seq, last: false, time_ms: now_ms(), body })
    }

    /// Ends a transaction that was told in part, and of whose last rows nothing is told.
    pub(super) fn end(&self, row: &Written) -> Option<Change> {
        let (name, _) = self.shapes.get(row.shape)?;
        let body = reset(name, ResetCause::Altered, "the table was altered or made again");
        Some(Change { tx: row.seq, last: true, time_ms: now_ms(), body })
    }
}

/// `None` where the trigger could not write down what happened.
fn change(shape: &Arc<Shape>, row: &Written) -> Option<Body> {
    let values = |text: &Option<String>| text.as_deref().and_then(|text| values(shape, text));
    let (op, old, new) = match &*row.op {
        "I" => (Op::Insert, None, Some(values(&row.new)?)),
        "U" => (Op::Update, Some(values(&row.old)?), Some(values(&row.new)?)),
        "D" => (Op::Delete, Some(values(&row.old)?), None),
        _ => return None,
    };
    Some(Body::Row(RowChange { table: shape.table.clone(), op, old, new }))
}

fn values(shape: &Shape, text: &str) -> Option<Row> {
    let texts: Vec<Option<String>> = serde_json::from_str(text).ok()?;
    let (nulls, texts) = texts.split_first()?;
    let nulls = nulls.as_deref()?.as_bytes();
    // What is missing without having been NULL was too long to be written down.
    let whole = nulls.iter().zip(texts).all(|(null, text)| (*null == b'1') == text.is_none());
    if texts.len() != shape.kinds.len() || nulls.len() != texts.len() || !whole {
        return None;
    }
    let values = shape.kinds.iter().zip(texts).map(|(kind, text)| text::value(kind, text.as_deref()));
    Some(values.collect::<Vec<Value>>().into())
}

fn reset(table: &TableName, cause: ResetCause, reason: &str) -> Body {
    Body::Reset { channel: Channel::Table(table.clone()), cause, reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seq: u64, shape: u64, op: &str, id: u32) -> Written {
        let text = Some(format!(r#"["0","{id}"]"#));
        let (old, new) = match op {
            "I" => (None, text),
            "D" => (text, None),
            _ => (None, None),
        };
        Written { id: 0, seq, shape, op: op.into(), old, new }
    }

    /// `insert 7` and the like, by the numbers of their transactions.
    fn told(decoder: &mut Decoder, rows: &[Written]) -> Vec<String> {
        let changes = rows.iter().filter_map(|row| decoder.change(row));
        let shown = changes.map(|change| match change.body {
            Body::Row(RowChange { op, old, new, .. }) => {
                let row = new.or(old).expect("a row");
                format!("{} {op:?} {:?}", change.tx, row.values[0])
            }
            Body::Reset { cause, .. } => format!("{} {cause:?}", change.tx),
            Body::Message(_) => panic!("an outbox has no messages"),
        });
        shown.collect()
    }

    #[test]
    fn triggers_that_are_made_one_after_the_other_make_no_half_truth() {
        let name = TableName::bare("t");
        let shapes = Shapes::of_one(&name, &[1, 2]);
        let mut decoder = Decoder::new(shapes, [(name, 1)].into());
        let rows = [
            row(1, 1, "I", 7),
            // The new trigger for inserts is there, and the one for deletes is not.
            row(2, 1, "D", 7),
            row(3, 2, "I", 7),
            row(3, 1, "I", 7),
            row(4, 2, "R", 0),
            row(5, 2, "D", 7),
            row(5, 1, "D", 7),
            row(6, 2, "I", 8),
        ];
        let wanted = [
            "1 Insert Int(7)",
            "2 Delete Int(7)",
            "3 Insert Int(7)",
            "4 Altered",
            "5 Delete Int(7)",
            "6 Insert Int(8)",
        ];
        assert_eq!(told(&mut decoder, &rows), wanted);
    }

    #[test]
    fn a_table_is_told_from_its_first_mark_on() {
        let name = TableName::bare("t");
        let mut decoder = Decoder::new(Shapes::of_one(&name, &[1]), HashMap::new());
        let rows = [row(1, 1, "I", 7), row(2, 1, "R", 0), row(3, 1, "I", 8)];
        assert_eq!(told(&mut decoder, &rows), ["2 Altered", "3 Insert Int(8)"]);
    }
}
