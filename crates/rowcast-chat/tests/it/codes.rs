//! One-time codes: good for one thing, once, for ten minutes and for five attempts.

use serde_json::json;

use crate::browser::{Browser, PASSWORD};
use crate::postbox::Postbox;
use crate::world::{KINDS, World};

const ANN: &str = "ann@example.com";

/// A code that is surely another one.
fn not(code: &str) -> String {
    format!("{:06}", (code.parse::<u32>().expect("digits") + 1) % 1_000_000)
}

async fn waiting_for_a_code(postbox: &mut Postbox) -> (World, Browser, String) {
    let world = World::start(KINDS[0], postbox.settings()).await;
    let mut ann = Browser::new(&world);
    let answer = ann.post("/signup", json!({ "email": ANN, "password": PASSWORD, "name": "Ann" })).await;
    assert_eq!(answer.status, 202);
    let code = postbox.code(ANN).await;
    (world, ann, code)
}

#[tokio::test]
async fn a_code_that_was_guessed_at_too_often_is_no_longer_good() {
    let mut postbox = Postbox::open().await;
    let (world, mut ann, code) = waiting_for_a_code(&mut postbox).await;
    // From many addresses, as it were: the limit of attempts is another one.
    world.run("UPDATE chat_codes SET tries = 4").await;
    assert_eq!(ann.post("/verify", json!({ "email": ANN, "code": not(&code) })).await.status, 401);
    assert_eq!(ann.post("/verify", json!({ "email": ANN, "code": code })).await.status, 401, "the sixth attempt");
    assert_eq!(ann.post("/verify/again", json!({ "email": ANN })).await.status, 202);
    let another = postbox.code(ANN).await;
    assert_eq!(ann.post("/verify", json!({ "email": ANN, "code": another })).await.status, 200);
    assert_eq!(ann.post("/verify", json!({ "email": ANN, "code": another })).await.status, 401, "it was used");
}

#[tokio::test]
async fn a_code_expires_and_a_new_one_takes_an_earlier_ones_place() {
    let mut postbox = Postbox::open().await;
    let (world, mut ann, code) = waiting_for_a_code(&mut postbox).await;
    world.run("UPDATE chat_codes SET expires_at = 1").await;
    assert_eq!(ann.post("/verify", json!({ "email": ANN, "code": code })).await.status, 401, "it has expired");
    assert_eq!(ann.post("/verify/again", json!({ "email": ANN })).await.status, 202);
    let second = postbox.code(ANN).await;
    if second != code {
        assert_eq!(ann.post("/verify", json!({ "email": ANN, "code": code })).await.status, 401);
    }
    assert_eq!(
        ann.post("/reset/confirm", json!({ "email": ANN, "code": second, "password": PASSWORD })).await.status,
        401
    );
    assert_eq!(ann.post("/verify", json!({ "email": ANN, "code": second })).await.status, 200);
}

#[tokio::test]
async fn who_has_forgotten_the_password_chooses_another_and_all_others_are_out() {
    for kind in KINDS {
        let mut postbox = Postbox::open().await;
        let world = World::start(kind, postbox.settings()).await;
        let mut thief = Browser::new(&world);
        thief.post("/signup", json!({ "email": ANN, "password": PASSWORD, "name": "Ann" })).await;
        let code = postbox.code(ANN).await;
        assert_eq!(thief.post("/verify", json!({ "email": ANN, "code": code })).await.status, 200, "{kind:?}");

        let mut ann = Browser::new(&world);
        assert_eq!(ann.post("/reset", json!({ "email": ANN })).await.status, 202);
        let code = postbox.code(ANN).await;
        let body = json!({ "email": ANN, "code": code, "password": "battery staple" });
        let reset = ann.post("/reset/confirm", body).await;
        assert_eq!((reset.status, &*ann.user), (200, &*thief.user), "{kind:?} {reset:?}");
        assert_eq!(thief.get("/me").await.status, 401, "{kind:?}: an old token");
        assert_eq!(ann.get("/me").await.status, 200, "{kind:?}: the new one");
        let old = thief.post("/login", json!({ "email": ANN, "password": PASSWORD })).await;
        assert_eq!(old.status, 401, "{kind:?}: the old password");
    }
}

#[tokio::test]
async fn nobody_gets_many_mails() {
    let mut postbox = Postbox::open().await;
    let world = World::start(KINDS[0], postbox.settings()).await;
    let mut eve = Browser::new(&world);
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(eve.post("/reset", json!({ "email": ANN })).await.status);
    }
    assert_eq!(statuses, [202, 202, 202, 202, 202, 429]);
    assert!(postbox.is_empty(), "nobody has this address");
}

#[tokio::test]
async fn of_two_who_sign_up_with_one_address_neithers_password_is_good() {
    let mut postbox = Postbox::open().await;
    let (world, mut ann, _) = waiting_for_a_code(&mut postbox).await;
    let mut eve = Browser::new(&world);
    eve.post("/signup", json!({ "email": ANN, "password": "the one of eve", "name": "Eve" })).await;
    let code = postbox.code(ANN).await;
    assert_eq!(ann.post("/verify", json!({ "email": ANN, "code": code })).await.status, 200, "whose mail it is");
    for password in [PASSWORD, "the one of eve"] {
        assert_eq!(eve.post("/login", json!({ "email": ANN, "password": password })).await.status, 401);
    }
}
