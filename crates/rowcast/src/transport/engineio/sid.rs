//! The id of a session: 128 random bits, which nobody guesses.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A session's id, 22 letters, digits, `-` and `_` on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Sid([u8; 16]);

impl Sid {
    /// From the thread's cryptographic generator.
    pub(super) fn new() -> Self {
        Self(rand::random())
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        // The length first: whatever is longer is not decoded.
        (text.len() == 22 && URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) == Ok(16)).then_some(Self(bytes))
    }
}

impl std::fmt::Display for Sid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let sid = Sid::new();
        assert_eq!(Sid::parse(&sid.to_string()), Some(sid));
        for text in ["", "x", "!!!!!!!!!!!!!!!!!!!!!!", "AAAAAAAAAAAAAAAAAAAAAAA", "ÄÄÄÄÄÄÄÄÄÄÄ"] {
            assert_eq!(Sid::parse(text), None, "{text}");
        }
    }
}
