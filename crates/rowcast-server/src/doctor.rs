//! `rowcast doctor`: how a database stands with Rowcast, and the SQL that mends it.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Context;
use rowcast::event::finding::{Finding, State};
use rowcast::source::Source;
use rowcast::source::sqlite::SqliteSource;
use rowcast::{mysql, postgres};

use crate::cli::Doctor;
use crate::config::{Config, DatabaseUrl};
use crate::{database, say};

/// `rowcast doctor`. Fails when Rowcast cannot work with the database as it is.
pub(crate) async fn run(config: &Config, doctor: &Doctor) -> anyhow::Result<ExitCode> {
    let mut findings = match database::named(config)? {
        DatabaseUrl::Postgres(url) => {
            postgres::doctor::examine(&database::address(url)?, &database::postgres_settings(config)).await?
        }
        DatabaseUrl::Sqlite(path) => sqlite(config, path).await,
        DatabaseUrl::Mysql(url) => {
            mysql::doctor::examine(&database::mysql_address(url)?, &database::mysql_settings(config)).await?
        }
    };
    if findings.iter().all(|finding| finding.state != State::Broken) {
        findings.extend(dead_letters(config).await?);
    }
    if doctor.json {
        say(&format!("{}\n", serde_json::to_string_pretty(&findings).context("findings are JSON")?));
    } else {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        say(&report(&findings, colour));
    }
    let broken = findings.iter().any(|finding| finding.state == State::Broken);
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Records of streams that did not become rows wait for somebody.
async fn dead_letters(config: &Config) -> anyhow::Result<Vec<Finding>> {
    // Who may not look at them is not told of them.
    let counts = database::store(config)?.dead_letter_counts().await.unwrap_or_default();
    let finding = |(source, count): (String, u64)| Finding {
        state: State::Advice,
        about: format!("ingest {source}"),
        message: match count {
            1 => "a record did not become a row; `rowcast dead-letters` shows it".into(),
            count => format!("{count} records did not become rows; `rowcast dead-letters` shows them"),
        },
        sql: Vec::new(),
    };
    Ok(counts.into_iter().map(finding).collect())
}

/// A file has less that can be wrong: that it can be opened and captured is what there is to know.
async fn sqlite(config: &Config, path: &std::path::Path) -> Vec<Finding> {
    let finding =
        |state, about: &str, message: String| Finding { state, about: about.into(), message, sql: Vec::new() };
    let mut source = SqliteSource::new(&config.database.name, path, database::sqlite_settings(config));
    let shown = path.display().to_string();
    if !path.exists() {
        return vec![finding(State::Broken, &shown, "there is no such file".into())];
    }
    if let Err(error) = source.start(None).await {
        return vec![finding(State::Broken, &shown, error.to_string())];
    }
    let status = source.status();
    let mut findings = vec![finding(State::Good, &shown, format!("captured by {}", status.mode))];
    findings
        .extend(status.tables.iter().map(|table| finding(State::Good, &format!("table {table}"), "captured".into())));
    findings.extend(status.problem.map(|problem| finding(State::Warning, &shown, problem)));
    findings
}

fn report(findings: &[Finding], colour: bool) -> String {
    let mut text = String::new();
    for finding in findings {
        let (mark, code) = match finding.state {
            State::Good => ("ok     ", "32"),
            State::Advice => ("advice ", "36"),
            State::Warning => ("warning", "33"),
            State::Broken => ("BROKEN ", "31"),
        };
        let mark = if colour { format!("\x1b[{code}m{mark}\x1b[0m") } else { mark.to_owned() };
        text.push_str(&format!("{mark}  {}: {}\n", finding.about, finding.message));
        for sql in finding.sql.iter().filter(|_| finding.state != State::Good) {
            text.push_str(&format!("           {sql};\n"));
        }
    }
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    let (broken, warnings, advice) = (count(State::Broken), count(State::Warning), count(State::Advice));
    text.push_str(&match (broken, warnings, advice) {
        (0, 0, 0) => "everything is as it should be\n".to_owned(),
        _ => format!("{broken} broken, {warnings} warnings, {advice} pieces of advice\n"),
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_to_be_done_stands_below_its_finding() {
        let finding = |state, sql: &[&str]| Finding {
            state,
            about: "wal_level".into(),
            message: "replica".into(),
            sql: sql.iter().map(|sql| (*sql).to_owned()).collect(),
        };
        let text = report(&[finding(State::Good, &["X"]), finding(State::Broken, &["Y"])], false);
        assert_eq!(
            text,
            "ok       wal_level: replica\nBROKEN   wal_level: replica\n           Y;\n1 broken, 0 warnings, 0 pieces of advice\n"
        );
    }
}
