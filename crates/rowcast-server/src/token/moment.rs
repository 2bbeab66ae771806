//! Moments in words.

use std::time::{SystemTime, UNIX_EPOCH};

/// `2026-11-21 20:00:00 UTC, in 59 minutes`. `None`: no moment that anybody means.
pub(super) fn words(seconds: f64, now: SystemTime) -> Option<String> {
    if !(0.0..253_402_300_800.0).contains(&seconds) {
        return None;
    }
    let now = now.duration_since(UNIX_EPOCH).ok()?.as_secs() as i64;
    let seconds = seconds as i64;
    let (year, month, day) = date(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let distance = match seconds - now {
        0 => "now".to_owned(),
        ahead @ 1.. => format!("in {}", span(ahead)),
        behind => format!("{} ago", span(-behind)),
    };
    Some(format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC, {distance}"))
}

fn span(seconds: i64) -> String {
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    // The largest unit of which there are two, so that an hour and a half is not an hour.
    let (unit, name) = units.into_iter().find(|(unit, _)| seconds >= unit * 2).unwrap_or((1, "second"));
    let count = seconds / unit;
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

/// Year, month and day of a count of days since 1970 (Howard Hinnant's civil_from_days).
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn moments_are_told_as_dates_and_distances() {
        let now = UNIX_EPOCH + Duration::from_secs(1_795_291_200);
        for (seconds, expected) in [
            (0.0, "1970-01-01 00:00:00 UTC, 20778 days ago"),
            (951_782_400.0, "2000-02-29 00:00:00 UTC, 9762 days ago"),
            (1_795_291_200.0, "2026-11-21 20:00:00 UTC, now"),
            (1_795_291_199.5, "2026-11-21 19:59:59 UTC, 1 second ago"),
            (1_795_294_800.0, "2026-11-21 21:00:00 UTC, in 60 minutes"),
            (1_798_761_599.0, "2026-12-31 23:59:59 UTC, in 40 days"),
        ] {
            assert_eq!(words(seconds, now).as_deref(), Some(expected));
        }
        assert_eq!(words(-1.0, now), None);
        assert_eq!(words(1e300, now), None);
    }
}
