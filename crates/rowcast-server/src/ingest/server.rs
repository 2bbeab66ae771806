//! Through a running server, by its own door for rows.

use anyhow::{Context, bail};
use futures_util::StreamExt;
use reqwest::{Body, Url};
use rowcast::ingest::Format;
use rowcast::ingest::load::Loaded;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::input::{Input, format_of};
use super::show::Show;
use crate::cli::Ingest;

/// What the server says became of the rows.
#[derive(Deserialize)]
struct Report {
    count: u64,
    rejected_count: u64,
    rejected: Vec<Rejected>,
}

#[derive(Deserialize)]
struct Rejected {
    line: u64,
    reason: String,
}

pub(super) async fn send(ingest: &Ingest, server: &Url, input: &Input, show: &Show) -> anyhow::Result<Loaded> {
    let mut chunks = input.read(show.bar());
    let first = chunks.recv().await.transpose().with_context(|| format!("{} cannot be read", input.shown()))?;
    let format = ingest.format.unwrap_or_else(|| format_of(input));
    let media_type = match format {
        Format::Ndjson => "application/x-ndjson",
        Format::Json => "application/json",
        Format::Csv => "text/csv",
        Format::Auto => match first.as_deref().unwrap_or_default().trim_ascii_start().first() {
            Some(b'[') => "application/json",
            Some(b'{') | None => "application/x-ndjson",
            Some(_) => bail!("the format of {} is not clear; say --format ndjson, json or csv", input.shown()),
        },
        other => bail!("a server takes ndjson, json and csv; give --database for {other}"),
    };
    let mut url = server.clone();
    let table = ingest.table.to_string();
    url.path_segments_mut()
        .ok()
        .context("--url: write for example http://localhost:3000")?
        .pop_if_empty()
        .extend(["v1", "tables", &table]);
    let body = Body::wrap_stream(futures_util::stream::iter(first.map(Ok)).chain(stream(chunks)));
    let request = super::super::tail::client(server)?.post(url).header("content-type", media_type).body(body);
    let answer = request.send().await.with_context(|| format!("{server} does not answer"))?;
    let status = answer.status();
    let text = answer.text().await?;
    match serde_json::from_str::<Report>(&text) {
        Ok(report) => Ok(Loaded {
            read: report.count + report.rejected_count,
            stored: report.count,
            before: 0,
            rejected: report.rejected_count,
            listed: report.rejected.into_iter().take(10).map(listed).collect(),
        }),
        Err(_) => bail!("{server} answered {status}: {}", text.chars().take(500).collect::<String>()),
    }
}

fn listed(rejected: Rejected) -> rowcast::ingest::Rejected {
    rowcast::ingest::Rejected { line: rejected.line, reason: rejected.reason, column: None }
}

fn stream(
    mut chunks: mpsc::Receiver<std::io::Result<bytes::Bytes>>,
) -> impl futures_util::Stream<Item = std::io::Result<bytes::Bytes>> {
    futures_util::stream::poll_fn(move |cx| chunks.poll_recv(cx))
}
