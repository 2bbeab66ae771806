//! A key that tokens are verified with, and the algorithms that it is pinned to.
//!
//! What a key is decides what it may verify: a secret never verifies a public key's signatures, nor the other way round.

mod jwk;

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::rsa::PublicKey as RsaPublicKey;
use aws_lc_rs::signature::{ParsedPublicKey, RsaPublicKeyComponents};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

use super::Algorithm;
use super::algorithm::{Family, Method};

pub(super) use jwk::Set;

/// Why a key cannot be used. Never says what is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(pub String);

/// A key that tokens are verified with.
pub struct Key {
    id: Arc<str>,
    kid: Option<String>,
    verifiers: Vec<(Algorithm, Verifier)>,
}

enum Verifier {
    Secret(hmac::Key),
    Public(ParsedPublicKey),
}

/// What of a key is secret, or public, as it was given.
enum Material<'a> {
    Secret(&'a [u8]),
    /// SubjectPublicKeyInfo; of a curve, the uncompressed point; of Ed25519, the 32 bytes.
    Public(&'a [u8]),
    Components(RsaPublicKeyComponents<Vec<u8>>),
}

/// So short a secret can be guessed.
const SECRET_BYTES_MIN: usize = 32;

/// So short a modulus is no longer safe.
const RSA_BYTES_MIN: usize = 256;

impl Key {
    /// A secret that both sides know. At least 32 bytes.
    pub fn secret(secret: &[u8], kid: Option<String>, algorithms: &[Algorithm]) -> Result<Self, KeyError> {
        if secret.len() < SECRET_BYTES_MIN {
            let fix = "make one with `openssl rand -base64 48`, and give it to whoever signs the tokens, too";
            return Err(KeyError(format!(
                "the secret has {} bytes; one with fewer than {SECRET_BYTES_MIN} can be guessed: {fix}",
                secret.len()
            )));
        }
        Self::new(Family::Secret, &Material::Secret(secret), kid, algorithms)
    }

    /// A public key as PEM, which begins with `-----BEGIN PUBLIC KEY-----`.
    pub fn pem(pem: &str, kid: Option<String>, algorithms: &[Algorithm]) -> Result<Self, KeyError> {
        if pem.contains("PRIVATE KEY-----") {
            let fix = "`openssl pkey -in private.pem -pubout` prints the public one, which is all that is needed here";
            return Err(KeyError(format!("this is a private key: {fix}")));
        }
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).map_err(|_| {
            let fix = "`openssl x509 -pubkey -noout -in certificate.pem` makes one of a certificate";
            KeyError(format!("there is no public key in it: it begins with -----BEGIN PUBLIC KEY-----; {fix}"))
        })?;
        Self::public(&der, kid, algorithms)
    }

    /// A public key as SubjectPublicKeyInfo.
    pub(super) fn public(der: &[u8], kid: Option<String>, algorithms: &[Algorithm]) -> Result<Self, KeyError> {
        let family = family(der).ok_or_else(|| KeyError(KINDS.into()))?;
        Self::new(family, &Material::Public(der), kid, algorithms)
    }

    fn new(
        family: Family,
        material: &Material<'_>,
        kid: Option<String>,
        algorithms: &[Algorithm],
    ) -> Result<Self, KeyError> {
        if let Some(other) = algorithms.iter().find(|algorithm| algorithm.family() != family) {
            let can = Algorithm::of(family).iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(KeyError(format!("this key cannot verify {other}: what it can is {can}")));
        }
        let all = Algorithm::of(family);
        let algorithms = if algorithms.is_empty() { &all[..] } else { algorithms };
        let verifiers = algorithms
            .iter()
            .map(|algorithm| Ok((*algorithm, Verifier::new(*algorithm, material)?)))
            .collect::<Result<Vec<_>, KeyError>>()?;
        let name = kid.clone().unwrap_or_else(|| format!("{}", algorithms[0]));
        let id = format!("{name}#{}", fingerprint(material)).into();
        Ok(Self { id, kid, verifiers })
    }

    /// Names it: its `kid`, or else its first algorithm, then `#` and what tells it from another key of that name.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// What tokens call it.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// What it is pinned to.
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        self.verifiers.iter().map(|(algorithm, _)| *algorithm)
    }

    /// Whether this key signed these bytes, by an algorithm that it is pinned to.
    pub(super) fn signed(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match self.verifiers.iter().find(|(pinned, _)| *pinned == algorithm) {
            Some((_, Verifier::Secret(key))) => hmac::verify(key, message, signature).is_ok(),
            Some((_, Verifier::Public(key))) => key.verify_sig(message, signature).is_ok(),
            None => false,
        }
    }
}

const KINDS: &str = "it is a key of another kind than RSA, P-256, P-384, P-521 or Ed25519";

impl Verifier {
    fn new(algorithm: Algorithm, material: &Material<'_>) -> Result<Self, KeyError> {
        let unusable = || KeyError(format!("it is not a key for {algorithm}, or it is damaged"));
        let public = match (algorithm.method(), material) {
            (Method::Secret(method), Material::Secret(secret)) => {
                return Ok(Self::Secret(hmac::Key::new(method, secret)));
            }
            (Method::Rsa(method), Material::Components(components)) => {
                strong_enough(components.n.len())?;
                components.to_parsed_public_key(method)
            }
            (Method::Rsa(method), Material::Public(der)) => {
                strong_enough(RsaPublicKey::from_der(der).map_err(|_| unusable())?.modulus_len())?;
                ParsedPublicKey::new(method, der)
            }
            (Method::Public(method), Material::Public(bytes)) => ParsedPublicKey::new(method, bytes),
            _ => return Err(unusable()),
        };
        public.map(Self::Public).map_err(|_| unusable())
    }
}

fn strong_enough(modulus_bytes: usize) -> Result<(), KeyError> {
    if modulus_bytes < RSA_BYTES_MIN {
        let bits = modulus_bytes * 8;
        return Err(KeyError(format!("it is an RSA key of {bits} bits; one of fewer than 2048 can be broken")));
    }
    Ok(())
}

/// Which kind of key a SubjectPublicKeyInfo holds.
fn family(der: &[u8]) -> Option<Family> {
    let is = |method: Method| match method {
        Method::Rsa(_) => RsaPublicKey::from_der(der).is_ok(),
        Method::Public(method) => ParsedPublicKey::new(method, der).is_ok(),
        Method::Secret(_) => false,
    };
    let one_each = [Algorithm::Es256, Algorithm::Es384, Algorithm::Es512, Algorithm::EdDsa, Algorithm::Rs256];
    one_each.into_iter().find(|algorithm| is(algorithm.method())).map(Algorithm::family)
}

/// Tells keys apart, and says nothing about a secret.
fn fingerprint(material: &Material<'_>) -> String {
    use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
    let mut hash = Sha256::new();
    match material {
        Material::Secret(bytes) => hash.update([b"rowcast secret ".as_slice(), bytes].concat()),
        Material::Public(bytes) => hash.update(bytes),
        Material::Components(components) => {
            hash.update(&components.n);
            hash.update(&components.e);
        }
    }
    BASE64_URL_SAFE_NO_PAD.encode(&hash.finalize()[..9])
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("algorithms", &self.algorithms().collect::<Vec<_>>()).finish()
    }
}
