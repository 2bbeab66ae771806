//! Users with passwords, and the tokens that are made for them.

use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use rowcast::auth::{Issuer, NotLoggedIn, Tokens, Trust, User, Users, hash_password};
use serde_json::{Map, json};

use super::expect;
use super::forge::SECRET;

const HOME: &str = "192.0.2.1";

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn ann() -> User {
    let claims = Map::from_iter([("tenant".to_owned(), json!("acme"))]);
    User { name: "ann".into(), password_hash: hash_password("correct horse").expect("a hash"), claims }
}

fn users() -> Users {
    Users::new(vec![ann()]).expect("users")
}

#[tokio::test]
async fn who_logs_in_gets_claims_and_a_token_that_is_accepted() {
    let claims = users().log_in("ann", "correct horse", address(HOME)).await.expect("logged in");
    assert_eq!(json!(claims), json!({ "sub": "ann", "tenant": "acme" }));
    let (mut issuer, key) = Issuer::secret(SECRET, Some("own".into()), &[]).expect("an issuer");
    (issuer.issuer, issuer.audience) = (Some("https://id.example".into()), Some("rowcast".into()));
    let token = issuer.issue(claims, SystemTime::now()).expect("a token");
    let tokens = Tokens::new(Trust { keys: vec![key], expect: expect(), ..Trust::default() });
    let identity = tokens.verify(&token, SystemTime::now()).await.expect("accepted");
    assert_eq!((identity.user.as_deref(), &*identity.tenant), (Some("ann"), "acme"));
    let left = identity.expires.expect("it expires").duration_since(SystemTime::now()).expect("later");
    assert!(left > Duration::from_secs(3_500) && left <= Duration::from_secs(3_600), "{left:?}");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_are_told_the_same() {
    let users = users();
    let long = "x".repeat(5_000);
    for (name, password) in
        [("ann", "wrong"), ("bob", "correct horse"), ("", ""), ("ann\u{0}", "correct horse"), ("ann", &long)]
    {
        assert_eq!(users.log_in(name, password, address(HOME)).await.err(), Some(NotLoggedIn::Wrong), "{name:?}");
    }
}

#[tokio::test]
async fn an_unknown_name_is_hashed_for_too() {
    let users = users();
    let mut spent = Vec::new();
    for (number, name) in ["ann", "bob"].into_iter().enumerate() {
        let begun = Instant::now();
        let _ = users.log_in(name, "wrong", address(&format!("192.0.2.{number}"))).await;
        spent.push(begun.elapsed());
    }
    // Without a hash it would be a thousand times less.
    assert!(spent[1] * 10 > spent[0], "{spent:?}");
}

#[tokio::test]
async fn after_five_failures_one_has_to_wait_whether_or_not_there_is_such_a_user() {
    for name in ["ann", "bob"] {
        let users = users();
        for n in 0..5 {
            let from = address(&format!("198.51.100.{n}"));
            assert_eq!(users.log_in(name, "wrong", from).await.err(), Some(NotLoggedIn::Wrong));
        }
        let refused = users.log_in(name, "correct horse", address("203.0.113.1")).await.err();
        assert!(matches!(refused, Some(NotLoggedIn::Wait(wait)) if wait <= Duration::from_secs(1)), "{refused:?}");
    }
}

#[tokio::test]
async fn one_address_cannot_try_many_names_nor_many_at_once() {
    let users = users();
    let all = (0..100).map(|n| users.log_in("nobody", "wrong", address(&format!("2001:db8::{n}"))));
    let all = futures_util::future::join_all(all).await;
    let tried = all.iter().filter(|one| **one == Err(NotLoggedIn::Wrong)).count();
    assert_eq!(tried, 5, "one network of IPv6 is one address, and attempts count when they begin");
    let users = self::users();
    for n in 0..5 {
        let _ = users.log_in(&format!("user {n}"), "wrong", address(HOME)).await;
    }
    let refused = users.log_in("ann", "correct horse", address(HOME)).await.err();
    assert!(matches!(refused, Some(NotLoggedIn::Wait(_))), "{refused:?}");
    users.log_in("ann", "correct horse", address("192.0.2.2")).await.expect("from elsewhere");
}

#[tokio::test]
async fn logging_in_between_does_not_free_an_address() {
    let users = users();
    for n in 0..5 {
        let _ = users.log_in(&format!("user {n}"), "wrong", address(HOME)).await;
        if n < 4 {
            users.log_in("ann", "correct horse", address(HOME)).await.expect("her own account");
        }
    }
    let refused = users.log_in("ann", "correct horse", address(HOME)).await.err();
    assert!(matches!(refused, Some(NotLoggedIn::Wait(_))), "{refused:?}");
}

#[test]
fn users_that_are_none_say_what_to_do() {
    let said = |user: User| Users::new(vec![user]).expect_err("refused").to_string();
    let bcrypt = "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW";
    let argon2i = ann().password_hash.replace("argon2id", "argon2i");
    for hash in ["correct horse", "", bcrypt, &argon2i, "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ"] {
        let told = said(User { password_hash: hash.into(), ..ann() });
        assert_eq!(told, "it is not an argon2id hash; `rowcast password` makes one", "{hash}");
    }
    let claims = Map::from_iter([("exp".to_owned(), json!(1))]);
    assert!(said(User { claims, ..ann() }).starts_with("the claim `exp` is made at each log-in"));
    assert!(said(User { name: String::new(), ..ann() }).starts_with("a name has 1 to 256 bytes"));
    assert_eq!(Users::new(vec![ann(), ann()]).expect_err("two").to_string(), "there are two users called `ann`");
    assert!(!format!("{:?}", ann()).contains("argon2id"));
}

#[tokio::test]
async fn every_kind_of_private_key_issues_tokens_that_its_public_key_verifies() {
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    };
    use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair};
    use base64::prelude::{BASE64_STANDARD, Engine};
    let curve =
        |algorithm| EcdsaKeyPair::generate(algorithm).expect("a key").to_pkcs8v1().expect("a key").as_ref().to_vec();
    let rsa = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).expect("a key");
    let ed = Ed25519KeyPair::generate().expect("a key").to_pkcs8().expect("a key").as_ref().to_vec();
    let keys = [
        ("RS256", AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'static>>::as_der(&rsa).expect("a key").as_ref().to_vec()),
        ("ES256", curve(&ECDSA_P256_SHA256_FIXED_SIGNING)),
        ("ES384", curve(&ECDSA_P384_SHA384_FIXED_SIGNING)),
        ("ES512", curve(&ECDSA_P521_SHA512_FIXED_SIGNING)),
        ("EdDSA", ed),
    ];
    for (algorithm, der) in keys {
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64_STANDARD.encode(der));
        let (issuer, key) = Issuer::pem(&pem, None, &[]).expect(algorithm);
        let token = issuer.issue(Map::new(), SystemTime::now()).expect("a token");
        let tokens = Tokens::new(Trust { keys: vec![key], ..Trust::default() });
        let identity = tokens.verify(&token, SystemTime::now()).await.expect(algorithm);
        assert!(identity.key.as_deref().is_some_and(|id| id.starts_with(algorithm)), "{identity:?}");
        assert!(rowcast::auth::Key::pem(&pem, None, &[]).is_err(), "verifying takes no private key");
    }
}
