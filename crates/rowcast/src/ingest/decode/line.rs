//! InfluxDB's line protocol: `measurement,tag=a field=1.5,other="text" 1718000000000000000`.
//!
//! As its documentation has it, but for one thing: a line break within a text ends the line, so that one open quote cannot
//! swallow what follows. Telegraf never sends one.

use super::lines::{Line, Lines};
use super::{Field, Fields, Record, RecordError, Shape};

/// One line: a measurement at a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// What was measured.
    pub measurement: Box<str>,
    /// Where and on what.
    pub tags: Vec<(Box<str>, Box<str>)>,
    /// What came out.
    pub fields: Fields,
    /// When, in the unit that was agreed on; `None` where the line does not say.
    pub time: Option<i64>,
}

impl Point {
    /// Reads one line; the error says what is wrong with it.
    pub fn parse(line: &str) -> Result<Self, String> {
        let mut rest = line.trim_matches([' ', '\r']);
        let (measurement, end) = word(&mut rest, &[',', ' '])?;
        if measurement.is_empty() {
            return Err("the measurement is missing".into());
        }
        let mut end = end.ok_or("the fields are missing")?;
        let mut tags = Vec::new();
        while end == ',' {
            let (name, value, after) = tag(&mut rest)?;
            tags.push((name.into(), value.into()));
            end = after.ok_or("the fields are missing")?;
        }
        rest = rest.trim_start_matches(' ');
        let mut fields = Vec::new();
        loop {
            let (name, equals) = word(&mut rest, &['=', ',', ' '])?;
            if equals != Some('=') || name.is_empty() {
                return Err(format!("expected a field such as `name=1.5`, got {:?}", shown(&name)));
            }
            let (field, after) = value(&mut rest, &name)?;
            fields.push((name.into(), field));
            match after {
                Some(',') => {}
                Some(_) => break,
                None => break,
            }
        }
        let time = match rest.trim_matches(' ') {
            "" => None,
            digits => Some(
                digits.parse().map_err(|_| format!("expected a whole number as the time, got {:?}", shown(digits)))?,
            ),
        };
        Ok(Self { measurement: measurement.into(), tags, fields: Fields(fields), time })
    }

    /// Its tags and fields together, and the measurement's time as `time`.
    pub fn into_fields(self) -> Fields {
        let Self { tags, fields, time, .. } = self;
        let tags = tags.into_iter().map(|(name, value)| (name, Field::Text(value)));
        let time = time.map(|time| ("time".into(), Field::Number(time.to_string().into())));
        Fields(tags.chain(fields.0).chain(time).collect())
    }
}

/// Reads up to one of `ends` that no backslash stands before, and takes it. Backslashes before other characters stay.
fn word(rest: &mut &str, ends: &[char]) -> Result<(String, Option<char>), String> {
    let mut out = String::new();
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, next @ (',' | '=' | ' '))) => out.push(next),
                Some((_, next)) => out.extend(['\\', next]),
                None => out.push('\\'),
            },
            c if ends.contains(&c) => {
                *rest = &rest[at + c.len_utf8()..];
                return Ok((out, Some(c)));
            }
            '\0' => return Err("there is a NUL in it".into()),
            c => out.push(c),
        }
    }
    *rest = "";
    Ok((out, None))
}

fn tag(rest: &mut &str) -> Result<(String, String, Option<char>), String> {
    let (name, equals) = word(rest, &['=', ',', ' '])?;
    if equals != Some('=') || name.is_empty() {
        return Err(format!("expected a tag such as `name=value`, got {:?}", shown(&name)));
    }
    let (value, end) = word(rest, &[',', ' ', '='])?;
    match end {
        Some('=') => Err(format!("the value of the tag {:?} has an `=`; write it as `\\=`", shown(&name))),
        _ if value.is_empty() => Err(format!("the tag {:?} has no value", shown(&name))),
        end => Ok((name, value, end)),
    }
}

/// A field's value, and what stands behind it.
fn value(rest: &mut &str, name: &str) -> Result<(Field, Option<char>), String> {
    if let Some(inside) = rest.strip_prefix('"') {
        let (text, after) =
            text(inside).ok_or_else(|| format!("the text of the field {:?} is not closed", shown(name)))?;
        let end = after.chars().next();
        if !matches!(end, None | Some(',' | ' ')) {
            return Err(format!("there is more behind the text of the field {:?}", shown(name)));
        }
        *rest = after.get(1..).unwrap_or_default();
        return Ok((Field::Text(text.into()), end));
    }
    let at = rest.find([',', ' ']).unwrap_or(rest.len());
    let (plain, end) = (&rest[..at], rest[at..].chars().next());
    *rest = rest.get(at + 1..).unwrap_or_default();
    let field = match plain {
        "t" | "T" | "true" | "True" | "TRUE" => Field::Bool(true),
        "f" | "F" | "false" | "False" | "FALSE" => Field::Bool(false),
        _ => number(plain).ok_or_else(|| {
            format!(
                "the field {:?} is neither a number, a truth value nor a text in quotes: {:?}",
                shown(name),
                shown(plain)
            )
        })?,
    };
    Ok((field, end))
}

/// A text up to its closing quote, and what follows.
fn text(inside: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = inside.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, &inside[at + 1..])),
            '\\' => match chars.next() {
                Some((_, next @ ('"' | '\\'))) => out.push(next),
                Some((_, next)) => out.extend(['\\', next]),
                None => return None,
            },
            c => out.push(c),
        }
    }
    None
}

/// `1`, `-1.5`, `1e9`, `37i`, `37u`, as JSON writes it.
fn number(text: &str) -> Option<Field> {
    if let Some(digits) = text.strip_suffix('i') {
        return digits.parse::<i64>().ok().map(|number| Field::Number(number.to_string().into()));
    }
    if let Some(digits) = text.strip_suffix('u') {
        return digits.parse::<u64>().ok().map(|number| Field::Number(number.to_string().into()));
    }
    let finite = text.parse::<f64>().is_ok_and(f64::is_finite);
    if !finite || !text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E')) {
        return None;
    }
    // JSON wants a digit before and behind the point, and no idle zeros.
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let split = digits.find(['e', 'E']).unwrap_or(digits.len());
    let (mantissa, exponent) = digits.split_at(split);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let fraction = if fraction.is_empty() { String::new() } else { format!(".{fraction}") };
    Some(Field::Number(format!("{sign}{whole}{fraction}{exponent}").into()))
}

/// The front of what somebody sent.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Reads points from lines.
#[derive(Debug, Default)]
pub(super) struct Points {
    lines: Lines,
}

impl Points {
    pub(super) fn feed(&mut self, chunk: &[u8], out: Shape, records: &mut Vec<Record>) {
        self.lines.feed(chunk, out.record_bytes_max, out.shown(), |line| point(&line, out, records));
    }

    pub(super) fn finish(&mut self, out: Shape, records: &mut Vec<Record>) {
        self.lines.finish(out.record_bytes_max, out.shown(), |line| point(&line, out, records));
    }
}

fn point(line: &Line<'_>, out: Shape, records: &mut Vec<Record>) {
    let bytes = line.bytes.trim_ascii();
    if !line.too_long && (bytes.is_empty() || bytes.starts_with(b"#")) {
        return;
    }
    let fields = match std::str::from_utf8(bytes) {
        _ if line.too_long => Err(out.too_long()),
        Err(_) => Err(RecordError::NotUtf8),
        Ok(text) => Point::parse(text).map(Point::into_fields).map_err(RecordError::NotLineProtocol),
    };
    records.push(out.record(line.number, line.bytes, fields));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn point(line: &str) -> Point {
        Point::parse(line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    fn names(point: &Point) -> Vec<(&str, &str)> {
        point.tags.iter().map(|(name, value)| (&**name, &**value)).collect()
    }

    #[test]
    fn a_point_has_a_measurement_tags_fields_and_a_time() {
        let point = point(
            "cpu,cpu=cpu0,host=a usage=0.5,n=3i,big=18446744073709551615u,on=true,note=\"x, \\\"y\\\" = \\\\\" 1718000000000000000",
        );
        assert_eq!(&*point.measurement, "cpu");
        assert_eq!(names(&point), [("cpu", "cpu0"), ("host", "a")]);
        let fields: Vec<String> = point.fields.0.iter().map(|(name, field)| format!("{name}={field:?}")).collect();
        let expected = [
            "usage=Number(\"0.5\")",
            "n=Number(\"3\")",
            "big=Number(\"18446744073709551615\")",
            "on=Bool(true)",
            "note=Text(\"x, \\\"y\\\" = \\\\\")",
        ];
        assert_eq!(fields, expected);
        assert_eq!(point.time, Some(1_718_000_000_000_000_000));
    }

    #[test]
    fn commas_spaces_and_equals_are_escaped_and_other_backslashes_stay() {
        let point = point("my\\ room\\,1,ta\\=g=a\\ b\\,c,w=C:\\dir fi\\ eld=1 -5");
        assert_eq!((&*point.measurement, point.time), ("my room,1", Some(-5)));
        assert_eq!(names(&point), [("ta=g", "a b,c"), ("w", "C:\\dir")]);
        assert_eq!(&*point.fields.0[0].0, "fi eld");
    }

    #[test]
    fn numbers_are_written_as_json_has_them() {
        let number = |text: &str| match number(text) {
            Some(Field::Number(digits)) => {
                serde_json::from_str::<serde_json::Value>(&digits).expect("JSON");
                digits.to_string()
            }
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(
            ["1.", ".5", "+7", "-007.10", "1e5", "0", "-0.0"].map(number),
            ["1", "0.5", "7", "-7.10", "1e5", "0", "-0.0"]
        );
        for text in ["NaN", "inf", "1e999", "0x1", "", "-", "1i2", "9223372036854775808i", "-1u"] {
            assert_eq!(super::number(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, what) in [
            ("cpu", "the fields are missing"),
            (",a=b c=1", "the measurement is missing"),
            ("cpu,a c=1", "expected a tag such as `name=value`, got \"a\""),
            ("cpu,a= c=1", "the tag \"a\" has no value"),
            ("cpu c", "expected a field such as `name=1.5`, got \"c\""),
            ("cpu c=\"open", "the text of the field \"c\" is not closed"),
            ("cpu c=\"x\"y", "there is more behind the text of the field \"c\""),
            ("cpu c=abc", "the field \"c\" is neither a number, a truth value nor a text in quotes: \"abc\""),
            ("cpu c=1 soon", "expected a whole number as the time, got \"soon\""),
            ("cpu c=1,", "expected a field such as `name=1.5`, got \"\""),
        ] {
            assert_eq!(Point::parse(line), Err(what.into()), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_breaks_it(line in "[a-z,=\" \\\\0-9.iu+-]{0,40}|\\PC{0,20}") {
            let _ = Point::parse(&line);
        }

        #[test]
        fn what_is_escaped_is_read_back(name in "[a-z,= ]{1,8}", value in "[a-z\" \\\\,=]{0,8}") {
            let escape = |text: &str| text.replace(',', "\\,").replace('=', "\\=").replace(' ', "\\ ");
            let text = value.replace('\\', "\\\\").replace('"', "\\\"");
            let name = name.trim().to_owned() + "x";
            let point = point(&format!("{0},{0}={0} {0}=\"{text}\" 1", escape(&name)));
            prop_assert_eq!(&*point.measurement, name.as_str());
            prop_assert_eq!(names(&point), [(name.as_str(), name.as_str())]);
            prop_assert_eq!(point.fields.0, vec![(name.into(), Field::Text(value.into()))]);
        }
    }
}
