//! Dates and times in ISO 8601's forms, exact to the microsecond.

use super::super::{Field, shown};
use crate::mysql::civil;

/// A date with a time of day, and perhaps a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    year: i64,
    month: i64,
    day: i64,
    clock: Clock,
    /// Minutes east of Greenwich.
    zone: Option<i64>,
}

/// Hours, minutes and seconds: of a day, or of a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clock {
    negative: bool,
    hours: i64,
    minutes: i64,
    seconds: i64,
    /// Digits of the second's fraction without zeros at the end, as nanoseconds.
    nanos: u32,
}

const MIDNIGHT: Clock = Clock { negative: false, hours: 0, minutes: 0, seconds: 0, nanos: 0 };

impl Moment {
    /// Reads `2026-11-21`, `2026-11-21T10:00`, `2026-11-21 10:00:00.123+01:00`, `…Z`.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (date, rest) = (text.get(..10)?, text.get(10..)?);
        let mut parts = date.split('-');
        let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || (year.len(), month.len(), day.len()) != (4, 2, 2) {
            return None;
        }
        let (year, month, day) = (digits(year)?, digits(month)?, digits(day)?);
        // Zero dates are the database's to judge.
        if month > 12 || day > days_of(year, month) {
            return None;
        }
        let date = |clock, zone| Self { year, month, day, clock, zone };
        let Some(time) = rest.strip_prefix(['T', 't', ' ']) else {
            return rest.is_empty().then_some(date(MIDNIGHT, None));
        };
        let end = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
        let (clock, zone) = time.split_at(end);
        let clock = Clock::read(clock.trim_ascii_end()).filter(|clock| !clock.negative && clock.hours < 24)?;
        let zone = match zone {
            "" => None,
            "Z" | "z" => Some(0),
            zone => Some(minutes_of(zone)?),
        };
        Some(date(clock, zone))
    }

    pub(super) fn is_midnight(&self) -> bool {
        self.clock == MIDNIGHT
    }

    /// Whether the column keeps all digits of the second.
    pub(super) fn fits(&self, digits: u8, field: &Field) -> Result<(), String> {
        self.clock.fits(digits, field)
    }

    /// As a clock in UTC shows it. `None`: not a date of these four digits any more.
    pub(super) fn to_utc(self) -> Option<Self> {
        let Some(zone) = self.zone.filter(|zone| *zone != 0) else { return Some(Self { zone: None, ..self }) };
        if self.month == 0 || self.day == 0 {
            return None;
        }
        let minutes =
            civil::day_of(self.year, self.month, self.day) * 1440 + self.clock.hours * 60 + self.clock.minutes - zone;
        let (year, month, day) = civil::date_of(minutes.div_euclid(1440));
        let of_day = minutes.rem_euclid(1440);
        let clock = Clock { hours: of_day / 60, minutes: of_day % 60, ..self.clock };
        (0..=9999).contains(&year).then_some(Self { year, month, day, clock, zone: None })
    }

    pub(super) fn date(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    pub(super) fn text(&self) -> String {
        format!("{} {}", self.date(), self.clock.text())
    }
}

impl Clock {
    /// Reads `10:00`, `10:00:00`, `-838:59:59.123456`.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, rest)| (whole, Some(rest)));
        let mut parts = whole.split(':');
        let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next());
        if parts.next().is_some() || minutes.len() != 2 || !(1..=3).contains(&hours.len()) {
            return None;
        }
        if seconds.is_some_and(|seconds| seconds.len() != 2) || (fraction.is_some() && seconds.is_none()) {
            return None;
        }
        let (hours, minutes, seconds) = (digits(hours)?, digits(minutes)?, digits(seconds.unwrap_or("0"))?);
        let nanos = fraction.map_or(Some(0), nanos)?;
        (hours < 839 && minutes < 60 && seconds < 60).then_some(Self { negative, hours, minutes, seconds, nanos })
    }

    pub(super) fn fits(&self, digits: u8, field: &Field) -> Result<(), String> {
        if self.nanos.is_multiple_of(10_u32.pow(9 - u32::from(digits.min(6)))) {
            return Ok(());
        }
        Err(format!("{} has more digits of a second than the column's {digits}", shown(field)))
    }

    pub(super) fn text(&self) -> String {
        let Self { hours, minutes, seconds, nanos, .. } = self;
        let sign = if self.negative { "-" } else { "" };
        let micros = nanos / 1000;
        let fraction = if micros == 0 { String::new() } else { format!(".{micros:06}") };
        format!("{sign}{hours:02}:{minutes:02}:{seconds:02}{fraction}")
    }
}

fn digits(text: &str) -> Option<i64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Up to nine digits, and zeros behind them.
fn nanos(fraction: &str) -> Option<u32> {
    digits(fraction)?;
    let trimmed = fraction.trim_end_matches('0');
    if trimmed.len() > 9 {
        // More than nanoseconds fit nowhere.
        return Some(1);
    }
    format!("{trimmed:0<9}").parse().ok()
}

/// `+01:00`, `-0330`, `+01`
fn minutes_of(zone: &str) -> Option<i64> {
    let (sign, rest) = zone.strip_prefix('-').map_or_else(|| (1, zone.get(1..)), |rest| (-1, Some(rest)));
    let rest = rest?;
    let (hours, minutes) = match rest.len() {
        2 => (rest, "00"),
        4 => rest.split_at_checked(2)?,
        5 => rest.split_once(':')?,
        _ => return None,
    };
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}
