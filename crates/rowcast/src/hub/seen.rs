//! What a change is to a subscription: whether it matches, and as what.
//!
//! Shared by the hub, which asks for everybody, and by a session that reads the log for itself.

use std::borrow::Cow;

use crate::event::{Op, Row, RowChange, Value};
use crate::filter::Predicate;
use crate::protocol::encode::Seen;

/// What a change is to the rows that `predicate` keeps: `None` where it does not concern them.
///
/// A source may know of the old row only its key. Whoever may hold such a row is told that it changed or is gone; others
/// lose nothing by it.
pub fn seen(predicate: Option<&Predicate>, change: &RowChange) -> Option<Seen> {
    seen_from(predicate, change, row_before(change).as_deref())
}

/// The same, of a change whose row before it has been looked up.
pub(super) fn seen_from(predicate: Option<&Predicate>, change: &RowChange, old: Option<&Row>) -> Option<Seen> {
    let same = |op| Some(Seen { op, cause: None });
    let Some(predicate) = predicate else { return same(change.op) };
    let now = || change.new.as_ref().is_some_and(|row| predicate.matches(row));
    let before = || old.is_some_and(|row| predicate.truth(row).unwrap_or_else(|| predicate.may_match(row)));
    told_as(change.op, before, now)
}

/// Whether the row before a change, and the row after it, are among those that `predicate` keeps.
pub fn sides(predicate: Option<&Predicate>, change: &RowChange) -> (bool, bool) {
    let Some(predicate) = predicate else { return (change.op != Op::Insert, change.op != Op::Delete) };
    let old = row_before(change);
    let before = old.is_some_and(|row| predicate.truth(&row).unwrap_or_else(|| predicate.may_match(&row)));
    (before, change.new.as_ref().is_some_and(|row| predicate.matches(row)))
}

/// What a change is to those who have seen the row before it, or not, and see the row after it, or not.
pub fn told_as(op: Op, before: impl FnOnce() -> bool, now: impl FnOnce() -> bool) -> Option<Seen> {
    match op {
        Op::Insert => now().then_some(Seen { op: Op::Insert, cause: None }),
        Op::Delete => before().then_some(Seen { op: Op::Delete, cause: None }),
        Op::Update => match (before(), now()) {
            (true, true) => Some(Seen { op: Op::Update, cause: None }),
            (false, true) => Some(Seen { op: Op::Insert, cause: Some(Op::Update) }),
            (true, false) => Some(Seen { op: Op::Delete, cause: Some(Op::Update) }),
            (false, false) => None,
        },
    }
}

/// The row before a change, with `Unchanged` for what the source does not know of it; `None` where there was none.
pub(super) fn row_before(change: &RowChange) -> Option<Cow<'_, Row>> {
    match (change.op, &change.old, &change.new) {
        (Op::Insert, ..) => None,
        (_, Some(old), _) => Some(Cow::Borrowed(old)),
        // The key is as it was; nothing else is known.
        (_, None, Some(new)) => {
            let of = |(column, value): (usize, &Value)| match change.table.key.contains(&column) {
                true => value.clone(),
                false => Value::Unchanged,
            };
            Some(Cow::Owned(new.values.iter().enumerate().map(of).collect::<Vec<_>>().into()))
        }
        (_, None, None) => Some(Cow::Owned(Vec::new().into())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::{Column, Table, TableName};
    use crate::filter::{Dialect, Filter};

    fn table() -> Arc<Table> {
        let column = |name: &str| Column { name: name.into(), declared: "INTEGER".into() };
        Arc::new(Table {
            name: TableName::bare("t"),
            columns: vec![column("id"), column("n"), column("m")],
            key: vec![0],
        })
    }

    fn row(values: [Option<i64>; 3]) -> Row {
        values.map(|n| n.map_or(Value::Unchanged, Value::Int)).to_vec().into()
    }

    /// `old` and `new` rows to what a subscriber of `filter` sees.
    #[track_caller]
    fn check(filter: &str, old: Option<[Option<i64>; 3]>, new: Option<[Option<i64>; 3]>, op: Op, sees: Option<Op>) {
        let filter = Filter::parse(filter).expect("a filter");
        let predicate = filter.bind(&table(), Dialect::Sqlite, &serde_json::Map::new()).expect("bound");
        let change = RowChange { table: table(), op, old: old.map(row), new: new.map(row) };
        assert_eq!(seen(Some(&predicate), &change).map(|seen| seen.op), sees);
    }

    #[test]
    fn a_delete_by_key_reaches_whoever_may_hold_the_row() {
        let old = Some([Some(1), None, None]);
        check("n = 5", old, None, Op::Delete, Some(Op::Delete));
        check("n is null", old, None, Op::Delete, Some(Op::Delete));
        check("id = 1 and n = 5", old, None, Op::Delete, Some(Op::Delete));
        check("id = 2 and n = 5", old, None, Op::Delete, None);
        check("id = 1", old, None, Op::Delete, Some(Op::Delete));
        check("id = 2 or id = 3", old, None, Op::Delete, None);
    }

    #[test]
    fn an_update_whose_old_row_is_unknown_replaces_or_drops_it() {
        let new = Some([Some(1), Some(5), Some(6)]);
        check("n = 5", None, new, Op::Update, Some(Op::Update));
        check("n = 7", None, new, Op::Update, Some(Op::Delete));
        check("id = 1", None, new, Op::Update, Some(Op::Update));
        check("id = 2", None, new, Op::Update, None);
    }

    #[test]
    fn a_row_that_moves_to_another_key_is_followed_or_dropped() {
        let (old, new) = (Some([Some(1), None, None]), Some([Some(2), Some(5), Some(6)]));
        check("n = 5", old, new, Op::Update, Some(Op::Update));
        check("n = 7", old, new, Op::Update, Some(Op::Delete));
        check("id = 2", old, new, Op::Update, Some(Op::Insert));
        check("id = 1", old, new, Op::Update, Some(Op::Delete));
        check("id = 3", old, new, Op::Update, None);
    }

    #[test]
    fn null_is_no_lack_of_knowledge() {
        let filter = Filter::parse("n = 5").expect("a filter");
        let predicate = filter.bind(&table(), Dialect::Sqlite, &serde_json::Map::new()).expect("bound");
        let old = Some(Row::from(vec![Value::Int(1), Value::Null, Value::Int(1)]));
        let change = RowChange { table: table(), op: Op::Delete, old, new: None };
        assert_eq!(seen(Some(&predicate), &change), None);
    }
}
