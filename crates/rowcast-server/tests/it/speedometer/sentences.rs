//! The sentences.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use servers::Stop;
use tokio::io::AsyncWriteExt;

use super::source::Source;
use super::{Data, Kind, Simulator, Site, now_ms};

/// Milliseconds between two records of the simulator.
const EVERY: u64 = 10;

/// A simulator of a hundred records a second, each with a time of its own.
fn steady(more: &[&str]) -> (tempfile::TempDir, Simulator, u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let start = now_ms();
    let at = start.to_string();
    let words = [&["--rate", "100", "--seed", "7", "--start-at", &at, "--ledger", "ledger"], more].concat();
    let simulator = Simulator::new(folder.path(), &words);
    (folder, simulator, start)
}

/// The points are those of records 0, 1, 2, …: none missing, none twice, in order.
fn are_complete(points: &[(u64, String)], start: u64) -> Result<()> {
    for (n, (time, _)) in points.iter().enumerate() {
        let expected = start + n as u64 * EVERY;
        ensure!(*time == expected, "point {n} has the time {time} instead of {expected}");
    }
    Ok(())
}

#[tokio::test]
async fn the_parts_are_started_in_any_order() -> Result<()> {
    for order in [
        ["database", "rowcast", "simulator"],
        ["simulator", "rowcast", "database"],
        ["rowcast", "database", "simulator"],
    ] {
        let (_folder, mut simulator, _) = steady(&[]);
        let data = Data::own(Kind::Mariadb).await?;
        data.stop(Stop::Fast)?;
        let site = Site::of(data, &simulator, "/stream")?;
        for part in order {
            match part {
                "database" => site.data.run_again()?,
                "rowcast" => site.rowcast.launch().await?,
                _ => simulator.start().await?,
            }
        }
        site.rowcast.until_ready().await.with_context(|| format!("{order:?}"))?;
        site.holds(20).await.with_context(|| format!("{order:?}"))?;
        site.page(None, None).await?.event("newData").await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_simulator_is_killed_and_restarted_and_data_flows_again() -> Result<()> {
    let (_folder, mut simulator, _) = steady(&[]);
    let site = Site::of(Data::shared(Kind::Mariadb).await?, &simulator, "/stream")?;
    simulator.start().await?;
    site.rowcast.restart().await?;
    let mut page = site.page(None, None).await?;
    for _ in 0..3 {
        page.event("newData").await?;
        simulator.kill9().await?;
        let killed = now_ms();
        simulator.start().await?;
        loop {
            let (_, data) = page.event("newData").await?;
            if data["time"].as_str().context("a text")?.parse::<u64>()? > killed {
                break;
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn after_a_normal_end_of_the_stream_it_is_fetched_again() -> Result<()> {
    let (_folder, mut simulator, start) = steady(&["--close-after", "200ms"]);
    let site = Site::of(Data::shared(Kind::Mariadb).await?, &simulator, "/stream/sse?from=0")?;
    simulator.start().await?;
    site.rowcast.restart().await?;
    // Server-sent events have ids: what was sent meanwhile is asked for again.
    are_complete(&site.holds(300).await?, start)
}

#[tokio::test]
async fn split_and_merged_chunks_parse() -> Result<()> {
    for (chunks, kind) in [("split", Kind::Mariadb), ("merge", Kind::Mariadb), ("split", Kind::Postgres)] {
        let (_folder, mut simulator, start) = steady(&["--chunks", chunks, "--count", "400", "--hold"]);
        let site = Site::of(Data::shared(kind).await?, &simulator, "/stream?from=0")?;
        simulator.start().await?;
        site.rowcast.restart().await?;
        let points = site.holds(400).await?;
        are_complete(&points, start)?;
        let lines = simulator.lines().await?;
        for ((_, speed), line) in points.iter().zip(lines) {
            let line: serde_json::Value = serde_json::from_slice(&line)?;
            ensure!(line["speed"] == speed.as_str(), "{speed} instead of {line}");
        }
        ensure!(site.source().await?["rejected"] == 0, "{chunks}: {}", site.source().await?);
    }
    Ok(())
}

#[tokio::test]
async fn a_malformed_line_is_rejected_counted_and_kept_and_the_stream_goes_on() -> Result<()> {
    let (_folder, mut simulator, start) = steady(&["--malformed", "0.2", "--count", "500", "--hold"]);
    let site = Site::of(Data::shared(Kind::Mariadb).await?, &simulator, "/stream?from=0")?;
    simulator.start().await?;
    site.rowcast.restart().await?;
    let mut page = site.page(None, None).await?;
    let (good, malformed) = site
        .wait_for("all records", async || {
            let ledger = simulator.ledger()?;
            let (good, malformed): (Vec<_>, Vec<_>) = ledger.iter().partition(|(_, what)| what.starts_with("good"));
            let numbers = |records: Vec<(&u64, &String)>| records.into_iter().map(|(n, _)| *n).collect::<BTreeSet<_>>();
            Ok((ledger.len() == 500).then(|| (numbers(good), numbers(malformed))))
        })
        .await?;
    let points = site.holds(good.len()).await?;
    let stored: Vec<u64> = points.iter().map(|(time, _)| (time - start) / EVERY).collect();
    ensure!(stored == good.iter().copied().collect::<Vec<_>>(), "stored: {stored:?}\ngood: {good:?}");
    site.wait_for("the count", async || Ok((site.source().await?["rejected"] == malformed.len()).then_some(())))
        .await?;
    // Each of them is kept as it came, but for bytes that are no text.
    let lines = simulator.lines().await?;
    let letters = site
        .wait_for("the dead letters", async || {
            let letters = site.dead_letters().await?;
            Ok((letters.len() >= malformed.len()).then_some(letters))
        })
        .await?;
    ensure!(letters.len() == malformed.len(), "{} dead letters for {} records", letters.len(), malformed.len());
    for (letter, n) in letters.iter().zip(&malformed) {
        let line = String::from_utf8_lossy(&lines[*n as usize]);
        let is_it = letter.raw.trim_end().chars().take(20).eq(line.chars().take(20)) && letter.source == "simulator";
        ensure!(is_it && !letter.reason.is_empty(), "record {n} is {line}, and kept is {letter:?}");
    }
    page.event("newData").await?;
    Ok(())
}

#[tokio::test]
async fn out_of_range_nan_a_missing_field_a_far_future_time_are_refused_and_extra_fields_are_not() -> Result<()> {
    let source = Source::new().await?;
    let site = Site::new(Data::shared(Kind::Mariadb).await?, &source.url()?, |text| text)?;
    site.rowcast.launch().await?;
    let mut stream = source.fetched().await?;
    site.rowcast.until_ready().await?;
    let mut page = site.page(None, None).await?;
    let now = now_ms();
    let far = now + 10 * 365 * 86_400_000;
    let refused = [
        (format!(r#"{{"time":"{now}","speed":"61"}}"#), Some("speed")),
        (format!(r#"{{"time":"{now}","speed":"-1"}}"#), Some("speed")),
        (format!(r#"{{"time":"{now}","speed":"37.5"}}"#), Some("speed")),
        (format!(r#"{{"time":"{now}","speed":NaN}}"#), None),
        (format!(r#"{{"time":"{now}","speed":"NaN"}}"#), Some("speed")),
        (format!(r#"{{"time":"{now}","speed":"fast"}}"#), Some("speed")),
        (format!(r#"{{"time":"{now}","speed":null}}"#), Some("speed")),
        (format!(r#"{{"time":"{now}"}}"#), Some("speed")),
        (r#"{"speed":"37"}"#.to_owned(), Some("time")),
        (r#"{"time":"soon","speed":"37"}"#.to_owned(), Some("time")),
        (format!(r#"{{"time":"{far}","speed":"37"}}"#), Some("time")),
        (format!(r#"{{"time":"{now}","spe"#), None),
        ("[1]".to_owned(), None),
        ("what?".to_owned(), None),
    ];
    for (line, _) in &refused {
        stream.write_all(format!("{line}\n").as_bytes()).await?;
    }
    let good = format!("{{\"time\":\"{now}\",\"speed\":\"42\",\"extra\":[1,{{}}],\"more\":null}}\n");
    stream.write_all(good.as_bytes()).await?;
    let (_, told) = page.event("newData").await?;
    ensure!(told == json!({ "time": now.to_string(), "speed": "42" }), "{told}");
    let points = site.points().await?;
    ensure!(matches!(&points[..], [(time, speed)] if *time == now && speed == "42"), "{points:?}");
    let letters = site.dead_letters().await?;
    ensure!(letters.len() == refused.len(), "{letters:#?}");
    for (letter, (line, column)) in letters.iter().zip(&refused) {
        ensure!(letter.raw.trim_end() == line && letter.column.as_deref() == *column, "{line}: {letter:?}");
    }
    ensure!(site.source().await?["rejected"] == refused.len(), "{}", site.source().await?);
    Ok(())
}

#[tokio::test]
async fn mysql_is_down_and_no_point_is_lost_and_none_stored_twice_after_it_is_back() -> Result<()> {
    let (_folder, mut simulator, start) = steady(&[]);
    let site = Site::of(Data::own(Kind::Mariadb).await?, &simulator, "/stream?from=0")?;
    simulator.start().await?;
    site.rowcast.restart().await?;
    let mut page = site.page(None, None).await?;
    site.holds(50).await?;
    for how in [Stop::Immediate, Stop::Fast, Stop::Immediate] {
        let before = (now_ms() - start) / EVERY;
        site.data.stop(how)?;
        // So many more records are emitted meanwhile.
        site.wait_for("records", async || Ok((now_ms() > start + (before + 60) * EVERY).then_some(()))).await?;
        site.data.run_again()?;
        are_complete(&site.holds(before as usize + 120).await?, start)?;
    }
    let points = site.points().await?;
    are_complete(&points, start)?;
    // What was stored, and nothing else, was told, once and in order.
    let (_, first) = page.event("newData").await?;
    let mut time: u64 = first["time"].as_str().context("a text")?.parse()?;
    while time < points[points.len() - 1].0 {
        let (_, next) = page.event("newData").await?;
        let expected = (time + EVERY).to_string();
        ensure!(next["time"].as_str() == Some(&*expected), "{next} behind {time}");
        time += EVERY;
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_comes_late_asks_for_history() -> Result<()> {
    let (_folder, mut simulator, start) = steady(&[]);
    let site = Site::of(Data::shared(Kind::Mariadb).await?, &simulator, "/stream?from=0")?;
    simulator.start().await?;
    site.rowcast.restart().await?;
    site.holds(100).await?;
    let mut page = site.page(None, Some(50)).await?;
    let mut times = Vec::new();
    while times.len() < 200 {
        let (_, data) = page.event("newData").await?;
        times.push(data["time"].as_str().context("a text")?.parse::<u64>()?);
    }
    // Fifty points that were there, and then the next ones as they come: no hole, and nothing twice.
    ensure!(times[49] >= start + 99 * EVERY, "the history is not the last points: {times:?}");
    ensure!(times.windows(2).all(|pair| pair[1] == pair[0] + EVERY), "{times:?}");
    Ok(())
}

#[tokio::test]
async fn the_page_of_the_example_is_served_with_its_files() -> Result<()> {
    let source = Source::new().await?;
    let site = Site::new(Data::shared(Kind::Mariadb).await?, &source.url()?, |text| text)?;
    site.rowcast.restart().await?;
    for (path, kind, part) in
        [("/", "text/html", "speedometer.js"), ("/speedometer.js", "text/javascript", "event:newData")]
    {
        let answer = site.rowcast.http().get(site.rowcast.url(path)).send().await?;
        ensure!(answer.headers()["content-type"] == kind, "{:?}", answer.headers());
        ensure!(answer.text().await?.contains(part), "{path}");
    }
    let built_in = site.rowcast.http().get(site.rowcast.url("/console")).send().await?;
    ensure!(built_in.status().is_success() && built_in.text().await?.contains("/assets/"));
    Ok(())
}
