//! How much of each talk somebody has not read.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use rowcast::gateway::Refusal;
use rowcast::protocol::Problem;
use rowcast::store::{SeriesGroup, SeriesQuery};
use serde_json::{Value, json};

use crate::house::{House, Shared};
use crate::person::Person;
use crate::problems;

/// Talks that are counted with one question.
const AT_ONCE: usize = 40;
/// Behind every message's id.
const END: f64 = 9_007_199_254_740_991.0;

/// Messages that were not read, and the newest of them.
#[derive(Clone, Copy)]
struct Counted {
    unread: u64,
    last: i64,
}

/// `GET /unread`
pub(crate) async fn unread(State(house): State<Shared>, Person(me): Person) -> Result<Json<Value>, Refusal> {
    let mine = [("me", (*me).into())];
    let members = house.find("chat_members", "user_id = claims.me", &mine).await?;
    let receipts = house.find("chat_receipts", "user_id = claims.me", &mine).await?;
    let read: HashMap<&str, i64> =
        receipts.iter().filter_map(|row| Some((row.text("room")?, row.integer("read")?))).collect();
    let rooms: Vec<(&str, i64)> = members
        .iter()
        .filter_map(|row| row.text("room"))
        .map(|room| (room, read.get(room).copied().unwrap_or_default()))
        .collect();
    let mut counted: HashMap<String, Counted> = HashMap::new();
    for some in rooms.chunks(AT_ONCE) {
        counted.extend(house.count(&me, some).await?);
    }
    let told = rooms.iter().map(|&(room, read)| {
        let Counted { unread, last } = counted.get(room).copied().unwrap_or(Counted { unread: 0, last: read });
        json!({ "room": room, "unread": unread, "last": last })
    });
    Ok(Json(json!({ "rooms": told.collect::<Vec<_>>() })))
}

impl House {
    /// Of these talks, each read so far: what others have said since. The database counts, and sends no messages.
    async fn count(&self, me: &str, rooms: &[(&str, i64)]) -> Result<HashMap<String, Counted>, Problem> {
        let table = self.table("chat_messages").await?;
        let names: Vec<(String, String)> = (0..rooms.len()).map(|n| (format!("room{n}"), format!("read{n}"))).collect();
        let ways = names.iter().map(|(room, read)| format!("(room = claims.{room} and id > claims.{read})"));
        let filter = format!(
            "sender <> claims.me and kind = 'text' and deleted_at is null and ({})",
            ways.collect::<Vec<_>>().join(" or ")
        );
        let mut bound: Vec<(&str, Value)> = vec![("me", me.into())];
        for ((room, read), (id, upto)) in names.iter().zip(rooms) {
            bound.extend([(room.as_str(), (*id).into()), (read.as_str(), (*upto).into())]);
        }
        let (id, room) = (self.column(&table, "id")?, self.column(&table, "room")?);
        let filter = Some(self.condition(&table, &filter, &bound)?);
        let query = SeriesQuery {
            table,
            filter,
            time: id,
            values: vec![id],
            group_by: Some(room),
            groups_max: rooms.len(),
            from: Some(0.0),
            to: Some(END),
            buckets: 1,
            exact: true,
            role: None,
        };
        let history = self.store.series(query).await.map_err(problems::of_store)?;
        Ok(history.series.groups.iter().filter_map(of_group).collect())
    }
}

fn of_group(group: &SeriesGroup) -> Option<(String, Counted)> {
    let room: String = serde_json::from_str(group.group.get()).ok()?;
    let last = group.max.first()?.iter().flatten().copied().fold(0.0, f64::max);
    #[allow(clippy::cast_possible_truncation, reason = "ids below 2^53 are whole numbers")]
    Some((room, Counted { unread: group.count.iter().sum(), last: last as i64 }))
}
