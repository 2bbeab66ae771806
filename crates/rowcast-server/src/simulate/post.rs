//! The stream into a Rowcast by HTTP.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{StatusCode, Url};
use serde::Deserialize;

use super::Supply;

/// Records of one request, at most.
const MOST: u64 = 1_000;
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    count: u64,
    rejected_count: u64,
    error: Option<Problem>,
}

#[derive(Debug, Deserialize)]
struct Problem {
    message: String,
}

/// Posts records as they become due, a thousand at most in one request, and waits for a server that is away.
pub(super) async fn run(mut supply: Supply, to: Url) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().build().context("the HTTP client")?;
    let (mut stored, mut refused) = (0, 0);
    while let Some(due) = supply.next(MOST).await {
        let mut bytes = Vec::new();
        let emitted: Vec<_> = due.map(|n| (n, supply.line(n, &mut bytes))).collect();
        let Some(answer) = until_taken(&client, &supply, &to, bytes).await? else { break };
        supply.tally.emitted(&emitted);
        stored += answer.count;
        refused += answer.rejected_count;
    }
    crate::say(&format!("the server stored {stored} and refused {refused}\n"));
    Ok(())
}

/// `None`: stopped meanwhile.
async fn until_taken(
    client: &reqwest::Client,
    supply: &Supply,
    to: &Url,
    body: Vec<u8>,
) -> anyhow::Result<Option<Answer>> {
    let body = bytes::Bytes::from(body);
    let mut told = None;
    loop {
        let request = client.post(to.clone()).header("content-type", "application/x-ndjson").body(body.clone());
        let problem = match request.send().await {
            Ok(response) => {
                let status = response.status();
                let text = response.text().await.unwrap_or_default();
                let answer: Answer = serde_json::from_str(&text).unwrap_or_default();
                // Rows that do not fit are told with a status of their own, and counted; the others stand.
                let has_read = answer.error.is_none() || answer.count + answer.rejected_count > 0;
                match status {
                    StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => format!("answered {status}"),
                    _ if status.is_success() || (status.is_client_error() && has_read && !text.is_empty()) => {
                        return Ok(Some(answer));
                    }
                    _ => bail!("{to} answered {status}: {}", answer.error.map_or(text, |error| error.message)),
                }
            }
            Err(error) if error.is_connect() => format!("cannot be reached: {error}"),
            Err(error) => return Err(error).context("what became of the last records is not known"),
        };
        if told.as_ref() != Some(&problem) {
            eprintln!("{to} {problem}; trying again");
            told = Some(problem);
        }
        if supply.stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
            return Ok(None);
        }
    }
}
