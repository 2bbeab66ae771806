//! A stream over HTTP: NDJSON, Server-Sent Events, a JSON array or CSV that goes on while it is read.
//!
//! A source that cannot be held back (it drops what nobody reads) loses what it drops; with SSE ids it is asked to send that
//! again.

use std::time::Duration;

use futures_util::StreamExt;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, Url};

use super::feed::{FeedError, Station, decoder};
use super::reading::{Over, Session};
use super::request::{ANSWER_WAIT, HttpRequest, sentence};
use crate::ingest::decode::Format;

/// A stream to fetch by HTTP.
#[derive(Debug, Clone)]
pub struct HttpFeed {
    /// Where it is.
    pub url: Url,
    /// What it sends.
    pub format: Format,
    /// A connection that is silent for so long is given up. The source must be heard of at least so often.
    pub idle_timeout: Duration,
    /// How it is asked for.
    pub request: HttpRequest,
}

impl HttpFeed {
    /// The format is found out, and a minute's silence is too long.
    pub fn new(url: Url) -> Self {
        let request = HttpRequest::default();
        Self { url, format: Format::Auto, idle_timeout: Duration::from_secs(60), request }
    }
}

const ACCEPTED: &str = "text/event-stream, application/x-ndjson, application/json, text/csv;q=0.9, */*;q=0.5";

/// A stream, with the last id that was heard of it.
pub(super) struct Http {
    feed: HttpFeed,
    client: Client,
    last_event_id: Option<Box<str>>,
}

impl Http {
    pub(super) fn open(feed: HttpFeed) -> Result<Self, FeedError> {
        let client = feed.request.client()?;
        Ok(Self { feed, client, last_event_id: None })
    }

    pub(super) async fn session(&mut self, to: Station<'_>) -> Session {
        let mut request = self.feed.request.to(&self.client, &self.feed.url);
        if !self.feed.request.headers.map().contains_key(ACCEPT) {
            request = request.header(ACCEPT, ACCEPTED);
        }
        // What is known to be safe counts, also after a restart.
        let resume = to.intake.resume().map(String::into_boxed_str).or(self.last_event_id.take());
        if let Some(id) = &resume
            && let Ok(id) = HeaderValue::from_bytes(id.as_bytes())
        {
            request = request.header("last-event-id", id);
        }
        self.last_event_id = resume;
        let response = match tokio::time::timeout(ANSWER_WAIT, request.send()).await {
            Err(_) => return Session::failed(format!("no answer within {ANSWER_WAIT:?}")),
            Ok(Err(error)) => return Session::failed(sentence(&error)),
            Ok(Ok(response)) if !response.status().is_success() => {
                let session = Session::failed(format!("answered {}", response.status()));
                return Session { retry: retry_after(&response), ..session };
            }
            Ok(Ok(response)) => response,
        };
        to.connected();
        self.body(response, to).await
    }

    async fn body(&mut self, response: Response, to: Station<'_>) -> Session {
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|t| t.to_str().ok()).map(str::to_owned);
        let mut decoder = decoder(self.feed.format, content_type.as_deref());
        let mut body = response.bytes_stream();
        let mut flowed = false;
        let over = loop {
            let mut records = Vec::new();
            let over = match tokio::time::timeout(self.feed.idle_timeout, body.next()).await {
                Ok(Some(Ok(bytes))) => {
                    decoder.feed(&bytes, &mut records);
                    None
                }
                Ok(None) => {
                    decoder.finish(&mut records);
                    Some(Over::End)
                }
                Ok(Some(Err(error))) => Some(Over::Error(sentence(&error))),
                Err(_) => Some(Over::Error(format!("silent for {:?}", self.feed.idle_timeout))),
            };
            flowed |= !records.is_empty();
            if !records.is_empty() && to.intake.take(records, decoder.last_event_id()).await.is_err() {
                break Over::Stopped;
            }
            if let Some(id) = decoder.last_event_id() {
                self.last_event_id = Some(id.into());
            }
            if let Some(over) = over {
                break over;
            }
        };
        // A body that is a document and not a stream does not count, or it would be fetched again and again.
        Session { over, flowed: flowed && decoder.is_stream(), retry: decoder.retry() }
    }
}

/// The server's wish for a pause, where it is one in seconds.
pub(super) fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
