//! Dead letters: read, mended and tried again, dropped.

use std::sync::Arc;

use serde::Serialize;

use super::coerce::Extra;
use super::decode::{Fields, Record};
use super::flow::{Flow, Flows};
use super::once::{Once, RecordKey};
use super::pipe::{Keying, Prepare, conflict};
use super::shape::Shape;
use crate::store::{DeadLetter, DeadLetters, Insert, Store, StoreError};

/// How many are read at once where all are gone through.
const PAGE: u32 = 500;

/// The dead letters of a database.
#[derive(Clone)]
pub struct Letters {
    store: Arc<dyn Store>,
    flows: Arc<Flows>,
}

/// What became of dead letters that were tried again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Retried {
    /// How many became rows, and are gone.
    pub stored: u64,
    /// Those that are refused still, with the reason now.
    pub refused: Vec<StillRefused>,
}

/// A dead letter that is refused still.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StillRefused {
    /// Which.
    pub id: u64,
    /// Why, for people.
    pub reason: String,
}

/// Why a dead letter was not tried, or not stored.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RetryError {
    /// It is not there: resolved or dropped by somebody else.
    #[error("there is no dead letter {0}")]
    Unknown(u64),
    /// The record does not become a row as it is.
    #[error("{reason}")]
    Refused {
        /// The column in question.
        column: Option<Box<str>>,
        /// Why, for people.
        reason: String,
    },
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Letters {
    /// Of this database; records go the ways of their sources, or straight into their tables where the source is not known.
    pub fn new(store: Arc<dyn Store>, flows: Arc<Flows>) -> Self {
        Self { store, flows }
    }

    /// Some, newest first.
    pub async fn list(&self, which: DeadLetters) -> Result<Vec<DeadLetter>, StoreError> {
        self.store.dead_letters(which).await
    }

    /// How many there are of each source.
    pub async fn counts(&self) -> Result<Vec<(String, u64)>, StoreError> {
        self.store.dead_letter_counts().await
    }

    /// Removes some. Returns how many there were.
    pub async fn drop_some(&self, ids: &[u64]) -> Result<u64, StoreError> {
        self.store.bury(ids).await
    }

    /// Removes all of a source, or all. Returns how many there were.
    pub async fn drop_all(&self, source: Option<&str>) -> Result<u64, StoreError> {
        let mut dropped = 0;
        loop {
            let which = DeadLetters { source: source.map(str::to_owned), limit: PAGE, ..DeadLetters::default() };
            let ids: Vec<u64> = self.list(which).await?.iter().map(|letter| letter.id).collect();
            if ids.is_empty() {
                return Ok(dropped);
            }
            let count = self.store.bury(&ids).await?;
            dropped += count;
            if count == 0 {
                return Ok(dropped);
            }
        }
    }

    /// Makes a row of a dead letter, or of what was mended of it: a JSON object. The dead letter is removed in the row's
    /// transaction.
    pub async fn retry(&self, id: u64, mended: Option<&str>) -> Result<(), RetryError> {
        let which = DeadLetters { ids: vec![id], ..DeadLetters::default() };
        let letter = self.list(which).await?.into_iter().next().ok_or(RetryError::Unknown(id))?;
        self.retry_letter(&letter, mended).await
    }

    /// Tries all of a source again, or all, oldest first.
    pub async fn retry_all(&self, source: Option<&str>) -> Result<Retried, StoreError> {
        let mut letters = Vec::new();
        loop {
            let before = letters.last().map(|letter: &DeadLetter| letter.id);
            let which =
                DeadLetters { source: source.map(str::to_owned), before, limit: PAGE, ..DeadLetters::default() };
            let page = self.list(which).await?;
            if page.is_empty() {
                break;
            }
            letters.extend(page);
        }
        let mut retried = Retried::default();
        for letter in letters.iter().rev() {
            match self.retry_letter(letter, None).await {
                Ok(()) => retried.stored += 1,
                // Somebody else was quicker.
                Err(RetryError::Unknown(_)) => {}
                Err(RetryError::Refused { reason, .. }) => retried.refused.push(StillRefused { id: letter.id, reason }),
                Err(RetryError::Store(error)) => return Err(error),
            }
        }
        Ok(retried)
    }

    async fn retry_letter(&self, letter: &DeadLetter, mended: Option<&str>) -> Result<(), RetryError> {
        let flow = match self.flows.get(&letter.source) {
            Some(flow) => flow.clone(),
            None => Arc::new(straight(letter)?),
        };
        let table = self.store.table(&flow.table).await?;
        // Its record's key, if it has one, is known to the database already: by this very letter.
        let keying = Keying::Record(RecordKey::None);
        let prepare = Prepare::new(table.clone(), self.store.dialect(), flow.shape.clone(), keying);
        let text = mended.unwrap_or(&letter.raw);
        let fields = Fields::from_json(text).map_err(|error| RetryError::Refused {
            column: None,
            reason: match mended {
                Some(_) => format!("the mended record: {error}"),
                None => format!("{error}; mend it into a JSON object"),
            },
        })?;
        let record = Record { line: letter.line, raw: text.into(), place: None, fields: Ok(fields) };
        let row = prepare
            .row(record)
            .map_err(|reject| RetryError::Refused { column: reject.column, reason: reject.reason })?;
        let insert = Insert {
            conflict: conflict(&flow.once.conflict, &table)?,
            resolves: vec![letter.id],
            ..Insert::new(table, vec![row.cells])
        };
        let inserted = self.store.insert(insert).await?;
        match inserted.rejected.into_iter().next() {
            None => Ok(()),
            Some((_, reason)) => Err(RetryError::Refused { column: None, reason }),
        }
    }
}

/// The way of a source that is not configured (any more).
fn straight(letter: &DeadLetter) -> Result<Flow, RetryError> {
    let table = letter.table.parse().map_err(|error| RetryError::Refused {
        column: None,
        reason: format!("its table {:?} has no usable name: {error}", letter.table),
    })?;
    let shape = Shape { extra: Extra::Refuse, ..Shape::default() };
    Ok(Flow { source: letter.source.as_str().into(), table, shape, once: Once::default() })
}
