//! How far somebody has got in a talk, and whether it may make a sound.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use rowcast::event::Value;
use rowcast::gateway::Refusal;
use rowcast::store::Set;
use serde::Deserialize;

use crate::change::{ONE, Rows, decided};
use crate::house::{House, Shared};
use crate::person::Person;
use crate::problems;
use crate::rooms::talk::Talk;

/// Ids of messages of the talk.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpTo {
    delivered: Option<i64>,
    read: Option<i64>,
}

/// What somebody wants of a talk.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    muted: bool,
}

/// `POST /rooms/{id}/receipt`
pub(crate) async fn receipt(
    State(house): State<Shared>,
    Person(me): Person,
    Path(talk): Path<String>,
    body: Result<Json<UpTo>, JsonRejection>,
) -> Result<StatusCode, Refusal> {
    let Json(UpTo { delivered, read }) = body.map_err(problems::of_body)?;
    let mut set = Vec::new();
    // Whoever has read it has it.
    set.extend(delivered.max(read).map(|id| ("delivered", Set::Greatest(Value::Int(id)))));
    set.extend(read.map(|id| ("read", Set::Greatest(Value::Int(id)))));
    if set.is_empty() {
        return Err(problems::bad("say how far: `delivered`, `read` or both").into());
    }
    let messages: Vec<i64> = delivered.into_iter().chain(read).collect();
    write(&house, &me, &talk, set, &messages).await
}

/// `PATCH /rooms/{id}/settings`
pub(crate) async fn settings(
    State(house): State<Shared>,
    Person(me): Person,
    Path(talk): Path<String>,
    body: Result<Json<Wanted>, JsonRejection>,
) -> Result<StatusCode, Refusal> {
    let Json(Wanted { muted }) = body.map_err(problems::of_body)?;
    write(&house, &me, &talk, vec![("muted", Set::Value(Value::Bool(muted)))], &[]).await
}

/// Changes one's own row, which is made where a member has none.
async fn write(
    house: &House,
    me: &str,
    talk: &str,
    set: Vec<(&'static str, Set)>,
    messages: &[i64],
) -> Result<StatusCode, Refusal> {
    let talk = house.talk(talk).await?;
    let attempts = AtomicUsize::new(0);
    decided(|| async {
        let mut change = house.change();
        change.require_member(&talk, me).await?;
        for id in messages {
            let bound = [("id", (*id).into()), ("room", (*talk.id).into())];
            let message = Rows::new("chat_messages", "id = claims.id and room = claims.room", &bound);
            change.require(message, ONE).await?.or(problems::bad("there is no such message in this talk"));
        }
        // Somebody who was put into the talk by SQL may have none.
        if attempts.fetch_add(1, Ordering::Relaxed) > 0 {
            let cells = vec![("room", Value::Text(talk.id.clone())), ("user_id", Value::Text(me.into()))];
            change.insert_missing("chat_receipts", cells).await?;
        }
        change.update(own(&talk, me), set.clone(), ONE).await?;
        change.commit().await
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn own(talk: &Talk, me: &str) -> Rows {
    let bound = [("room", (*talk.id).into()), ("user", me.into())];
    Rows::new("chat_receipts", "room = claims.room and user_id = claims.user", &bound)
}
