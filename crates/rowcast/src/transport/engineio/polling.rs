//! HTTP long-polling: a GET waits for packets, a POST brings some. One of each at a time.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep, timeout, timeout_at};

use super::exchange::{Exchange, Farewell, Over, Turn};
use super::reply::{self, Fault, fault};
use super::{Engine, Heard};
use crate::protocol::engineio::payload::{Part, decode, encode, read_twice};
use crate::protocol::engineio::{Eio, Packet};

/// How long a body may take at least; longer where pings may be slower.
const BODY: Duration = Duration::from_secs(30);
/// How long a client that closes is waited for with the poll that it has sent at the same time.
const OVERTAKEN: Duration = Duration::from_millis(10);

/// The answer to a handshake.
pub(super) fn opened(packet: &str, eio: Eio) -> Response {
    reply::payload(encode([Part::Text(packet)].into_iter(), eio, false))
}

/// Waits for packets.
pub(super) async fn poll(exchange: Arc<Exchange>) -> Response {
    match exchange.begin_poll() {
        Ok(true) => {}
        Ok(false) => {
            exchange.close(Farewell::Close);
            return fault(Fault::BadRequest);
        }
        Err(Over) => return fault(Fault::BadRequest),
    }
    let mut asked = Asked(Some(exchange.clone()));
    let answer = loop {
        match exchange.turn() {
            Turn::Payload(body) => break reply::payload(body),
            Turn::Refused => break fault(Fault::BadRequest),
            Turn::Wait => exchange.poll.notified().await,
            Turn::Until(at) => {
                let _ = timeout_at(at.into(), exchange.poll.notified()).await;
            }
        }
    };
    asked.0 = None;
    answer
}

/// A request that is not answered yet. When it is dropped, the client has closed its connection; what it was about to get could be lost, so
/// the session ends, as it does with the original.
struct Asked(Option<Arc<Exchange>>);

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(exchange) = self.0.take() {
            exchange.close(Farewell::Close);
        }
    }
}

/// Takes packets. Answered when all of them have found room.
pub(super) async fn post(exchange: Arc<Exchange>, headers: &HeaderMap, body: Body) -> Response {
    match exchange.begin_post() {
        Ok(true) => {}
        Ok(false) => {
            exchange.close(Farewell::Close);
            return fault(Fault::BadRequest);
        }
        Err(Over) => return fault(Fault::BadRequest),
    }
    let mut asked = Asked(Some(exchange.clone()));
    let taken = take(&exchange, headers, body).await;
    if taken.is_ok() {
        asked.0 = None;
    }
    drop(asked);
    exchange.end_post();
    taken.map_or_else(fault, |()| reply::ok())
}

async fn take(exchange: &Exchange, headers: &HeaderMap, body: Body) -> Result<(), Fault> {
    let engine = &exchange.engine;
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let binary = content_type.split(';').next().is_some_and(|kind| kind.trim() == "application/octet-stream");
    let said = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if said.is_some_and(|said| said > engine.settings.max_payload) {
        return Err(Fault::TooLarge);
    }
    let patience = BODY.max(engine.settings.ping_interval + engine.settings.ping_timeout);
    let (body, _room) = timeout(patience, read(engine, body)).await.map_err(|_| Fault::Slow)??;
    for packet in decode(&body, exchange.eio(), binary) {
        let packet = packet.map_err(|_| Fault::BadRequest)?;
        let meant = match packet {
            Packet::Message(text) if exchange.eio() == Eio::V3 && !binary => read_twice(text),
            _ => None,
        };
        let packet = meant.as_deref().map_or(packet, Packet::Message);
        if !accept(exchange, packet).await? {
            break;
        }
    }
    Ok(())
}

/// Reads a body, and says how much of the room for all bodies it takes.
async fn read(engine: &Engine, body: Body) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), Fault> {
    let mut chunks = body.into_data_stream();
    let (mut all, mut room): (Vec<u8>, Option<OwnedSemaphorePermit>) = (Vec::new(), None);
    while let Some(chunk) = chunks.next().await {
        let chunk: Bytes = chunk.map_err(|_| Fault::BadRequest)?;
        if all.len() + chunk.len() > engine.settings.max_payload {
            return Err(Fault::TooLarge);
        }
        let size = u32::try_from(chunk.len()).map_err(|_| Fault::TooLarge)?;
        let more = engine.bodies.clone().acquire_many_owned(size).await.map_err(|_| Fault::Full)?;
        match &mut room {
            Some(room) => room.merge(more),
            None => room = Some(more),
        }
        all.extend_from_slice(&chunk);
    }
    Ok((all, room))
}

/// Does what a packet says. `false` when it was the last.
async fn accept(exchange: &Exchange, packet: Packet<'_>) -> Result<bool, Fault> {
    let heard = match (packet, exchange.eio()) {
        (Packet::Close, _) => {
            // The original reads one connection after the other: a poll that was sent before this is there before this.
            if !exchange.is_polling() {
                sleep(OVERTAKEN).await;
            }
            exchange.close(Farewell::Noop);
            return Ok(false);
        }
        (Packet::Ping(_), Eio::V3) => {
            exchange.ping();
            return Ok(true);
        }
        (Packet::Pong(_), Eio::V4) => {
            exchange.pong();
            return Ok(true);
        }
        // In the wrong direction.
        (Packet::Ping(_), Eio::V4) | (Packet::Pong(_), Eio::V3) => return Err(Fault::BadRequest),
        (Packet::Open(_) | Packet::Upgrade | Packet::Noop, _) => return Ok(true),
        (Packet::Message(text), _) => Heard::Text(text.into()),
        (Packet::Binary(data), _) => Heard::Binary(data.into_owned().into()),
    };
    exchange.sign_of_life();
    exchange.deliver(heard).await.map_err(|Over| Fault::BadRequest)?;
    Ok(true)
}
