//! One subscription as its client sees it: what was asked for, how far it is, and everything that was heard.

use std::collections::HashMap;

use anyhow::{Result, bail, ensure};
use serde_json::Value;

use super::super::model::{FILTERS, MARKER};
use super::shown;
use crate::client::Message;
use crate::client::message::{Change, Commit, Gap, JsonRow, Op, Position, Snapshot, Subscribed};

/// One thing that happened to a subscription, in the order in which it did.
#[derive(Debug)]
pub(crate) enum Note {
    /// It was asked for when so many transactions had been committed; `since` where it is resumed.
    Asked {
        committed: usize,
        since: Option<Position>,
    },
    /// Rows of a snapshot; complete with `done`.
    Rows {
        rows: Vec<JsonRow>,
        done: bool,
    },
    /// So many transactions had been committed when this was heard.
    Subscribed {
        position: Position,
        resumed: bool,
        committed: usize,
    },
    Change(Box<Change>),
    Commit(Commit),
    /// Everything up to here has been heard.
    Moved(Position),
    Gap(Gap),
    /// The connection was lost.
    Lost,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    On,
    /// `unsubscribe` was said; what comes until `unsubscribed` belongs to it.
    Ending,
    Ended,
}

#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Whose it is.
    pub(crate) client: usize,
    pub(crate) id: String,
    pub(crate) filter: usize,
    pub(crate) columns: Option<Vec<&'static str>>,
    pub(crate) old: bool,
    pub(crate) snapshot: bool,
    pub(super) state: State,
    /// Where to resume.
    pub(super) position: Option<Position>,
    /// `subscribed` was said on this connection, with no `gap` after it.
    pub(super) told: bool,
    /// The marker has been seen.
    pub(crate) done: bool,
    /// The marker may have been among what the client was told is lost.
    pub(crate) excused: bool,
    pub(crate) notes: Vec<Note>,
    /// Rows of the snapshot that is coming in.
    pub(super) incoming: Vec<JsonRow>,
    /// The result as the protocol builds it; `None` before the first snapshot.
    pub(crate) rows: Option<HashMap<String, JsonRow>>,
}

impl Watch {
    pub(crate) fn is_on(&self) -> bool {
        self.state == State::On
    }

    pub(super) fn is_ending(&self) -> bool {
        self.state == State::Ending
    }

    pub(crate) fn describe(&self) -> String {
        let filter = FILTERS[self.filter].sql.unwrap_or("all rows");
        let Self { id, columns, old, snapshot, state, told, done, .. } = self;
        let position = shown(self.position);
        format!(
            "{id} of client {}: where {filter}, columns {columns:?}, old {old}, snapshot {snapshot}, {state:?}, told {told}, \
             done {done}, at {position}, {} notes",
            self.client,
            self.notes.len()
        )
    }

    /// Whether a marker written from now on comes to this subscription, however it goes on.
    pub(super) fn will_see_marker(&self) -> bool {
        self.snapshot || self.position.is_some()
    }

    pub(super) fn begin(&mut self, committed: usize) {
        self.told = false;
        self.incoming.clear();
        self.notes.push(Note::Asked { committed, since: self.position });
    }

    pub(super) fn lost(&mut self) {
        self.told = false;
        match self.state {
            State::On => self.notes.push(Note::Lost),
            State::Ending => self.state = State::Ended,
            State::Ended => {}
        }
    }

    /// Everything up to `position` has been heard, if the subscription has begun.
    pub(super) fn moved(&mut self, position: Position) {
        if self.told {
            self.notes.push(Note::Moved(position));
            self.position = Some(position);
        }
    }

    pub(super) fn take(&mut self, message: Message, committed: usize, marker_is_written: bool) -> Result<()> {
        ensure!(self.state != State::Ended, "{} has ended, and yet: {message:?}", self.describe());
        match message {
            Message::Snapshot(snapshot) => self.take_snapshot(snapshot),
            Message::Subscribed(subscribed) => self.take_subscribed(&subscribed, committed, marker_is_written),
            Message::Change(change) => self.take_change(change),
            Message::Commit(commit) => {
                ensure!(self.told, "`commit` before `subscribed`: {commit:?}");
                self.position = Some(commit.position);
                self.notes.push(Note::Commit(commit));
                Ok(())
            }
            Message::Gap(gap) => {
                self.told = false;
                self.incoming.clear();
                self.notes.push(Note::Gap(gap));
                Ok(())
            }
            Message::Unsubscribed(_) => {
                ensure!(self.state == State::Ending, "nobody has unsubscribed from {}", self.describe());
                self.state = State::Ended;
                Ok(())
            }
            other => bail!("a table's subscription hears {other:?}"),
        }
    }

    fn take_snapshot(&mut self, snapshot: Snapshot) -> Result<()> {
        ensure!(!self.told && self.snapshot, "a snapshot that nobody asked for: {}", self.describe());
        self.incoming.extend(snapshot.rows.iter().cloned());
        self.notes.push(Note::Rows { rows: snapshot.rows, done: snapshot.done });
        Ok(())
    }

    fn take_subscribed(&mut self, subscribed: &Subscribed, committed: usize, marker_is_written: bool) -> Result<()> {
        ensure!(!self.told, "`subscribed` twice: {}", self.describe());
        self.told = true;
        self.position = Some(subscribed.position);
        let incoming = std::mem::take(&mut self.incoming);
        if !subscribed.resumed && self.snapshot {
            self.done |= incoming.iter().any(|row| row.get("id").and_then(Value::as_i64) == Some(MARKER));
            let key = subscribed.key.clone().unwrap_or_default();
            self.rows = Some(incoming.into_iter().map(|row| (key_of(&row, &key).to_string(), row)).collect());
        }
        let begins_anew = matches!(self.notes.last(), Some(Note::Gap(_)));
        if begins_anew && !self.snapshot && marker_is_written {
            (self.done, self.excused) = (true, true);
        }
        let Subscribed { position, resumed, .. } = *subscribed;
        self.notes.push(Note::Subscribed { position, resumed, committed });
        Ok(())
    }

    fn take_change(&mut self, change: Change) -> Result<()> {
        ensure!(self.told, "`change` before `subscribed`: {change:?}");
        self.position = Some(change.position);
        self.done |= change.row.get("id").and_then(Value::as_i64) == Some(MARKER);
        if let Some(rows) = &mut self.rows
            && !change.key.is_null()
        {
            let gone = change.old_key.as_ref().unwrap_or(&change.key);
            rows.remove(&gone.to_string());
            if change.op != Op::Delete {
                rows.insert(change.key.to_string(), change.row.clone());
            }
        }
        self.notes.push(Note::Change(Box::new(change)));
        Ok(())
    }
}

/// The key of a row, as far as its columns show it.
fn key_of(row: &JsonRow, key: &[String]) -> Value {
    key.iter().map(|column| row.get(column).cloned().unwrap_or(Value::Null)).collect()
}
