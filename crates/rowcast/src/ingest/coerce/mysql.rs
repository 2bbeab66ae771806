//! What a column of MySQL or MariaDB takes, by its type in normal form.
//!
//! Refuses what certainly does not fit, and what the database would round, cut off or take for something else without a
//! word. Where it knows better (names of an enum, addresses, shapes, character sets), it is left to judge.

mod moment;

use self::moment::Moment;
use super::number::{self, Integer};
use super::{Field, expected, shown, written};
use crate::event::Value;
use crate::mysql::Kind as Type;

/// The type of a column.
#[derive(Debug, Clone)]
pub(super) struct Kind {
    of: Type,
    /// Characters of a text, at most; and whether blanks at its end count.
    length: Option<(usize, bool)>,
}

impl Kind {
    pub(super) fn of(declared: &str) -> Self {
        let argument = |name| -> Option<usize> { declared.strip_prefix(name)?.strip_suffix(')')?.parse().ok() };
        let length =
            argument("varchar(").map(|length| (length, true)).or(argument("char(").map(|length| (length, false)));
        Self { of: Type::of(declared), length }
    }

    /// The value as this column holds it, or what is wrong with it.
    pub(super) fn value(&self, field: Field) -> Result<Value, String> {
        match (&self.of, field) {
            (_, Field::Null) => Ok(Value::Null),
            (Type::Text, field) => self.text(written(field)),
            (Type::Json, Field::Text(text)) => Ok(Value::Text(text.into())),
            (Type::Json, field) => Ok(Value::Json(written(field).into())),
            (Type::Bytes, field) => {
                super::kind::bytes(&field).ok_or_else(|| expected("bytes as \\x and hexadecimal digits", &field))
            }
            (Type::Int { bytes, unsigned }, field) => integer(*bytes, *unsigned, &field),
            (Type::Year, field) => year(&field),
            (Type::Bit(bits), field) => bit(*bits, &field),
            (Type::Decimal { precision, scale, unsigned }, field) => decimal(*precision, *scale, *unsigned, &field),
            (Type::Float | Type::Double, field) => self.real(&field),
            (Type::Date, field) => date(&field),
            (Type::DateTime(digits), field) => moment(*digits, &field).map(|text| Value::Text(text.into())),
            // As the database tells it, in UTC.
            (Type::Timestamp(digits), field) => {
                moment(*digits, &field).map(|text| Value::Text(format!("{text}+00").into()))
            }
            (Type::Time(digits), field) => time(*digits, &field),
            (Type::Enum(names) | Type::Set(names), field) => {
                let text = written(field);
                // A number that is no name would be taken for the place of one.
                let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                if is_number && !names.contains(&text) {
                    return Err(expected("one of its names", &Field::Text(text)));
                }
                Ok(Value::Text(text.into()))
            }
            (Type::Uuid, Field::Text(text)) if is_uuid(&text) => Ok(Value::Text(text.into())),
            (Type::Uuid, field) => Err(expected("a uuid", &field)),
            (_, Field::Number(digits)) => Ok(Value::Number(digits.into())),
            (_, Field::Json(json)) => Ok(Value::Json(json.into())),
            (_, field) => Ok(Value::Text(written(field).into())),
        }
    }

    fn text(&self, text: Box<str>) -> Result<Value, String> {
        if let Some((length, blanks)) = self.length
            && text.len() > length
        {
            let counted = if blanks { &*text } else { text.trim_end_matches(' ') };
            if counted.chars().count() > length {
                return Err(format!("{} is longer than {length} characters", shown(&Field::Text(text))));
            }
        }
        Ok(Value::Text(text.into()))
    }

    fn real(&self, field: &Field) -> Result<Value, String> {
        if let Field::Bool(truth) = field {
            return Ok(Value::Int((*truth).into()));
        }
        let text = digits(field, "a number")?;
        match (number::real(text), &self.of) {
            (None, _) if number::is_number(text) => Err(format!("{} is beyond a double", shown(field))),
            (None, _) => Err(expected("a number", field)),
            (Some(_), Type::Float) if text.parse::<f32>().is_ok_and(f32::is_infinite) => {
                Err(format!("{} is beyond the type float", shown(field)))
            }
            (Some(x), _) => Ok(Value::Real(x)),
        }
    }
}

/// The text of a number, or of what may be one.
fn digits<'a>(field: &'a Field, what: &str) -> Result<&'a str, String> {
    match field {
        Field::Number(text) | Field::Text(text) => Ok(text.trim_ascii()),
        _ => Err(expected(what, field)),
    }
}

fn integer(bytes: u8, unsigned: bool, field: &Field) -> Result<Value, String> {
    if let Field::Bool(truth) = field {
        return Ok(Value::Int((*truth).into()));
    }
    let text = digits(field, "an integer")?;
    // A boolean is a tinyint here.
    if bytes == 1 && (text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false")) {
        return Ok(Value::Int((text.len() == 4).into()));
    }
    let bits = u32::from(bytes) * 8;
    let beyond = || {
        let sign = if unsigned { " without a sign" } else { "" };
        Err(format!("{} is beyond {bits} bits{sign}", shown(field)))
    };
    let fits = |n: i64| match unsigned {
        true => n >= 0 && (bits == 64 || n < 1 << bits),
        false => n >= -1 << (bits - 1) && n <= i64::MAX >> (64 - bits),
    };
    match number::integer(text) {
        Integer::Is(n) if fits(n) => Ok(Value::Int(n)),
        Integer::Beyond if unsigned && bits == 64 => match text.strip_prefix('+').unwrap_or(text).parse::<u64>() {
            Ok(n) => Ok(Value::Number(n.to_string().into())),
            Err(_) => beyond(),
        },
        Integer::Is(_) | Integer::Beyond => beyond(),
        Integer::IsNot => Err(expected("an integer", field)),
    }
}

fn year(field: &Field) -> Result<Value, String> {
    match number::integer(digits(field, "a year")?) {
        // Two digits would be taken for a year of our time.
        Integer::Is(n) if n == 0 || (1901..=2155).contains(&n) => Ok(Value::Int(n)),
        _ => Err(expected("a year from 1901 to 2155", field)),
    }
}

fn bit(bits: u8, field: &Field) -> Result<Value, String> {
    let value = integer(8, true, field)?;
    let fits = match &value {
        Value::Int(n) => bits >= 64 || *n < 1 << bits,
        _ => bits >= 64,
    };
    if fits { Ok(value) } else { Err(format!("{} is beyond {bits} bits without a sign", shown(field))) }
}

fn decimal(precision: u8, scale: u8, unsigned: bool, field: &Field) -> Result<Value, String> {
    if let Field::Bool(truth) = field {
        return Ok(Value::Int((*truth).into()));
    }
    let text = digits(field, "a number")?;
    let Some(places) = number::places(text) else { return Err(expected("a number", field)) };
    let (scale, whole) = (usize::from(scale), usize::from(precision.saturating_sub(scale)));
    if places.fraction > scale {
        return Err(format!("{} has more than {scale} digits behind the point", shown(field)));
    }
    if places.whole > whole {
        return Err(format!("{} has more than {whole} digits before the point", shown(field)));
    }
    if unsigned && places.negative {
        return Err(expected("a number without a sign", field));
    }
    Ok(Value::Number(text.into()))
}

const MOMENT: &str = "a date and time like 2026-11-21T10:00:00Z";

/// In UTC where it says a zone; without one it is as a clock there shows it.
fn moment(digits: u8, field: &Field) -> Result<String, String> {
    let Field::Text(text) = field else { return Err(expected(MOMENT, field)) };
    let read = Moment::read(text.trim_ascii()).ok_or_else(|| expected(MOMENT, field))?;
    read.fits(digits, field)?;
    Ok(read.to_utc().ok_or_else(|| expected(MOMENT, field))?.text())
}

fn date(field: &Field) -> Result<Value, String> {
    let wanted = || expected("a date like 2026-11-21", field);
    let Field::Text(text) = field else { return Err(wanted()) };
    let read = Moment::read(text.trim_ascii()).ok_or_else(wanted)?;
    if !read.is_midnight() {
        return Err(format!("{} has a time of day, which a date does not keep", shown(field)));
    }
    Ok(Value::Text(read.date().into()))
}

fn time(digits: u8, field: &Field) -> Result<Value, String> {
    let wanted = || expected("a time like 10:00:00", field);
    let Field::Text(text) = field else { return Err(wanted()) };
    let time = moment::Clock::read(text.trim_ascii()).ok_or_else(wanted)?;
    time.fits(digits, field)?;
    Ok(Value::Text(time.text().into()))
}

/// In any of the spellings that MariaDB reads.
fn is_uuid(text: &str) -> bool {
    let text = text.trim_ascii();
    text.bytes().filter(u8::is_ascii_hexdigit).count() == 32
        && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

#[cfg(test)]
mod tests;
