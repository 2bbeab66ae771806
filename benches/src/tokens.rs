//! Verifying tokens: one that is seen for the first time, and one that was seen before, for each kind of key.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair};
use base64::prelude::{BASE64_STANDARD, Engine};
use rowcast::auth::{Algorithm, Expect, Issuer, Key, Tokens, Trust};
use serde_json::{Map, json};
use sha2::{Digest, Sha256};

use crate::Scale;
use crate::table::{Table, number, ratio};

const SECRET: &[u8] = b"a secret of more than thirty-two bytes, to measure with";

pub(crate) fn run(scale: &Scale) -> Result<()> {
    let count = scale.pick(3_000, 5);
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let head = ["algorithm", "first µs", "again µs", "× again", "hash alone µs"];
    let mut out = Table::new("tokens: verifying one of seven claims", &head);
    for (algorithm, pem) in algorithms()? {
        let (mut issuer, key) = issuer(algorithm, pem.as_deref())?;
        (issuer.issuer, issuer.audience) = (Some("https://id.example".into()), Some("rowcast".into()));
        let tokens = tokens(key);
        // Not more than are remembered.
        let made = (0..count).map(|n| {
            let claims = json!({ "sub": format!("user {n}"), "tenant": "acme", "role": "member" });
            issuer.issue(claims.as_object().cloned().unwrap_or_else(Map::new), SystemTime::now())
        });
        let made = made.collect::<Result<Vec<_>, _>>()?;
        let first = each(&runtime, &tokens, &made)?;
        let again = each(&runtime, &tokens, &made)?;
        let begun = Instant::now();
        for token in &made {
            std::hint::black_box(Sha256::digest(std::hint::black_box(token.as_bytes())));
        }
        let hashed = micros(begun.elapsed(), made.len());
        out.row([algorithm.to_string(), number(first), number(again), ratio(first, again), number(hashed)]);
    }
    out.note("× again: how much more the first time takes. A token is found again by its SHA-256.");
    println!("{out}");
    Ok(())
}

fn tokens(key: Key) -> Tokens {
    let (issuers, audiences) = (vec!["https://id.example".into()], vec!["rowcast".into()]);
    let expect = Expect { issuers, audiences, tenant: Some("tenant".into()), ..Expect::default() };
    Tokens::new(Trust { keys: vec![key], expect, ..Trust::default() })
}

/// Microseconds for each token.
fn each(runtime: &tokio::runtime::Runtime, tokens: &Tokens, made: &[String]) -> Result<f64> {
    let now = SystemTime::now();
    runtime.block_on(async {
        let begun = Instant::now();
        for token in made {
            tokens.verify(token, now).await?;
        }
        Ok(micros(begun.elapsed(), made.len()))
    })
}

fn micros(time: Duration, count: usize) -> f64 {
    time.as_secs_f64() * 1e6 / count as f64
}

fn issuer(algorithm: Algorithm, pem: Option<&str>) -> Result<(Issuer, Key)> {
    Ok(match pem {
        Some(pem) => Issuer::pem(pem, None, &[algorithm])?,
        None => Issuer::secret(SECRET, None, &[algorithm])?,
    })
}

/// One of each kind, with its private key where it has one.
fn algorithms() -> Result<Vec<(Algorithm, Option<String>)>> {
    let pem = |der: &[u8]| {
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64_STANDARD.encode(der))
    };
    let curve = |algorithm: &'static EcdsaSigningAlgorithm| {
        let pair = EcdsaKeyPair::generate(algorithm).ok().context("a key")?;
        anyhow::Ok(pem(pair.to_pkcs8v1().ok().context("a key")?.as_ref()))
    };
    let rsa = KeyPair::generate(KeySize::Rsa2048).ok().context("a key")?;
    let rsa = pem(AsDer::<Pkcs8V1Der<'static>>::as_der(&rsa).ok().context("a key")?.as_ref());
    let ed = Ed25519KeyPair::generate().ok().context("a key")?;
    let ed = pem(ed.to_pkcs8().ok().context("a key")?.as_ref());
    Ok(vec![
        (Algorithm::Hs256, None),
        (Algorithm::Hs512, None),
        (Algorithm::Rs256, Some(rsa.clone())),
        (Algorithm::Ps256, Some(rsa)),
        (Algorithm::Es256, Some(curve(&signature::ECDSA_P256_SHA256_FIXED_SIGNING)?)),
        (Algorithm::Es384, Some(curve(&signature::ECDSA_P384_SHA384_FIXED_SIGNING)?)),
        (Algorithm::Es512, Some(curve(&signature::ECDSA_P521_SHA512_FIXED_SIGNING)?)),
        (Algorithm::EdDsa, Some(ed)),
    ])
}
