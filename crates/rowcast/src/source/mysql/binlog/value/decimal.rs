//! Decimals: nine digits in each four bytes, the highest first; all bits of a negative one are turned.

use crate::source::mysql::binlog::bytes::{Bytes, Malformed};

/// Bytes that so many digits take, beyond a multiple of nine.
const BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
/// Digits, sign and point, at most.
const TEXT_MAX: usize = 96;

/// Reads one and gives its text, as the server prints it, to `take`.
pub(in super::super) fn read<T>(
    data: &mut Bytes<'_>,
    precision: u8,
    scale: u8,
    take: impl FnOnce(&str) -> T,
) -> Result<T, Malformed> {
    let (precision, scale) = (usize::from(precision), usize::from(scale));
    if precision < scale || precision > 81 {
        return Err(Malformed("a decimal that has too many digits"));
    }
    let whole = precision - scale;
    let size = (whole / 9 + scale / 9) * 4 + BYTES[whole % 9] + BYTES[scale % 9];
    let stored = data.take(size)?;
    let negative = stored.first().is_some_and(|first| first & 0x80 == 0);
    let mut turned = [0_u8; 40];
    for (byte, stored) in turned.iter_mut().zip(stored) {
        *byte = if negative { !stored } else { *stored };
    }
    turned[0] ^= 0x80;
    let mut rest = Bytes(&turned[..size]);
    let mut text = [0_u8; TEXT_MAX];
    let mut length = 0;
    let mut put = |byte: u8| {
        if let Some(place) = text.get_mut(length) {
            *place = byte;
            length += 1;
        }
    };
    if negative {
        put(b'-');
    }
    let mut begun = false;
    let first = (BYTES[whole % 9], whole % 9);
    for (bytes, digits) in std::iter::once(first).chain(std::iter::repeat_n((4, 9), whole / 9)) {
        let number = rest.big(bytes)?;
        if number == 0 && !begun {
            continue;
        }
        let mut buffer = itoa::Buffer::new();
        let written = buffer.format(number).as_bytes();
        if begun {
            (written.len()..digits).for_each(|_| put(b'0'));
        }
        written.iter().for_each(|byte| put(*byte));
        begun = true;
    }
    if !begun {
        put(b'0');
    }
    if scale > 0 {
        put(b'.');
        let last = (BYTES[scale % 9], scale % 9);
        for (bytes, digits) in std::iter::repeat_n((4, 9), scale / 9).chain(std::iter::once(last)) {
            if digits > 0 {
                let number = rest.big(bytes)?;
                let mut buffer = itoa::Buffer::new();
                let written = buffer.format(number).as_bytes();
                (written.len()..digits).for_each(|_| put(b'0'));
                written.iter().for_each(|byte| put(*byte));
            }
        }
    }
    Ok(take(std::str::from_utf8(&text[..length]).unwrap_or("0")))
}
