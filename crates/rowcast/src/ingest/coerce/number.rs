//! Numbers read from their digits, without a detour over a double.

/// What a text is as an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Integer {
    Is(i64),
    /// A whole number of more than 64 bits.
    Beyond,
    /// A fraction, or no number.
    IsNot,
}

/// Reads `37`, `+37`, `37.0` and `3.7e1`: whatever is exactly a whole number.
pub(super) fn integer(text: &str) -> Integer {
    let Some(parts) = parts(text) else { return Integer::IsNot };
    let digits = [parts.whole, parts.fraction].concat();
    let trimmed = digits.trim_end_matches('0');
    // The number is `digits` with the point `point` places from their start.
    let point = (parts.whole.len() as i64).saturating_add(parts.exponent);
    if trimmed.trim_start_matches('0').is_empty() {
        return Integer::Is(0);
    }
    if (trimmed.len() as i64) > point {
        return Integer::IsNot;
    }
    let significant = digits.trim_start_matches('0');
    let leading = (digits.len() - significant.len()) as i64;
    if point - leading > 19 {
        return Integer::Beyond;
    }
    let whole = format!("{}{trimmed:0<width$}", if parts.negative { "-" } else { "" }, width = point as usize);
    whole.parse().map_or(Integer::Beyond, Integer::Is)
}

/// Reads a double that is finite.
pub(super) fn real(text: &str) -> Option<f64> {
    is_number(text).then(|| text.parse::<f64>().ok()).flatten().filter(|x| x.is_finite())
}

/// Whether this is a decimal number: no `NaN`, no `Infinity`, no hexadecimal.
pub(super) fn is_number(text: &str) -> bool {
    parts(text).is_some()
}

/// Digits from the first that is not zero.
pub(super) fn significant_digits(text: &str) -> usize {
    let Some(parts) = parts(text) else { return 0 };
    [parts.whole, parts.fraction].concat().trim_start_matches('0').len()
}

/// How many digits a number needs, without zeros that say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) negative: bool,
    /// Before the point.
    pub(super) whole: usize,
    /// Behind the point.
    pub(super) fraction: usize,
}

/// The digits that a decimal number needs; `None`: it is none.
pub(super) fn places(text: &str) -> Option<Places> {
    let parts = parts(text)?;
    let digits = [parts.whole, parts.fraction].concat();
    let trimmed = digits.trim_end_matches('0');
    let leading = trimmed.len() - trimmed.trim_start_matches('0').len();
    if leading == trimmed.len() {
        return Some(Places { negative: false, whole: 0, fraction: 0 });
    }
    let point = (parts.whole.len() as i64).saturating_add(parts.exponent);
    let count = |n: i64| usize::try_from(n.max(0)).unwrap_or(usize::MAX);
    let (whole, fraction) =
        (count(point.saturating_sub(leading as i64)), count((trimmed.len() as i64).saturating_sub(point)));
    Some(Places { negative: parts.negative, whole, fraction })
}

struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i64,
}

fn parts(text: &str) -> Option<Parts<'_>> {
    let (negative, plain) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match plain.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent_of(exponent)?),
        None => (plain, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let some = !whole.is_empty() || !fraction.is_empty();
    (some && digits(whole) && digits(fraction)).then_some(Parts { negative, whole, fraction, exponent })
}

/// An exponent too large for its type is as good as infinite.
fn exponent_of(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse::<i64>().unwrap_or(i64::MAX / 2).min(i64::MAX / 2);
    Some(if text.starts_with('-') { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Integer) {
        assert_eq!(integer(text), expected, "{text}");
    }

    #[test]
    fn whole_numbers_in_any_spelling_are_integers() {
        for text in ["37", "+37", "37.0", "37.", "0037", "3.7e1", "370e-1", "0.37E+2", "37.000e0"] {
            check(text, Integer::Is(37));
        }
        check("-9223372036854775808", Integer::Is(i64::MIN));
        check("9223372036854775807.0", Integer::Is(i64::MAX));
        check("-0", Integer::Is(0));
        check("0e999999999999999999999", Integer::Is(0));
        check("0.0000000000000000000000000012e28", Integer::Is(12));
    }

    #[test]
    fn what_does_not_fit_is_beyond() {
        for text in ["9223372036854775808", "-9223372036854775809", "1e19", "1e999999999999999999999"] {
            check(text, Integer::Beyond);
        }
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "",
            ".",
            "-",
            "e1",
            "1e",
            "1e+",
            "37.5",
            "1e-1",
            "1e-99999999999999999999",
            "0x10",
            "NaN",
            "inf",
            "1 2",
            "٣",
        ] {
            check(text, Integer::IsNot);
        }
    }

    #[test]
    fn doubles_are_finite_and_decimal() {
        assert_eq!(real("-1.5e3"), Some(-1500.0));
        for text in ["NaN", "inf", "Infinity", "1e400", "0x10", "", "1_000"] {
            assert_eq!(real(text), None, "{text}");
        }
    }
}
