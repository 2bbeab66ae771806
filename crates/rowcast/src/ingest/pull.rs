//! Streams that Rowcast fetches itself: connects, reads, connects again.
//!
//! One task reads the source and one writes; the queue between them is short and waits when it is full, so that a database that is
//! away holds the source back instead of losing its rows. A source that cannot be held back (it drops what nobody reads) loses
//! what it drops; with SSE ids it is asked to send that again.

mod backoff;
mod status;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::coerce::Extra;
use super::decode::{Decoder, Format, Record};
use super::pipe::{Ingest, Patience, Pipe};
use crate::event::TableName;
use backoff::Backoff;
use status::Board;
pub use status::{PullReject, PullStatus, REJECTS_KEPT};

/// How much of a rejected record is kept to be looked at.
const RAW_BYTES: usize = 200;

/// Chunks between the reader and the writer.
const QUEUE: usize = 4;

/// How long a server may take to answer with headers.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// How long the last rows may take to be written when the pull is stopped.
const DRAIN_WAIT: Duration = Duration::from_secs(5);

/// A stream to fetch by HTTP, and the table that its rows go to.
#[derive(Debug, Clone)]
pub struct HttpPull {
    /// For people, in Console, logs and metrics.
    pub name: String,
    /// Where it is.
    pub url: reqwest::Url,
    /// Where its rows go. Fields that are no column of it are passed over.
    pub table: TableName,
    /// What it sends.
    pub format: Format,
    /// A connection that is silent for so long is given up. The source must be heard of at least so often.
    pub idle_timeout: Duration,
}

/// A pull under way. Dropping it leaves it running; [`Pulling::stop`] ends it.
#[derive(Debug)]
pub struct Pulling {
    board: Arc<Board>,
    stop: CancellationToken,
    tasks: [JoinHandle<()>; 2],
}

impl HttpPull {
    /// A source with a name, an address and a table; the format is found out, and a minute's silence is too long.
    pub fn new(name: impl Into<String>, url: reqwest::Url, table: TableName) -> Self {
        Self { name: name.into(), url, table, format: Format::Auto, idle_timeout: Duration::from_secs(60) }
    }

    /// Begins to pull, and goes on until it is stopped.
    ///
    /// The program must have installed a rustls provider before.
    pub fn start(self, to: Ingest) -> Result<Pulling, reqwest::Error> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("rowcast/", env!("CARGO_PKG_VERSION")))
            // A library reads no environment, which is where reqwest would look for a proxy.
            .no_proxy()
            .connect_timeout(Duration::from_secs(10))
            .tcp_keepalive(Duration::from_secs(15))
            .build()?;
        let board = Arc::new(Board::new(&self));
        let stop = CancellationToken::new();
        let (rows, queue) = mpsc::channel(QUEUE);
        let writer = tokio::spawn(write(to, self.table.clone(), queue, Arc::clone(&board), stop.clone()));
        let reader = Reader { pull: self, client, rows, board: Arc::clone(&board), last_event_id: None, trouble: None };
        let stopped = stop.clone();
        // Its end closes the queue, and that ends the writer.
        let reader = tokio::spawn(async move {
            stopped.run_until_cancelled(reader.run()).await;
        });
        Ok(Pulling { board, stop, tasks: [reader, writer] })
    }
}

impl Pulling {
    /// How it stands.
    pub fn status(&self) -> PullStatus {
        self.board.status()
    }

    /// Stops reading, waits until what was read is written, a few seconds at most, and says how it stood at last.
    pub async fn stop(self) -> PullStatus {
        self.stop.cancel();
        let [reader, mut writer] = self.tasks;
        let _ = reader.await;
        if tokio::time::timeout(DRAIN_WAIT, &mut writer).await.is_err() {
            tracing::warn!(source = %self.board.name(), "stopped before the database took the last rows of the stream");
            writer.abort();
        }
        self.board.disconnected(None);
        self.board.status()
    }
}

/// Writes what is read, whatever it takes.
async fn write(
    to: Ingest,
    table: TableName,
    mut queue: mpsc::Receiver<Vec<Record>>,
    board: Arc<Board>,
    stop: CancellationToken,
) {
    let open = Pipe::open(to, &table, Extra::Ignore, Patience::Forever(board.problem()));
    // Before the table is there nothing can be written; afterwards the end of the queue ends the loop.
    let Some(Ok(mut pipe)) = stop.run_until_cancelled(open).await else { return };
    let records = futures_util::stream::poll_fn(|cx| queue.poll_recv(cx));
    let written = pipe.run(records, |stored, rejects| board.add(stored, rejects)).await;
    if let Err(error) = written {
        board.disconnected(Some(error.to_string()));
    }
}

struct Reader {
    pull: HttpPull,
    client: reqwest::Client,
    rows: mpsc::Sender<Vec<Record>>,
    board: Arc<Board>,
    last_event_id: Option<Box<str>>,
    /// What ended the last connection.
    trouble: Option<String>,
}

/// Why a connection is over.
enum Over {
    /// The body ended as it should.
    End,
    /// It did not, or none came.
    Error(String),
    /// The writer is gone.
    Stopped,
}

/// What a connection leaves behind for the next one.
struct Session {
    over: Over,
    /// Whether any row came; a body that is a document and not a stream does not count, or it would be fetched again and again.
    flowed: bool,
    retry: Option<Duration>,
}

impl Session {
    fn failed(error: impl Into<String>) -> Self {
        Self { over: Over::Error(error.into()), flowed: false, retry: None }
    }
}

impl Reader {
    async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let session = self.session().await;
            let problem = match session.over {
                Over::Stopped => return,
                Over::End => None,
                Over::Error(error) => Some(error),
            };
            if session.flowed {
                backoff.reset();
            }
            if let Some(retry) = session.retry {
                backoff.at_least(retry);
            }
            let pause = backoff.next();
            match &problem {
                // Once for each trouble, not for each attempt.
                Some(message) if self.trouble != problem => {
                    tracing::warn!(source = %self.pull.name, "the stream is away and is tried again: {message}");
                }
                _ => tracing::debug!(source = %self.pull.name, ?pause, "the stream ended and is connected again"),
            }
            self.board.disconnected(problem.clone());
            self.trouble = problem;
            tokio::time::sleep(pause).await;
            self.board.reconnecting();
        }
    }

    /// One connection, from its request to its end.
    async fn session(&mut self) -> Session {
        let mut request = self.client.get(self.pull.url.clone()).header(ACCEPT, ACCEPTED);
        if let Some(id) = &self.last_event_id
            && let Ok(id) = HeaderValue::from_bytes(id.as_bytes())
        {
            request = request.header("last-event-id", id);
        }
        let response = match tokio::time::timeout(ANSWER_WAIT, request.send()).await {
            Err(_) => return Session::failed(format!("no answer within {ANSWER_WAIT:?}")),
            Ok(Err(error)) => return Session::failed(sentence(&error)),
            Ok(Ok(response)) if !response.status().is_success() => {
                return Session::failed(format!("answered {}", response.status()));
            }
            Ok(Ok(response)) => response,
        };
        self.board.connected();
        tracing::info!(source = %self.pull.name, url = %status::without_password(&self.pull.url), "stream connected");
        self.body(response).await
    }

    async fn body(&mut self, response: reqwest::Response) -> Session {
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|t| t.to_str().ok()).map(str::to_owned);
        let mut decoder = Decoder::new(self.pull.format, content_type.as_deref()).keep_raw(RAW_BYTES);
        let mut body = response.bytes_stream();
        let mut flowed = false;
        let over = loop {
            let mut records = Vec::new();
            let over = match tokio::time::timeout(self.pull.idle_timeout, body.next()).await {
                Ok(Some(Ok(bytes))) => {
                    decoder.feed(&bytes, &mut records);
                    None
                }
                Ok(None) => {
                    decoder.finish(&mut records);
                    Some(Over::End)
                }
                Ok(Some(Err(error))) => Some(Over::Error(sentence(&error))),
                Err(_) => Some(Over::Error(format!("silent for {:?}", self.pull.idle_timeout))),
            };
            flowed |= !records.is_empty();
            if !records.is_empty() && self.rows.send(records).await.is_err() {
                break Over::Stopped;
            }
            if let Some(id) = decoder.last_event_id() {
                self.last_event_id = Some(id.into());
            }
            if let Some(over) = over {
                break over;
            }
        };
        Session { over, flowed: flowed && decoder.is_stream(), retry: decoder.retry() }
    }
}

const ACCEPTED: &str = "text/event-stream, application/x-ndjson, application/json, text/csv;q=0.9, */*;q=0.5";

/// An error with its causes: reqwest's own message stops at the first. Without the URL, which may hold a password.
fn sentence(error: &reqwest::Error) -> String {
    let mut parts = Vec::new();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(error) = cause {
        parts.push(error.to_string());
        cause = error.source();
    }
    let kind = if error.is_connect() {
        "cannot connect"
    } else if error.is_body() || error.is_decode() {
        "the stream broke off"
    } else {
        "the request failed"
    };
    match parts.last() {
        Some(last) => format!("{kind}: {last}"),
        None => kind.to_owned(),
    }
}
