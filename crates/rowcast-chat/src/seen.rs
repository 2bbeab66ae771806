//! When somebody was last there: noted in the database now and then, not each time.

use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use rowcast::gateway::Refusal;
use rowcast::store::{Conflict, Write};

use crate::house::Shared;
use crate::person::Person;
use crate::problems;
use crate::records::text;

/// Not noted again within so long.
pub(crate) const PAUSE: Duration = Duration::from_secs(20);

/// `POST /seen`
pub(crate) async fn seen(State(house): State<Shared>, Person(user): Person) -> Result<StatusCode, Refusal> {
    if house.seen.note(&user, Instant::now()) {
        let table = house.table("chat_seen").await?;
        let cells = house.cells(&table, [("user_id", text(&user)), ("seen_at", house.now())])?;
        let write = Write::insert(table, cells).on_conflict(Conflict::Update(Vec::new())).expecting(0..=1);
        house.store.write(vec![write]).await.map_err(problems::of_store)?;
    }
    Ok(StatusCode::NO_CONTENT)
}
