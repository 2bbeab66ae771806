//! What people think of a message, in one sign.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use rowcast::event::Value;
use rowcast::gateway::Refusal;
use rowcast::protocol::Problem;
use rowcast::store::ANY_NUMBER;

use crate::change::{ONE, Rows, decided};
use crate::emoji::is_emoji;
use crate::house::Shared;
use crate::messages::own;
use crate::person::Person;
use crate::problems;

/// How many different ones somebody may set on one message.
const EACH_MAX: u64 = 20;

/// The message that a reaction is to, if it is one.
fn message_of(id: &str, emoji: &str) -> Result<i64, Problem> {
    if is_emoji(emoji) { own::id(id) } else { Err(problems::bad("a reaction is one emoji")) }
}

/// `PUT /messages/{id}/reactions/{emoji}`
pub(crate) async fn add(
    State(house): State<Shared>,
    Person(me): Person,
    Path((id, emoji)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let id = message_of(&id, &emoji)?;
    decided(|| async {
        let (_, talk) = house.message(&me, id).await?;
        let mut change = house.change();
        change.require_talking(&house, &talk, &me).await?;
        let filter = "id = claims.id and kind = 'text' and deleted_at is null";
        let gone = problems::conflict("this message takes no reactions: it is deleted, or tells what has happened");
        change.require(Rows::new("chat_messages", filter, &[("id", id.into())]), ONE).await?.or(gone);
        let filter = "message = claims.id and user_id = claims.me and emoji <> claims.emoji";
        let bound = [("id", id.into()), ("me", (*me).into()), ("emoji", emoji.as_str().into())];
        let many = problems::conflict(format!("one person sets at most {EACH_MAX} reactions on a message"));
        change.require(Rows::new("chat_reactions", filter, &bound), 0..=EACH_MAX - 1).await?.or(many);
        let cells = vec![
            ("message", Value::Int(id)),
            ("user_id", Value::Text(me.clone())),
            ("emoji", Value::Text(emoji.as_str().into())),
            ("room", Value::Text(talk.id.clone())),
            ("created_at", house.now()),
        ];
        change.insert_missing("chat_reactions", cells).await?;
        change.commit().await
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /messages/{id}/reactions/{emoji}`
pub(crate) async fn remove(
    State(house): State<Shared>,
    Person(me): Person,
    Path((id, emoji)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let id = message_of(&id, &emoji)?;
    decided(|| async {
        let (_, talk) = house.message(&me, id).await?;
        let mut change = house.change();
        change.require_member(&talk, &me).await?;
        let filter = "message = claims.id and user_id = claims.me and emoji = claims.emoji";
        let bound = [("id", id.into()), ("me", (*me).into()), ("emoji", emoji.as_str().into())];
        change.delete(Rows::new("chat_reactions", filter, &bound), ANY_NUMBER).await?;
        change.commit().await
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
