//! Makes tokens, good ones and forged ones: whatever header and claims, signed however.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaKeyPair};
use aws_lc_rs::{hmac, signature::RsaEncoding};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use serde_json::{Value as Json, json};

pub(crate) const SECRET: &[u8] = b"a secret of more than thirty-two bytes, for tests";

/// A private key, and what is public of it.
pub(crate) enum Pair {
    Secret(&'static [u8]),
    Rsa(Box<RsaKeyPair>),
    Curve(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// One of each kind that the tests share, because RSA takes its time.
pub(crate) static RSA: LazyLock<Pair> = LazyLock::new(Pair::rsa);
pub(crate) static P256: LazyLock<Pair> = LazyLock::new(|| Pair::curve(&signature::ECDSA_P256_SHA256_FIXED_SIGNING));
pub(crate) static P384: LazyLock<Pair> = LazyLock::new(|| Pair::curve(&signature::ECDSA_P384_SHA384_FIXED_SIGNING));
pub(crate) static P521: LazyLock<Pair> = LazyLock::new(|| Pair::curve(&signature::ECDSA_P521_SHA512_FIXED_SIGNING));
pub(crate) static ED: LazyLock<Pair> = LazyLock::new(|| Pair::Ed(Ed25519KeyPair::generate().expect("a key")));

impl Pair {
    pub(crate) fn rsa() -> Self {
        Self::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key")))
    }

    fn curve(algorithm: &'static EcdsaSigningAlgorithm) -> Self {
        Self::Curve(EcdsaKeyPair::generate(algorithm).expect("a key"))
    }

    /// SubjectPublicKeyInfo.
    pub(crate) fn der(&self) -> Vec<u8> {
        let der = |der: Result<PublicKeyX509Der<'static>, _>| {
            der.map(|der| der.as_ref().to_vec()).map_err(|_: aws_lc_rs::error::Unspecified| ())
        };
        let der = match self {
            Self::Secret(secret) => Ok(secret.to_vec()),
            Self::Rsa(pair) => der(pair.public_key().as_der()),
            Self::Curve(pair) => der(pair.public_key().as_der()),
            Self::Ed(pair) => der(pair.public_key().as_der()),
        };
        der.expect("a public key")
    }

    pub(crate) fn pem(&self) -> String {
        let text = BASE64_STANDARD.encode(self.der());
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// As a key set has it.
    pub(crate) fn jwk(&self, kid: &str) -> Json {
        match self {
            Self::Secret(secret) => json!({ "kty": "oct", "kid": kid, "k": base64(secret) }),
            Self::Rsa(pair) => {
                let key = pair.public_key();
                let (n, e) = (key.modulus(), key.exponent());
                let (n, e) = (n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero());
                json!({ "kty": "RSA", "kid": kid, "use": "sig", "n": base64(n), "e": base64(e) })
            }
            Self::Curve(pair) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let crv = match x.len() {
                    32 => "P-256",
                    48 => "P-384",
                    _ => "P-521",
                };
                json!({ "kty": "EC", "kid": kid, "crv": crv, "x": base64(x), "y": base64(y) })
            }
            Self::Ed(pair) => {
                json!({ "kty": "OKP", "kid": kid, "crv": "Ed25519", "x": base64(pair.public_key().as_ref()) })
            }
        }
    }

    pub(crate) fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Secret(secret) => hmac_by(algorithm, secret, message),
            Self::Rsa(pair) => {
                let method: &'static dyn RsaEncoding = match algorithm {
                    "RS256" => &signature::RSA_PKCS1_SHA256,
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    _ => &signature::RSA_PSS_SHA512,
                };
                let mut signed = vec![0; pair.public_modulus_len()];
                pair.sign(method, &SystemRandom::new(), message, &mut signed).expect("signed");
                signed
            }
            Self::Curve(pair) => pair.sign(&SystemRandom::new(), message).expect("signed").as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// A token of these claims.
    pub(crate) fn token(&self, algorithm: &str, claims: &Json) -> String {
        self.token_of(&json!({ "alg": algorithm, "typ": "JWT" }).to_string(), algorithm, &claims.to_string())
    }

    /// A token of this text, signed by that algorithm, whatever the header says.
    pub(crate) fn token_of(&self, header: &str, algorithm: &str, claims: &str) -> String {
        let message = format!("{}.{}", base64(header), base64(claims));
        let signed = self.sign(algorithm, message.as_bytes());
        format!("{message}.{}", base64(signed))
    }
}

/// An HMAC with whatever bytes as its secret.
pub(crate) fn hmac_by(algorithm: &str, secret: &[u8], message: &[u8]) -> Vec<u8> {
    let method = match algorithm {
        "HS384" => hmac::HMAC_SHA384,
        "HS512" => hmac::HMAC_SHA512,
        _ => hmac::HMAC_SHA256,
    };
    hmac::sign(&hmac::Key::new(method, secret), message).as_ref().to_vec()
}

pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64
}

/// Claims that are accepted.
pub(crate) fn claims() -> Json {
    json!({ "sub": "ann", "tenant": "acme", "iss": "https://id.example", "aud": "rowcast", "iat": now(), "exp": now() + 600 })
}

/// The same, with one changed.
pub(crate) fn claims_with(name: &str, value: Json) -> Json {
    let mut claims = claims();
    claims[name] = value;
    claims
}

/// The same, without one.
pub(crate) fn claims_without(name: &str) -> Json {
    let mut claims = claims();
    claims.as_object_mut().expect("an object").shift_remove(name);
    claims
}
