//! A document over HTTP, fetched again and again; where the server can tell, only when it has changed.

use std::collections::HashMap;
use std::time::Duration;

use reqwest::header::{
    ACCEPT, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use reqwest::{Client, Response, StatusCode, Url};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::feed::{FeedError, Station, decoder, excerpt};
use super::http::retry_after;
use super::reading::{Over, Session};
use super::request::{ANSWER_WAIT, HttpRequest, sentence};
use crate::ingest::decode::{Format, Record, RecordError};

/// The largest document that is read.
const DOCUMENT_BYTES_MAX: usize = 64 << 20;

/// The longest pause that a server may ask for.
const PAUSE_MAX: Duration = Duration::from_secs(3_600);

/// A document to fetch again and again.
#[derive(Debug, Clone)]
pub struct PollFeed {
    /// Where it is.
    pub url: Url,
    /// How it is written.
    pub format: Format,
    /// How long from one fetch to the next.
    pub every: Duration,
    /// Where in a JSON document its records are, as a JSON pointer (`/data/items`). `None`: the document itself.
    pub items: Option<String>,
    /// How it is asked for.
    pub request: HttpRequest,
}

impl PollFeed {
    /// The format is found out, and the document is the list of records.
    pub fn new(url: Url, every: Duration) -> Self {
        Self { url, format: Format::Auto, every, items: None, request: HttpRequest::default() }
    }
}

/// What a server said of the version that was read last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Version {
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified: Option<String>,
}

/// A document, with the version that was read last.
pub(super) struct Poll {
    feed: PollFeed,
    client: Client,
    version: Version,
}

impl Poll {
    pub(super) fn open(feed: PollFeed) -> Result<Self, FeedError> {
        let client = feed.request.client()?;
        Ok(Self { feed, client, version: Version::default() })
    }

    /// Fetches until something goes wrong.
    pub(super) async fn session(&mut self, to: Station<'_>) -> Session {
        let mut flowed = false;
        let mut next = Instant::now();
        loop {
            tokio::time::sleep_until(next).await;
            next = Instant::now() + self.feed.every;
            match self.fetch(to).await {
                Ok(Some(pause)) => next = next.max(Instant::now() + pause.min(PAUSE_MAX)),
                Ok(None) => {}
                Err(over) => return Session { over, flowed, retry: None },
            }
            flowed = true;
        }
    }

    /// Fetches once. Returns the pause that the server asks for.
    async fn fetch(&mut self, to: Station<'_>) -> Result<Option<Duration>, Over> {
        let resume = to.intake.resume().and_then(|token| serde_json::from_str(&token).ok());
        let version = resume.unwrap_or_else(|| self.version.clone());
        let mut request = self.feed.request.to(&self.client, &self.feed.url);
        if !self.feed.request.headers.map().contains_key(ACCEPT) {
            request = request.header(ACCEPT, "application/json, application/x-ndjson, text/csv;q=0.9, */*;q=0.5");
        }
        let conditions = [(IF_NONE_MATCH, &version.etag), (IF_MODIFIED_SINCE, &version.modified)];
        for (name, value) in conditions {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let answered = tokio::time::timeout(ANSWER_WAIT, request.send()).await;
        let response = answered.map_err(|_| Over::Error(format!("no answer within {ANSWER_WAIT:?}")))?;
        let response = response.map_err(|error| Over::Error(sentence(&error)))?;
        match response.status() {
            StatusCode::NOT_MODIFIED => {
                to.connected();
                Ok(retry_after(&response))
            }
            // The server is well, and says when it wants to be asked again.
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE if retry_after(&response).is_some() => {
                to.board.trouble(format!("answered {}", response.status()));
                Ok(retry_after(&response))
            }
            status if status.is_success() => {
                to.connected();
                let version = version_of(response.headers());
                let records = self.read(response).await?;
                let token = serde_json::to_string(&version).unwrap_or_default();
                if !records.is_empty() {
                    to.intake.take(records, Some(&token)).await.map_err(|_| Over::Stopped)?;
                }
                self.version = version;
                Ok(None)
            }
            status => Err(Over::Error(format!("answered {status}"))),
        }
    }

    /// The records of the whole document: none of them where it breaks off, for it is fetched again.
    async fn read(&self, mut response: Response) -> Result<Vec<Record>, Over> {
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|t| t.to_str().ok()).map(str::to_owned);
        let mut document = Vec::new();
        loop {
            let chunk = tokio::time::timeout(ANSWER_WAIT, response.chunk()).await;
            let chunk = chunk.map_err(|_| Over::Error(format!("the document stopped for {ANSWER_WAIT:?}")))?;
            let Some(chunk) = chunk.map_err(|error| Over::Error(sentence(&error)))? else { break };
            if document.len() + chunk.len() > DOCUMENT_BYTES_MAX {
                return Err(Over::Error(format!("the document is larger than {DOCUMENT_BYTES_MAX} bytes")));
            }
            document.extend_from_slice(&chunk);
        }
        let (format, body) = match &self.feed.items {
            None => (self.feed.format, document.as_slice()),
            Some(pointer) => match items(&document, pointer) {
                Ok(items) => (Format::Json, items.as_bytes()),
                Err(what) => {
                    let error = RecordError::NotJson(what);
                    return Ok(vec![Record { line: 1, raw: excerpt(&document), place: None, fields: Err(error) }]);
                }
            },
        };
        let mut decoder = decoder(format, content_type.as_deref());
        let mut records = Vec::new();
        decoder.feed(body, &mut records);
        decoder.finish(&mut records);
        Ok(records)
    }
}

fn version_of(headers: &HeaderMap) -> Version {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Version { etag: text(ETAG), modified: text(LAST_MODIFIED) }
}

/// The part of a JSON document that a JSON pointer names, as it is written there: numbers keep their digits.
fn items<'a>(document: &'a [u8], pointer: &str) -> Result<&'a str, String> {
    let text = std::str::from_utf8(document).map_err(|_| "the document is not UTF-8".to_owned())?;
    let mut part: &RawValue =
        serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| error.to_string())?;
    let mut walked = String::new();
    for step in pointer.split('/').skip(1) {
        walked.push('/');
        walked.push_str(step);
        let name = step.replace("~1", "/").replace("~0", "~");
        let missing = || format!("the document has nothing at `{walked}`");
        part = if part.get().starts_with('[') {
            let index: usize = name.parse().map_err(|_| missing())?;
            let elements: Vec<&RawValue> = serde_json::from_str(part.get()).map_err(|error| error.to_string())?;
            elements.get(index).copied().ok_or_else(missing)?
        } else {
            let members: HashMap<String, &RawValue> = serde_json::from_str(part.get()).map_err(|_| missing())?;
            members.get(&name).copied().ok_or_else(missing)?
        };
    }
    Ok(part.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_finds_its_part_and_digits_stay() {
        let document = br#"{"data":{"items":[{"a":12345678901234567890.10}],"x/y":[1,{"b":2}]}}"#;
        assert_eq!(items(document, "/data/items"), Ok(r#"[{"a":12345678901234567890.10}]"#));
        assert_eq!(items(document, "/data/x~1y/1"), Ok(r#"{"b":2}"#));
        assert_eq!(items(document, "/data/nothing/x"), Err("the document has nothing at `/data/nothing`".into()));
        assert_eq!(items(document, "/data/items/7"), Err("the document has nothing at `/data/items/7`".into()));
        assert!(items(b"<html>", "/a").is_err());
    }
}
