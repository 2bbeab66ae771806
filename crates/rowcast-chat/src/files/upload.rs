//! A file on its way in: read in pieces, known by its content, and there for others only once its row is.

use std::time::Duration;

use axum::Json;
use axum::body::{Body, BodyDataStream};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use rowcast::event::Value;
use rowcast::gateway::Refusal;
use rowcast::protocol::{Code, Problem};
use serde::Deserialize;
use serde_json::{Value as Json_, json};
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use super::kind::{HEAD, is_shown, is_taken, kind};
use super::picture::{self, Picture, THUMBNAIL};
use super::quota::Left;
use super::{place, thumbnail_of};
use crate::change::decided;
use crate::house::{House, Shared};
use crate::person::Person;
use crate::records::Record;
use crate::rooms::talk::Talk;
use crate::{problems, words};

/// How long a sender may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// What it is for.
#[derive(Deserialize)]
pub(crate) struct For {
    room: Option<String>,
    name: Option<String>,
    picture: Option<String>,
}

/// What is to be written down of a file.
struct Described {
    name: String,
    kind: &'static str,
    bytes: u64,
    size: Option<(u32, u32)>,
    thumbnail: bool,
}

/// `POST /files?room=…&name=…`, `POST /files?picture=1`
pub(crate) async fn upload(
    State(house): State<Shared>,
    Person(me): Person,
    Query(wanted): Query<For>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Json_>), Refusal> {
    let _place = house.files.uploads.clone().try_acquire_owned().map_err(|_| {
        let problem = Problem::new(Code::RateLimited, "too many files are on their way at the moment");
        problem.retry_after(Duration::from_secs(2))
    })?;
    let said = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let mut incoming = Incoming { body: body.into_data_stream(), taken: 0, max: house.settings.max_file, left: None };
    let row = match (&wanted.room, wanted.picture.is_some()) {
        (Some(room), false) => {
            let talk = house.talk(room).await?;
            house.may_put(&talk, &me).await?;
            incoming.left = house.left(&me).await?;
            let name = words::file_name(wanted.name.as_deref().unwrap_or_default());
            house.take(&me, &talk, name, &mut incoming, said).await?
        }
        (None, true) => house.take_portrait(&me, &mut incoming, said).await?,
        _ => return Err(problems::bad("say what the file is for: either `room` or `picture=1`").into()),
    };
    Ok((StatusCode::CREATED, Json(json!({ "file": row.json()? }))))
}

/// A body that comes in pieces, and may be too long.
struct Incoming {
    body: BodyDataStream,
    taken: u64,
    max: u64,
    /// What its owner may store yet, where it is kept as it comes.
    left: Option<Left>,
}

impl Incoming {
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let late = |_| problems::bad("the file stopped coming");
        let piece = match tokio::time::timeout(PATIENCE, self.body.next()).await.map_err(late)? {
            None => return Ok(None),
            Some(piece) => piece.map_err(|_| problems::bad("the file broke off"))?,
        };
        self.taken += piece.len() as u64;
        if self.taken > self.max {
            let message = format!("the file is too large: it may have {} bytes", self.max);
            return Err(Problem::new(Code::TooLarge, message));
        }
        if let Some(left) = self.left.filter(|left| self.taken > left.bytes) {
            return Err(left.exceeded());
        }
        Ok(Some(piece))
    }

    /// As much as the type is told by. Whether it is all comes with it.
    async fn head(&mut self) -> Result<(BytesMut, bool), Problem> {
        let mut head = BytesMut::new();
        while head.len() < HEAD {
            match self.next().await? {
                Some(piece) => head.extend_from_slice(&piece),
                None => return Ok((head, true)),
            }
        }
        Ok((head, false))
    }

    async fn rest(&mut self, mut read: BytesMut) -> Result<Bytes, Problem> {
        while let Some(piece) = self.next().await? {
            read.extend_from_slice(&piece);
        }
        Ok(read.freeze())
    }
}

impl House {
    /// Whether it is worth taking it in; what decides is asked again once it is there.
    async fn may_put(&self, talk: &Talk, me: &str) -> Result<(), Refusal> {
        self.own_member(talk, me).await?;
        match talk.other(me)? {
            Some(them) => Ok(self.pair(me, them).await?.may_talk()?),
            None => Ok(()),
        }
    }

    async fn take(
        self: &Shared,
        me: &str,
        talk: &Talk,
        name: String,
        incoming: &mut Incoming,
        said: &str,
    ) -> Result<Record, Refusal> {
        let (head, is_all) = incoming.head().await?;
        let kind = kind(&head[..head.len().min(HEAD)], is_all && head.len() <= HEAD, said);
        if !is_taken(kind, &self.settings.types) {
            return Err(not_taken(kind).into());
        }
        let id = self.new_file().await?;
        let written = if is_shown(kind) {
            self.keep_picture(&id, name, kind, incoming.rest(head).await?).await
        } else {
            self.keep(&id, name, kind, head.freeze(), incoming).await
        };
        let row = match written {
            Ok(described) => self.write_down(&id, me, Some(talk), described).await,
            Err(problem) => Err(problem.into()),
        };
        if row.is_err() {
            self.forget(vec![id]);
        }
        row
    }

    /// The id of a file that comes: if it does not, a sweep finds what is there of it.
    async fn new_file(&self) -> Result<String, Problem> {
        let id = Uuid::new_v4().to_string();
        self.note_orphans(std::slice::from_ref(&id)).await?;
        Ok(id)
    }

    async fn keep_picture(
        &self,
        id: &str,
        name: String,
        kind: &'static str,
        bytes: Bytes,
    ) -> Result<Described, Problem> {
        let given = bytes.clone();
        let Picture { width, height, smaller } = self.decoded(move || picture::look(&given, kind, THUMBNAIL)).await?;
        let described = Described {
            name,
            kind,
            bytes: bytes.len() as u64,
            size: Some((width, height)),
            thumbnail: smaller.is_some(),
        };
        self.files.place.put(id, bytes).await?;
        if let Some(smaller) = smaller {
            self.files.place.put(&thumbnail_of(id), smaller.bytes).await?;
        }
        Ok(described)
    }

    async fn keep(
        &self,
        id: &str,
        name: String,
        kind: &'static str,
        head: Bytes,
        incoming: &mut Incoming,
    ) -> Result<Described, Problem> {
        let mut writer = self.files.place.writer(id);
        let mut piece = Some(head);
        let written = loop {
            let Some(bytes) = piece else { break writer.shutdown().await.map_err(|error| place::problem(&error)) };
            if let Err(error) = writer.write_all(&bytes).await {
                break Err(place::problem(&error));
            }
            piece = match incoming.next().await {
                Ok(piece) => piece,
                Err(problem) => break Err(problem),
            };
        };
        match written {
            Ok(()) => Ok(Described { name, kind, bytes: incoming.taken, size: None, thumbnail: false }),
            Err(problem) => {
                // What was sent of it already.
                let _ = writer.abort().await;
                Err(problem)
            }
        }
    }

    async fn take_portrait(self: &Shared, me: &str, incoming: &mut Incoming, said: &str) -> Result<Record, Refusal> {
        let (head, is_all) = incoming.head().await?;
        let kind = kind(&head[..head.len().min(HEAD)], is_all && head.len() <= HEAD, said);
        if !is_shown(kind) {
            return Err(not_taken(kind).hint("send a PNG, JPEG, WebP or GIF").into());
        }
        let given = incoming.rest(head).await?;
        let portrait = self.decoded(move || picture::portrait(&given, kind)).await?;
        let id = self.new_file().await?;
        let described = Described {
            name: "picture".to_owned(),
            kind: portrait.kind,
            bytes: portrait.bytes.len() as u64,
            size: Some((portrait.width, portrait.height)),
            thumbnail: false,
        };
        let row = match self.files.place.put(&id, portrait.bytes).await {
            Ok(()) => self.write_down(&id, me, None, described).await,
            Err(problem) => Err(problem.into()),
        };
        if row.is_err() {
            self.forget(vec![id]);
        }
        row
    }

    /// Decodes, a few at a time, where it delays nobody else.
    async fn decoded<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = self.files.decoding.clone().acquire_owned().await.map_err(|_| problems::internal())?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        done.await.unwrap_or_else(|error| {
            tracing::error!("decoding a picture has failed: {error}");
            Err(Problem::new(Code::UnsupportedMediaType, "this picture cannot be read"))
        })
    }

    async fn write_down(&self, id: &str, me: &str, talk: Option<&Talk>, what: Described) -> Result<Record, Refusal> {
        let text = |text: &str| Value::Text(text.into());
        let number = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
        decided(|| async {
            let mut change = self.change();
            let mut cells = vec![
                ("id", text(id)),
                ("owner", text(me)),
                ("name", text(&what.name)),
                ("type", text(what.kind)),
                ("bytes", number(what.bytes)),
                ("thumbnail", Value::Bool(what.thumbnail)),
                ("created_at", self.now()),
            ];
            if let Some(talk) = talk {
                change.require_talking(self, talk, me).await?;
                cells.push(("room", Value::Text(talk.id.clone())));
            }
            if let Some((width, height)) = what.size {
                cells.extend([("width", number(width.into())), ("height", number(height.into()))]);
            }
            change.count(me, what.bytes, self.left(me).await?).await?;
            let write = change.next();
            change.insert("chat_files", cells).await?;
            change.arrive(id).await?;
            Ok(change.commit().await?.row(write)?)
        })
        .await
    }
}

fn not_taken(kind: &str) -> Problem {
    let problem = Problem::new(Code::UnsupportedMediaType, format!("files of type {kind} are not taken here"));
    problem.hint("GET /chat/api/config lists the types; what a file is, is told by its content")
}
