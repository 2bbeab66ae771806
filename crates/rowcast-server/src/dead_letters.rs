//! `rowcast dead-letters`: what was refused on its way into the database, straight from there.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use rowcast::ingest::letters::{Letters, Retried, RetryError, StillRefused};
use rowcast::ingest::pull::Pull;
use rowcast::store::{DeadLetter, DeadLetters as Which};
use serde_json::json;

use crate::cli::{DeadLetters, OfDeadLetters, WhichDeadLetters};
use crate::config::Config;
use crate::{database, say, serve};

/// `rowcast dead-letters`. Fails when something is refused still.
pub(crate) async fn run(config: &Config, asked: &DeadLetters) -> anyhow::Result<ExitCode> {
    let flows = serve::pulls(config).iter().map(Pull::flow).collect();
    let letters = Letters::new(database::store(config)?, Arc::new(flows));
    match &asked.what {
        None | Some(OfDeadLetters::List) => list(&letters, &asked.which).await,
        Some(OfDeadLetters::Retry { ids, record }) => retry(&letters, ids, record.as_deref(), &asked.which).await,
        Some(OfDeadLetters::Drop { ids }) => drop_letters(&letters, ids, &asked.which).await,
    }
}

async fn list(letters: &Letters, which: &WhichDeadLetters) -> anyhow::Result<ExitCode> {
    let WhichDeadLetters { source, before, limit, json } = which;
    let (source, before, limit) = (source.clone(), *before, *limit);
    let listed = letters.list(Which { source, before, limit, ..Which::default() }).await?;
    if *json {
        for letter in &listed {
            say(&format!("{}\n", serde_json::to_string(letter)?));
        }
        return Ok(ExitCode::SUCCESS);
    }
    if listed.is_empty() {
        say("no dead letters\n");
    }
    for letter in &listed {
        say(&shown(letter));
    }
    if listed.len() == limit as usize
        && let Some(last) = listed.last()
    {
        say(&format!("there may be more: --before {}\n", last.id));
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(letter: &DeadLetter) -> String {
    const RAW_CHARS: usize = 200;
    let DeadLetter { id, source, table, line, reason, raw, .. } = letter;
    let mut short: String = raw.chars().take(RAW_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if short.len() < raw.len() && raw.chars().nth(RAW_CHARS).is_some() {
        short.push('…');
    }
    format!("{id}  {source} line {line}, for {table}: {reason}\n    {short}\n")
}

async fn retry(
    letters: &Letters,
    ids: &[u64],
    record: Option<&str>,
    which: &WhichDeadLetters,
) -> anyhow::Result<ExitCode> {
    if record.is_some() && ids.len() != 1 {
        bail!(
            "--record is for one dead letter; write for example: rowcast dead-letters retry 7 --record '{{\"speed\":37}}'"
        );
    }
    let retried = if ids.is_empty() {
        letters.retry_all(which.source.as_deref()).await?
    } else {
        let mut retried = Retried::default();
        for id in ids {
            match letters.retry(*id, record).await {
                Ok(()) => retried.stored += 1,
                Err(RetryError::Store(error)) => return Err(error.into()),
                Err(refused) => retried.refused.push(StillRefused { id: *id, reason: refused.to_string() }),
            }
        }
        retried
    };
    if which.json {
        say(&format!("{}\n", json!(retried)));
    } else {
        for StillRefused { id, reason } in &retried.refused {
            say(&format!("{id}  {reason}\n"));
        }
        say(&format!("{} stored, {} refused\n", retried.stored, retried.refused.len()));
    }
    Ok(if retried.refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn drop_letters(letters: &Letters, ids: &[u64], which: &WhichDeadLetters) -> anyhow::Result<ExitCode> {
    let dropped = match (ids, &which.source) {
        ([], None) => bail!("say which: --source NAME, or their numbers"),
        ([], Some(source)) => letters.drop_all(Some(source)).await?,
        (ids, _) => letters.drop_some(ids).await?,
    };
    if which.json {
        say(&format!("{}\n", json!({ "dropped": dropped })));
    } else {
        say(&format!("{dropped} dropped\n"));
    }
    Ok(ExitCode::SUCCESS)
}
