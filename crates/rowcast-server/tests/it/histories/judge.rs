//! Holds what a subscription heard against what was committed.

mod rows;
mod tally;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::client::{Note, Watch};
use super::ledger::{Expected, Ledger, View, print_of};
use super::model::{FILTERS, Shape};
use super::world::Kind;
use crate::client::message::{Change, Commit, Gap, JsonRow, Position, Reason};
pub(crate) use rows::compare;
pub(crate) use tally::Tally;

/// Transactions smaller than this end with a change that says `last`.
const SMALL: usize = 1_000;

/// Where a subscription stands in its view.
#[derive(Debug)]
enum Cursor {
    /// Nowhere: the next `subscribed` begins it.
    Unknown,
    /// The next change is one of these.
    At(Vec<usize>),
    /// It begins somewhere here: no snapshot says where.
    Within { first: usize, last: usize, anywhere: bool },
}

/// The transaction of the last change.
#[derive(Debug)]
struct Current {
    /// In the ledger.
    number: usize,
    /// As the server names it.
    tx: u64,
    /// How many changes it has, seen or not.
    size: usize,
    ended: bool,
}

struct Judge<'a> {
    kind: Kind,
    shape: Shape,
    watch: &'a Watch,
    view: View,
    cursor: Cursor,
    current: Option<Current>,
    /// How many transactions had been committed when it was asked for: a snapshot holds them all.
    asked: usize,
    since: Option<Position>,
    at: Option<Position>,
    /// What has come of a snapshot.
    rows: Vec<JsonRow>,
    complete: bool,
    after_gap: Option<Reason>,
    /// The last change lacked a column that the table had by then.
    stale: bool,
    tally: Tally,
}

/// Checks one subscription from its beginning to its end.
pub(crate) fn check(kind: Kind, ledger: &Ledger, watch: &Watch) -> Result<Tally> {
    let shape = ledger.shape;
    let columns = |altered| watch.columns.clone().unwrap_or_else(|| shape.columns(altered));
    let view = View::new(ledger, &FILTERS[watch.filter], &columns);
    let mut judge = Judge {
        kind,
        shape,
        watch,
        view,
        cursor: Cursor::Unknown,
        current: None,
        asked: 0,
        since: None,
        at: None,
        rows: Vec::new(),
        complete: false,
        after_gap: None,
        stale: false,
        tally: Tally { subscriptions: 1, ..Tally::default() },
    };
    for (number, note) in watch.notes.iter().enumerate() {
        judge.take(note).with_context(|| judge.report(number))?;
    }
    judge.end().with_context(|| judge.report(watch.notes.len()))?;
    Ok(judge.tally)
}

impl Judge<'_> {
    fn take(&mut self, note: &Note) -> Result<()> {
        match note {
            Note::Asked { committed, since } => {
                (self.asked, self.since) = (*committed, *since);
                self.rows.clear();
                self.complete = false;
                ensure!(*since == self.at, "a client resumes where it is: {since:?}, {:?}", self.at);
                Ok(())
            }
            Note::Rows { rows, done } => self.rows(rows, *done),
            Note::Subscribed { position, resumed, committed } => self.subscribed(*position, *resumed, *committed),
            Note::Change(change) => self.change(change),
            Note::Commit(commit) => self.commit(commit),
            Note::Moved(position) => self.advance(*position, false),
            Note::Gap(gap) => self.gap(gap),
            Note::Lost => Ok(()),
        }
    }

    /// Positions never go back, and each event has one of its own.
    fn advance(&mut self, position: Position, strictly: bool) -> Result<()> {
        if let Some(at) = self.at {
            ensure!(position.epoch == at.epoch, "another epoch: {at}, then {position}");
            let forward = if strictly { position > at } else { position >= at };
            ensure!(forward, "positions go from {at} to {position}");
        }
        self.at = Some(position);
        Ok(())
    }

    fn rows(&mut self, rows: &[JsonRow], done: bool) -> Result<()> {
        ensure!(!self.complete, "rows after the last ones");
        self.rows.extend_from_slice(rows);
        self.complete = done;
        Ok(())
    }

    fn gap(&mut self, gap: &Gap) -> Result<()> {
        let allowed = match self.kind {
            Kind::Plain => false,
            Kind::Forgetful => gap.reason == Reason::Retention,
            Kind::Shifting => gap.reason == Reason::Schema,
        };
        ensure!(allowed, "{gap:?}");
        self.tally.gaps += 1;
        self.after_gap = Some(gap.reason);
        self.since = None;
        self.stale = false;
        self.current = None;
        self.rows.clear();
        self.complete = false;
        Ok(())
    }

    fn subscribed(&mut self, position: Position, resumed: bool, committed: usize) -> Result<()> {
        ensure!(resumed == self.since.is_some(), "resumed: {resumed}, asked for {:?}", self.since);
        if resumed {
            ensure!(Some(position) == self.since, "resumed at {position}, asked for {:?}", self.since);
            self.tally.resumed += 1;
            return Ok(());
        }
        self.advance(position, false)?;
        self.current = None;
        let gap = self.after_gap.take();
        if self.watch.snapshot {
            return self.begin_with_snapshot();
        }
        let first = self.next_at_least();
        // The writer may have committed one more than it has said.
        let last = self.view.upto[(committed + 1).min(self.view.upto.len() - 1)];
        self.cursor = Cursor::Within { first, last, anywhere: gap.is_some() };
        Ok(())
    }

    /// What was seen is not seen again.
    fn next_at_least(&self) -> usize {
        match &self.cursor {
            Cursor::Unknown => 0,
            Cursor::At(next) => next.first().copied().unwrap_or(0),
            Cursor::Within { first, .. } => *first,
        }
    }

    /// The rows are those of the result between two transactions, not before it was asked for.
    fn begin_with_snapshot(&mut self) -> Result<()> {
        ensure!(self.complete, "`subscribed` in the midst of a snapshot");
        let print = self.rows.iter().fold(0, |print, row| print ^ print_of(row));
        let at_least = self.next_at_least();
        let moments = self.asked..self.view.prints.len();
        let mut next: Vec<usize> = moments
            .filter(|&moment| self.view.prints[moment] == print && self.view.upto[moment] >= at_least)
            .map(|moment| self.view.upto[moment])
            .collect();
        next.dedup();
        if next.is_empty() {
            let earlier = self.view.prints.iter().position(|other| *other == print);
            bail!(
                "the snapshot's {} rows are no state of the table since it was asked for, after {} transactions; \
                 an earlier state: {earlier:?} of {}",
                self.rows.len(),
                self.asked,
                self.view.prints.len() - 1
            );
        }
        self.cursor = Cursor::At(next);
        self.rows.clear();
        self.tally.snapshots += 1;
        Ok(())
    }

    fn change(&mut self, change: &Change) -> Result<()> {
        self.advance(change.position, true)?;
        let is = |next: usize| self.view.changes.get(next).is_some_and(|expected| self.is(expected, change));
        let found = match &self.cursor {
            Cursor::Unknown => bail!("a change before `subscribed`"),
            Cursor::At(next) => next.iter().copied().find(|next| is(*next)),
            Cursor::Within { first, last, anywhere } => {
                (*first..=*last).find(|&next| is(next) && (*anywhere || self.begins_transaction(next)))
            }
        };
        let Some(found) = found else { bail!(self.misplaced(change)) };
        let stale = self.columns(self.view.changes[found].altered).len() != change.row.len();
        ensure!(stale || !self.stale, "the table was altered, and no `gap` said so");
        self.stale = stale;
        self.cursor = Cursor::At(vec![found + 1]);
        self.tally.changes += 1;
        self.transaction(found, change)
    }

    fn begins_transaction(&self, index: usize) -> bool {
        index == 0 || self.view.changes[index - 1].last
    }

    fn is(&self, expected: &Expected, change: &Change) -> bool {
        let heard = self.heard_json(change);
        self.expected_json(expected, expected.altered) == heard || self.is_stale(expected, &heard)
    }

    /// A change that was written after the table was altered, by triggers from before: without the new column.
    fn is_stale(&self, expected: &Expected, heard: &str) -> bool {
        self.kind == Kind::Shifting && expected.altered && self.expected_json(expected, false) == heard
    }

    fn columns(&self, altered: bool) -> Vec<&'static str> {
        self.watch.columns.clone().unwrap_or_else(|| self.shape.columns(altered))
    }

    /// Everything of a change that does not depend on where it stands, as text with its order.
    fn expected_json(&self, expected: &Expected, altered: bool) -> String {
        let columns = self.columns(altered);
        let old = expected.old.as_ref().filter(|_| self.watch.old).map(|row| row.json(&columns));
        let old_key = expected.old_key.as_ref().map(|row| row.key(self.shape));
        let (op, cause) = (format!("{:?}", expected.op), expected.cause.map(|cause| format!("{cause:?}")));
        let row = expected.row.json(&columns);
        json!([op, cause, row, old, expected.row.key(self.shape), old_key]).to_string()
    }

    fn heard_json(&self, change: &Change) -> String {
        let (op, cause) = (format!("{:?}", change.op), change.cause.map(|cause| format!("{cause:?}")));
        json!([op, cause, change.row, change.old, change.key, change.old_key]).to_string()
    }

    fn misplaced(&self, change: &Change) -> String {
        let heard = self.heard_json(change);
        let all = self.view.changes.iter().map(|expected| self.expected_json(expected, expected.altered));
        let places: Vec<usize> = all.enumerate().filter(|(_, text)| *text == heard).map(|(place, _)| place).collect();
        let next = self.view.changes.get(self.next_at_least());
        let expected = next.map(|expected| self.expected_json(expected, expected.altered));
        format!(
            "heard     {heard}\nexpected  {}\nwhat was heard is change {places:?} of the view, expected was {:?} of {}",
            expected.unwrap_or_else(|| "nothing".into()),
            self.cursor,
            self.view.changes.len()
        )
    }

    /// A transaction's changes have one number, and their last one says so.
    fn transaction(&mut self, index: usize, change: &Change) -> Result<()> {
        let expected = &self.view.changes[index];
        ensure!(!change.last || expected.last, "`last` in the midst of a transaction");
        if let Some(current) = &self.current {
            let same = current.number == expected.tx;
            ensure!(!(same && current.ended), "the transaction goes on after its end");
            ensure!(
                !same || change.tx == current.tx,
                "a transaction has two numbers: {} and {}",
                current.tx,
                change.tx
            );
            if !same && !current.ended {
                ensure!(change.tx == current.tx, "transaction {} never ended", current.tx);
                self.tally.merged += 1;
            } else if !same {
                ensure!(change.tx > current.tx, "transaction {} comes after {}", change.tx, current.tx);
            }
        }
        self.current = Some(Current { number: expected.tx, tx: change.tx, size: expected.tx_size, ended: change.last });
        Ok(())
    }

    fn commit(&mut self, commit: &Commit) -> Result<()> {
        self.advance(commit.position, true)?;
        self.tally.commits += 1;
        if let Some(current) = &mut self.current
            && !current.ended
        {
            ensure!(current.tx == commit.tx, "transaction {} is open, {} is ended", current.tx, commit.tx);
            self.tally.small_commits += usize::from(current.size < SMALL);
            current.ended = true;
        }
        Ok(())
    }

    /// Nothing that was committed is missing.
    fn end(&mut self) -> Result<()> {
        if !self.watch.is_on() || self.watch.excused {
            return Ok(());
        }
        ensure!(self.watch.done, "the marker was not seen");
        self.tally.stale = self.stale;
        let all = self.view.changes.len();
        let is_at_end = match &self.cursor {
            Cursor::Unknown => false,
            Cursor::At(next) => next.contains(&all),
            Cursor::Within { last, .. } => *last == all,
        };
        ensure!(is_at_end, "{all} changes were to be seen; the subscription ended at {:?}", self.cursor);
        Ok(())
    }

    /// The notes around the one that is wrong.
    fn report(&self, number: usize) -> String {
        let from = number.saturating_sub(8);
        let notes = self.watch.notes.iter().enumerate().skip(from).take(number + 3 - from);
        let lines: Vec<String> = notes
            .map(|(n, note)| {
                let text = format!("{note:?}");
                let text: String = text.chars().take(420).collect();
                format!("{} {n}: {text}", if n == number { ">" } else { " " })
            })
            .collect();
        format!("{}\nnow at {:?}, {:?}", lines.join("\n"), self.cursor, self.current)
    }
}
