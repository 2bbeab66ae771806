//! Times as SQLite stores them: numbers, or texts of dates.

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::number;
use crate::event::Value;
use crate::sqlite::catalog::{Described, Identity};
use crate::sqlite::name::quote;
use crate::store::SeriesQuery;

const DAY_MS: f64 = 86_400_000.0;

/// Which times are asked for, and what they look like in the table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Window {
    from: Option<f64>,
    to: Option<f64>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// All of them are numbers.
    Numbers,
    /// Texts that begin with a date; numbers among them are found, too.
    Dates,
    /// Anything: every row has to be looked at.
    Mixed,
}

impl Window {
    /// Looks at the rows at both ends of the table to learn what times look like there.
    pub(super) fn new(connection: &Connection, described: &Described, query: &SeriesQuery) -> rusqlite::Result<Self> {
        let finite = |bound: Option<f64>| bound.filter(|bound| bound.is_finite());
        let kind = kind(connection, described, query.time)?;
        Ok(Self { from: finite(query.from), to: finite(query.to), kind })
    }

    /// Whether times are compared as numbers, by SQL and by indexes.
    pub(super) fn is_numeric(&self) -> bool {
        self.kind == Kind::Numbers
    }

    /// All times.
    pub(super) fn open(self) -> Self {
        Self { from: None, to: None, ..self }
    }

    /// A time within the window: numbers as they are, dates in milliseconds since 1970.
    pub(super) fn time(&self, value: ValueRef<'_>) -> Option<f64> {
        let time = match value {
            ValueRef::Text(text) => parse(std::str::from_utf8(text).ok()?)?,
            other => number(other)?,
        };
        (self.from.is_none_or(|from| time >= from) && self.to.is_none_or(|to| time < to)).then_some(time)
    }

    /// A condition that every row of the window fulfils, and few others. Its parameters go to `params`.
    pub(super) fn condition(&self, column: &str, params: &mut Vec<Value>) -> String {
        let mut bound = |value: Value| {
            params.push(value);
            format!("?{}", params.len())
        };
        let (from, to) = (self.from.unwrap_or(f64::MIN), self.to.unwrap_or(f64::MAX));
        match self.kind {
            Kind::Mixed => format!("{column} IS NOT NULL"),
            Kind::Numbers => {
                let (from, to) = (bound(Value::Real(from)), bound(Value::Real(to)));
                format!("({column} >= {from} AND {column} < {to})")
            }
            Kind::Dates => {
                // A zone shifts a date by less than a day.
                let day = |time: f64, shift: f64| date(time + shift * DAY_MS).into();
                let (first, last) =
                    (self.from.map_or_else(|| "".into(), |t| day(t, -1.0)), self.to.map(|t| day(t, 2.0)));
                let first = bound(Value::Text(first));
                let last = bound(last.map_or_else(|| Value::Bytes([].as_slice().into()), Value::Text));
                let (from, to) = (bound(Value::Real(from)), bound(Value::Real(to)));
                format!("(({column} >= {first} AND {column} < {last}) OR ({column} >= {from} AND {column} < {to}))")
            }
        }
    }
}

fn kind(connection: &Connection, described: &Described, column: usize) -> rusqlite::Result<Kind> {
    let (name, table) = (described.column_sql(column), quote(&described.table.name.name));
    let orders: &[&str] = match described.identity {
        Identity::Rowid(rowid) => &[&format!("ORDER BY {rowid}"), &format!("ORDER BY {rowid} DESC")],
        _ => &["", ""],
    };
    let (mut texts, mut dates, mut numbers) = (0, 0, 0);
    for order in orders {
        let sql = format!("SELECT v FROM (SELECT {name} AS v FROM {table} {order} LIMIT 20) WHERE v IS NOT NULL");
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            match row.get_ref(0)? {
                ValueRef::Text(text) => {
                    texts += 1;
                    dates += u32::from(std::str::from_utf8(text).is_ok_and(|text| date_of(text).is_some()));
                }
                _ => numbers += 1,
            }
        }
    }
    let is_text = described.table.columns[column].is_text();
    Ok(match (texts, numbers) {
        (0, _) if !is_text => Kind::Numbers,
        (_, 0) if texts == dates => Kind::Dates,
        _ => Kind::Mixed,
    })
}

impl crate::event::Column {
    /// Whether SQLite turns what is stored here into text.
    fn is_text(&self) -> bool {
        let declared = self.declared.to_ascii_uppercase();
        !declared.contains("INT") && ["CHAR", "CLOB", "TEXT"].iter().any(|part| declared.contains(part))
    }
}

/// A number, or a date with or without a time of day and a zone, as SQLite reads them.
fn parse(text: &str) -> Option<f64> {
    if let Ok(number) = text.trim().parse::<f64>() {
        return Some(number).filter(|number| number.is_finite());
    }
    let (days, rest) = date_of(text)?;
    let rest = rest.trim_start_matches([' ', 'T', 't']);
    let (time_ms, zone) = time_of_day(rest)?;
    Some(days * DAY_MS + time_ms - zone_ms(zone.trim())?)
}

/// `YYYY-MM-DD` at the start, in days since 1970, and what follows it.
fn date_of(text: &str) -> Option<(f64, &str)> {
    let bytes = text.as_bytes();
    if bytes.len() < 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let (year, month, day) = (digits(&bytes[..4])?, digits(&bytes[5..7])?, digits(&bytes[8..10])?);
    ((1..=12).contains(&month) && (1..=31).contains(&day))
        .then(|| (f64::from(days_since_1970(year, month, day)), &text[10..]))
}

/// `HH:MM`, `HH:MM:SS` or `HH:MM:SS.fraction` in milliseconds, and the zone that follows.
fn time_of_day(text: &str) -> Option<(f64, &str)> {
    if text.is_empty() {
        return Some((0.0, ""));
    }
    let bytes = text.as_bytes();
    if bytes.len() < 5 || bytes[2] != b':' {
        return None;
    }
    let minutes = digits(&bytes[..2])? * 60 + digits(&bytes[3..5])?;
    let rest = &text[5..];
    let Some(seconds) = rest.strip_prefix(':') else { return Some((f64::from(minutes) * 60_000.0, rest)) };
    let end = seconds.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(seconds.len());
    let seconds_ms = (seconds[..end].parse::<f64>().ok()? * 1000.0).round();
    Some((f64::from(minutes) * 60_000.0 + seconds_ms, &seconds[end..]))
}

/// How far a zone is before UTC.
fn zone_ms(zone: &str) -> Option<f64> {
    let bytes = zone.as_bytes();
    let sign = match bytes.first() {
        None => return Some(0.0),
        Some(b'Z' | b'z') if bytes.len() == 1 => return Some(0.0),
        Some(b'+') => 1.0,
        Some(b'-') => -1.0,
        _ => return None,
    };
    let (hours, minutes) = match bytes.len() {
        6 if bytes[3] == b':' => (digits(&bytes[1..3])?, digits(&bytes[4..6])?),
        _ => return None,
    };
    Some(sign * f64::from(hours * 60 + minutes) * 60_000.0)
}

fn digits(bytes: &[u8]) -> Option<i32> {
    bytes.iter().try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i32::from(byte - b'0')))
}

/// The proleptic Gregorian calendar, with years that begin in March so that leap days come last.
fn days_since_1970(year: i32, month: i32, day: i32) -> i32 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The day of a moment as `YYYY-MM-DD`.
fn date(time_ms: f64) -> String {
    const FIRST: f64 = -719_528.0;
    const LAST: f64 = 2_932_896.0;
    #[expect(clippy::cast_possible_truncation, reason = "it is within the years 0 to 9999")]
    let days = (time_ms / DAY_MS).floor().clamp(FIRST, LAST) as i32;
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i32::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_sqlite_reads_them() {
        let connection = Connection::open_in_memory().expect("a database");
        for text in [
            "1970-01-01",
            "2024-02-29 12:34",
            "2024-02-29T12:34:56",
            "1999-12-31 23:59:59.999",
            "2026-11-20 08:00:00Z",
            "2026-11-20T08:00:00.5+02:30",
            "2026-11-20 08:00-11:00",
            "0001-01-01 00:00:00",
            "9999-12-31 23:59:59",
        ] {
            let sql = "SELECT round(unixepoch(?1, 'subsec') * 1000)";
            let expected: f64 = connection.query_row(sql, [text], |row| row.get(0)).expect(text);
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        for text in ["", "now", "2024", "12:00", "2024-13-01", "2024-01-01 x", "2024-01-01 12:00:00 CET", "2024-01-0é"]
        {
            assert!(parse(text).is_none() || text == "2024", "{text}");
        }
    }

    #[test]
    fn days_are_written_as_they_are_read() {
        for days in [-719_528, -1, 0, 59, 10_957, 20_000, 2_932_896] {
            let text = date(f64::from(days) * DAY_MS);
            assert_eq!(date_of(&text).map(|(days, _)| days), Some(f64::from(days)), "{text}");
        }
    }
}
