//! Sending: one message for one nonce, whatever gets lost on the way.

pub(crate) mod event;
pub(crate) mod own;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use rowcast::event::Value;
use rowcast::gateway::Refusal;
use rowcast::protocol::Problem;
use rowcast::store::Set;
use serde::Deserialize;
use serde_json::{Value as JsonValue, json};

use crate::change::{Broken, Change, ONE, Rows, decided};
use crate::house::{House, Shared};
use crate::person::Person;
use crate::records::Record;
use crate::rooms::talk::{Talk, nowhere, room};
use crate::{problems, words};

/// What somebody says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Said {
    nonce: String,
    #[serde(default)]
    body: String,
    reply_to: Option<i64>,
    file: Option<String>,
}

/// `POST /rooms/{id}/messages`
pub(crate) async fn send(
    State(house): State<Shared>,
    Person(me): Person,
    Path(talk): Path<String>,
    body: Result<Json<Said>, JsonRejection>,
) -> Result<(StatusCode, Json<JsonValue>), Refusal> {
    let Json(mut said) = body.map_err(problems::of_body)?;
    words::nonce(&said.nonce)?;
    if said.file.as_deref().is_some_and(|file| !words::is_id(file)) {
        return Err(no_file().into());
    }
    said.body = words::body(&said.body, said.file.is_some())?;
    let (status, row) = match once(&house, &me, &talk, &said).await {
        Ok(sent) => sent,
        // It may have been sent before the answer was lost, and not be allowed any more.
        Err(refusal) => match house.sent(&me, &said.nonce).await? {
            Some(row) if row.text("room") == Some(&talk) => (StatusCode::OK, row),
            _ => return Err(refusal),
        },
    };
    Ok((status, Json(json!({ "message": row.json()? }))))
}

async fn once(house: &House, me: &str, id: &str, said: &Said) -> Result<(StatusCode, Record), Refusal> {
    let talk = house.talk(id).await?;
    // Most are between people who have long accepted each other: that is required at once, and looked up where it is not so.
    match try_to_send(house, me, &talk, said, true).await {
        Ok(row) => return Ok((StatusCode::CREATED, row)),
        Err(Broken::Refused(problem)) => return Err(problem.into()),
        Err(Broken::Moved) => {}
    }
    decided(|| async {
        if let Some(row) = house.sent(me, &said.nonce).await? {
            return match row.text("room") == Some(id) {
                true => Ok((StatusCode::OK, row)),
                false => Err(problems::conflict("this nonce is that of another message").into()),
            };
        }
        Ok((StatusCode::CREATED, try_to_send(house, me, &talk, said, false).await?))
    })
    .await
}

async fn try_to_send(house: &House, me: &str, talk: &Talk, said: &Said, settled: bool) -> Result<Record, Broken> {
    let pair = match talk.other(me)? {
        None => None,
        Some(them) if settled => Some(House::settled_pair(me, them)),
        Some(them) => Some(house.pair(me, them).await?),
    };
    let mut change = house.change();
    change.claim_talk(talk).await?;
    change.require_member(talk, me).await?;
    if let Some(pair) = &pair {
        pair.may_talk()?;
        change.turn(pair).await?;
    }
    if let Some(answered) = said.reply_to {
        let answered = Rows::new(
            "chat_messages",
            "id = claims.id and room = claims.room and kind = 'text'",
            &[("id", answered.into()), ("room", (*talk.id).into())],
        );
        change.require(answered, ONE).await?.or(problems::bad("`reply_to` is no message of this talk"));
    }
    if let Some(file) = &said.file {
        let mine = Rows::new(
            "chat_files",
            "id = claims.id and room = claims.room and owner = claims.me",
            &[("id", file.as_str().into()), ("room", (*talk.id).into()), ("me", me.into())],
        );
        change.require(mine, ONE).await?.or(no_file());
        change.adopt(file).await?;
    }
    let text = |text: &str| Value::Text(text.into());
    let mut cells = vec![("nonce", text(&said.nonce)), ("kind", text("text")), ("body", text(&said.body))];
    cells.extend(said.reply_to.map(|id| ("reply_to", Value::Int(id))));
    cells.extend(said.file.as_deref().map(|file| ("file", text(file))));
    let message = change.append(talk, me, cells).await?;
    Ok(change.commit().await?.row(message)?)
}

fn no_file() -> Problem {
    problems::bad("`file` is no file that you have put into this talk")
}

impl Change<'_> {
    /// One message more in a talk that was claimed. Returns the number of its write.
    pub(crate) async fn append(
        &mut self,
        talk: &Talk,
        sender: &str,
        mut cells: Vec<(&'static str, Value)>,
    ) -> Result<usize, Problem> {
        let (message, now) = (self.next(), self.now());
        cells.push(("room", Value::Text(talk.id.clone())));
        cells.push(("sender", Value::Text(sender.into())));
        cells.push(("created_at", now.clone()));
        self.insert("chat_messages", cells).await?;
        let id = self.column("chat_messages", "id").await?;
        let set = vec![("last_id", Set::Returned { write: message, column: id }), ("last_at", Set::Value(now))];
        self.update(room(&talk.id), set, ONE).await?.or(nowhere());
        Ok(message)
    }
}

impl House {
    /// What somebody has sent under a nonce.
    async fn sent(&self, me: &str, nonce: &str) -> Result<Option<Record>, Refusal> {
        let filter = "sender = claims.me and nonce = claims.nonce";
        let rows = self.find("chat_messages", filter, &[("me", me.into()), ("nonce", nonce.into())]).await?;
        Ok(rows.into_iter().next())
    }
}
