//! SQLite's column affinity, and the conversions that a comparison makes because of it.
//!
//! A column's own values were converted when they were stored, so only the other side of a comparison is converted:
//! that makes an index over a column's values exact. See <https://www.sqlite.org/datatype3.html>.

use std::borrow::Cow;

use super::number;
use super::scalar::{Constant, Scalar};
use crate::event::Column;

/// What a column prefers to hold. INTEGER, REAL and NUMERIC compare alike and are one here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) enum Affinity {
    Text,
    Numeric,
    /// No preference, which is still a column's.
    Blob,
    /// `ANY` keeps everything in a STRICT table and is NUMERIC in another, and the declaration does not say which;
    /// such a column is compared as an expression is: without any conversion on its account.
    Unknown,
}

/// What happens to a value before it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) enum Cast {
    Keep,
    /// Text that is a number becomes one.
    Number,
    /// A number becomes text.
    Text,
}

impl Affinity {
    /// By the rules of SQLite: the declared type is searched for parts of names.
    pub(super) fn of(declared: &str) -> Self {
        let declared = declared.to_ascii_lowercase();
        let has = |parts: &[&str]| parts.iter().any(|part| declared.contains(part));
        if declared.trim() == "any" {
            Affinity::Unknown
        } else if has(&["int"]) {
            Affinity::Numeric
        } else if has(&["char", "clob", "text"]) {
            Affinity::Text
        } else if declared.trim().is_empty() || has(&["blob"]) {
            Affinity::Blob
        } else {
            Affinity::Numeric
        }
    }

    /// What becomes of both sides of a comparison; `None` is the affinity of an expression that is no column.
    pub(super) fn casts(left: Option<Self>, right: Option<Self>) -> (Cast, Cast) {
        let known = |side: Option<Self>| side.filter(|affinity| *affinity != Affinity::Unknown);
        let cast = match (known(left), known(right)) {
            (Some(Affinity::Numeric), _) | (_, Some(Affinity::Numeric)) => Cast::Number,
            (Some(Affinity::Text), None) | (None, Some(Affinity::Text)) => Cast::Text,
            _ => Cast::Keep,
        };
        (cast.unless_stored(left), cast.unless_stored(right))
    }

    /// What becomes of the elements of `x IN (…)`, where `x` alone decides.
    pub(super) fn cast_of_elements(subject: Option<Self>) -> Cast {
        match subject {
            Some(Affinity::Numeric) => Cast::Number,
            Some(Affinity::Text) => Cast::Text,
            _ => Cast::Keep,
        }
    }
}

impl Cast {
    /// Nothing, where storing the value has done it already.
    pub(super) fn unless_stored(self, column: Option<Affinity>) -> Self {
        match (self, column) {
            (Cast::Number, Some(Affinity::Numeric)) | (Cast::Text, Some(Affinity::Text)) => Cast::Keep,
            (cast, _) => cast,
        }
    }

    #[inline]
    pub(super) fn apply(self, value: Scalar<'_>) -> Scalar<'_> {
        match (self, value) {
            (Cast::Number, Scalar::Text(text)) => number_in(&text).unwrap_or(Scalar::Text(text)),
            (Cast::Text, number @ (Scalar::Int(_) | Scalar::Real(_))) => to_text(number),
            (_, value) => value,
        }
    }

    pub(super) fn apply_to(self, constant: Constant) -> Constant {
        match (self, self.apply(constant.scalar())) {
            (Cast::Number, Scalar::Int(n)) => Constant::Int(n),
            (Cast::Number, Scalar::Real(x)) => Constant::real(x),
            (Cast::Text, Scalar::Text(text)) => Constant::Text(String::from_utf8_lossy(&text).into()),
            _ => constant,
        }
    }
}

/// The number that a text is, if it is nothing else.
fn number_in(text: &[u8]) -> Option<Scalar<'static>> {
    let numeral = number::read(text);
    if !numeral.is_whole_text {
        return None;
    }
    let integer = if numeral.is_integer { integer_in(text, numeral.value) } else { None };
    Some(integer.map_or(Scalar::Real(numeral.value), Scalar::Int))
}

fn integer_in(text: &[u8], value: f64) -> Option<i64> {
    const EXACT: f64 = 2_251_799_813_685_248.0;
    if (-EXACT..EXACT).contains(&value) {
        return Some(value as i64);
    }
    let start = text.iter().position(|b| !number::is_space(*b))?;
    let end = text.iter().rposition(|b| !number::is_space(*b))?;
    std::str::from_utf8(&text[start..=end]).ok()?.parse().ok()
}

/// A number as SQLite prints it; text and bytes as they are.
pub(super) fn to_text(value: Scalar<'_>) -> Scalar<'_> {
    let printed = |text: String| Scalar::Text(Cow::Owned(text.into_bytes()));
    match value {
        Scalar::Int(n) => printed(n.to_string()),
        Scalar::Real(x) => printed(number::print(x)),
        other => other,
    }
}

/// Whether a value counts as true: a number other than 0, or text or bytes that begin with one.
#[inline]
pub(super) fn truth(value: &Scalar<'_>) -> Option<bool> {
    match value {
        Scalar::Null => None,
        Scalar::Int(n) => Some(*n != 0),
        Scalar::Real(x) => Some(*x != 0.0),
        Scalar::Text(text) => Some(number::read(text).value != 0.0),
        Scalar::Blob(bytes) => Some(number::read(bytes).value != 0.0),
    }
}

/// Whether two columns are compared as one of them with the other's values.
pub(in super::super) fn comparable(one: &Column, other: &Column) -> bool {
    Affinity::of(&one.declared) == Affinity::of(&other.declared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn affinity_follows_the_parts_of_the_declared_type() {
        for (declared, affinity) in [
            ("INTEGER", Affinity::Numeric),
            ("varchar(255)", Affinity::Text),
            ("FLOATING POINT", Affinity::Numeric),
            ("CHARINT", Affinity::Numeric),
            ("BLOB REAL", Affinity::Blob),
            ("", Affinity::Blob),
            ("DATETIME", Affinity::Numeric),
            ("JSON", Affinity::Numeric),
            ("ANY", Affinity::Unknown),
        ] {
            assert_eq!(Affinity::of(declared), affinity, "{declared}");
        }
    }

    #[test]
    fn text_becomes_a_number_only_as_a_whole() {
        let cast = |text: &str| Cast::Number.apply_to(Constant::Text(text.into()));
        assert_eq!(cast(" 37 "), Constant::Int(37));
        assert_eq!(cast("3.0"), Constant::real(3.0));
        assert_eq!(cast("9223372036854775807"), Constant::Int(i64::MAX));
        assert_eq!(cast("9223372036854775808"), Constant::real(9_223_372_036_854_775_808.0));
        assert_eq!(cast("37a"), Constant::Text("37a".into()));
        assert_eq!(cast(""), Constant::Text("".into()));
    }
}
