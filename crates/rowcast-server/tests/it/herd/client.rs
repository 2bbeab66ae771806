//! One of the herd: small, so that ten thousand fit into one process, and strict about what it hears.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::pause;
use crate::server::{DEADLINE, Server};

/// What all of the herd have come to.
pub(super) struct Tally {
    clients: usize,
    subscribed: AtomicUsize,
    /// How many have heard each of these rows.
    milestones: Vec<(i64, AtomicUsize)>,
    refused: AtomicUsize,
    news: Notify,
}

impl Tally {
    pub(super) fn new(clients: usize, milestones: &[i64]) -> Arc<Self> {
        let milestones = milestones.iter().map(|row| (*row, AtomicUsize::new(0))).collect();
        let (subscribed, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { clients, subscribed, milestones, refused, news: Notify::new() })
    }

    pub(super) async fn all_subscribed(&self) -> Result<()> {
        self.all(&self.subscribed).await.context("subscribed")
    }

    pub(super) async fn all_at(&self, row: i64) -> Result<()> {
        let (_, count) = self.milestones.iter().find(|(at, _)| *at == row).context("a milestone")?;
        self.all(count).await.with_context(|| format!("have heard row {row}"))
    }

    /// How often one was told to come back later.
    pub(super) fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    async fn all(&self, count: &AtomicUsize) -> Result<()> {
        let waiting = async {
            loop {
                let news = self.news.notified();
                if count.load(Ordering::SeqCst) == self.clients {
                    return;
                }
                news.await;
            }
        };
        let waited = tokio::time::timeout(DEADLINE, waiting).await;
        waited.with_context(|| format!("{} of {} in time", count.load(Ordering::SeqCst), self.clients))
    }

    fn one_more(&self, count: &AtomicUsize) {
        if count.fetch_add(1, Ordering::SeqCst) + 1 == self.clients {
            self.news.notify_one();
        }
    }
}

/// One client, over all its connections.
pub(super) struct Client {
    number: usize,
    server: Arc<Server>,
    tally: Arc<Tally>,
    /// The position that it has reached.
    at: Option<String>,
    /// The last row that it has heard.
    last: i64,
}

type Socket = WebSocketStream<TcpStream>;

impl Client {
    pub(super) fn new(number: usize, server: Arc<Server>, tally: Arc<Tally>) -> Self {
        Self { number, server, tally, at: None, last: 0 }
    }

    /// Follows the table until this row, over as many connections as it takes.
    pub(super) async fn follow(mut self, until: i64) -> Result<()> {
        while self.last < until {
            self.server.up().await?;
            match connect(&self.server).await? {
                Ok(socket) => {
                    if let Some(wait) = self.listen(socket, until).await? {
                        tokio::time::sleep(wait).await;
                    }
                }
                Err(retry_after) => {
                    self.tally.refused.fetch_add(usize::from(retry_after.is_some()), Ordering::Relaxed);
                    tokio::time::sleep(pause(retry_after)).await;
                }
            }
        }
        Ok(())
    }

    /// One connection. Returns how long to stay away, where the server has said that.
    async fn listen(&mut self, mut socket: Socket, until: i64) -> Result<Option<Duration>> {
        let mut subscribe = json!({ "type": "subscribe", "id": "t", "channel": "table:t", "snapshot": false });
        if let Some(at) = &self.at {
            subscribe["since"] = json!(at);
        }
        if socket.send(Message::text(subscribe.to_string())).await.is_err() {
            return Ok(None);
        }
        while self.last < until {
            let Some(Ok(frame)) = socket.next().await else { return Ok(None) };
            let Message::Text(text) = frame else { continue };
            let message: Value = serde_json::from_str(&text)?;
            if let Some(wait) = self.hear(&message).with_context(|| format!("client {}: {text:.300}", self.number))? {
                let _ = socket.next().await;
                return Ok(Some(wait));
            }
        }
        Ok(None)
    }

    fn hear(&mut self, message: &Value) -> Result<Option<Duration>> {
        match message["type"].as_str() {
            Some("subscribed") => {
                let resumed = message["resumed"] == json!(true);
                ensure!(resumed == self.at.is_some(), "resumed, or not");
                if self.at.is_none() {
                    self.tally.one_more(&self.tally.subscribed);
                }
                self.forward(message)?;
            }
            Some("change") => {
                let id = message["row"]["id"].as_i64().context("an id")?;
                ensure!(id == self.last + 1, "row {id} after {}", self.last);
                self.last = id;
                self.forward(message)?;
                if let Some((_, count)) = self.tally.milestones.iter().find(|(row, _)| *row == id) {
                    self.tally.one_more(count);
                }
            }
            Some("position") => self.forward(message)?,
            Some("hello") => {}
            Some("close") => return Ok(Some(Duration::from_millis(message["retry_ms"].as_u64().context("a time")?))),
            _ => bail!("not expected"),
        }
        Ok(None)
    }

    fn forward(&mut self, message: &Value) -> Result<()> {
        self.at = Some(message["position"].as_str().context("a position")?.to_owned());
        Ok(())
    }
}

/// Connects; or says when to try again, where the server has said that.
pub(super) async fn connect(server: &Server) -> Result<Result<Socket, Option<Duration>>> {
    let Ok(stream) = TcpStream::connect(("127.0.0.1", server.port())).await else { return Ok(Err(None)) };
    // Ten thousand of the usual buffers would be gigabytes.
    let config = WebSocketConfig::default().read_buffer_size(4 << 10).write_buffer_size(0);
    let url = format!("ws://127.0.0.1:{}/v1/ws", server.port());
    match client_async_with_config(url, stream, Some(config)).await {
        Ok((socket, _)) => Ok(Ok(socket)),
        Err(Error::Http(response)) => {
            ensure!(response.status() == 503, "{response:?}");
            let seconds = response.headers().get("retry-after").context("a 503 says when to come back")?.to_str()?;
            let exact: Option<Value> = response.body().as_ref().and_then(|body| serde_json::from_slice(body).ok());
            let exact = exact.and_then(|body| body["error"]["retry_ms"].as_u64());
            Ok(Err(Some(Duration::from_millis(exact.unwrap_or(seconds.parse::<u64>()? * 1_000)))))
        }
        Err(_) => Ok(Err(None)),
    }
}
