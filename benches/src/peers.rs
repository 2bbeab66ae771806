//! What Rowcast is measured against: servers that only fan out.
//!
//! `raw` frames a message once and writes it to every socket: about the least that a server on TCP can do.
//! `axum` and `axum-small` are what one writes in an afternoon: a broadcast channel and axum's WebSocket, with its own
//! buffer sizes or with small ones; `sse` the same with axum's event streams.

use std::convert::Infallible;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Result, bail};
use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use bytes::Bytes;
use futures_util::{Stream, stream};
use parking_lot::RwLock;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};

use crate::load::Wire;

/// Messages that may wait: more than any burst has, so that nothing is dropped.
const WAITING: usize = 1 << 14;
/// Frames in one write.
const VECTORS: usize = 64;
const GREETING: &str = r#"{"type":"subscribed"}"#;

/// Runs one of them until told to stop.
pub(crate) async fn serve(kind: &str) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let control = TcpListener::bind("127.0.0.1:0").await?;
    let addresses = (listener.local_addr()?, control.local_addr()?);
    match kind {
        "raw" => raw(listener, control, Wire::WebSocket, addresses).await,
        "raw-sse" => raw(listener, control, Wire::Sse, addresses).await,
        "axum" | "axum-small" | "axum-sse" => broadcasting(kind, listener, control, addresses).await,
        _ => bail!("there is no server `{kind}`"),
    }
}

fn announce((listening, control): (SocketAddr, SocketAddr)) {
    println!("control {control}\nlistening {listening}");
}

/// Reads messages, one on each line.
async fn obey(control: TcpListener, mut each: impl FnMut(&str)) -> Result<()> {
    loop {
        let (socket, _) = control.accept().await?;
        let mut lines = BufReader::new(socket).lines();
        while let Some(line) = lines.next_line().await? {
            each(&line);
        }
    }
}

struct Frames {
    all: RwLock<Vec<Bytes>>,
    count: watch::Sender<usize>,
}

async fn raw(listener: TcpListener, control: TcpListener, wire: Wire, at: (SocketAddr, SocketAddr)) -> Result<()> {
    let frames = Arc::new(Frames { all: RwLock::default(), count: watch::Sender::new(0) });
    let writer = frames.clone();
    tokio::spawn(obey(control, move |text| {
        let mut all = writer.all.write();
        all.push(framed(wire, text));
        writer.count.send_replace(all.len());
    }));
    announce(at);
    loop {
        let (socket, _) = listener.accept().await?;
        tokio::spawn(raw_client(socket, wire, frames.clone()));
    }
}

/// A message as one text frame, or as one event in one chunk.
fn framed(wire: Wire, text: &str) -> Bytes {
    match wire {
        Wire::WebSocket | Wire::SocketIo => {
            let mut out = vec![0x81];
            match text.len() {
                short @ 0..126 => out.push(short as u8),
                long => {
                    out.push(126);
                    out.extend_from_slice(&(long as u16).to_be_bytes());
                }
            }
            out.extend_from_slice(text.as_bytes());
            out.into()
        }
        Wire::Sse => {
            let event = format!("event: change\ndata: {text}\n\n");
            format!("{:x}\r\n{event}\r\n", event.len()).into()
        }
    }
}

async fn raw_client(mut socket: TcpStream, wire: Wire, frames: Arc<Frames>) -> Result<()> {
    socket.set_nodelay(true)?;
    let mut request = [0; 1024];
    let _ = socket.read(&mut request).await?;
    let head = match wire {
        Wire::WebSocket | Wire::SocketIo => {
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: \
             s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        }
        Wire::Sse => "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    };
    socket.write_all(head.as_bytes()).await?;
    socket.write_all(&framed(wire, GREETING)).await?;
    let mut count = frames.count.subscribe();
    let mut sent = *count.borrow_and_update();
    loop {
        let pending: Vec<Bytes> = frames.all.read().iter().skip(sent).take(VECTORS).cloned().collect();
        if pending.is_empty() {
            count.changed().await?;
            continue;
        }
        sent += pending.len();
        write_all_vectored(&mut socket, &pending).await?;
    }
}

async fn write_all_vectored(socket: &mut TcpStream, frames: &[Bytes]) -> Result<()> {
    let mut slices: Vec<IoSlice<'_>> = frames.iter().map(|frame| IoSlice::new(frame)).collect();
    let mut rest = &mut slices[..];
    while !rest.is_empty() {
        let written = socket.write_vectored(rest).await?;
        IoSlice::advance_slices(&mut rest, written);
    }
    Ok(())
}

async fn broadcasting(
    kind: &str,
    listener: TcpListener,
    control: TcpListener,
    at: (SocketAddr, SocketAddr),
) -> Result<()> {
    let sender = broadcast::Sender::<Utf8Bytes>::new(WAITING);
    let messages = sender.clone();
    tokio::spawn(obey(control, move |text| {
        // Nobody may be there.
        let _ = messages.send(text.into());
    }));
    let app = match kind {
        "axum-sse" => Router::new().route("/v1/stream", get(stream_events)),
        "axum-small" => Router::new().route("/v1/ws", get(upgrade_small)),
        _ => Router::new().route("/v1/ws", get(upgrade)),
    };
    announce(at);
    // A refused option costs time and is no reason to refuse the client.
    let listener = listener.tap_io(|socket| _ = socket.set_nodelay(true));
    axum::serve(listener, app.with_state(sender)).await?;
    Ok(())
}

type Messages = State<broadcast::Sender<Utf8Bytes>>;

async fn upgrade(State(sender): Messages, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(move |socket| send_all(socket, sender.subscribe()))
}

async fn upgrade_small(State(sender): Messages, upgrade: WebSocketUpgrade) -> Response {
    let upgrade = upgrade.read_buffer_size(4 << 10).write_buffer_size(16 << 10);
    upgrade.on_upgrade(move |socket| send_all(socket, sender.subscribe()))
}

async fn send_all(mut socket: WebSocket, mut messages: broadcast::Receiver<Utf8Bytes>) {
    if socket.send(Message::Text(GREETING.into())).await.is_err() {
        return;
    }
    loop {
        tokio::select! {
            message = messages.recv() => {
                let Ok(text) = message else { return };
                if socket.send(Message::Text(text)).await.is_err() {
                    return;
                }
            }
            heard = socket.recv() => if !matches!(heard, Some(Ok(_))) { return },
        }
    }
}

async fn stream_events(State(sender): Messages) -> Response {
    Sse::new(events(sender.subscribe())).keep_alive(KeepAlive::default()).into_response()
}

fn events(messages: broadcast::Receiver<Utf8Bytes>) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold((messages, true), |(mut messages, first)| async move {
        let text = if first { GREETING.into() } else { messages.recv().await.ok()? };
        Some((Ok(Event::default().event("change").data(text.as_str())), (messages, false)))
    })
}
