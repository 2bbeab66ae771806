//! What the gateway writes down while it runs: how each source stands, and the latest errors.
//!
//! Leaves how it is said to `status`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde_json::{Value as Json, json};

use crate::ingest::pull::Pulling;
use crate::source::SourceStatus;

/// Errors kept for Console.
const ERRORS: usize = 100;

type Errors = Arc<Mutex<VecDeque<Json>>>;

/// What the gateway writes down while it runs.
pub(super) struct Board {
    pub(super) started: Instant,
    pub(super) pulls: Mutex<Vec<Arc<Mutex<Option<Pulling>>>>>,
    readings: Vec<Arc<Reading>>,
    errors: Errors,
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
        Self { started: Instant::now(), pulls: Mutex::default(), readings, errors }
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

    /// Whether every source's changes flow; if not, the first reason.
    pub(super) fn ready(&self) -> Result<(), String> {
        self.readings.iter().try_for_each(|reading| match reading.problem() {
            Some(problem) => Err(problem),
            None => Ok(()),
        })
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

    #[test]
    fn one_source_in_trouble_is_enough_to_be_not_ready() {
        let board = board();
        board.readings()[1].trouble(Trouble::Source("the server is away".into()));
        assert_eq!(board.ready(), Err("the server is away".into()));
        board.readings()[0].read(SourceStatus::default());
        assert!(board.ready().is_err(), "the other source says nothing of this one");
        board.readings()[1].began(SourceStatus::default());
        assert_eq!(board.ready(), Ok(()));
    }

    #[test]
    fn a_full_disk_is_not_over_because_the_database_could_be_opened() {
        let board = board();
        let reading = &board.readings()[0];
        reading.trouble(Trouble::Log("no space left".into()));
        reading.began(SourceStatus::default());
        assert_eq!(board.ready(), Err("no space left".into()));
        reading.read(SourceStatus::default());
        assert_eq!(board.ready(), Ok(()));
    }

    #[test]
    fn a_source_says_what_is_wrong_with_it_without_failing() {
        let board = board();
        board.readings()[0]
            .set(SourceStatus { problem: Some("the slot holds back 2 GiB".into()), ..Default::default() });
        assert_eq!(board.ready(), Err("the slot holds back 2 GiB".into()));
    }
}
