//! Text of any character set as UTF-8.

use std::borrow::Cow;
use std::sync::Arc;

use ahash::AHashMap;
use encoding_rs::Encoding;

/// The number of the collation `binary`: what has it is not text.
pub(super) const BINARY: u16 = 63;

/// How a text's bytes are to be read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Charset {
    Utf8,
    Known(&'static Encoding),
    Utf32,
    /// One character for each byte, as the server says.
    Single(Arc<[char; 256]>),
}

impl Charset {
    /// By the server's name for it; `None` where it has to be asked.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(Self::Known(match name {
            "utf8mb4" | "utf8mb3" | "utf8" | "ascii" | "binary" => return Some(Self::Utf8),
            "utf32" => return Some(Self::Utf32),
            "latin1" => encoding_rs::WINDOWS_1252,
            "ucs2" | "utf16" => encoding_rs::UTF_16BE,
            "utf16le" => encoding_rs::UTF_16LE,
            "sjis" | "cp932" => encoding_rs::SHIFT_JIS,
            "ujis" | "eucjpms" => encoding_rs::EUC_JP,
            "gbk" | "gb2312" => encoding_rs::GBK,
            "gb18030" => encoding_rs::GB18030,
            "big5" => encoding_rs::BIG5,
            "euckr" => encoding_rs::EUC_KR,
            _ => return None,
        }))
    }

    /// The text as UTF-8. What has no place in it becomes U+FFFD.
    pub(super) fn text<'a>(&self, bytes: &'a [u8]) -> Cow<'a, str> {
        match self {
            Self::Utf8 => match std::str::from_utf8(bytes) {
                Ok(text) => Cow::Borrowed(text),
                Err(_) => String::from_utf8_lossy(bytes),
            },
            Self::Known(encoding) => encoding.decode_without_bom_handling(bytes).0,
            Self::Utf32 => {
                let chars = bytes.chunks(4).map(|four| {
                    let number = four.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
                    char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER)
                });
                chars.collect()
            }
            Self::Single(map) => bytes.iter().map(|byte| map[usize::from(*byte)]).collect(),
        }
    }
}

/// The server's character sets, as far as they were needed.
#[derive(Debug, Default, Clone)]
pub(super) struct Charsets {
    /// Names by the collation's number.
    pub(super) collations: AHashMap<u16, Box<str>>,
    /// Those that the server was asked for.
    pub(super) asked: AHashMap<Box<str>, Arc<[char; 256]>>,
}

impl Charsets {
    /// By its name.
    pub(super) fn named(&self, name: &str) -> Charset {
        let asked = || self.asked.get(name).map(|map| Charset::Single(map.clone()));
        Charset::named(name).or_else(asked).unwrap_or(Charset::Utf8)
    }

    /// By the number of a collation. `None`: it is no text.
    pub(super) fn of_collation(&self, number: u64) -> Option<Charset> {
        let number = u16::try_from(number).unwrap_or(0);
        if number == BINARY {
            return None;
        }
        Some(self.collations.get(&number).map_or(Charset::Utf8, |name| self.named(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_set_becomes_utf8() {
        let check = |name: &str, bytes: &[u8], wanted: &str| {
            assert_eq!(Charsets::default().named(name).text(bytes), wanted, "{name}");
        };
        check("utf8mb4", "Grüße 🚀".as_bytes(), "Grüße 🚀");
        check("latin1", b"Gr\xfc\xdfe \x80", "Grüße €");
        check("utf16", b"\xd8\x3d\xde\x80", "🚀");
        check("utf32", b"\x00\x01\xf6\x80", "🚀");
        check("utf16le", b"\xe4\x00", "ä");
        check("utf8mb4", b"a\xff", "a\u{fffd}");
    }
}
