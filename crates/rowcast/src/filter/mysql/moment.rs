//! Dates and times in ISO form, as MySQL prints and compares them: part by part, so that days which are no days
//! (`0000-00-00`, `2026-11-00`) have their place.

/// A day and a time of it, as they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in super::super) struct Moment {
    /// Year, month and day as the digits of one number: 20261121.
    day: u32,
    /// Microseconds of the day.
    micros: u64,
}

/// Why a text is no date or time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It does not look like one.
    Form,
    /// There is no such day, hour or minute, or MySQL does not reach so far.
    Range,
    /// `now`, `today`: another moment each time that it is read.
    Relative,
}

const SECOND: i64 = 1_000_000;
const DAY: u64 = 86_400_000_000;
/// 838:59:59, the last that both servers have whatever the fraction.
pub(super) const TIME_MAX: i64 = ((838 * 60 + 59) * 60 + 59) * SECOND;

/// What a text says of a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) moment: Moment,
    pub(super) has_time: bool,
    /// Seconds east of UTC, if it says so.
    pub(super) offset: Option<i64>,
}

/// A value of a row, whose zone, if any, is UTC.
pub(super) fn stored(text: &str) -> Option<Moment> {
    let mut reader = Reader { rest: text.as_bytes() };
    let day = reader.day().ok()?;
    let micros = if reader.eat(b" ") || reader.eat(b"T") { reader.time_of_day().ok()? } else { 0 };
    Some(Moment { day, micros })
}

/// `2026-11-21`, `2026-11-21T10:00:00.5+01:00`; days in the calendar, and zeros.
pub(super) fn read(text: &str) -> Result<Said, Fault> {
    let mut reader = Reader { rest: text.as_bytes() };
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(named(text));
    }
    let day = reader.day()?;
    let moment = Moment { day, micros: 0 };
    if !moment.is_zero() && !moment.is_in_calendar() {
        return Err(Fault::Range);
    }
    if reader.rest.is_empty() {
        return Ok(Said { moment, has_time: false, offset: None });
    }
    if !reader.eat(b" ") && !reader.eat(b"tT") {
        return Err(Fault::Form);
    }
    let micros = reader.time_of_day()?;
    let offset = reader.zone()?;
    if reader.rest.is_empty() {
        Ok(Said { moment: Moment { day, micros }, has_time: true, offset })
    } else {
        Err(Fault::Form)
    }
}

/// `10:00`, `10:00:00.5`, `-838:59:59`: microseconds.
pub(super) fn read_time(text: &str) -> Result<i64, Fault> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+')) {
        return Err(named(text));
    }
    let mut reader = Reader { rest: text.as_bytes() };
    let negative = reader.rest.first() == Some(&b'-');
    reader.eat(b"+-");
    let hours = reader.number(1, 3)?;
    let micros = hours as i64 * 3600 * SECOND + reader.minutes()? as i64;
    if reader.rest.is_empty() { Ok(if negative { -micros } else { micros }) } else { Err(Fault::Form) }
}

fn named(text: &str) -> Fault {
    match text.to_ascii_lowercase().as_str() {
        "now" | "now()" | "today" | "tomorrow" | "yesterday" | "current_timestamp" => Fault::Relative,
        _ => Fault::Form,
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

    fn want(&mut self, byte: u8) -> Result<(), Fault> {
        if self.eat(&[byte]) { Ok(()) } else { Err(Fault::Form) }
    }

    /// A number of at least and at most so many digits.
    fn number(&mut self, least: usize, most: usize) -> Result<u64, Fault> {
        let count = self.rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if count < least || count > most {
            return Err(Fault::Form);
        }
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        Ok(digits.iter().fold(0, |n, b| n * 10 + u64::from(b - b'0')))
    }

    fn day(&mut self) -> Result<u32, Fault> {
        let year = self.number(4, 4)?;
        self.want(b'-')?;
        let month = self.number(2, 2)?;
        self.want(b'-')?;
        let day = self.number(2, 2)?;
        Ok((year * 10_000 + month * 100 + day) as u32)
    }

    fn time_of_day(&mut self) -> Result<u64, Fault> {
        let hour = self.number(2, 2)?;
        let micros = hour * 3600 * SECOND.unsigned_abs() + self.minutes()?;
        if hour < 24 { Ok(micros) } else { Err(Fault::Range) }
    }

    /// `:59`, `:59:59`, `:59:59.999999`
    fn minutes(&mut self) -> Result<u64, Fault> {
        self.want(b':')?;
        let minute = self.number(2, 2)?;
        let (mut second, mut micros) = (0, 0);
        if self.eat(b":") {
            second = self.number(2, 2)?;
            if self.eat(b".") {
                let before = self.rest.len();
                micros = self.number(1, 6)?;
                let digits = before - self.rest.len();
                micros *= 10u64.pow(6 - digits as u32);
            }
        }
        if minute > 59 || second > 59 {
            return Err(Fault::Range);
        }
        Ok((minute * 60 + second) * SECOND.unsigned_abs() + micros)
    }

    /// Seconds east of UTC, where it is said.
    fn zone(&mut self) -> Result<Option<i64>, Fault> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        if self.eat(b"zZ") {
            return Ok(Some(0));
        }
        self.eat(b" ");
        let negative = self.rest.first() == Some(&b'-');
        if !self.eat(b"+-") {
            return Err(Fault::Form);
        }
        let hours = self.number(2, 2)?;
        let has_minutes = self.eat(b":");
        let minutes = if has_minutes { self.number(2, 2)? } else { 0 };
        if hours > 15 || minutes > 59 {
            return Err(Fault::Range);
        }
        let offset = ((hours * 60 + minutes) * 60) as i64;
        Ok(Some(if negative { -offset } else { offset }))
    }
}

impl Moment {
    /// Its place in the order of all moments.
    pub(super) fn place(self) -> u128 {
        u128::from(self.day) << 64 | u128::from(self.micros)
    }

    /// Whether a part of the day is 0: what the servers take as a constant depends on their `sql_mode` then.
    pub(super) fn is_zero(self) -> bool {
        let (year, month, day) = self.parts();
        year == 0 || month == 0 || day == 0
    }

    fn parts(self) -> (i64, i64, i64) {
        let day = i64::from(self.day);
        (day / 10_000, day / 100 % 100, day % 100)
    }

    fn is_in_calendar(self) -> bool {
        let (year, month, day) = self.parts();
        (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day)
    }

    /// The same moment so many seconds to the west; `None` beyond the years 1 to 9999.
    pub(super) fn minus_seconds(self, seconds: i64) -> Option<Self> {
        let micros = self.micros as i64 - seconds * SECOND;
        let day = DAY as i64;
        let (year, month, dom) = self.parts();
        let (year, month, dom) = date_of(days_of(year, month, dom) + micros.div_euclid(day));
        let number = u32::try_from(year * 10_000 + month * 100 + dom).ok()?;
        (1..=9999).contains(&year).then_some(Self { day: number, micros: micros.rem_euclid(day) as u64 })
    }

    /// `2026-11-21`
    pub(super) fn to_date(self) -> String {
        let (year, month, day) = self.parts();
        format!("{year:04}-{month:02}-{day:02}")
    }

    /// `2026-11-21 10:00:00.500`: at least so many digits behind the point, and all that are not 0.
    pub(super) fn to_text(self, digits: u8) -> String {
        format!("{} {}", self.to_date(), time_text(self.micros as i64, digits))
    }

    /// `20261121100000.5`: as the servers calculate with it.
    pub(super) fn to_number(self) -> String {
        let (seconds, micros) = (self.micros / 1_000_000, self.micros % 1_000_000);
        format!("{}{:02}{:02}{:02}.{micros:06}", self.day, seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}

/// `-10:00:00.500`: at least so many digits behind the point, and all that are not 0.
pub(super) fn time_text(micros: i64, digits: u8) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let micros = micros.unsigned_abs();
    let (seconds, fraction) = (micros / 1_000_000, format!("{:06}", micros % 1_000_000));
    let text = format!("{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let digits = fraction.trim_end_matches('0').len().max(usize::from(digits.min(6)));
    if digits == 0 { text } else { format!("{text}.{}", &fraction[..digits]) }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of the Gregorian calendar (<https://howardhinnant.github.io/date_algorithms.html>).
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

    #[test]
    fn the_order_is_that_of_the_digits() {
        let ascending = [
            "0000-00-00",
            "0000-00-00 00:00:00.000001",
            "2026-00-00",
            "2026-11-00",
            "2026-11-21",
            "2026-11-21 10:00",
            "2026-11-21T10:00:00.5",
            "9999-12-31 23:59:59.999999",
        ];
        let moments: Vec<_> = ascending.iter().map(|text| read(text).expect(text).moment).collect();
        assert!(moments.is_sorted());
        let stored: Vec<_> = ascending.iter().map(|text| stored(text).expect(text)).collect();
        assert_eq!(stored, moments);
    }

    #[test]
    fn a_zone_moves_the_moment() {
        for (text, utc) in [
            ("2026-11-21T10:00:00.5+02:00", "2026-11-21 08:00:00.5"),
            ("2026-11-21 00:30:00+01", "2026-11-20 23:30:00"),
            ("2026-12-31 23:30:00-01:30", "2027-01-01 01:00:00"),
            ("2024-02-29T00:00Z", "2024-02-29 00:00:00"),
        ] {
            let said = read(text).expect(text);
            let moved = said.moment.minus_seconds(said.offset.expect("a zone")).expect("in range");
            assert_eq!(moved.to_text(0), utc);
        }
    }

    #[test]
    fn times_are_printed_as_they_are_read() {
        for text in ["-838:59:59", "00:00:00", "10:00:00.5", "-00:00:00.000001", "100:00:00"] {
            assert_eq!(time_text(read_time(text).expect(text), 0), text);
        }
        assert_eq!(time_text(read_time("10:00").expect("a time"), 3), "10:00:00.000");
        assert_eq!(stored("2026-11-21 05:13:56.120+00").expect("a moment").to_number(), "20261121051356.120000");
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for (text, fault) in [
            ("2026-02-30", Fault::Range),
            ("2026-13-01", Fault::Range),
            ("1900-02-29", Fault::Range),
            ("2026-11-21 24:00", Fault::Range),
            ("2026-11-21 10:60", Fault::Range),
            ("2026-11-21 10:00+16", Fault::Range),
            ("now", Fault::Relative),
            ("26-11-21", Fault::Form),
            ("2026-1-5", Fault::Form),
            ("20261121", Fault::Form),
            ("2026-11-21 10:00:00.1234567", Fault::Form),
            ("2026-11-21 10:00 Europe/Oslo", Fault::Form),
            ("2026-11-21 10", Fault::Form),
            (" 2026-11-21", Fault::Form),
            ("", Fault::Form),
        ] {
            assert_eq!(read(text), Err(fault), "{text}");
        }
    }
}
