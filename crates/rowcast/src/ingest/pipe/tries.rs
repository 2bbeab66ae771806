//! Attempts at one thing, with longer and longer pauses between them.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::store::StoreError;

/// How long to try again while the database does not answer.
#[derive(Debug, Clone)]
pub(in crate::ingest) enum Patience {
    /// For so long from the first refusal.
    For(Duration),
    /// Until it answers, whatever it says; meanwhile the problem stands here for people.
    Forever(Problem),
}

/// What is wrong at the moment, in a sentence.
pub(in crate::ingest) type Problem = Arc<Mutex<Option<String>>>;

/// Attempts at one thing, with longer and longer pauses between them.
pub(super) struct Tries {
    patience: Patience,
    since: Option<Instant>,
    pause: Duration,
}

const PAUSE_MAX: Duration = Duration::from_secs(1);

impl Tries {
    pub(super) fn new(patience: Patience) -> Self {
        Self { patience, since: None, pause: Duration::from_millis(20) }
    }

    /// Waits before the next attempt, or gives the error back because another would not help or is too late.
    pub(super) async fn again(&mut self, error: StoreError) -> Result<(), StoreError> {
        let since = *self.since.get_or_insert_with(Instant::now);
        match &self.patience {
            Patience::Forever(problem) => {
                let message = error.to_string();
                let before = problem.lock().replace(message.clone());
                if before.as_ref() != Some(&message) {
                    tracing::warn!("the database takes no rows, which wait: {message}");
                }
            }
            Patience::For(limit) => {
                let may_help = matches!(error, StoreError::Unavailable(_) | StoreError::Altered(_));
                if !may_help || since.elapsed() + self.pause > *limit {
                    return Err(error);
                }
            }
        }
        metrics::counter!("rowcast_ingest_retries_total").increment(1);
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(())
    }

    pub(super) fn done(&self) {
        if let (Patience::Forever(problem), Some(_)) = (&self.patience, self.since) {
            *problem.lock() = None;
            tracing::info!("the database takes rows again");
        }
    }
}
