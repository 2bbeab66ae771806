//! Keys as JSON (RFC 7517): one, or a set of them.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde_json::{Map, Value as Json};

use super::super::algorithm::Family;
use super::super::strict;
use super::{Algorithm, Key, KeyError, Material};
use aws_lc_rs::signature::RsaPublicKeyComponents;

/// More keys than this are no key set.
const KEYS_MAX: usize = 64;

/// The keys of a set, and why the others are not among them.
#[derive(Debug, Default)]
pub(in crate::auth) struct Set {
    pub(in crate::auth) keys: Vec<Key>,
    pub(in crate::auth) refused: Vec<KeyError>,
}

impl Set {
    /// Reads a set, `{"keys":[…]}`. Keys that are not for verifying, or of a kind that is not known, are left out.
    ///
    /// From a place that everybody can read, `public`, secrets are refused: whoever reads them could sign.
    pub(in crate::auth) fn read(text: &[u8], public: bool) -> Result<Self, KeyError> {
        let json = strict::object(text).map_err(|_| KeyError("it is not a JSON object".into()))?;
        let Some(keys) = json.get("keys").and_then(Json::as_array) else {
            return Err(KeyError("it is not a key set, which is {\"keys\":[…]}".into()));
        };
        if keys.len() > KEYS_MAX {
            return Err(KeyError(format!("it has {} keys; {KEYS_MAX} are the most", keys.len())));
        }
        let mut set = Self::default();
        for (number, key) in keys.iter().enumerate() {
            let read = match key.as_object() {
                Some(key) => read(key, &[]),
                None => Err(KeyError("it is not an object".into())),
            };
            match read {
                Ok((Family::Secret, _)) if public => {
                    let why = "it is a secret, in a place where others can read it";
                    set.refused.push(KeyError(format!("key {number}: {why}")));
                }
                Ok((_, key)) => set.keys.push(key),
                Err(KeyError(why)) => set.refused.push(KeyError(format!("key {number}: {why}"))),
            }
        }
        Ok(set)
    }
}

impl Key {
    /// Keys as JSON: one (`{"kty":…}`), or a set of them (`{"keys":[…]}`), of which each has to be usable.
    pub fn jwk(text: &str, algorithms: &[Algorithm]) -> Result<Vec<Self>, KeyError> {
        let json = strict::object(text.as_bytes()).map_err(|_| KeyError("it is not a JSON object".into()))?;
        if !json.contains_key("keys") {
            return Ok(vec![read(&json, algorithms)?.1]);
        }
        let Set { keys, mut refused } = Set::read(text.as_bytes(), false)?;
        match refused.pop() {
            Some(why) => Err(why),
            None if keys.is_empty() => Err(KeyError("there is no key in the set".into())),
            None => Ok(keys),
        }
    }
}

fn read(jwk: &Map<String, Json>, algorithms: &[Algorithm]) -> Result<(Family, Key), KeyError> {
    let text = |name: &str| jwk.get(name).and_then(Json::as_str);
    let bytes = |name: &str| {
        let decoded = text(name).and_then(|text| BASE64_URL_SAFE_NO_PAD.decode(text).ok());
        decoded.ok_or_else(|| KeyError(format!("its `{name}` is not there, or is not base64url")))
    };
    if text("use").is_some_and(|purpose| purpose != "sig") {
        return Err(KeyError("it is not for signatures (`use`)".into()));
    }
    let verifies = |operations: &Vec<Json>| operations.iter().any(|operation| operation == "verify");
    if jwk.get("key_ops").and_then(Json::as_array).is_some_and(|operations| !verifies(operations)) {
        return Err(KeyError("it is not for verifying (`key_ops`)".into()));
    }
    let kid = text("kid").map(str::to_owned);
    let own: Vec<Algorithm> = match jwk.get("alg") {
        None => algorithms.to_vec(),
        Some(name) => {
            let named = name.as_str().and_then(|name| name.parse().ok());
            vec![named.ok_or_else(|| KeyError("its `alg` is none that is known".into()))?]
        }
    };
    let (family, key) = match text("kty").unwrap_or_default() {
        "oct" => (Family::Secret, Key::secret(&bytes("k")?, kid, &own)?),
        "RSA" => {
            let components = RsaPublicKeyComponents { n: bytes("n")?, e: bytes("e")? };
            (Family::Rsa, Key::new(Family::Rsa, &Material::Components(components), kid, &own)?)
        }
        "EC" => {
            let (family, width) = match text("crv").unwrap_or_default() {
                "P-256" => (Family::P256, 32),
                "P-384" => (Family::P384, 48),
                "P-521" => (Family::P521, 66),
                _ => return Err(KeyError("its curve is none of P-256, P-384 and P-521".into())),
            };
            let (x, y) = (bytes("x")?, bytes("y")?);
            if x.len() != width || y.len() != width {
                return Err(KeyError("its point is not of its curve".into()));
            }
            let point = [&[4][..], &x, &y].concat();
            (family, Key::new(family, &Material::Public(&point), kid, &own)?)
        }
        "OKP" if text("crv") == Some("Ed25519") => {
            let x = bytes("x")?;
            if x.len() != 32 {
                return Err(KeyError("its `x` has not the 32 bytes of Ed25519".into()));
            }
            (Family::Ed25519, Key::new(Family::Ed25519, &Material::Public(&x), kid, &own)?)
        }
        _ => return Err(KeyError("it is of another kind (`kty`) than RSA, EC, OKP (Ed25519) and oct".into())),
    };
    Ok((family, key))
}
