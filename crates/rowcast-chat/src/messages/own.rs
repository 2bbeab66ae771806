//! What becomes of a message after it was sent: edited, deleted.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use rowcast::event::Value;
use rowcast::gateway::Refusal;
use rowcast::protocol::Problem;
use rowcast::store::{ANY_NUMBER, Set};
use serde::Deserialize;
use serde_json::{Value as JsonValue, json};

use crate::change::{Broken, Change, ONE, Rows, decided};
use crate::house::{House, Shared};
use crate::person::Person;
use crate::records::Record;
use crate::rooms::talk::{Kind, Talk, member};
use crate::{problems, words};

/// The number of a message. What is none is no message's.
pub(crate) fn id(text: &str) -> Result<i64, Problem> {
    text.parse().map_err(|_| nothing())
}

fn nothing() -> Problem {
    problems::not_found("there is no such message")
}

/// What is to stand there instead.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Instead {
    body: String,
}

/// `PATCH /messages/{id}`
pub(crate) async fn edit(
    State(house): State<Shared>,
    Person(me): Person,
    Path(id): Path<String>,
    body: Result<Json<Instead>, JsonRejection>,
) -> Result<Json<JsonValue>, Refusal> {
    let (id, Json(instead)) = (self::id(&id)?, body.map_err(problems::of_body)?);
    let row = decided(|| async {
        let (message, talk) = house.message(&me, id).await?;
        if message.text("sender") != Some(&me) {
            return Err(problems::forbidden("this message is somebody else's").into());
        }
        let body = words::body(&instead.body, message.text("file").is_some())?;
        let mut change = house.change();
        change.require_talking(&house, &talk, &me).await?;
        let same_file = match message.text("file") {
            Some(_) => {
                "id = claims.id and sender = claims.me and kind = 'text' and deleted_at is null and file is not null"
            }
            None => "id = claims.id and sender = claims.me and kind = 'text' and deleted_at is null",
        };
        let (own, write) =
            (Rows::new("chat_messages", same_file, &[("id", id.into()), ("me", (*me).into())]), change.next());
        let set = vec![("body", Set::Value(Value::Text(body.into()))), ("edited_at", Set::Value(house.now()))];
        let gone = problems::conflict("this message cannot be edited: it is deleted, or tells what has happened");
        change.update(own, set, ONE).await?.or(gone);
        Ok(change.commit().await?.row(write)?)
    });
    Ok(Json(json!({ "message": row.await?.json()? })))
}

/// `DELETE /messages/{id}`
pub(crate) async fn erase(
    State(house): State<Shared>,
    Person(me): Person,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    let id = self::id(&id)?;
    let file = decided(|| async {
        let (message, talk) = house.message(&me, id).await?;
        if message.text("kind") != Some("text") {
            return Err(problems::forbidden("what has happened stays told").into());
        }
        if message.text("deleted_at").is_some() {
            return Ok(None);
        }
        let mut change = house.change();
        if message.text("sender") == Some(&me) {
            change.require_member(&talk, &me).await?;
        } else if talk.kind == Kind::Group {
            change.require_leader(&talk, &me).await?;
        } else {
            return Err(problems::forbidden("this message is somebody else's").into());
        }
        let of_it = Rows::new("chat_messages", "id = claims.id and deleted_at is null", &[("id", id.into())]);
        let set = vec![
            ("body", Set::Value(Value::Text("".into()))),
            ("file", Set::Value(Value::Null)),
            ("deleted_at", Set::Value(house.now())),
        ];
        change.update(of_it, set, ONE).await?;
        let reactions = Rows::new("chat_reactions", "message = claims.id", &[("id", id.into())]);
        change.delete(reactions, ANY_NUMBER).await?;
        let file = message.text("file").map(str::to_owned);
        if let Some(file) = &file {
            let rows = Rows::new("chat_files", "id = claims.file", &[("file", file.as_str().into())]);
            if let Some(row) = house.find_rows(&rows).await?.first() {
                change.delete(rows, ONE).await?;
                change.uncount(row.text("owner").unwrap_or_default(), row.integer("bytes").unwrap_or_default()).await?;
            }
            change.orphan(file).await?;
        }
        change.commit().await?;
        Ok(file)
    });
    if let Some(file) = file.await? {
        house.forget(vec![file]);
    }
    Ok(StatusCode::NO_CONTENT)
}

impl House {
    /// A message of a talk that I am in, and the talk. All others are not there.
    pub(crate) async fn message(&self, me: &str, id: i64) -> Result<(Record, Arc<Talk>), Broken> {
        let rows = self.find("chat_messages", "id = claims.id", &[("id", id.into())]).await?;
        let message = rows.into_iter().next().ok_or_else(nothing)?;
        let room = message.text("room").unwrap_or_default();
        if self.find_rows(&member(room, me)).await?.is_empty() {
            return Err(nothing().into());
        }
        let talk = self.talk(room).await?;
        Ok((message, talk))
    }
}

impl Change<'_> {
    /// I am in the talk, and in one between two neither keeps the other out.
    pub(crate) async fn require_talking(&mut self, house: &House, talk: &Talk, me: &str) -> Result<(), Broken> {
        self.require_member(talk, me).await?;
        if let Some(them) = talk.other(me)? {
            let pair = house.pair(me, them).await?;
            pair.may_talk()?;
            for side in pair.in_order() {
                self.hold(side).await?;
            }
        }
        Ok(())
    }
}
