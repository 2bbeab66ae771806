//! Messages as lines: for people one with colours, for programs one of JSON.

use std::io::{self, Write};

use serde::Deserialize;
use serde_json::{Map, Value};

/// How lines look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Show {
    pub(super) json: bool,
    pub(super) colour: bool,
}

#[derive(Debug, Deserialize)]
struct Change {
    op: String,
    row: Map<String, Value>,
    #[serde(default)]
    old: Option<Map<String, Value>>,
    #[serde(default)]
    cause: Option<String>,
    position: String,
    #[serde(default)]
    time: u64,
}

#[derive(Debug, Deserialize)]
struct Snapshot {
    rows: Vec<Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
struct Gap {
    reason: String,
    message: String,
}

const GREEN: &str = "32";
const YELLOW: &str = "33";
const RED: &str = "31";
const DIM: &str = "2";

impl Show {
    /// Writes one message; tells whether it is a change, which counts.
    pub(super) fn write(self, out: &mut impl Write, kind: &str, data: &str) -> io::Result<bool> {
        if self.json {
            writeln!(out, "{data}")?;
        } else {
            self.line(out, kind, data)?;
        }
        Ok(kind == "change")
    }

    fn line(self, out: &mut impl Write, kind: &str, data: &str) -> io::Result<()> {
        match kind {
            "change" => match serde_json::from_str::<Change>(data) {
                Ok(change) => self.change(out, &change),
                Err(_) => writeln!(out, "{data}"),
            },
            "snapshot" => {
                let snapshot: Snapshot = serde_json::from_str(data).unwrap_or(Snapshot { rows: Vec::new() });
                snapshot.rows.iter().try_for_each(|row| {
                    writeln!(out, "{} {}", self.painted(DIM, "            snapshot"), columns(row, None))
                })
            }
            "gap" => match serde_json::from_str::<Gap>(data) {
                Ok(gap) => {
                    let text = format!("-- gap ({}): changes before this are missing: {}", gap.reason, gap.message);
                    writeln!(out, "{}", self.painted(RED, &text))
                }
                Err(_) => writeln!(out, "{data}"),
            },
            // What is subscribed, and where transactions end, is told by the changes themselves.
            _ => Ok(()),
        }
    }

    fn change(self, out: &mut impl Write, change: &Change) -> io::Result<()> {
        let colour = match change.op.as_str() {
            "insert" => GREEN,
            "delete" => RED,
            _ => YELLOW,
        };
        let cause = change.cause.as_ref().map(|cause| format!(" (by {cause})")).unwrap_or_default();
        writeln!(
            out,
            "{} {}{cause} {} {}",
            self.painted(DIM, &clock(change.time)),
            self.painted(colour, &change.op),
            columns(&change.row, change.old.as_ref().filter(|_| change.op == "update")),
            self.painted(DIM, &format!("@{}", change.position)),
        )
    }

    fn painted(self, colour: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// `id=1 speed=37→40`: where the old value is known and another, both.
fn columns(row: &Map<String, Value>, old: Option<&Map<String, Value>>) -> String {
    let shown = row.iter().map(|(name, value)| match old.and_then(|old| old.get(name)).filter(|was| *was != value) {
        Some(was) => format!("{}={}→{}", without_controls(name), word(was), word(value)),
        None => format!("{}={}", without_controls(name), word(value)),
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// A value without the quotes that nobody needs, and without the control characters that a terminal would obey.
fn word(value: &Value) -> String {
    match value {
        Value::String(text) if plain(text) => text.clone(),
        value => without_controls(&value.to_string()),
    }
}

fn without_controls(text: &str) -> String {
    let escaped = |c: char| if c.is_control() { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    text.chars().map(escaped).collect()
}

fn plain(text: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '=' | '→' | '@');
    !text.is_empty()
        && !text.contains(odd)
        && !matches!(text, "null" | "true" | "false")
        && text.parse::<f64>().is_err()
}

/// The time of day in UTC.
fn clock(ms: u64) -> String {
    let seconds = ms / 1_000;
    format!("{:02}:{:02}:{:02}.{:03}", seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60, ms % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: &str, data: &str, expected: &str) {
        let mut out = Vec::new();
        Show { json: false, colour: false }.write(&mut out, kind, data).expect("a vector takes everything");
        assert_eq!(String::from_utf8(out).expect("text"), expected);
    }

    #[test]
    fn changes_are_one_line_each() {
        check(
            "change",
            r#"{"type":"change","op":"insert","row":{"id":1,"name":"Bergen","note":"a b","x":null},"key":[1],"position":"7-1","tx":1,"last":true,"time":1763678422123}"#,
            "22:40:22.123 insert id=1 name=Bergen note=\"a b\" x=null @7-1\n",
        );
        check(
            "change",
            r#"{"op":"update","row":{"id":1,"speed":40},"old":{"id":1,"speed":37},"position":"7-2","time":0}"#,
            "00:00:00.000 update id=1 speed=37→40 @7-2\n",
        );
        check(
            "change",
            r#"{"op":"delete","cause":"update","row":{"id":1},"position":"7-3","time":0}"#,
            "00:00:00.000 delete (by update) id=1 @7-3\n",
        );
    }

    #[test]
    fn a_gap_is_shown_and_what_is_not_for_people_is_not() {
        check(
            "gap",
            r#"{"reason":"retention","message":"it has left the log"}"#,
            "-- gap (retention): changes before this are missing: it has left the log\n",
        );
        check("subscribed", "{}", "");
    }

    #[test]
    fn no_value_can_steer_the_terminal() {
        check(
            "change",
            "{\"op\":\"insert\",\"row\":{\"a\":\"\\u001b[2J\\u009b\",\"b\":\"42\"},\"position\":\"7-1\",\"time\":0}",
            "00:00:00.000 insert a=\"\\u001b[2J\\u009b\" b=\"42\" @7-1\n",
        );
    }
}
