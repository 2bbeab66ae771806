//! Dates and times in ISO form, as PostgreSQL reads and prints them in the time zone UTC.

use super::kind::Kind;

const DAY: i64 = 86_400_000_000;
/// 4714-11-24 BC, the first day that PostgreSQL has.
const FIRST_DAY: i64 = -2_440_588;
/// The day after the last, 294276-12-31, that a timestamp may have.
const TIMESTAMP_END: i64 = 106_762_940;
/// The day after the last, 5874897-12-31, that a date may have.
const DATE_END: i64 = 2_145_042_906;

/// A moment, or one of the infinities at both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in super::super) struct Moment {
    /// Since 1970-01-01.
    days: i64,
    /// Of the day.
    micros: i64,
}

/// Why a text is no date or time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It does not look like one.
    Form,
    /// There is no such day, hour or minute, or PostgreSQL does not reach so far.
    Range,
    /// `now`, `today`: another moment each time that it is read.
    Relative,
}

const INFINITY: Moment = Moment { days: i64::MAX, micros: 0 };
const MINUS_INFINITY: Moment = Moment { days: i64::MIN, micros: 0 };

/// A date or timestamp for a column of this kind: a date has no time, and a timestamp without time zone ignores a zone.
pub(super) fn read(text: &str, kind: &Kind) -> Result<Moment, Fault> {
    let text = text.trim_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return named(text);
    }
    let (text, before_christ) = match text.len().checked_sub(3).and_then(|at| text.split_at_checked(at)) {
        Some((text, end)) if end.eq_ignore_ascii_case(" bc") => (text.trim_end(), true),
        _ => (text, false),
    };
    let mut reader = Reader { rest: text.as_bytes() };
    let mut day = reader.date(before_christ)?;
    let mut micros = 0;
    if reader.eat(b" ") || reader.eat(b"tT") {
        micros = reader.time()?;
        let offset = reader.zone()?;
        match kind {
            Kind::Date => micros = 0,
            Kind::TimestampTz => micros -= offset * 1_000_000,
            _ => {}
        }
    }
    if !reader.rest.is_empty() {
        return Err(Fault::Form);
    }
    day += micros.div_euclid(DAY);
    let end = if *kind == Kind::Date { DATE_END } else { TIMESTAMP_END };
    if (FIRST_DAY..end).contains(&day) {
        Ok(Moment { days: day, micros: micros.rem_euclid(DAY) })
    } else {
        Err(Fault::Range)
    }
}

/// A time of day, in microseconds.
pub(super) fn read_time(text: &str) -> Result<i64, Fault> {
    let text = text.trim();
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(named(text).err().unwrap_or(Fault::Form));
    }
    let mut reader = Reader { rest: text.as_bytes() };
    let micros = reader.time()?;
    if reader.rest.is_empty() { Ok(micros) } else { Err(Fault::Form) }
}

fn named(text: &str) -> Result<Moment, Fault> {
    match text.to_ascii_lowercase().as_str() {
        "infinity" | "+infinity" => Ok(INFINITY),
        "-infinity" => Ok(MINUS_INFINITY),
        "epoch" => Ok(Moment { days: 0, micros: 0 }),
        "now" | "today" | "tomorrow" | "yesterday" => Err(Fault::Relative),
        _ => Err(Fault::Form),
    }
}

struct Reader<'t> {
    rest: &'t [u8],
}

impl Reader<'_> {
    fn eat(&mut self, any_of: &[u8]) -> bool {
        let found = self.rest.first().is_some_and(|b| any_of.contains(b));
        self.rest = &self.rest[usize::from(found)..];
        found
    }

    /// A number of at least and at most so many digits.
    fn number(&mut self, least: usize, most: usize) -> Result<i64, Fault> {
        let count = self.rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if count < least || count > most {
            return Err(Fault::Form);
        }
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        Ok(digits.iter().fold(0, |n, b| n * 10 + i64::from(b - b'0')))
    }

    fn want(&mut self, byte: u8) -> Result<(), Fault> {
        if self.eat(&[byte]) { Ok(()) } else { Err(Fault::Form) }
    }

    fn date(&mut self, before_christ: bool) -> Result<i64, Fault> {
        let year = self.number(4, 7)?;
        self.want(b'-')?;
        let month = self.number(1, 2)?;
        self.want(b'-')?;
        let day = self.number(1, 2)?;
        let year = match (year, before_christ) {
            (0, _) => return Err(Fault::Range),
            (year, true) => 1 - year,
            (year, false) => year,
        };
        let is_day = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
        if is_day { Ok(days_of(year, month, day)) } else { Err(Fault::Range) }
    }

    fn time(&mut self) -> Result<i64, Fault> {
        let hour = self.number(1, 2)?;
        self.want(b':')?;
        let minute = self.number(2, 2)?;
        let (mut second, mut micros) = (0, 0);
        if self.eat(b":") {
            second = self.number(2, 2)?;
            if self.eat(b".") {
                micros = self.fraction()?;
            }
        }
        let is_time = hour < 24 && minute < 60 && second < 60;
        let is_end = (hour, minute, second, micros) == (24, 0, 0, 0);
        if !is_time && !is_end {
            return Err(Fault::Range);
        }
        Ok(((hour * 60 + minute) * 60 + second) * 1_000_000 + micros)
    }

    /// Microseconds, rounded as PostgreSQL does it: as a double, halves to the even one.
    fn fraction(&mut self) -> Result<i64, Fault> {
        let count = self.rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        let text = std::str::from_utf8(digits).map_err(|_| Fault::Form)?;
        let fraction: f64 = format!("0.{text}0").parse().map_err(|_| Fault::Form)?;
        Ok((fraction * 1_000_000.0).round_ties_even() as i64)
    }

    /// Seconds east of UTC; none is UTC.
    fn zone(&mut self) -> Result<i64, Fault> {
        if self.rest.is_empty() || self.eat(b"zZ") {
            return Ok(0);
        }
        self.eat(b" ");
        let negative = self.rest.first() == Some(&b'-');
        if !self.eat(b"+-") {
            return Err(Fault::Form);
        }
        let hours = self.number(1, 2)?;
        let (mut minutes, mut seconds) = (0, 0);
        if self.eat(b":") {
            minutes = self.number(2, 2)?;
            if self.eat(b":") {
                seconds = self.number(2, 2)?;
            }
        }
        if hours > 15 || minutes > 59 || seconds > 59 {
            return Err(Fault::Range);
        }
        let offset = (hours * 60 + minutes) * 60 + seconds;
        Ok(if negative { -offset } else { offset })
    }
}

impl Moment {
    /// Its place in the order of all moments.
    pub(super) fn place(self) -> u128 {
        u128::from(self.days.cast_unsigned() ^ 1 << 63) << 64 | u128::from(self.micros.cast_unsigned())
    }

    /// `2026-11-21`, as PostgreSQL prints a date.
    pub(super) fn to_date(self) -> String {
        self.named().map_or_else(|| format!("{}{}", self.day(), self.era()), str::to_owned)
    }

    /// `2026-11-21T10:00:00.5` and the zone, as PostgreSQL prints a timestamp in JSON.
    pub(super) fn to_timestamp(self, zone: &str) -> String {
        let text = || format!("{}T{}{zone}{}", self.day(), time_text(self.micros), self.era());
        self.named().map_or_else(text, str::to_owned)
    }

    fn named(self) -> Option<&'static str> {
        match self {
            INFINITY => Some("infinity"),
            MINUS_INFINITY => Some("-infinity"),
            _ => None,
        }
    }

    fn day(self) -> String {
        let (year, month, day) = date_of(self.days);
        let year = if year > 0 { year } else { 1 - year };
        format!("{year:04}-{month:02}-{day:02}")
    }

    fn era(self) -> &'static str {
        if date_of(self.days).0 > 0 { "" } else { " BC" }
    }
}

/// `10:00:00.5`
pub(super) fn time_text(micros: i64) -> String {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction == 0 { text } else { format!("{text}.{}", format!("{fraction:06}").trim_end_matches('0')) }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of the Gregorian calendar (<https://howardhinnant.github.io/date_algorithms.html>); the year 0
/// is 1 BC.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn same(a: &str, b: &str, kind: &Kind) {
        assert_eq!(read(a, kind).expect(a), read(b, kind).expect(b));
    }

    #[test]
    fn a_moment_has_one_place_in_time() {
        same("2026-11-21T10:00:00.5+02:00", "2026-11-21 08:00:00.500Z", &Kind::TimestampTz);
        same("2026-11-21 00:30:00+01", "2026-11-20T23:30:00+00:00", &Kind::TimestampTz);
        same("2026-11-21 24:00:00", "2026-11-22", &Kind::Timestamp);
        same("2026-11-21 10:00:00+05", "2026-11-21 10:00", &Kind::Timestamp);
        same("2026-11-21 10:00", "2026-11-21", &Kind::Date);
        same("2026-11-21 10:00:00.9999999", "2026-11-21 10:00:01", &Kind::Timestamp);
        same("epoch", "1970-01-01", &Kind::TimestampTz);
    }

    #[test]
    fn what_is_printed_is_what_is_read() {
        for text in [
            "2026-11-21T10:00:00",
            "0001-01-01T00:00:00.000001",
            "4714-11-24T00:00:00 BC",
            "0001-02-29T23:59:59.999999 BC",
            "294276-12-31T23:59:59.999999",
            "infinity",
            "-infinity",
        ] {
            assert_eq!(read(text, &Kind::Timestamp).expect(text).to_timestamp(""), text);
        }
        for text in ["2026-11-21", "5874897-12-31", "4714-11-24 BC", "2000-02-29", "1900-02-28"] {
            assert_eq!(read(text, &Kind::Date).expect(text).to_date(), text);
        }
    }

    #[test]
    fn the_order_is_that_of_time() {
        let ascending = [
            "-infinity",
            "4714-11-24 BC",
            "0001-12-31 BC",
            "0001-01-01",
            "1969-12-31",
            "1970-01-01",
            "294276-12-31",
            "infinity",
        ];
        let moments: Vec<_> = ascending.iter().map(|text| read(text, &Kind::Timestamp).expect(text)).collect();
        assert!(moments.is_sorted());
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for (text, fault) in [
            ("2026-02-30", Fault::Range),
            ("2026-13-01", Fault::Range),
            ("1900-02-29", Fault::Range),
            ("0000-01-01", Fault::Range),
            ("294277-01-01", Fault::Range),
            ("2026-11-21 25:00", Fault::Range),
            ("2026-11-21 10:60", Fault::Range),
            ("2026-11-21 10:00+16", Fault::Range),
            ("now", Fault::Relative),
            ("Today", Fault::Relative),
            ("21.11.2026", Fault::Form),
            ("2026-11-21 10:00 Europe/Oslo", Fault::Form),
            ("2026-11-21 10", Fault::Form),
            ("soon", Fault::Form),
            ("", Fault::Form),
        ] {
            assert_eq!(read(text, &Kind::Timestamp), Err(fault), "{text}");
        }
    }
}
