//! `rowcast tail`: a table's changes in the terminal, over SSE, resumed wherever the connection breaks.
//!
//! From a running server; or straight from a database, by a gateway that lives as long as the command.

mod direct;
mod events;
mod show;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::StreamExt;
use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;

use crate::cli::Tail;
use crate::config::Config;
use events::{Event, Events};
use show::Show;

/// The server sends something at each heartbeat; after so long without, the connection is dead.
const SILENCE_MAX: Duration = Duration::from_secs(60);

const PAUSE_MAX: Duration = Duration::from_secs(5);

/// `rowcast tail`. With a configuration it needs no server.
pub(crate) async fn run(tail: &Tail, database: Option<&Config>) -> anyhow::Result<ExitCode> {
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    match database {
        Some(config) => direct::run(tail, config, colour).await,
        None => follow_server(tail, server(tail), colour).await,
    }
}

/// The server that the user means.
fn server(tail: &Tail) -> Url {
    tail.url.clone().unwrap_or_else(|| Url::parse("http://localhost:3000").expect("a URL"))
}

async fn follow_server(tail: &Tail, server: Url, colour: bool) -> anyhow::Result<ExitCode> {
    let mut follow = Follow {
        client: client(&server)?,
        url: address(tail, &server)?,
        server,
        position: tail.since.map(|position| position.to_string()),
        began: false,
        retry: Duration::from_secs(1),
        show: Show { json: tail.json, colour },
        left: tail.count,
    };
    follow.run(tail).await
}

pub(crate) fn client(url: &Url) -> anyhow::Result<Client> {
    let mut client = Client::builder().connect_timeout(Duration::from_secs(10));
    // No proxy of the environment can reach this machine's own ports.
    if matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
        client = client.no_proxy();
    }
    Ok(client.build()?)
}

fn address(tail: &Tail, server: &Url) -> anyhow::Result<Url> {
    let mut url = server.join("/v1/stream").context("--url")?;
    if !matches!(url.scheme(), "http" | "https") {
        bail!("--url: write for example http://localhost:3000");
    }
    let table: rowcast::event::TableName = tail.table().parse().map_err(|error| anyhow::anyhow!("--table: {error}"))?;
    {
        let mut query = url.query_pairs_mut();
        query.append_pair("channel", &format!("table:{table}"));
        if let Some(filter) = tail.filter() {
            query.append_pair("where", filter);
        }
        if !tail.columns.is_empty() {
            query.append_pair("columns", &tail.columns.join(","));
        }
        if tail.snapshot {
            query.append_pair("snapshot", "true");
        }
        if !tail.json {
            query.append_pair("old", "true");
        }
    }
    Ok(url)
}

/// What happens after something was read.
enum Next {
    Go,
    Reconnect(Duration),
    Done(ExitCode),
}

struct Follow {
    client: Client,
    server: Url,
    url: Url,
    position: Option<String>,
    /// Whether the server was ever reached: before that an error ends everything.
    began: bool,
    retry: Duration,
    show: Show,
    left: Option<u64>,
}

impl Follow {
    async fn run(&mut self, tail: &Tail) -> anyhow::Result<ExitCode> {
        if self.left == Some(0) {
            return Ok(ExitCode::SUCCESS);
        }
        loop {
            match self.connection(tail).await? {
                Next::Go => self.pause(self.retry.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await,
                Next::Reconnect(pause) => self.pause(pause).await,
                Next::Done(code) => return Ok(code),
            }
        }
    }

    async fn pause(&mut self, pause: Duration) {
        tokio::time::sleep(pause).await;
        self.retry = (self.retry * 2).min(PAUSE_MAX);
    }

    /// One connection, from its request to its end.
    async fn connection(&mut self, tail: &Tail) -> anyhow::Result<Next> {
        let mut request = self.client.get(self.url.clone());
        if let Some(position) = &self.position {
            request = request.header("last-event-id", position);
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if self.began => {
                tracing::debug!(%error, "no answer");
                return Ok(Next::Go);
            }
            Err(error) => {
                let why = root_cause(&error);
                bail!("cannot reach {}: {why}; is `rowcast serve` running there?", self.server);
            }
        };
        if response.status() != StatusCode::OK {
            return self.refused(response, tail).await;
        }
        if self.began {
            self.note("connected again");
        }
        self.began = true;
        self.body(response).await
    }

    async fn refused(&mut self, response: Response, tail: &Tail) -> anyhow::Result<Next> {
        let status = response.status();
        let body = response.bytes().await.unwrap_or_default();
        if self.began && (status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS) {
            return Ok(Next::Go);
        }
        match serde_json::from_slice::<Refusal>(&body) {
            Ok(refusal) => eprint!("{}", refusal.error.explained(tail.filter())),
            Err(_) => eprintln!("error: {} answered {status}; is it a Rowcast server?", self.server),
        }
        Ok(Next::Done(ExitCode::FAILURE))
    }

    async fn body(&mut self, response: Response) -> anyhow::Result<Next> {
        let mut body = response.bytes_stream();
        let mut events = Events::default();
        loop {
            let chunk = match tokio::time::timeout(SILENCE_MAX, body.next()).await {
                Ok(Some(Ok(chunk))) => chunk,
                _ => {
                    self.note("connection lost, connecting again");
                    return Ok(Next::Go);
                }
            };
            for event in events.feed(&chunk) {
                match self.event(event)? {
                    Next::Go => {}
                    end => return Ok(end),
                }
            }
        }
    }

    fn event(&mut self, event: Event) -> anyhow::Result<Next> {
        if let Some(retry) = event.retry {
            self.retry = retry.min(PAUSE_MAX);
        }
        let next = match event.kind.as_str() {
            "" => Next::Go,
            "close" => {
                let close: Close = serde_json::from_str(&event.data).unwrap_or_default();
                self.note(&format!("the server closes the connection: {}", close.message));
                Next::Reconnect(Duration::from_millis(close.retry_ms))
            }
            "error" => {
                let problem: Problem = serde_json::from_str(&event.data).context("the server's error")?;
                eprint!("{}", problem.explained(None));
                Next::Done(ExitCode::FAILURE)
            }
            kind => self.print(kind, &event.data)?,
        };
        // Only now: what is printed is what a resume goes on from.
        self.position = event.id.or(self.position.take());
        Ok(next)
    }

    fn print(&mut self, kind: &str, data: &str) -> anyhow::Result<Next> {
        let mut out = std::io::stdout().lock();
        let written = self.show.write(&mut out, kind, data).and_then(|counts| out.flush().map(|()| counts));
        match written {
            // `| head` has seen enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(Next::Done(ExitCode::SUCCESS)),
            Err(error) => return Err(error.into()),
            Ok(counts) => {
                if let Some(left) = &mut self.left {
                    *left = left.saturating_sub(counts.into());
                }
            }
        }
        Ok(if self.left == Some(0) { Next::Done(ExitCode::SUCCESS) } else { Next::Go })
    }

    /// Beside the changes, for people: not on standard output.
    fn note(&self, text: &str) {
        eprintln!("-- {text}");
    }
}

fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[derive(Debug, Default, Deserialize)]
struct Close {
    #[serde(default)]
    message: String,
    #[serde(default)]
    retry_ms: u64,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    error: Problem,
}

#[derive(Debug, Deserialize)]
struct Problem {
    message: String,
    hint: Option<String>,
    at: Option<At>,
}

/// A place in the filter, in characters.
#[derive(Debug, Deserialize)]
struct At {
    offset: usize,
    length: usize,
}

impl Problem {
    /// For people, with a caret under the character of the filter that is wrong.
    fn explained(&self, filter: Option<&str>) -> String {
        let mut text = format!("error: {}\n", self.message);
        if let (Some(at), Some(filter)) = (&self.at, filter) {
            // A line break or tab would move the caret.
            let line: String = filter.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let marked = at.length.clamp(1, line.chars().count().saturating_sub(at.offset).max(1));
            text.push_str(&format!("  {line}\n  {}{}\n", " ".repeat(at.offset), "^".repeat(marked)));
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("hint: {hint}\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_character() {
        let body = r#"{"error":{"code":"bad_filter","message":"there is no column `sped`","hint":"did you mean `speed`?","at":{"offset":11,"length":4}}}"#;
        let refusal: Refusal = serde_json::from_str(body).expect("an error");
        assert_eq!(
            refusal.error.explained(Some("ö = 'x' and sped > 40")),
            "error: there is no column `sped`\n  ö = 'x' and sped > 40\n             ^^^^\nhint: did you mean `speed`?\n"
                .replace("             ^^^^", &format!("  {}^^^^", " ".repeat(11)))
        );
    }
}
