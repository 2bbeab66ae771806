//! A token as it is written: three parts of base64url between dots.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde_json::{Map, Value as Json};

use super::super::{Algorithm, strict};
use super::Refusal;

/// The longest token that is looked at, in bytes.
const BYTES_MAX: usize = 8 << 10;

/// The longest name of a key that is looked for.
const KID_BYTES_MAX: usize = 256;

/// A token that has the form of one. Nothing of it is believed yet.
pub(super) struct Shape<'a> {
    pub(super) header: Map<String, Json>,
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    /// What is signed.
    pub(super) message: &'a [u8],
    pub(super) signature: Vec<u8>,
    claims: &'a str,
}

/// Whether it is worth hashing.
pub(super) fn is_too_long(token: &str) -> bool {
    token.len() > BYTES_MAX
}

impl<'a> Shape<'a> {
    pub(super) fn cut(token: &'a str) -> Result<Self, Refusal> {
        if is_too_long(token) {
            return Err(Refusal::invalid("it has more than 8 KiB"));
        }
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refusal::invalid("it has not three parts with dots between them"));
        };
        let header = base64(header).and_then(|json| strict::object(&json).ok());
        let header = header.ok_or(Refusal::invalid("its header is not a JSON object in base64url"))?;
        // An extension that must be understood: there is none that is.
        if header.contains_key("crit") {
            return Err(Refusal::invalid("its header has `crit`: it wants something that is not known here"));
        }
        let algorithm = header.get("alg").and_then(Json::as_str).and_then(|name| name.parse().ok());
        let algorithm = algorithm.ok_or(Refusal::invalid("its `alg` is missing, or none that is accepted"))?;
        let kid = match header.get("kid") {
            None => None,
            Some(Json::String(kid)) if kid.len() <= KID_BYTES_MAX => Some(kid.clone()),
            Some(_) => return Err(Refusal::invalid("its `kid` is not a name of a key")),
        };
        let signature = base64(signature).ok_or(Refusal::invalid("its signature is not base64url without padding"))?;
        let message = &token.as_bytes()[..token.rfind('.').unwrap_or(0)];
        Ok(Self { header, algorithm, kid, message, signature, claims })
    }

    /// What it says, to be asked for when the signature is known to be right.
    pub(super) fn claims(&self) -> Result<Map<String, Json>, Refusal> {
        let claims = base64(self.claims).and_then(|json| strict::object(&json).ok());
        claims.ok_or(Refusal::invalid(
            "its claims are not a JSON object in base64url, say something twice, or are too deep",
        ))
    }
}

/// Without padding, white space or bits that mean nothing: a token can be written in one way only.
fn base64(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}
