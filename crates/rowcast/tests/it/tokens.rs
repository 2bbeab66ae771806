//! Tokens: those that are accepted, and every forgery that is known, each refused for its own reason.

mod forge;
mod key_sets;
mod revocations;

use std::time::{Duration, SystemTime};

use rowcast::auth::{Algorithm, Expect, Key, Rejected, Tokens, Trust};
use serde_json::{Value as Json, json};

use forge::{ED, P256, P384, P521, Pair, RSA, SECRET, base64, claims, claims_with, claims_without, hmac_by, now};

/// As a gateway with an issuer, an audience and tenants expects it.
fn expect() -> Expect {
    let (issuers, audiences) = (vec!["https://id.example".into()], vec!["rowcast".into()]);
    Expect { issuers, audiences, tenant: Some("tenant".into()), ..Expect::default() }
}

fn tokens(keys: Vec<Key>) -> Tokens {
    Tokens::new(Trust { keys, expect: expect(), ..Trust::default() })
}

fn secret() -> Key {
    Key::secret(SECRET, None, &[]).expect("a key")
}

fn public(pair: &Pair) -> Key {
    Key::pem(&pair.pem(), None, &[]).expect("a key")
}

/// One key of each kind.
fn all_keys() -> Tokens {
    tokens(vec![secret(), public(&RSA), public(&P256), public(&P384), public(&P521), public(&ED)])
}

/// Refused, and for this reason.
async fn refused(tokens: &Tokens, token: &str, rejected: Rejected, why: &str) {
    let told = tokens.examine(token, SystemTime::now()).await.expect_err(why);
    assert!(told.why.contains(why), "{:?} is not for the reason {why:?}", told.why);
    assert_eq!(tokens.verify(token, SystemTime::now()).await.err(), Some(rejected), "{why}");
}

/// Every algorithm, with the pair that signs by it.
fn every_algorithm() -> Vec<(&'static str, &'static Pair)> {
    const HS: Pair = Pair::Secret(SECRET);
    static SECRET_PAIR: Pair = HS;
    let rsa = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"].map(|name| (name, &*RSA));
    let secret = ["HS256", "HS384", "HS512"].map(|name| (name, &SECRET_PAIR));
    let curves = [("ES256", &*P256), ("ES384", &*P384), ("ES512", &*P521), ("EdDSA", &*ED)];
    [&secret[..], &rsa, &curves].concat()
}

#[tokio::test]
async fn every_algorithm_is_verified_with_keys_as_pem_and_as_json() {
    let from_pem = all_keys();
    for (algorithm, pair) in every_algorithm() {
        let token = pair.token(algorithm, &claims());
        let from_json = tokens(Key::jwk(&pair.jwk("k").to_string(), &[]).expect("a key"));
        for (tokens, kid) in [(&from_pem, None), (&from_json, Some("k#"))] {
            // The second time it comes from memory.
            for _ in 0..2 {
                let identity = tokens.verify(&token, SystemTime::now()).await.expect(algorithm);
                assert_eq!((identity.user.as_deref(), &*identity.tenant), (Some("ann"), "acme"), "{algorithm}");
                assert_eq!(identity.claims["sub"], "ann");
                assert!(identity.issued.is_some() && identity.expires > Some(SystemTime::now()));
                let id = identity.key.as_deref().expect("a key's name");
                assert!(kid.is_none_or(|kid| id.starts_with(kid)), "{id}");
                assert!(tokens.still_trusts(&identity));
            }
        }
    }
}

#[tokio::test]
async fn tokens_of_another_library_are_verified() {
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET);
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims(), &key).expect("a token");
    tokens(vec![secret()]).verify(&token, SystemTime::now()).await.expect("accepted");
}

#[tokio::test]
async fn an_unsigned_token_is_refused_however_it_says_so() {
    let tokens = all_keys();
    for none in
        ["none", "None", "NONE", "nOnE", "", " none", "none\u{0}", "null", "hs256", "HS256 ", "RS1", "HS1", "dir"]
    {
        let header = base64(json!({ "alg": none }).to_string());
        let unsigned = format!("{header}.{}.", base64(claims().to_string()));
        refused(&tokens, &unsigned, Rejected::Invalid, "`alg`").await;
        let signed = Pair::Secret(SECRET).token_of(&json!({ "alg": none }).to_string(), "HS256", &claims().to_string());
        refused(&tokens, &signed, Rejected::Invalid, "`alg`").await;
    }
    for header in [r#"{}"#, r#"{"alg":null}"#, r#"{"alg":["HS256"]}"#, r#"{"alg":0}"#] {
        let signed = Pair::Secret(SECRET).token_of(header, "HS256", &claims().to_string());
        refused(&tokens, &signed, Rejected::Invalid, "`alg`").await;
    }
    // An algorithm that is known, and no signature.
    for (algorithm, pair) in every_algorithm() {
        let token = pair.token(algorithm, &claims());
        let (message, _) = token.rsplit_once('.').expect("three parts");
        refused(&tokens, &format!("{message}."), Rejected::Invalid, "no key").await;
    }
}

#[tokio::test]
async fn a_public_key_is_no_secret() {
    // Whatever bytes of the public key an implementation might take for a secret.
    for (name, pair) in every_algorithm().into_iter().filter(|(name, _)| !name.starts_with("HS")) {
        let tokens = tokens(vec![public(pair)]);
        let (pem, der) = (pair.pem(), pair.der());
        let raw: Vec<&[u8]> = vec![pem.as_bytes(), pem.trim_end().as_bytes(), &der, &der[der.len() - 32..], b""];
        for secret in raw {
            for algorithm in ["HS256", "HS384", "HS512"] {
                let message =
                    format!("{}.{}", base64(json!({ "alg": algorithm }).to_string()), base64(claims().to_string()));
                let token = format!("{message}.{}", base64(hmac_by(algorithm, secret, message.as_bytes())));
                refused(&tokens, &token, Rejected::Invalid, "no key").await;
            }
        }
        tokens.verify(&pair.token(name, &claims()), SystemTime::now()).await.expect(name);
    }
}

#[tokio::test]
async fn no_algorithm_passes_for_another() {
    let tokens = all_keys();
    let all = every_algorithm();
    for (signed_by, pair) in &all {
        for (said, _) in all.iter().filter(|(said, _)| said != signed_by) {
            let token = pair.token_of(&json!({ "alg": said }).to_string(), signed_by, &claims().to_string());
            refused(&tokens, &token, Rejected::Invalid, "no key").await;
        }
    }
}

#[tokio::test]
async fn a_key_verifies_by_the_algorithms_that_it_is_pinned_to_alone() {
    let pinned = tokens(vec![Key::pem(&RSA.pem(), None, &[Algorithm::Ps256]).expect("a key")]);
    pinned.verify(&RSA.token("PS256", &claims()), SystemTime::now()).await.expect("pinned to it");
    for other in ["RS256", "RS512", "PS384"] {
        refused(&pinned, &RSA.token(other, &claims()), Rejected::Invalid, "no key").await;
    }
    let mut jwk = RSA.jwk("k");
    jwk["alg"] = json!("RS256");
    let pinned = tokens(Key::jwk(&jwk.to_string(), &[]).expect("a key"));
    pinned.verify(&RSA.token("RS256", &claims()), SystemTime::now()).await.expect("pinned to it");
    refused(&pinned, &RSA.token("PS256", &claims()), Rejected::Invalid, "no key").await;
    let error = Key::pem(&RSA.pem(), None, &[Algorithm::Hs256]).expect_err("of another kind");
    assert!(error.to_string().starts_with("this key cannot verify HS256"), "{error}");
}

#[tokio::test]
async fn a_header_never_says_where_the_key_is() {
    let tokens = tokens(vec![public(&RSA)]);
    let mallory = Pair::rsa();
    let own = mallory.jwk("mallory");
    let certificate = base64(mallory.der());
    for header in [
        json!({ "alg": "RS256", "jwk": own }),
        json!({ "alg": "RS256", "jku": "http://127.0.0.1:1/keys", "kid": "mallory" }),
        json!({ "alg": "RS256", "x5u": "http://127.0.0.1:1/cert" }),
        json!({ "alg": "RS256", "x5c": [certificate] }),
        json!({ "alg": "RS256", "x5t": "mallory", "x5t#S256": "mallory" }),
    ] {
        let token = mallory.token_of(&header.to_string(), "RS256", &claims().to_string());
        refused(&tokens, &token, Rejected::Invalid, "no key").await;
        // The same with the right signature is accepted: such words are not looked at.
        let right = RSA.token_of(&header.to_string(), "RS256", &claims().to_string());
        tokens.verify(&right, SystemTime::now()).await.expect("signed by a known key");
    }
}

#[tokio::test]
async fn a_kid_only_chooses_among_known_keys() {
    let secret = Key::secret(SECRET, Some("one".into()), &[]).expect("a key");
    let tokens = tokens(vec![secret, Key::pem(&RSA.pem(), Some("two".into()), &[]).expect("a key")]);
    let token = |kid: Json, secret: &'static [u8]| {
        Pair::Secret(secret).token_of(
            &json!({ "alg": "HS256", "kid": kid }).to_string(),
            "HS256",
            &claims().to_string(),
        )
    };
    tokens.verify(&token(json!("one"), SECRET), SystemTime::now()).await.expect("its own name");
    for kid in [
        "/dev/null",
        "../../../../dev/null",
        "' union select '' --",
        "two",
        "ONE",
        "one ",
        "one\u{0}",
        "",
        "http://127.0.0.1/",
    ] {
        refused(&tokens, &token(json!(kid), b""), Rejected::Invalid, "no key").await;
        refused(&tokens, &token(json!(kid), SECRET), Rejected::Invalid, "no key").await;
    }
    for kid in [json!(null), json!(1), json!(["one"]), json!({ "a": "one" }), json!("k".repeat(257))] {
        refused(&tokens, &token(kid, SECRET), Rejected::Invalid, "`kid`").await;
    }
}

#[tokio::test]
async fn a_header_that_wants_an_extension_is_refused() {
    let tokens = all_keys();
    for header in [
        r#"{"alg":"HS256","crit":["exp"]}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
        r#"{"alg":"HS256","crit":null}"#,
    ] {
        let token = Pair::Secret(SECRET).token_of(header, "HS256", &claims().to_string());
        refused(&tokens, &token, Rejected::Invalid, "`crit`").await;
    }
}

#[tokio::test]
async fn what_has_not_the_form_of_a_token_is_refused() {
    let tokens = all_keys();
    let good = Pair::Secret(SECRET).token("HS256", &claims());
    let [header, body, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    let parts = "three parts";
    for token in [
        String::new(),
        header.into(),
        format!("{header}.{body}"),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.x"),
        // As an encrypted token has them.
        format!("{header}.{body}.{body}.{body}.{signature}"),
    ] {
        refused(&tokens, &token, Rejected::Invalid, parts).await;
    }
    for (token, why) in [
        (format!(" {good}"), "header"),
        (format!("{good} "), "signature"),
        (format!("{good}\n"), "signature"),
        (format!("{good}="), "signature"),
        (format!("{header}=.{body}.{signature}"), "header"),
        (format!("{header}.{body}=.{signature}"), "no key"),
        (format!("{header}.\n{body}.{signature}"), "no key"),
        (format!("{header}.{body}.{}", signature.replace(['-', '_'], "+")), ""),
        (format!("Bearer {good}"), "header"),
        (format!("..{signature}"), "header"),
        (format!("{header}..{signature}"), "no key"),
        (format!("{}.{body}.{signature}", base64("[]")), "header"),
        (format!("{}.{body}.{signature}", base64("\"HS256\"")), "header"),
        (format!("{}.{body}.{signature}", base64(r#"{"alg":"none","alg":"HS256"}"#)), "header"),
        (format!("{}.{body}.{signature}", base64([0xff, 0xfe])), "header"),
        (good[..good.len() - 1].to_owned(), ""),
        (good[..good.len() - 4].to_owned(), "no key"),
    ] {
        if token != good {
            refused(&tokens, &token, Rejected::Invalid, why).await;
        }
    }
    // The last character has bits that mean nothing: a token can be written in one way only.
    let last = good.chars().next_back().expect("a character");
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for other in alphabet.chars().filter(|c| *c != last) {
        refused(&tokens, &format!("{}{other}", &good[..good.len() - 1]), Rejected::Invalid, "").await;
    }
    let huge = claims_with("much", json!("x".repeat(8 << 10)));
    refused(&tokens, &Pair::Secret(SECRET).token("HS256", &huge), Rejected::Invalid, "8 KiB").await;
    let large = claims_with("much", json!("x".repeat(4 << 10)));
    tokens.verify(&Pair::Secret(SECRET).token("HS256", &large), SystemTime::now()).await.expect("not too large");
}

#[tokio::test]
async fn claims_that_readers_could_understand_differently_are_refused() {
    let tokens = all_keys();
    let (iat, exp) = (now(), now() + 600);
    let rest = format!(r#""tenant":"acme","iss":"https://id.example","aud":"rowcast","iat":{iat},"exp":{exp}"#);
    let deep = |depth: usize| format!(r#"{{"sub":"ann",{rest},"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    for text in [
        format!(r#"{{"sub":"bob","sub":"ann",{rest}}}"#),
        format!(r#"{{"sub":"bob","s\u0075b":"ann",{rest}}}"#),
        format!(r#"{{"sub":"ann",{rest},"a":{{"b":1,"b":2}}}}"#),
        format!(r#"{{"sub":"ann",{rest}}}{{}}"#),
        format!(r#"{{"sub":"ann",{rest},}}"#),
        format!(r#"[{{"sub":"ann",{rest}}}]"#),
        "null".into(),
        "\"ann\"".into(),
        String::new(),
        deep(16),
        deep(2_000),
    ] {
        refused(
            &tokens,
            &Pair::Secret(SECRET).token_of(r#"{"alg":"HS256"}"#, "HS256", &text),
            Rejected::Invalid,
            "claims",
        )
        .await;
    }
    let token = Pair::Secret(SECRET).token_of(r#"{"alg":"HS256"}"#, "HS256", &deep(15));
    tokens.verify(&token, SystemTime::now()).await.expect("not too deep");
}

#[tokio::test]
async fn times_are_numbers_and_it_is_their_time() {
    let tokens = all_keys();
    let one = |claims: Json| Pair::Secret(SECRET).token("HS256", &claims);
    let soon = now() + 600;
    for bad in [
        json!(soon.to_string()),
        json!(null),
        json!(true),
        json!([soon]),
        json!(-1),
        json!(1e300),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(253_402_300_800_u64),
    ] {
        for claim in ["exp", "nbf", "iat"] {
            refused(&tokens, &one(claims_with(claim, bad.clone())), Rejected::Invalid, claim).await;
        }
    }
    refused(&tokens, &one(claims_without("exp")), Rejected::Invalid, "`exp`").await;
    refused(&tokens, &one(claims_with("exp", json!(now() - 31))), Rejected::Expired, "`exp`").await;
    refused(&tokens, &one(claims_with("exp", json!(0))), Rejected::Expired, "`exp`").await;
    refused(&tokens, &one(claims_with("nbf", json!(now() + 40))), Rejected::Early, "`nbf`").await;
    refused(&tokens, &one(claims_with("iat", json!(now() + 40))), Rejected::Early, "`iat`").await;
    for (claim, value) in [
        ("exp", json!(now() - 20)),
        ("nbf", json!(now() + 20)),
        ("iat", json!(now() + 20)),
        ("exp", json!(soon as f64 + 0.5)),
    ] {
        tokens.verify(&one(claims_with(claim, value)), SystemTime::now()).await.expect("within the leeway");
    }
    tokens.verify(&one(claims_without("iat")), SystemTime::now()).await.expect("it need not say");
}

#[tokio::test]
async fn a_token_in_memory_expires_like_any_other() {
    let tokens = all_keys();
    let token = Pair::Secret(SECRET).token("HS256", &claims());
    tokens.verify(&token, SystemTime::now()).await.expect("accepted");
    let later = SystemTime::now() + Duration::from_secs(600 + 29);
    tokens.verify(&token, later).await.expect("within the leeway");
    let later = later + Duration::from_secs(2);
    assert_eq!(tokens.verify(&token, later).await.err(), Some(Rejected::Expired));
    assert_eq!(tokens.verify(&token, later).await.err(), Some(Rejected::Expired), "also when it is forgotten");
}

#[tokio::test]
async fn a_life_can_be_limited_and_an_end_be_left_out() {
    let with = |expect: Expect| Tokens::new(Trust { keys: vec![secret()], expect, ..Trust::default() });
    let short = with(Expect { life_max: Some(Duration::from_secs(600)), ..expect() });
    let one = |claims: Json| Pair::Secret(SECRET).token("HS256", &claims);
    short.verify(&one(claims()), SystemTime::now()).await.expect("as long as is accepted");
    refused(&short, &one(claims_with("exp", json!(now() + 700))), Rejected::Invalid, "longer").await;
    refused(&short, &one(claims_without("iat")), Rejected::Invalid, "`iat`").await;
    let endless = with(Expect { must_expire: false, ..expect() });
    let identity = endless.verify(&one(claims_without("exp")), SystemTime::now()).await.expect("need not expire");
    assert_eq!(identity.expires, None);
    refused(&endless, &one(claims_with("exp", json!(now() - 60))), Rejected::Expired, "`exp`").await;
}

#[tokio::test]
async fn names_are_those_that_are_expected() {
    let tokens = all_keys();
    let one = |claims: Json| Pair::Secret(SECRET).token("HS256", &claims);
    let wrong = ["https://id.example/", "https://ID.example", "", "https://other.example"];
    for issuer in
        wrong.map(|name| json!(name)).into_iter().chain([json!(null), json!(["https://id.example"]), json!({})])
    {
        refused(&tokens, &one(claims_with("iss", issuer)), Rejected::Invalid, "`iss`").await;
    }
    refused(&tokens, &one(claims_without("iss")), Rejected::Invalid, "`iss`").await;
    for audience in [
        json!("other"),
        json!(""),
        json!([]),
        json!(["other"]),
        json!(null),
        json!(["rowcast", 1]),
        json!({ "rowcast": 1 }),
        json!([["rowcast"]]),
    ] {
        refused(&tokens, &one(claims_with("aud", audience)), Rejected::Invalid, "`aud`").await;
    }
    refused(&tokens, &one(claims_without("aud")), Rejected::Invalid, "`aud`").await;
    tokens.verify(&one(claims_with("aud", json!(["other", "rowcast"]))), SystemTime::now()).await.expect("one of them");
    for user in [
        json!(7),
        json!(null),
        json!(["ann"]),
        json!({ "a": 1 }),
        json!(""),
        json!("a\u{0}"),
        json!("a\n"),
        json!("x".repeat(257)),
    ] {
        refused(&tokens, &one(claims_with("sub", user)), Rejected::Invalid, "`sub`").await;
    }
    for tenant in [
        json!(7),
        json!(null),
        json!(""),
        json!("a b"),
        json!("a/b"),
        json!("a:b"),
        json!("ä"),
        json!("x".repeat(65)),
        json!("a\u{0}"),
    ] {
        refused(&tokens, &one(claims_with("tenant", tenant)), Rejected::Invalid, "`tenant`").await;
    }
    refused(&tokens, &one(claims_without("tenant")), Rejected::Invalid, "`tenant`").await;
    let nobody = tokens.verify(&one(claims_without("sub")), SystemTime::now()).await.expect("a service has no user");
    assert_eq!(nobody.user, None);
}

#[tokio::test]
async fn the_tenant_may_be_inside_of_another_claim() {
    let expect = Expect { tenant: Some("/app_metadata/tenant".into()), ..expect() };
    let tokens = Tokens::new(Trust { keys: vec![secret()], expect, ..Trust::default() });
    let token = Pair::Secret(SECRET).token("HS256", &claims_with("app_metadata", json!({ "tenant": "acme" })));
    assert_eq!(&*tokens.verify(&token, SystemTime::now()).await.expect("accepted").tenant, "acme");
    refused(&tokens, &Pair::Secret(SECRET).token("HS256", &claims()), Rejected::Invalid, "tenant").await;
}

#[tokio::test]
async fn signatures_that_are_none_are_refused() {
    let tokens = all_keys();
    for (algorithm, pair) in every_algorithm() {
        let good = pair.token(algorithm, &claims());
        let (message, _) = good.rsplit_once('.').expect("three parts");
        let signed = pair.sign(algorithm, message.as_bytes());
        let zeros = vec![0; signed.len()];
        let ones = vec![0xff; signed.len()];
        let (cut, longer) = (signed[..signed.len() - 1].to_vec(), [&signed[..], &[0]].concat());
        let mut turned = signed.clone();
        turned[0] ^= 1;
        let front = [&[0][..], &signed].concat();
        for forged in [zeros, ones, cut, longer, turned, front, vec![0], signed[..signed.len() / 2].to_vec()] {
            let token = format!("{message}.{}", base64(&forged));
            refused(&tokens, &token, Rejected::Invalid, "no key").await;
        }
        // Another's claims under this signature.
        let other = pair.token(algorithm, &claims_with("sub", json!("bob")));
        let (other, _) = other.rsplit_once('.').expect("three parts");
        refused(&tokens, &format!("{other}.{}", base64(&signed)), Rejected::Invalid, "no key").await;
    }
    // A curve's signature as OpenSSL writes it (DER), which JWT does not use.
    let good = P256.token("ES256", &claims());
    let (message, signature) = good.rsplit_once('.').expect("three parts");
    let raw = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, signature).expect("base64url");
    let integer = |bytes: &[u8]| [&[2, 33, 0][..], bytes].concat();
    let inner = [integer(&raw[..32]), integer(&raw[32..])].concat();
    let der = [&[0x30, inner.len() as u8][..], &inner].concat();
    refused(&tokens, &format!("{message}.{}", base64(der)), Rejected::Invalid, "no key").await;
}

#[test]
fn keys_that_are_none_say_what_to_do() {
    let said = |key: Result<Key, rowcast::auth::KeyError>| key.expect_err("refused").to_string();
    let short = said(Key::secret(b"hunter2", None, &[]));
    assert!(
        short.starts_with("the secret has 7 bytes; one with fewer than 32 can be guessed")
            && !short.contains("hunter2"),
        "{short}"
    );
    let private = said(Key::pem("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n", None, &[]));
    assert!(private.starts_with("this is a private key: `openssl pkey"), "{private}");
    assert!(said(Key::pem("nothing", None, &[])).starts_with("there is no public key in it"));
    let one = |jwk: Json| Key::jwk(&jwk.to_string(), &[]).expect_err("refused").to_string();
    let mut wrong_curve = P256.jwk("k");
    wrong_curve["crv"] = json!("P-384");
    assert_eq!(one(wrong_curve), "its point is not of its curve");
    let mut off_curve = P256.jwk("k");
    off_curve["y"] = off_curve["x"].clone();
    assert_eq!(one(off_curve), "it is not a key for ES256, or it is damaged");
    let mut wrong_algorithm = P256.jwk("k");
    wrong_algorithm["alg"] = json!("HS256");
    assert!(one(wrong_algorithm).starts_with("this key cannot verify HS256"));
    let mut for_encryption = RSA.jwk("k");
    for_encryption["use"] = json!("enc");
    assert_eq!(one(for_encryption), "it is not for signatures (`use`)");
    let mut weak = RSA.jwk("k");
    weak["n"] = json!(base64([0xc1; 128]));
    assert_eq!(one(weak), "it is an RSA key of 1024 bits; one of fewer than 2048 can be broken");
    assert_eq!(one(json!({ "kty": "RSA", "n": "!", "e": "AQAB" })), "its `n` is not there, or is not base64url");
    assert!(one(json!({ "kty": "oct", "k": base64("short") })).starts_with("the secret has 5 bytes"));
    assert!(one(json!({ "kty": "OKP", "crv": "X25519", "x": base64([1; 32]) })).starts_with("it is of another kind"));
    assert!(!format!("{:?}", secret()).contains("thirty-two"), "{:?}", secret());
}
