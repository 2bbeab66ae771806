//! A moment as a column keeps it.

use crate::filter::Dialect;
use crate::ingest::decode::Field;

/// How a column keeps moments, as far as its declared type tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// As a whole number of units.
    Integer,
    /// As a number of units with a fraction.
    Fraction,
    /// As text or a type of its own, with at most so many digits of the second, and a zone or none.
    Text { digits: usize, zone: bool },
}

impl Kind {
    pub(super) fn of(declared: &str, dialect: Dialect) -> Self {
        let declared = declared.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
        match dialect {
            _ if has(&["int", "serial"]) && !has(&["interval"]) => Self::Integer,
            _ if has(&["real", "float", "double", "numeric", "decimal", "number"]) => Self::Fraction,
            Dialect::Postgres => Self::Text { digits: 6, zone: true },
            // No zone is the one of the connection, which is UTC.
            Dialect::Mysql => Self::Text { digits: 6, zone: false },
            Dialect::Sqlite => Self::Text { digits: 3, zone: false },
        }
    }

    /// The moment, in nanoseconds since 1970, where a unit has so many.
    pub(super) fn field(self, nanoseconds: i128, unit: i128) -> Field {
        match self {
            Self::Integer => Field::Number(nanoseconds.div_euclid(unit).to_string().into()),
            Self::Fraction => {
                let (whole, rest) = (nanoseconds.div_euclid(unit), nanoseconds.rem_euclid(unit));
                let digits = unit.ilog10() as usize;
                let exact = unit == 10_i128.pow(digits as u32);
                let number = match rest {
                    0 => whole.to_string(),
                    // A time before 1970 counts backwards.
                    rest if exact && whole < 0 => {
                        let (whole, rest) = (-(whole + 1), unit - rest);
                        format!("-{whole}.{rest:0digits$}")
                    }
                    rest if exact => format!("{whole}.{rest:0digits$}"),
                    _ => (nanoseconds as f64 / unit as f64).to_string(),
                };
                Field::Number(number.into())
            }
            Self::Text { digits, zone } => Field::Text(written(nanoseconds, digits, zone).into()),
        }
    }
}

/// `2026-01-31 12:00:00.123`, in UTC; with `zone`, that is said.
fn written(nanoseconds: i128, digits: usize, zone: bool) -> String {
    let seconds = nanoseconds.div_euclid(1_000_000_000);
    let fraction = format!("{:09}", nanoseconds.rem_euclid(1_000_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days as i64);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let zone = if zone { "+00" } else { "" };
    let fraction = &fraction[..digits];
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{fraction}{zone}")
}

/// The date of a day since 1970 in the Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_the_column_has_them() {
        let at = 1_718_000_000_123_456_789;
        let ms = 1_000_000;
        let field = |declared, dialect| match Kind::of(declared, dialect).field(at, ms) {
            Field::Number(text) | Field::Text(text) => text.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(field("BIGINT", Dialect::Mysql), "1718000000123");
        assert_eq!(field("double precision", Dialect::Postgres), "1718000000123.456789");
        assert_eq!(field("timestamp with time zone", Dialect::Postgres), "2024-06-10 06:13:20.123456+00");
        assert_eq!(field("datetime(6)", Dialect::Mysql), "2024-06-10 06:13:20.123456");
        assert_eq!(field("", Dialect::Sqlite), "2024-06-10 06:13:20.123");
        assert_eq!(Kind::Fraction.field(-1_500_000, ms), Field::Number("-1.500000".into()));
        assert_eq!(Kind::Integer.field(-1, ms), Field::Number("-1".into()));
        assert_eq!(written(-1, 3, false), "1969-12-31 23:59:59.999");
    }
}
