//! Tokens that are taken back.

use std::time::SystemTime;

use rowcast::auth::{Key, Rejected, Revocation, Revocations, Tokens, Trust};
use serde_json::json;

use super::forge::{Pair, SECRET, claims, claims_with, claims_without, now};
use super::{expect, public, refused};

fn open(folder: &std::path::Path) -> Tokens {
    let revocations = Revocations::open(folder).expect("a folder");
    let keys = vec![Key::secret(SECRET, Some("main".into()), &[]).expect("a key"), public(&super::RSA)];
    Tokens::new(Trust { keys, revocations, expect: expect(), ..Trust::default() })
}

fn of_user(user: &str) -> Revocation {
    Revocation { user: Some(user.into()), ..Revocation::until(SystemTime::now()) }
}

#[tokio::test]
async fn what_was_issued_before_is_revoked_also_after_a_restart_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = open(folder.path());
    let one = |claims| Pair::Secret(SECRET).token("HS256", &claims);
    let (ann, bob) = (one(claims()), one(claims_with("sub", json!("bob"))));
    let undated = one(claims_without("iat"));
    let later = one(claims_with("iat", json!(now() + 10)));
    let identity = tokens.verify(&ann, SystemTime::now()).await.expect("accepted");
    let mut changed = tokens.changed();
    changed.mark_unchanged();
    tokens.revoke(of_user("ann")).await.expect("kept");
    assert!(changed.has_changed().expect("there"), "who waits for it hears of it");
    assert!(!tokens.still_trusts(&identity));
    for tokens in [tokens, open(folder.path())] {
        refused(&tokens, &ann, Rejected::Revoked, "revocation").await;
        refused(&tokens, &undated, Rejected::Revoked, "revocation").await;
        tokens.verify(&bob, SystemTime::now()).await.expect("another user");
        tokens.verify(&later, SystemTime::now()).await.expect("issued after it");
    }
}

#[tokio::test]
async fn tenants_keys_and_everything_can_be_revoked() {
    let one = |claims| Pair::Secret(SECRET).token("HS256", &claims);
    let until = Revocation::until(SystemTime::now());
    let ours = one(claims());
    let theirs = one(claims_with("tenant", json!("other")));
    let by_rsa = super::RSA.token("RS256", &claims());
    let cases = [
        (Revocation { tenant: Some("acme".into()), ..until.clone() }, [true, false, true]),
        (Revocation { key: Some("main".into()), ..until.clone() }, [true, true, false]),
        (Revocation { user: Some("ann".into()), tenant: Some("other".into()), ..until.clone() }, [false, true, false]),
        (Revocation { user: Some("ann".into()), key: Some("main".into()), ..until.clone() }, [true, true, false]),
        (Revocation { user: Some("an".into()), ..until.clone() }, [false, false, false]),
        (Revocation { before: until.before - 100, ..until.clone() }, [false, false, false]),
        (until, [true, true, true]),
    ];
    for (revocation, expected) in cases {
        let folder = tempfile::tempdir().expect("a folder");
        let tokens = open(folder.path());
        // In memory from before.
        for token in [&ours, &theirs, &by_rsa] {
            tokens.verify(token, SystemTime::now()).await.expect("accepted");
        }
        tokens.revoke(revocation.clone()).await.expect("kept");
        for (token, revoked) in [&ours, &theirs, &by_rsa].into_iter().zip(expected) {
            let verified = tokens.verify(token, SystemTime::now()).await;
            assert_eq!(verified.err(), revoked.then_some(Rejected::Revoked), "{revocation:?}");
        }
    }
}

#[tokio::test]
async fn an_older_revocation_does_not_undo_a_newer_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = open(folder.path());
    tokens.revoke(of_user("ann")).await.expect("kept");
    tokens.revoke(Revocation { before: 5, ..of_user("ann") }).await.expect("kept");
    let ann = Pair::Secret(SECRET).token("HS256", &claims());
    refused(&tokens, &ann, Rejected::Revoked, "revocation").await;
    refused(&open(folder.path()), &ann, Rejected::Revoked, "revocation").await;
}

#[tokio::test]
async fn many_at_once_are_all_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = open(folder.path());
    let all = (0..40).map(|n| tokens.revoke(of_user(&format!("user {n}"))));
    for kept in futures_util::future::join_all(all).await {
        kept.expect("kept");
    }
    let again = open(folder.path());
    for n in 0..40 {
        let token = Pair::Secret(SECRET).token("HS256", &claims_with("sub", json!(format!("user {n}"))));
        refused(&again, &token, Rejected::Revoked, "revocation").await;
    }
}

#[tokio::test]
async fn what_no_living_token_can_be_older_than_is_forgotten_where_life_is_limited() {
    let folder = tempfile::tempdir().expect("a folder");
    let revocations = || Revocations::open(folder.path()).expect("a folder");
    let text = || std::fs::read_to_string(folder.path().join("revocations.json")).expect("a file");
    let limited = rowcast::auth::Expect { life_max: Some(std::time::Duration::from_secs(600)), ..expect() };
    for (expect, kept) in [(expect(), true), (limited, false)] {
        let tokens = Tokens::new(Trust { revocations: revocations(), expect, ..Trust::default() });
        tokens.revoke(Revocation { before: now() as u64 - 10_000, ..of_user("old") }).await.expect("kept");
        tokens.revoke(of_user("new")).await.expect("kept");
        assert_eq!((text().contains("old"), text().contains("new")), (kept, true));
    }
}

#[test]
fn a_damaged_file_is_told_and_not_passed_over() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("revocations.json"), "[{").expect("a file");
    let error = Revocations::open(folder.path()).expect_err("damaged").to_string();
    assert!(error.contains("is not a list of revocations") && error.contains("good again until it expires"), "{error}");
}
