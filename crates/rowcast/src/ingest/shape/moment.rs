//! Moments as sources write them: milliseconds, seconds, ISO 8601.

use super::TimeUnit;

/// Numbers from here on are milliseconds where no unit is given: as seconds it would be the year 5138.
const SECONDS_MAX: f64 = 1e11;

/// Milliseconds since 1970.
pub(super) fn milliseconds(text: &str, unit: Option<TimeUnit>) -> Option<f64> {
    let text = text.trim_ascii();
    let number = || text.parse::<f64>().ok().filter(|n| n.is_finite());
    match unit {
        Some(TimeUnit::Milliseconds) => number(),
        Some(TimeUnit::Seconds) => number().map(|n| n * 1e3),
        Some(TimeUnit::Iso) => iso(text),
        None => match number() {
            Some(n) if n.abs() < SECONDS_MAX => Some(n * 1e3),
            Some(n) => Some(n),
            None => iso(text),
        },
    }
}

/// `2026-01-31`, `2026-01-31 12:30`, `2026-01-31T12:30:05.123456+02:00`.
fn iso(text: &str) -> Option<f64> {
    let (date, rest) = text.split_at_checked(10)?;
    let mut parts = date.split('-');
    let (year, month, day) = (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let day_ms = days_from_civil(year, month, day) as f64 * 86_400_000.0;
    if rest.is_empty() {
        return Some(day_ms);
    }
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let zone_at = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(zone_at);
    let mut parts = time.trim_ascii_end().split(':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let seconds = match parts.next() {
        None => 0.0,
        Some(text) if text.len() >= 2 && text.as_bytes()[..2].iter().all(u8::is_ascii_digit) => {
            text.parse::<f64>().ok()?
        }
        Some(_) => return None,
    };
    if parts.next().is_some() || hour > 24 || minute > 59 || seconds >= 61.0 {
        return None;
    }
    let local = (hour * 3_600 + minute * 60) as f64 * 1e3 + seconds * 1e3;
    Some(day_ms + local - offset_minutes(zone)? as f64 * 60_000.0)
}

fn offset_minutes(zone: &str) -> Option<i64> {
    let (sign, rest) = match zone.split_at_checked(1) {
        None | Some(("Z" | "z", "")) => return Some(0),
        Some(("+", rest)) => (1, rest),
        Some(("-", rest)) => (-1, rest),
        Some(_) => return None,
    };
    let plain = rest.replace(':', "");
    let (hours, minutes) = match plain.len() {
        2 => (digits(&plain, 2)?, 0),
        4 => (digits(&plain[..2], 2)?, digits(&plain[2..], 2)?),
        _ => return None,
    };
    Some(sign * (hours * 60 + minutes))
}

fn digits(text: &str, length: usize) -> Option<i64> {
    let plain = text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// Days since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The other way round.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days - era * 146_097;
    let of_era_year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * of_era_year + of_era_year / 4 - of_era_year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (of_era_year + era * 400 + i64::from(month <= 2), month, day)
}

/// A moment in UTC as every database reads it, whose sessions are in UTC: `2026-01-31 12:30:05.123`. `None` beyond the years 0 to 9999.
pub(super) fn text(ms: f64) -> Option<String> {
    if !(-62_167_219_200_000.0..253_402_300_800_000.0).contains(&ms) {
        return None;
    }
    let ms = ms.floor() as i64;
    let (year, month, day) = civil_from_days(ms.div_euclid(86_400_000));
    let of_day = ms.rem_euclid(86_400_000);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, ms) = (of_day / 1_000 % 60, of_day % 1_000);
    Some(format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{ms:03}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_every_unit() {
        let ms = 1_769_862_605_123.0;
        assert_eq!(milliseconds("1769862605123", None), Some(ms));
        assert_eq!(milliseconds("1769862605.123", None), Some(ms));
        for iso in [
            "2026-01-31T12:30:05.123Z",
            "2026-01-31 12:30:05.123",
            "2026-01-31T14:30:05.123+02:00",
            "2026-01-31T09:00:05.123-0330",
        ] {
            assert_eq!(milliseconds(iso, None), Some(ms), "{iso}");
        }
        assert_eq!(milliseconds("2000-03-01", Some(TimeUnit::Iso)), Some(951_868_800_000.0));
        for bad in ["", "NaN", "inf", "2026-13-01", "2026-01-31T", "2026-01-31X12:00", "now", "2026-01-31T12:00:00+5"] {
            assert_eq!(milliseconds(bad, None), None, "{bad}");
        }
        assert_eq!(milliseconds("1769862605123", Some(TimeUnit::Iso)), None);
    }

    #[test]
    fn moments_are_written_as_they_are_read() {
        for ms in [0.0, 951_868_799_999.0, 1_769_862_605_123.0, -1.0, -62_167_219_200_000.0, 253_402_300_799_999.0] {
            let written = text(ms).expect("a year of four digits");
            assert_eq!(iso(&written), Some(ms), "{written}");
        }
        assert_eq!(text(0.0).as_deref(), Some("1970-01-01 00:00:00.000"));
        assert_eq!(text(1e18), None);
        assert_eq!(text(f64::NAN), None);
    }
}
