//! A client of `/v1/stream` that reads Server-Sent Events as docs/protocol.md says they are written.

use anyhow::{Context, Result, bail, ensure};
use bytes::BytesMut;
use reqwest::Response;

use super::message::{Message, Position};
use crate::server::{DEADLINE, Server};

/// What comes next on a stream.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
pub(crate) enum Block {
    Message(Message),
    /// A block with only an id: Last-Event-ID moves.
    Position(Position),
    /// The stream has ended.
    Ended,
}

/// One open stream.
pub(crate) struct Sse {
    response: Response,
    buffer: BytesMut,
    /// What the next block is put together from.
    parts: Parts,
    /// As a browser would send it when it reconnects.
    pub(crate) last_event_id: Option<Position>,
    /// After what time a browser would reconnect.
    pub(crate) retry_ms: Option<u64>,
}

#[derive(Debug, Default)]
struct Parts {
    id: Option<String>,
    event: Option<String>,
    data: Option<String>,
}

/// Why there is no stream.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The server answered with an error.
    Problem { status: u16, code: String },
    /// There was no answer.
    Away,
}

impl Sse {
    /// Opens a stream.
    pub(crate) async fn open(
        server: &Server,
        query: &[(&str, String)],
        last_event_id: Option<Position>,
    ) -> Result<Result<Self, Refused>> {
        let url = reqwest::Url::parse_with_params(&server.url("/v1/stream"), query)?;
        let mut request = server.http().get(url);
        if let Some(position) = last_event_id {
            request = request.header("Last-Event-ID", position.to_string());
        }
        let Ok(sent) = tokio::time::timeout(DEADLINE, request.send()).await else { bail!("no answer to {query:?}") };
        let Ok(response) = sent else { return Ok(Err(Refused::Away)) };
        let status = response.status();
        if !status.is_success() {
            let Ok::<String, _>(body) = response.text().await else { return Ok(Err(Refused::Away)) };
            let body: serde_json::Value = serde_json::from_str(&body).with_context(|| body.clone())?;
            let code = body["error"]["code"].as_str().with_context(|| body.to_string())?.to_owned();
            return Ok(Err(Refused::Problem { status: status.as_u16(), code }));
        }
        let media_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        ensure!(media_type.is_some_and(|text| text.starts_with("text/event-stream")), "{media_type:?}");
        Ok(Ok(Self { response, buffer: BytesMut::new(), parts: Parts::default(), last_event_id, retry_ms: None }))
    }

    /// Waits for what comes next. Dropping the future loses nothing.
    pub(crate) async fn hear(&mut self) -> Result<Block> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                let line = std::str::from_utf8(&line[..end]).context("an event stream is UTF-8")?;
                if let Some(block) = self.take_line(line)? {
                    return Ok(block);
                }
            }
            match self.response.chunk().await {
                Ok(Some(bytes)) => self.buffer.extend_from_slice(&bytes),
                // What a killed server leaves unfinished is no event.
                Ok(None) | Err(_) => return Ok(Block::Ended),
            }
        }
    }

    /// The next message; an end is an error.
    pub(crate) async fn next(&mut self) -> Result<Message> {
        loop {
            match tokio::time::timeout(DEADLINE, self.hear()).await.context("the stream says nothing")?? {
                Block::Message(message) => return Ok(message),
                Block::Position(_) => {}
                Block::Ended => bail!("the stream has ended"),
            }
        }
    }

    fn take_line(&mut self, line: &str) -> Result<Option<Block>> {
        if line.is_empty() {
            return self.end_block();
        }
        let (field, value) = line.split_once(':').with_context(|| format!("not a field: {line:.200}"))?;
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        let part = match field {
            "" => return Ok(None),
            "id" => &mut self.parts.id,
            "event" => &mut self.parts.event,
            "data" => &mut self.parts.data,
            "retry" => {
                self.retry_ms = Some(value.parse().context("`retry` is a number")?);
                return Ok(None);
            }
            other => bail!("unknown field `{other}`"),
        };
        ensure!(part.is_none(), "`{field}` twice in one block");
        *part = Some(value);
        Ok(None)
    }

    fn end_block(&mut self) -> Result<Option<Block>> {
        let Parts { id, event, data } = std::mem::take(&mut self.parts);
        let id = id.map(|id| id.parse::<Position>()).transpose()?;
        self.last_event_id = id.or(self.last_event_id);
        match (event, data, id) {
            (None, None, None) => Ok(None),
            (None, None, Some(position)) => Ok(Some(Block::Position(position))),
            (Some(event), Some(data), id) => {
                let message = Message::read(&data)?;
                message.check()?;
                ensure!(message.event_name()? == event, "event `{event}` carries {message:?}");
                ensure!(message.id().is_none(), "a stream's messages have no `id`: {message:?}");
                ensure!(message.position() == id, "`id:` is not the position: {id:?}, {message:?}");
                Ok(Some(Block::Message(message)))
            }
            (event, data, _) => bail!("half an event: {event:?} {data:?}"),
        }
    }
}
