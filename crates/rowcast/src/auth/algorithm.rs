//! How tokens may be signed. `none` is not among them.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{self as sign, RsaParameters, VerificationAlgorithm};

/// How a token is signed, by the names of RFC 7518.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
    EdDsa,
}

/// What a key is, which is all that says what it can verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Secret,
    Rsa,
    P256,
    P384,
    P521,
    Ed25519,
}

/// What does the arithmetic.
pub(super) enum Method {
    Secret(hmac::Algorithm),
    Rsa(&'static RsaParameters),
    Public(&'static dyn VerificationAlgorithm),
}

use Algorithm::*;

/// All of them, with their names.
const NAMES: [(&str, Algorithm); 13] = [
    ("HS256", Hs256),
    ("HS384", Hs384),
    ("HS512", Hs512),
    ("RS256", Rs256),
    ("RS384", Rs384),
    ("RS512", Rs512),
    ("PS256", Ps256),
    ("PS384", Ps384),
    ("PS512", Ps512),
    ("ES256", Es256),
    ("ES384", Es384),
    ("ES512", Es512),
    ("EdDSA", EdDsa),
];

impl Algorithm {
    pub(super) fn family(self) -> Family {
        match self {
            Hs256 | Hs384 | Hs512 => Family::Secret,
            Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512 => Family::Rsa,
            Es256 => Family::P256,
            Es384 => Family::P384,
            Es512 => Family::P521,
            EdDsa => Family::Ed25519,
        }
    }

    /// Those that a key of this kind can verify.
    pub(super) fn of(family: Family) -> Vec<Self> {
        NAMES.iter().map(|(_, algorithm)| *algorithm).filter(|algorithm| algorithm.family() == family).collect()
    }

    pub(super) fn method(self) -> Method {
        match self {
            Hs256 => Method::Secret(hmac::HMAC_SHA256),
            Hs384 => Method::Secret(hmac::HMAC_SHA384),
            Hs512 => Method::Secret(hmac::HMAC_SHA512),
            Rs256 => Method::Rsa(&sign::RSA_PKCS1_2048_8192_SHA256),
            Rs384 => Method::Rsa(&sign::RSA_PKCS1_2048_8192_SHA384),
            Rs512 => Method::Rsa(&sign::RSA_PKCS1_2048_8192_SHA512),
            Ps256 => Method::Rsa(&sign::RSA_PSS_2048_8192_SHA256),
            Ps384 => Method::Rsa(&sign::RSA_PSS_2048_8192_SHA384),
            Ps512 => Method::Rsa(&sign::RSA_PSS_2048_8192_SHA512),
            Es256 => Method::Public(&sign::ECDSA_P256_SHA256_FIXED),
            Es384 => Method::Public(&sign::ECDSA_P384_SHA384_FIXED),
            Es512 => Method::Public(&sign::ECDSA_P521_SHA512_FIXED),
            EdDsa => Method::Public(&sign::ED25519),
        }
    }
}

impl FromStr for Algorithm {
    type Err = ();

    /// By its exact name: `hs256` is none.
    fn from_str(text: &str) -> Result<Self, ()> {
        NAMES.iter().find(|(name, _)| *name == text).map(|(_, algorithm)| *algorithm).ok_or(())
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES.iter().find(|(_, algorithm)| algorithm == self).map_or("", |(name, _)| name))
    }
}
