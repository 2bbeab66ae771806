//! What the gateway writes down while it runs: how each source stands, and the latest errors.
//!
//! Leaves how it is said to `status`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde_json::{Value as Json, json};

use crate::event::Position;
use crate::ingest::pull::Pulling;
use crate::source::SourceStatus;

/// Errors kept for Console.
const ERRORS: usize = 100;

/// For so long the hub may stand still while the log has more.
const HUB_STANDS: Duration = Duration::from_secs(30);

type Errors = Arc<Mutex<VecDeque<Json>>>;

/// What the gateway writes down while it runs.
pub(super) struct Board {
    pub(super) started: Instant,
    pub(super) pulls: Mutex<Vec<Arc<Mutex<Option<Pulling>>>>>,
    readings: Vec<Arc<Reading>>,
    errors: Errors,
    /// Where the hub was seen, and since when it has stood there although there was more.
    hub: Mutex<Option<(Position, Instant)>>,
}

/// One source, as its pump sees it.
pub(super) struct Reading {
    pub(super) source: Box<str>,
    /// `sqlite`, `postgresql`.
    pub(super) database: &'static str,
    state: Mutex<State>,
    errors: Errors,
}

#[derive(Default)]
struct State {
    status: SourceStatus,
    trouble: Option<Trouble>,
}

/// What keeps changes from flowing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The database cannot be read: over as soon as it has been opened again.
    Source(String),
    /// The log does not take what was read: over as soon as it has taken something.
    Log(String),
}

impl Trouble {
    fn message(&self) -> &str {
        match self {
            Self::Source(message) | Self::Log(message) => message,
        }
    }
}

impl Board {
    pub(super) fn new(database: &'static str, sources: impl IntoIterator<Item = String>) -> Self {
        let errors = Errors::default();
        let reading = |source: String| {
            let (state, errors) = (Mutex::default(), errors.clone());
            Arc::new(Reading { source: source.into(), database, state, errors })
        };
        let readings = sources.into_iter().map(reading).collect();
        Self { started: Instant::now(), pulls: Mutex::default(), readings, errors, hub: Mutex::default() }
    }

    pub(super) fn add_pull(&self, pull: Arc<Mutex<Option<Pulling>>>) {
        self.pulls.lock().push(pull);
    }

    /// The sources, in the order of [`Board::new`].
    pub(super) fn readings(&self) -> &[Arc<Reading>] {
        &self.readings
    }

    /// The latest errors, oldest first.
    pub(super) fn errors(&self) -> Vec<Json> {
        self.errors.lock().iter().cloned().collect()
    }

    /// Whether changes flow all the way to the clients' queues; if not, the first reason.
    ///
    /// `head` is the log's, `dispatched` the hub's. A hub that stands still is found by being looked at again.
    pub(super) fn ready(&self, head: Position, dispatched: Position) -> Result<(), String> {
        self.hub_moves(head, dispatched, Instant::now())?;
        self.readings.iter().try_for_each(|reading| match reading.problem() {
            Some(problem) => Err(problem),
            None => Ok(()),
        })
    }
}

impl Board {
    fn hub_moves(&self, head: Position, dispatched: Position, now: Instant) -> Result<(), String> {
        let mut seen = self.hub.lock();
        let since = match *seen {
            Some((position, since)) if position == dispatched && dispatched < head => since,
            _ => seen.insert((dispatched, now)).1,
        };
        let stood = now.saturating_duration_since(since);
        if stood < HUB_STANDS {
            return Ok(());
        }
        let waiting = head.offset.0.saturating_sub(dispatched.offset.0);
        Err(format!(
            "{waiting} events have been in the log for {} s without being handed to clients: a large transaction has \
             not been read to its end, or the hub has stopped",
            stood.as_secs()
        ))
    }
}

impl Reading {
    pub(super) fn set(&self, status: SourceStatus) {
        self.state.lock().status = status;
    }

    /// The source could be opened: what kept it from that is over.
    pub(super) fn began(&self, status: SourceStatus) {
        let mut state = self.state.lock();
        state.status = status;
        state.trouble.take_if(|trouble| matches!(trouble, Trouble::Source(_)));
    }

    /// A batch went through: whatever was wrong is over.
    pub(super) fn read(&self, status: SourceStatus) {
        let mut state = self.state.lock();
        state.status = status;
        state.trouble = None;
    }

    pub(super) fn trouble(&self, trouble: Trouble) {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
        let mut errors = self.errors.lock();
        errors.push_back(json!({ "time_ms": time, "source": self.source, "message": trouble.message() }));
        while errors.len() > ERRORS {
            errors.pop_front();
        }
        drop(errors);
        self.state.lock().trouble = Some(trouble);
    }

    pub(super) fn status(&self) -> SourceStatus {
        let state = self.state.lock();
        let trouble = state.trouble.as_ref().map(|trouble| trouble.message().to_owned());
        SourceStatus { problem: trouble.or_else(|| state.status.problem.clone()), ..state.status.clone() }
    }

    fn problem(&self) -> Option<String> {
        self.status().problem
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Board {
        Board::new("postgresql", ["shop".to_owned(), "shop:notify".to_owned()])
    }

    fn ready(board: &Board) -> Result<(), String> {
        board.ready(Position::new(1, 5), Position::new(1, 5))
    }

    #[test]
    fn a_hub_that_stands_still_is_not_ready() {
        let board = board();
        let (now, later) = (Instant::now(), Instant::now() + HUB_STANDS);
        let at = |offset| Position::new(1, offset);
        assert_eq!(board.hub_moves(at(5), at(5), now), Ok(()));
        assert_eq!(board.hub_moves(at(5), at(5), later), Ok(()), "there is nothing to do");
        assert_eq!(board.hub_moves(at(9), at(6), later), Ok(()));
        assert_eq!(board.hub_moves(at(9), at(7), later + HUB_STANDS), Ok(()), "it moves");
        assert!(board.hub_moves(at(99), at(7), later + 2 * HUB_STANDS).is_err());
        assert_eq!(board.hub_moves(at(99), at(8), later + 2 * HUB_STANDS), Ok(()));
    }

    #[test]
    fn one_source_in_trouble_is_enough_to_be_not_ready() {
        let board = board();
        board.readings()[1].trouble(Trouble::Source("the server is away".into()));
        assert_eq!(ready(&board), Err("the server is away".into()));
        board.readings()[0].read(SourceStatus::default());
        assert!(ready(&board).is_err(), "the other source says nothing of this one");
        board.readings()[1].began(SourceStatus::default());
        assert_eq!(ready(&board), Ok(()));
    }

    #[test]
    fn a_full_disk_is_not_over_because_the_database_could_be_opened() {
        let board = board();
        let reading = &board.readings()[0];
        reading.trouble(Trouble::Log("no space left".into()));
        reading.began(SourceStatus::default());
        assert_eq!(ready(&board), Err("no space left".into()));
        reading.read(SourceStatus::default());
        assert_eq!(ready(&board), Ok(()));
    }

    #[test]
    fn a_source_says_what_is_wrong_with_it_without_failing() {
        let board = board();
        board.readings()[0]
            .set(SourceStatus { problem: Some("the slot holds back 2 GiB".into()), ..Default::default() });
        assert_eq!(ready(&board), Err("the slot holds back 2 GiB".into()));
    }
}
