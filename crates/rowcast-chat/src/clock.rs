//! Moments as the chat's columns hold them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rowcast::event::Value;
use rowcast::filter::Dialect;

/// A moment for a `timestamp` column: in UTC, as the database itself writes it.
pub(crate) fn moment(at: SystemTime, dialect: Dialect) -> Value {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let text = match dialect {
        Dialect::Sqlite => format!("{}.{:03}", seconds(since), since.subsec_millis()),
        Dialect::Mysql => format!("{}.{:06}", seconds(since), since.subsec_micros()),
        Dialect::Postgres => format!("{}.{:06}+00", seconds(since), since.subsec_micros()),
    };
    Value::Text(text.into())
}

/// Milliseconds since 1970.
pub(crate) fn millis(at: SystemTime) -> i64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// `2026-11-21 20:00:00`
fn seconds(since: Duration) -> String {
    let (days, of_day) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date_of(days);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", of_day / 3_600, of_day / 60 % 60, of_day % 60)
}

/// The date so many days after 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn date_of(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(millis: u64, expected: &str) {
        let at = UNIX_EPOCH + Duration::from_millis(millis);
        assert_eq!(moment(at, Dialect::Sqlite), Value::Text(expected.into()));
    }

    #[test]
    fn moments_are_written_in_utc() {
        check(0, "1970-01-01 00:00:00.000");
        check(951_782_399_999, "2000-02-28 23:59:59.999");
        check(951_868_800_000, "2000-03-01 00:00:00.000");
        check(1_795_291_200_045, "2026-11-21 20:00:00.045");
        let at = UNIX_EPOCH + Duration::from_micros(1_795_291_200_000_045);
        assert_eq!(moment(at, Dialect::Postgres), Value::Text("2026-11-21 20:00:00.000045+00".into()));
    }
}
