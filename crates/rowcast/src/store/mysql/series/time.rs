//! The time column of a chart, as the server compares it and as a chart shows it; and columns as doubles.

use super::super::quote;
use crate::event::Column;
use crate::mysql::Kind;
use crate::mysql::civil::{DAY_1970, date_of};
use crate::store::StoreError;

/// Numbers in a text which a double holds. Brackets instead of backslashes: they mean the same whatever the server's settings.
const NUMERAL: &str = "^[ ]*[-+]?([0-9]{1,100}[.]?[0-9]{0,100}|[.][0-9]{1,100})([eE][-+]?[0-9]{1,2})?[ ]*$";
/// Texts that begin with a date, and may go on with a time of day and a zone.
const DATE: &str = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])\
                    ([ Tt]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,9})?)?[ ]*([Zz]|[-+][0-9]{2}:?[0-9]{2})?)?[ ]*$";
const ZONE: &str = "[-+][0-9]{2}:?[0-9]{2}[ ]*$";
/// The first and the last millisecond that a date of four digits has.
const FIRST_MS: f64 = -62_135_596_800_000.0;
const LAST_MS: f64 = 253_402_300_799_999.0;

/// How times are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// As numbers, in whatever unit.
    Whole,
    Real,
    /// As dates, with or without a time of day, in UTC.
    Moment,
    /// As text of a number or a date.
    Text,
}

/// The time column.
#[derive(Debug, Clone)]
pub(super) struct Time {
    name: String,
    kept: Kept,
}

impl Time {
    /// The column, if times are kept in its type.
    pub(super) fn of(column: &Column) -> Result<Self, StoreError> {
        let kept = match Kind::of(&column.declared) {
            Kind::Int { .. } | Kind::Year => Kept::Whole,
            Kind::Decimal { .. } | Kind::Float | Kind::Double => Kept::Real,
            Kind::Date | Kind::DateTime(_) | Kind::Timestamp(_) => Kept::Moment,
            Kind::Text => Kept::Text,
            _ => {
                let message = format!(
                    "`{}` is of type {}, which is no time; choose a column of dates, timestamps or numbers",
                    column.name, column.declared
                );
                return Err(StoreError::Refused(message));
            }
        };
        Ok(Self { name: quote(&column.name), kept })
    }

    /// Whether an index of the column finds times.
    pub(super) fn is_indexable(&self) -> bool {
        self.kept != Kept::Text
    }

    /// The column itself, to order by.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// SQL for the column's time as a chart shows it, a double: dates in milliseconds since 1970, numbers as they are.
    pub(super) fn column(&self) -> String {
        self.of_sql(&self.name)
    }

    /// The same for the least, or the greatest, of the column's times, which an index knows.
    pub(super) fn of_sql(&self, time: &str) -> String {
        match self.kept {
            Kept::Whole | Kept::Real => format!("({time} + 0e0)"),
            Kept::Moment => since_1970(time),
            Kept::Text => text(time),
        }
    }

    /// `min` or `max` of the column, as a chart shows it.
    pub(super) fn end(&self, end: &str) -> String {
        match self.kept {
            Kept::Text => format!("{end}({})", self.column()),
            _ => self.of_sql(&format!("{end}({})", self.name)),
        }
    }

    /// A condition that the column's time lies between; `through`: the end belongs to it.
    pub(super) fn between(&self, from: Option<f64>, to: Option<f64>, through: bool) -> String {
        let column = if self.kept == Kept::Text { self.column() } else { self.name.clone() };
        let mut parts = Vec::new();
        if let Some(from) = from.filter(|from| from.is_finite()) {
            parts.push(format!("{column} >= {}", self.literal(from)));
        }
        match to.filter(|to| to.is_finite()) {
            Some(to) if through => parts.push(format!("{column} <= {}", self.literal(self.beyond(to)))),
            Some(to) => parts.push(format!("{column} < {}", self.literal(to))),
            None => {}
        }
        if parts.is_empty() {
            parts.push(format!("{column} IS NOT NULL"));
        }
        parts.join(" AND ")
    }

    /// The last time of an open window was made a double: what was cut off by that belongs to it.
    fn beyond(&self, to: f64) -> f64 {
        match self.kept {
            Kept::Moment => to + 0.001,
            _ if to.abs() > 1e15 => to + to.abs() * 1e-15,
            _ => to,
        }
    }

    /// A chart's time as it compares with the column.
    fn literal(&self, time: f64) -> String {
        match self.kept {
            Kept::Moment => format!("'{}'", moment(time)),
            // Times at least 2.5 are those at least 3; times below 2.5 are those below 3.
            Kept::Whole => format!("{:.0}", time.ceil().clamp(-9.2e18, 1.8e19)),
            Kept::Real | Kept::Text => float(time),
        }
    }
}

/// A double as SQL.
pub(super) fn float(x: f64) -> String {
    format!("{x:e}")
}

fn since_1970(time: &str) -> String {
    format!("(TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', {time}) / 1e3)")
}

/// The number that stands in a text, or the date.
fn text(name: &str) -> String {
    let clock = format!(
        "CAST(CONCAT(LEFT({name}, 10), ' ', IF(CHAR_LENGTH({name}) >= 16, \
         REGEXP_SUBSTR(SUBSTR({name}, 12), '^[0-9:.]+'), '00:00:00')) AS DATETIME(6))"
    );
    let zone = format!("REGEXP_SUBSTR({name}, '{ZONE}')");
    format!(
        "(CASE WHEN {name} REGEXP '{NUMERAL}' THEN {name} + 0e0 WHEN {name} REGEXP '{DATE}' THEN {} \
         - (CASE WHEN CHAR_LENGTH({name}) > 16 AND {name} REGEXP '{ZONE}' THEN IF(LEFT({zone}, 1) = '-', -60e3, 60e3) \
         * (SUBSTR({zone}, 2, 2) * 60 + RIGHT(TRIM({zone}), 2)) ELSE 0e0 END) END)",
        since_1970(&clock)
    )
}

/// Milliseconds since 1970 as a date with microseconds, rounded up.
#[expect(clippy::cast_possible_truncation, reason = "it is clamped to the years of four digits")]
fn moment(ms: f64) -> String {
    let micros = (ms.clamp(FIRST_MS, LAST_MS) * 1000.0).ceil() as i64;
    let (days, of_day) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
    let (year, month, day) = date_of(days + DAY_1970);
    let (seconds, micros) = (of_day / 1_000_000, of_day % 1_000_000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hours:02}:{minutes:02}:{seconds:02}.{micros:06}")
}

/// SQL for the double that a column holds; NULL where that is none.
pub(super) fn number(column: &Column) -> String {
    let name = quote(&column.name);
    match Kind::of(&column.declared) {
        Kind::Int { .. } | Kind::Year | Kind::Bit(_) | Kind::Decimal { .. } | Kind::Float | Kind::Double => {
            format!("({name} + 0e0)")
        }
        Kind::Time(_) => format!("(TIME_TO_SEC({name}) + 0e0)"),
        Kind::Text => format!("(CASE WHEN {name} REGEXP '{NUMERAL}' THEN {name} + 0e0 END)"),
        _ => "NULL".to_owned(),
    }
}

/// SQL for the value that groups are told apart by: texts by their bytes.
pub(super) fn group(column: &Column) -> String {
    let name = quote(&column.name);
    match Kind::of(&column.declared) {
        Kind::Text | Kind::Enum(_) | Kind::Set(_) | Kind::Json => {
            format!("CAST(CONVERT({name} USING utf8mb4) AS BINARY)")
        }
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_become_dates() {
        assert_eq!(moment(0.0), "1970-01-01 00:00:00.000000");
        assert_eq!(moment(1_718_000_000_123.456), "2024-06-10 06:13:20.123456");
        assert_eq!(moment(-0.001), "1969-12-31 23:59:59.999999");
        assert!(moment(1e300).starts_with("9999-12-31 23:59:59.999"));
        assert_eq!(moment(-1e300), "0001-01-01 00:00:00.000000");
    }
}
