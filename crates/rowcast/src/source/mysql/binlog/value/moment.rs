//! Dates and times as the server prints them.

use std::fmt::Write as _;

use crate::event::Value;
use crate::source::mysql::binlog::bytes::{Bytes, Malformed};

/// A text of a known length that needs no memory of its own.
struct Text {
    bytes: [u8; 40],
    length: usize,
}

impl std::fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(std::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

impl Text {
    fn new() -> Self {
        Self { bytes: [0; 40], length: 0 }
    }

    /// So many digits, at least.
    fn digits(&mut self, number: u64, width: usize) {
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(number);
        for _ in digits.len()..width {
            let _ = self.write_char('0');
        }
        let _ = self.write_str(digits);
    }

    fn fields(&mut self, fields: [(u64, usize); 3], between: char) {
        for (n, (number, width)) in fields.into_iter().enumerate() {
            if n > 0 {
                let _ = self.write_char(between);
            }
            self.digits(number, width);
        }
    }

    fn fraction(&mut self, micros: u64, digits: u8) {
        if digits > 0 {
            let digits = digits.min(6);
            let _ = self.write_char('.');
            self.digits(micros / 10_u64.pow(u32::from(6 - digits)), digits.into());
        }
    }

    fn value(&self) -> Value {
        Value::Text(std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default().into())
    }
}

/// Millionths from the bytes of a fraction.
fn micros(data: &mut Bytes<'_>, digits: u8) -> Result<u64, Malformed> {
    let bytes = usize::from(digits.min(6)).div_ceil(2);
    Ok(data.big(bytes)? * 10_u64.pow(6 - 2 * bytes as u32))
}

pub(super) fn date(data: &mut Bytes<'_>) -> Result<Value, Malformed> {
    let packed = data.little(3)?;
    let mut text = Text::new();
    text.fields([(packed >> 9, 4), (packed >> 5 & 15, 2), (packed & 31, 2)], '-');
    Ok(text.value())
}

pub(super) fn time(data: &mut Bytes<'_>, digits: u8) -> Result<Value, Malformed> {
    let bytes = usize::from(digits.min(6)).div_ceil(2);
    let packed = data.big(3 + bytes)? as i64 - (0x80_0000 << (8 * bytes));
    let (positive, fraction) = (packed.unsigned_abs(), packed.unsigned_abs() & ((1 << (8 * bytes)) - 1));
    let whole = positive >> (8 * bytes);
    let micros = fraction * 10_u64.pow(6 - 2 * bytes as u32);
    Ok(clock(packed < 0, [whole >> 12 & 0x3ff, whole >> 6 & 63, whole & 63], micros, digits))
}

fn clock(negative: bool, [hour, minute, second]: [u64; 3], micros: u64, digits: u8) -> Value {
    let mut text = Text::new();
    if negative {
        let _ = text.write_char('-');
    }
    text.fields([(hour, 2), (minute, 2), (second, 2)], ':');
    text.fraction(micros, digits);
    text.value()
}

pub(super) fn old_time(data: &mut Bytes<'_>) -> Result<Value, Malformed> {
    let number = ((data.little(3)? as i32) << 8) >> 8;
    let positive = u64::from(number.unsigned_abs());
    Ok(clock(number < 0, [positive / 10_000, positive / 100 % 100, positive % 100], 0, 0))
}

pub(super) fn datetime(data: &mut Bytes<'_>, digits: u8) -> Result<Value, Malformed> {
    let packed = data.big(5)?.wrapping_sub(0x80_0000_0000) & 0x7f_ffff_ffff;
    let micros = micros(data, digits)?;
    let (date, time) = (packed >> 17, packed & 0x1_ffff);
    let month = date >> 5;
    let date = [month / 13, month % 13, date & 31];
    Ok(moment(date, [time >> 12, time >> 6 & 63, time & 63], micros, digits, ""))
}

pub(super) fn old_datetime(data: &mut Bytes<'_>) -> Result<Value, Malformed> {
    let number = data.u64()?;
    let (date, time) = (number / 1_000_000, number % 1_000_000);
    let date = [date / 10_000, date / 100 % 100, date % 100];
    Ok(moment(date, [time / 10_000, time / 100 % 100, time % 100], 0, 0, ""))
}

pub(super) fn timestamp(data: &mut Bytes<'_>, digits: u8) -> Result<Value, Malformed> {
    let seconds = data.big(4)?;
    let micros = micros(data, digits)?;
    Ok(since_1970(seconds, micros, digits))
}

pub(super) fn old_timestamp(data: &mut Bytes<'_>) -> Result<Value, Malformed> {
    Ok(since_1970(data.u32()?.into(), 0, 0))
}

fn since_1970(seconds: u64, micros: u64, digits: u8) -> Value {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let date = if seconds == 0 && micros == 0 { [0; 3] } else { civil(days) };
    moment(date, [second / 3600, second / 60 % 60, second % 60], micros, digits, "+00")
}

fn moment([year, month, day]: [u64; 3], time: [u64; 3], micros: u64, digits: u8, zone: &str) -> Value {
    let mut text = Text::new();
    text.fields([(year, 4), (month, 2), (day, 2)], '-');
    let _ = text.write_char(' ');
    text.fields(time.map(|part| (part, 2)), ':');
    text.fraction(micros, digits);
    let _ = text.write_str(zone);
    text.value()
}

/// Year, month and day of a day since 1970 (Howard Hinnant's `civil_from_days`).
fn civil(days: u64) -> [u64; 3] {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    [year + era * 400 + u64::from(month <= 2), month, of_year - (153 * shifted + 2) / 5 + 1]
}

/// The packed form in which JSON documents have dates and times: as the server prints them there.
pub(in super::super) fn packed(number: i64, is_time: bool, is_date: bool) -> String {
    let positive = number.unsigned_abs();
    let (whole, micros) = (positive >> 24, positive & 0xff_ffff);
    let value = if is_time {
        clock(number < 0, [whole >> 12 & 0x3ff, whole >> 6 & 63, whole & 63], micros, 6)
    } else {
        let (date, time) = (whole >> 17, whole & 0x1_ffff);
        let month = date >> 5;
        let date = [month / 13, month % 13, date & 31];
        if is_date {
            let mut text = Text::new();
            text.fields([(date[0], 4), (date[1], 2), (date[2], 2)], '-');
            text.value()
        } else {
            moment(date, [time >> 12, time >> 6 & 63, time & 63], micros, 6, "")
        }
    };
    match value {
        Value::Text(text) => text.to_string(),
        _ => String::new(),
    }
}
