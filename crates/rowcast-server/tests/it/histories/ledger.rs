//! What was committed, in order: the truth that clients are held against.

use std::collections::BTreeMap;

use super::model::{Filter, Row, Shape};
use crate::client::message::{JsonRow, Op};

/// One committed change of a row.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) old: Option<Row>,
    pub(crate) new: Option<Row>,
}

/// One committed transaction.
#[derive(Debug, Clone)]
pub(crate) enum Tx {
    Rows(Vec<Change>),
    /// `ALTER TABLE … ADD COLUMN c DEFAULT 'd'`: every row has it from now on.
    Altered,
    /// `DROP TABLE`, and what was in it.
    Dropped,
    /// `CREATE TABLE`, in its first shape.
    Created,
}

/// Everything that was committed to a table.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) shape: Shape,
    pub(crate) txs: Vec<Tx>,
}

/// The value of `c` in rows that were there before it was.
pub(crate) const ADDED: &str = "d";

/// The rows of a table while it is written.
pub(crate) type Rows = BTreeMap<i64, Row>;

impl Change {
    pub(crate) fn apply(&self, rows: &mut Rows) {
        if let Some(old) = &self.old {
            rows.remove(&old.id);
        }
        if let Some(new) = &self.new {
            rows.insert(new.id, new.clone());
        }
    }

    pub(crate) fn undo(&self, rows: &mut Rows) {
        Self { old: self.new.clone(), new: self.old.clone() }.apply(rows);
    }
}

impl Tx {
    /// What becomes of the rows; `altered` is whether they have the column `c`.
    pub(crate) fn apply(&self, rows: &mut Rows, altered: &mut bool) {
        match self {
            Self::Rows(changes) => changes.iter().for_each(|change| change.apply(rows)),
            Self::Altered => {
                *altered = true;
                rows.values_mut().for_each(|row| row.c = Some(ADDED.to_owned()));
            }
            Self::Dropped => rows.clear(),
            Self::Created => *altered = false,
        }
    }
}

/// A change as a subscription must be told it.
#[derive(Debug)]
pub(crate) struct Expected {
    /// Which transaction of the ledger.
    pub(crate) tx: usize,
    /// How many changes that transaction has, seen or not.
    pub(crate) tx_size: usize,
    /// Whether it is the last of its transaction that the subscription sees.
    pub(crate) last: bool,
    pub(crate) op: Op,
    pub(crate) cause: Option<Op>,
    pub(crate) row: Row,
    pub(crate) old: Option<Row>,
    pub(crate) old_key: Option<Row>,
    pub(crate) altered: bool,
}

/// The ledger as a filter sees it.
pub(crate) struct View {
    pub(crate) changes: Vec<Expected>,
    /// For each number of transactions committed, how many of `changes` they hold.
    pub(crate) upto: Vec<usize>,
    /// For each number of transactions committed, a print of the result.
    pub(crate) prints: Vec<u64>,
    /// For each number of transactions committed, whether the table has the column `c`.
    pub(crate) altered: Vec<bool>,
}

impl View {
    pub(crate) fn new(ledger: &Ledger, filter: &Filter, columns: &dyn Fn(bool) -> Vec<&'static str>) -> Self {
        let mut view = Self { changes: Vec::new(), upto: vec![0], prints: vec![0], altered: vec![false] };
        let (mut rows, mut altered, mut print) = (Rows::new(), false, 0);
        for (number, tx) in ledger.txs.iter().enumerate() {
            tx.apply(&mut rows, &mut altered);
            if let Tx::Rows(changes) = tx {
                view.add(number, changes, filter, altered, ledger.shape);
                for change in changes {
                    for row in [&change.old, &change.new].into_iter().flatten().filter(|row| (filter.keeps)(row)) {
                        print ^= print_of(&row.json(&columns(altered)));
                    }
                }
            } else {
                let kept = rows.values().filter(|row| (filter.keeps)(row));
                print = kept.fold(0, |print, row| print ^ print_of(&row.json(&columns(altered))));
            }
            view.upto.push(view.changes.len());
            view.prints.push(print);
            view.altered.push(altered);
        }
        view
    }

    fn add(&mut self, tx: usize, changes: &[Change], filter: &Filter, altered: bool, shape: Shape) {
        let first = self.changes.len();
        for change in changes {
            if let Some((op, cause)) = seen(change, filter) {
                let row = if op == Op::Delete { &change.old } else { &change.new };
                let moved = match (&change.old, &change.new) {
                    (Some(old), Some(new)) if op == Op::Update && old.key(shape) != new.key(shape) => Some(old.clone()),
                    _ => None,
                };
                self.changes.push(Expected {
                    tx,
                    tx_size: changes.len(),
                    last: false,
                    op,
                    cause,
                    row: row.clone().expect("an insert has a new row, a delete an old one"),
                    old: change.old.clone(),
                    old_key: moved,
                    altered,
                });
            }
        }
        if let Some(last) = self.changes[first..].last_mut() {
            last.last = true;
        }
    }
}

/// What a change is to the result.
fn seen(change: &Change, filter: &Filter) -> Option<(Op, Option<Op>)> {
    let keeps = |row: &Option<Row>| row.as_ref().is_some_and(filter.keeps);
    let is_update = (change.old.is_some() && change.new.is_some()).then_some(Op::Update);
    match (keeps(&change.old), keeps(&change.new)) {
        (false, false) => None,
        (false, true) => Some((Op::Insert, is_update)),
        (true, false) => Some((Op::Delete, is_update)),
        (true, true) => Some((Op::Update, None)),
    }
}

/// A number for a row; the numbers of a set of rows are combined by XOR.
pub(crate) fn print_of(row: &JsonRow) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    for (name, value) in row {
        (name, value.to_string()).hash(&mut hasher);
    }
    hasher.finish()
}
