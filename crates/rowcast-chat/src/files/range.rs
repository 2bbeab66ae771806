//! Parts of a file, as players of audio and video ask for them (RFC 9110, 14): one range. Of several, all of the file is sent.

use std::ops::Range;

/// What to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    All,
    Some(Range<u64>),
    /// What was asked for begins behind the end.
    Nothing,
}

/// What a `Range` header means of so many bytes. What cannot be read means nothing.
pub(super) fn part(asked: &str, size: u64) -> Part {
    let Some((unit, range)) = asked.split_once('=') else { return Part::All };
    let Some((first, last)) = range.trim().split_once('-').filter(|_| unit.trim().eq_ignore_ascii_case("bytes")) else {
        return Part::All;
    };
    let first_of = |first| match first < size {
        true => Part::Some(first..size),
        false => Part::Nothing,
    };
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first > last => Part::All,
        (Some(first), Some(last)) if first < size => Part::Some(first..last.saturating_add(1).min(size)),
        (Some(first), _) if last.is_empty() || number(last).is_some() => first_of(first),
        (None, Some(0)) if first.is_empty() => Part::Nothing,
        (None, Some(length)) if first.is_empty() => first_of(size.saturating_sub(length)),
        _ => Part::All,
    }
}

fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(asked: &str, expected: Part) {
        assert_eq!(part(asked, 10), expected, "{asked}");
    }

    #[test]
    fn one_range_is_answered() {
        check("bytes=0-1", Part::Some(0..2));
        check("Bytes = 0-0", Part::Some(0..1));
        check("bytes=3-", Part::Some(3..10));
        check("bytes=3-99999999999999999999", Part::All);
        check("bytes=3-18446744073709551615", Part::Some(3..10));
        check("bytes=9-9", Part::Some(9..10));
        check("bytes=-3", Part::Some(7..10));
        check("bytes=-30", Part::Some(0..10));
    }

    #[test]
    fn behind_the_end_there_is_nothing() {
        check("bytes=10-", Part::Nothing);
        check("bytes=10-12", Part::Nothing);
        check("bytes=-0", Part::Nothing);
        assert_eq!(part("bytes=0-", 0), Part::Nothing);
        assert_eq!(part("bytes=-1", 0), Part::Nothing);
    }

    #[test]
    fn what_is_no_range_is_passed_over() {
        for asked in
            ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-3", "bytes=0-1,3-4", "lines=0-1", "bytes=+1-2"]
        {
            check(asked, Part::All);
        }
    }
}
