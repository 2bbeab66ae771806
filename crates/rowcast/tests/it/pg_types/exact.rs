//! JSON compared digit by digit.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// A JSON document whose numbers keep all digits.
#[derive(Debug, PartialEq)]
enum Exact {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Exact>),
    Object(BTreeMap<String, Exact>),
}

/// Whether `ours` says the same as `theirs`, where a number may be a string that a double would have changed.
pub(super) fn same(ours: &str, theirs: &str) -> bool {
    agree(&read(ours), &read(theirs))
}

fn agree(ours: &Exact, theirs: &Exact) -> bool {
    match (ours, theirs) {
        (Exact::List(ours), Exact::List(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| agree(ours, theirs))
        }
        (Exact::Object(ours), Exact::Object(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().all(|(key, ours)| theirs.get(key).is_some_and(|theirs| agree(ours, theirs)))
        }
        (Exact::Text(ours), Exact::Number(theirs)) => {
            let digits = ours.bytes().filter(u8::is_ascii_digit).count();
            digits > 15 && number(ours) == *theirs
        }
        // Only doubles are numbers of more than 15 digits, and two spellings halfway between two doubles may be one of them.
        (Exact::Number(ours), Exact::Number(theirs)) if theirs.bytes().filter(u8::is_ascii_digit).count() > 15 => {
            ours.parse::<f64>() == theirs.parse::<f64>()
        }
        _ => ours == theirs,
    }
}

fn read(json: &str) -> Exact {
    let json = json.trim();
    match json.as_bytes().first().expect("not empty") {
        b'{' => {
            let fields: BTreeMap<String, &RawValue> = serde_json::from_str(json).expect(json);
            Exact::Object(fields.into_iter().map(|(key, value)| (key, read(value.get()))).collect())
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(json).expect(json);
            Exact::List(items.into_iter().map(|item| read(item.get())).collect())
        }
        b'"' => Exact::Text(serde_json::from_str(json).expect(json)),
        b'n' => Exact::Null,
        b't' | b'f' => Exact::Bool(json == "true"),
        _ => Exact::Number(number(json)),
    }
}

/// The digits without zeros at either end, and the power of ten of the last one.
fn number(text: &str) -> String {
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |text| ("-", text));
    let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let kept = digits.trim_end_matches('0');
    let zeros = digits.len() - kept.len();
    let kept = kept.trim_start_matches('0');
    if kept.is_empty() {
        return "0".to_owned();
    }
    let power = power.parse::<i64>().expect("a power") - fraction.len() as i64 + zeros as i64;
    format!("{sign}{kept}e{power}")
}

#[test]
fn numbers_are_equal_by_their_digits() {
    assert!(same("1e2", "100.0") && same("-0.0", "0") && same("[1.50]", "[1.5]"));
    assert!(same("\"9007199254740993\"", "9007199254740993") && !same("\"9007199254740993\"", "9007199254740992"));
    assert!(same("4.597907241882418e16", "45979072418824176") && !same("4.597907241882419e16", "45979072418824176"));
    assert!(!same("\"1\"", "1") && !same("1", "\"1\"") && !same("{\"a\":1}", "{\"a\":1,\"b\":null}"));
}
