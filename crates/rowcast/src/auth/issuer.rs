//! Makes tokens: for those who log in with a password, and for `rowcast token`.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self as sign, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaKeyPair};
use aws_lc_rs::{error, hmac};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value as Json, json};

use super::algorithm::Method;
use super::{Algorithm, Key, KeyError};

/// Makes tokens.
pub struct Issuer {
    signer: Signer,
    algorithm: Algorithm,
    kid: Option<String>,
    /// How long they are good.
    pub ttl: Duration,
    /// Their `iss`.
    pub issuer: Option<String>,
    /// Their `aud`.
    pub audience: Option<String>,
}

enum Signer {
    Secret(hmac::Key),
    Rsa(Box<RsaKeyPair>),
    Curve(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// How long tokens are good where nothing else is said.
const TTL: Duration = Duration::from_secs(3_600);

impl Issuer {
    /// Signs with a secret, by HS256 unless another of that kind is given. Gives the key that verifies it, too.
    pub fn secret(secret: &[u8], kid: Option<String>, algorithms: &[Algorithm]) -> Result<(Self, Key), KeyError> {
        let key = Key::secret(secret, kid.clone(), algorithms)?;
        let algorithm = algorithms.first().copied().unwrap_or(Algorithm::Hs256);
        let Method::Secret(method) = algorithm.method() else {
            return Err(KeyError(format!("a secret does not sign by {algorithm}")));
        };
        Ok((Self::new(Signer::Secret(hmac::Key::new(method, secret)), algorithm, kid), key))
    }

    /// Signs with a private key as PEM (PKCS #8, which begins with `-----BEGIN PRIVATE KEY-----`). Gives its public key, too.
    pub fn pem(pem: &str, kid: Option<String>, algorithms: &[Algorithm]) -> Result<(Self, Key), KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| {
            let fix = "`openssl pkcs8 -topk8 -nocrypt -in key.pem` makes one of another form";
            KeyError(format!("there is no private key in it: it begins with -----BEGIN PRIVATE KEY-----; {fix}"))
        })?;
        let (signer, first, public) = private(der.secret_pkcs8_der()).ok_or_else(|| {
            KeyError("it is damaged, or a key of another kind than RSA, P-256, P-384, P-521 or Ed25519".into())
        })?;
        let public = public.map_err(|_| KeyError("its public key cannot be derived".into()))?;
        let key = Key::public(public.as_ref(), kid.clone(), algorithms)?;
        Ok((Self::new(signer, algorithms.first().copied().unwrap_or(first), kid), key))
    }

    fn new(signer: Signer, algorithm: Algorithm, kid: Option<String>) -> Self {
        Self { signer, algorithm, kid, ttl: TTL, issuer: None, audience: None }
    }

    /// A token that says this, and when it was made and expires, who made it and whom it is for, where the claims do not say so.
    pub fn issue(&self, claims: Map<String, Json>, now: SystemTime) -> Result<String, KeyError> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut all = Map::new();
        for (name, value) in [("iss", &self.issuer), ("aud", &self.audience)] {
            all.extend(value.as_ref().map(|value| (name.to_owned(), value.as_str().into())));
        }
        all.insert("iat".into(), now.into());
        all.insert("exp".into(), now.saturating_add(self.ttl.as_secs()).into());
        all.extend(claims);
        let mut header = json!({ "alg": self.algorithm.to_string(), "typ": "JWT" });
        if let Some(kid) = &self.kid {
            header["kid"] = kid.as_str().into();
        }
        let part = |json: String| BASE64_URL_SAFE_NO_PAD.encode(json);
        let message = format!("{}.{}", part(header.to_string()), part(Json::Object(all).to_string()));
        let signature = self.sign(message.as_bytes()).map_err(|_| KeyError("the token cannot be signed".into()))?;
        Ok(format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, error::Unspecified> {
        let random = SystemRandom::new();
        match &self.signer {
            Signer::Secret(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            Signer::Rsa(pair) => {
                let method: &dyn sign::RsaEncoding = match self.algorithm {
                    Algorithm::Rs384 => &sign::RSA_PKCS1_SHA384,
                    Algorithm::Rs512 => &sign::RSA_PKCS1_SHA512,
                    Algorithm::Ps256 => &sign::RSA_PSS_SHA256,
                    Algorithm::Ps384 => &sign::RSA_PSS_SHA384,
                    Algorithm::Ps512 => &sign::RSA_PSS_SHA512,
                    _ => &sign::RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(method, &random, message, &mut signature)?;
                Ok(signature)
            }
            Signer::Curve(pair) => Ok(pair.sign(&random, message)?.as_ref().to_vec()),
            Signer::Ed(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

type Public = Result<PublicKeyX509Der<'static>, error::Unspecified>;

/// The pair in a PKCS #8 key, what it signs by, and its public half.
fn private(der: &[u8]) -> Option<(Signer, Algorithm, Public)> {
    if let Ok(pair) = RsaKeyPair::from_pkcs8(der) {
        let public = pair.public_key().as_der();
        return Some((Signer::Rsa(Box::new(pair)), Algorithm::Rs256, public));
    }
    let curves: [(&'static EcdsaSigningAlgorithm, Algorithm); 3] = [
        (&sign::ECDSA_P256_SHA256_FIXED_SIGNING, Algorithm::Es256),
        (&sign::ECDSA_P384_SHA384_FIXED_SIGNING, Algorithm::Es384),
        (&sign::ECDSA_P521_SHA512_FIXED_SIGNING, Algorithm::Es512),
    ];
    for (curve, algorithm) in curves {
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(curve, der) {
            let public = pair.public_key().as_der();
            return Some((Signer::Curve(pair), algorithm, public));
        }
    }
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?;
    let public = pair.public_key().as_der();
    Some((Signer::Ed(pair), Algorithm::EdDsa, public))
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("algorithm", &self.algorithm).field("kid", &self.kid).finish_non_exhaustive()
    }
}
