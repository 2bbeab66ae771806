//! When somebody was last there: noted in the database now and then, not each time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use parking_lot::Mutex;
use rowcast::gateway::Refusal;
use rowcast::store::{Conflict, Write};

use crate::house::Shared;
use crate::person::Person;
use crate::problems;
use crate::records::text;

/// Not noted again within so long.
const PAUSE: Duration = Duration::from_secs(20);

/// More than these are not remembered: whose pause is over is forgotten.
const KEPT_MAX: usize = 10_000;

/// When users were noted.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<HashMap<Arc<str>, Instant>>);

impl Seen {
    /// Whether it is time to note this one, who counts as noted from now on.
    fn is_due(&self, user: &Arc<str>, now: Instant) -> bool {
        let mut all = self.0.lock();
        if all.get(user).is_some_and(|noted| now.duration_since(*noted) < PAUSE) {
            return false;
        }
        if all.len() >= KEPT_MAX {
            all.retain(|_, noted| now.duration_since(*noted) < PAUSE);
        }
        all.insert(user.clone(), now);
        true
    }
}

/// `POST /seen`
pub(crate) async fn seen(State(house): State<Shared>, Person(user): Person) -> Result<StatusCode, Refusal> {
    if house.seen.is_due(&user, Instant::now()) {
        house.account(&user).await?;
        let table = house.table("chat_seen").await?;
        let cells = house.cells(&table, [("user_id", text(&user)), ("seen_at", house.now())])?;
        let write = Write::insert(table, cells).on_conflict(Conflict::Update(Vec::new())).expecting(0..=1);
        house.store.write(vec![write]).await.map_err(problems::of_store)?;
    }
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_noted_twice_within_the_pause() {
        let (seen, now) = (Seen::default(), Instant::now());
        let (ann, bob) = ("ann".into(), "bob".into());
        assert!(seen.is_due(&ann, now) && seen.is_due(&bob, now));
        assert!(!seen.is_due(&ann, now + PAUSE / 2));
        assert!(seen.is_due(&ann, now + PAUSE));
    }
}
