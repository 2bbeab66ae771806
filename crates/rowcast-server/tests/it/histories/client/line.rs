//! How a client is connected: one WebSocket for all its subscriptions, or a stream for each.

use std::collections::HashMap;
use std::pin::Pin;

use anyhow::{Result, bail, ensure};
use futures_util::stream::{AbortHandle, SelectAll, Stream, StreamExt, abortable, unfold};
use serde_json::{Value, json};

use super::super::model::{FILTERS, quoted};
use super::super::world::Story;
use super::Watch;
use crate::client::message::{Position, Problem};
use crate::client::sse::Refused;
use crate::client::{Block, Heard, Message, Sse, WebSocket};
use crate::server::Server;

/// What comes next for a client.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
pub(super) enum News {
    /// With the subscription that it is about.
    Message(Option<usize>, Message),
    /// A stream's id has moved.
    Moved(usize, Position),
    Lost(String),
}

type Streams = SelectAll<Pin<Box<dyn Stream<Item = (usize, Result<Block>)> + Send>>>;

pub(super) enum Line {
    WebSocket(Box<WebSocket>),
    /// With what ends the stream of a subscription.
    Sse(Streams, HashMap<usize, AbortHandle>),
}

impl Line {
    /// `None` where the server is away.
    pub(super) async fn open(server: &Server, websocket: bool, buffer: Option<u32>) -> Result<Option<Self>> {
        if !websocket {
            return Ok(Some(Self::Sse(SelectAll::new(), HashMap::new())));
        }
        let opened = WebSocket::open_with(server, buffer, &[]).await;
        Ok(opened.ok().map(|socket| Self::WebSocket(Box::new(socket))))
    }

    /// Asks for a subscription; `Some` where it is refused at once.
    pub(super) async fn subscribe(
        &mut self,
        server: &Server,
        story: &Story,
        index: usize,
        watch: &Watch,
        in_the_url: bool,
    ) -> Result<Option<Problem>> {
        match self {
            Self::WebSocket(socket) => {
                // A connection that has just been lost is noticed when it is read from.
                let _ = socket.say(subscribe(story, watch)).await;
                Ok(None)
            }
            Self::Sse(streams, ends) => {
                let mut query = query(story, watch);
                let mut last_event_id = watch.position;
                if in_the_url && let Some(position) = last_event_id.take() {
                    query.push(("since", position.to_string()));
                }
                match Sse::open(server, &query, last_event_id).await? {
                    Ok(sse) => {
                        let (stream, end) = abortable(unfold(Some(sse), move |sse| blocks(index, sse)));
                        streams.push(Box::pin(stream));
                        ends.insert(index, end);
                    }
                    Err(Refused::Away) => streams.push(Box::pin(unfold(true, move |once| ended(index, once)))),
                    Err(Refused::Problem { code, status }) => {
                        let message = format!("HTTP {status}: the server stops?");
                        let stops = status == 503;
                        let message = if stops { message } else { code.clone() };
                        return Ok(Some(Problem { id: None, reference: None, code, message, hint: None, at: None }));
                    }
                }
                Ok(None)
            }
        }
    }

    /// Whether there is an answer to wait for.
    pub(super) async fn unsubscribe(&mut self, index: usize, watch: &Watch) -> Result<bool> {
        match self {
            Self::WebSocket(socket) => {
                let _ = socket.say(json!({"type": "unsubscribe", "id": watch.id})).await;
                Ok(true)
            }
            Self::Sse(_, ends) => {
                if let Some(end) = ends.remove(&index) {
                    end.abort();
                }
                Ok(false)
            }
        }
    }

    pub(super) async fn ping(&mut self) -> Result<()> {
        if let Self::WebSocket(socket) = self {
            let _ = socket.say(json!({"type": "ping"})).await;
        }
        Ok(())
    }

    /// Waits for what comes next. Dropping the future loses nothing.
    pub(super) async fn hear(&mut self, watches: &[Watch]) -> Result<News> {
        match self {
            Self::WebSocket(socket) => match socket.hear().await? {
                Heard::Closed(code) => {
                    ensure!(matches!(code, None | Some(1000 | 1001 | 4001)), "closed with {code:?}");
                    Ok(News::Lost(format!("close code {code:?}")))
                }
                Heard::Message(message) => Ok(News::Message(owner(&message, watches), message)),
            },
            Self::Sse(streams, _) => match streams.next().await {
                Some((index, Ok(Block::Message(message)))) => Ok(News::Message(Some(index), message)),
                Some((index, Ok(Block::Position(position)))) => Ok(News::Moved(index, position)),
                Some((_, Ok(Block::Ended))) => Ok(News::Lost("the stream ended".into())),
                Some((_, Err(error))) => Err(error),
                None => Ok(News::Lost("there is no stream left".into())),
            },
        }
    }

    /// Checks that nothing comes any more.
    pub(super) async fn expect_nothing(&mut self) -> Result<()> {
        let Self::WebSocket(socket) = self else { return Ok(()) };
        socket.say(json!({"type": "ping", "ref": "end"})).await?;
        loop {
            match socket.hear().await? {
                Heard::Message(Message::Pong(pong)) if pong.reference.as_deref() == Some("end") => return Ok(()),
                Heard::Message(
                    Message::Position(_) | Message::Pong(_) | Message::Close(_) | Message::Unsubscribed(_),
                ) => {}
                Heard::Closed(_) => return Ok(()),
                // The end of a transaction that had to be cut, and of subscriptions that have been ended.
                Heard::Message(Message::Commit(_)) => {}
                other => bail!("something came after the marker: {other:?}"),
            }
        }
    }
}

/// The subscription that a message is about: the oldest of that name that has not ended.
fn owner(message: &Message, watches: &[Watch]) -> Option<usize> {
    let id = message.id()?;
    let ending = watches.iter().position(|watch| watch.id == id && watch.is_ending());
    ending.or_else(|| watches.iter().position(|watch| watch.id == id && watch.is_on()))
}

async fn blocks(index: usize, sse: Option<Sse>) -> Option<((usize, Result<Block>), Option<Sse>)> {
    let mut sse = sse?;
    let heard = sse.hear().await;
    let goes_on = !matches!(heard, Err(_) | Ok(Block::Ended));
    Some(((index, heard), goes_on.then_some(sse)))
}

async fn ended(index: usize, once: bool) -> Option<((usize, Result<Block>), bool)> {
    once.then_some(((index, Ok(Block::Ended)), false))
}

/// The channel of a table as docs/protocol.md wants it written.
pub(crate) fn channel(table: &str) -> String {
    let plain = !table.contains(['.', '"']);
    if plain { format!("table:{table}") } else { format!("table:{}", quoted(table)) }
}

fn subscribe(story: &Story, watch: &Watch) -> Value {
    let mut message = json!({"type": "subscribe", "id": watch.id, "channel": channel(&story.table)});
    if let Some(filter) = FILTERS[watch.filter].sql {
        message["where"] = json!(filter);
    }
    if let Some(columns) = &watch.columns {
        message["columns"] = json!(columns);
    }
    if !watch.snapshot {
        message["snapshot"] = json!(false);
    }
    if watch.old {
        message["old"] = json!(true);
    }
    if let Some(position) = watch.position {
        message["since"] = json!(position.to_string());
    }
    message
}

fn query(story: &Story, watch: &Watch) -> Vec<(&'static str, String)> {
    let mut query = vec![("channel", channel(&story.table)), ("snapshot", watch.snapshot.to_string())];
    query.extend(FILTERS[watch.filter].sql.map(|filter| ("where", filter.to_owned())));
    query.extend(watch.columns.as_ref().map(|columns| ("columns", columns.join(","))));
    query.extend(watch.old.then(|| ("old", "true".to_owned())));
    query
}
