//! Accounts: who signs up is known, and nobody finds out who else is there.

use serde_json::{Value as Json, json};

use crate::browser::{Browser, PASSWORD};
use crate::postbox::Postbox;
use crate::world::{KINDS, World, open};

/// What somebody signs up with.
fn somebody(email: &str) -> Json {
    json!({ "email": email, "password": PASSWORD, "name": "Ann" })
}

#[tokio::test]
async fn somebody_signs_up_shows_the_address_and_logs_in_again() {
    for kind in KINDS {
        let mut postbox = Postbox::open().await;
        let world = World::start(kind, postbox.settings()).await;
        let mut ann = Browser::new(&world);
        let answer = ann.post("/signup", somebody(" Ann@Example.com ")).await;
        assert_eq!((answer.status, answer.body), (202, json!({ "verify": true })), "{kind:?}");
        assert_eq!(ann.cookie, None);
        let early = ann.post("/login", json!({ "email": "ann@example.com", "password": PASSWORD })).await;
        assert_eq!((early.status, &early.body["error"]["code"]), (403, &json!("forbidden")), "{kind:?}");
        let code = postbox.code("ann@example.com").await;
        let answer = ann.post("/verify", json!({ "email": "ann@example.com", "code": code })).await;
        assert_eq!(answer.status, 200, "{kind:?} {answer:?}");
        assert_eq!(
            (&answer.body["user"]["name"], &answer.body["user"]["email"]),
            (&json!("Ann"), &json!("ann@example.com"))
        );

        let me = ann.get("/me").await;
        assert_eq!((me.status, me.body["user"]["id"].as_str()), (200, Some(&*ann.user)), "{kind:?}");
        let profiles = ann.rows("chat_profiles").await;
        assert_eq!(profiles.len(), 1, "{kind:?} {profiles:?}");
        assert_eq!((&profiles[0]["id"], &profiles[0]["name"]), (&json!(ann.user), &json!("Ann")));
        let first = ann.cookie.clone();
        assert_eq!(ann.post("/logout", json!({})).await.status, 204);
        assert_eq!(ann.cookie, None);
        assert_eq!(ann.get("/me").await.status, 401);
        let again = ann.post("/login", json!({ "email": "ANN@example.com", "password": PASSWORD })).await;
        assert_eq!(again.status, 200, "{kind:?} {again:?}");
        assert!(ann.cookie.is_some() && first.is_some());
        assert_eq!(ann.post("/seen", json!({})).await.status, 204);
        assert_eq!(ann.post("/seen", json!({})).await.status, 204);
        let seen = ann.rows("chat_seen").await;
        assert_eq!((seen.len(), &seen[0]["user_id"]), (1, &json!(ann.user)), "{kind:?}");
    }
}

#[tokio::test]
async fn whether_an_address_is_known_is_not_to_be_found_out() {
    let mut postbox = Postbox::open().await;
    let world = World::start(KINDS[0], postbox.settings()).await;
    let mut ann = Browser::new(&world);
    ann.post("/signup", somebody("ann@example.com")).await;
    let code = postbox.code("ann@example.com").await;
    assert_eq!(ann.post("/verify", json!({ "email": "ann@example.com", "code": code })).await.status, 200);

    let mut eve = Browser::new(&world);
    let both = ["ann@example.com", "nobody@example.com"];
    // Each from another address, whose attempts are its own.
    for (from, path, more) in [
        ("192.0.2.10", "/login", json!({ "password": "a wrong password" })),
        ("192.0.2.11", "/verify/again", json!({})),
        ("192.0.2.12", "/reset", json!({})),
        ("192.0.2.13", "/verify", json!({ "code": "000000" })),
        ("192.0.2.14", "/reset/confirm", json!({ "code": "000000", "password": "another password" })),
        ("192.0.2.15", "/signup", json!({ "password": "another password", "name": "Eve" })),
    ] {
        eve.from = from;
        let mut answers = Vec::new();
        for email in both {
            let mut body = more.clone();
            body["email"] = email.into();
            answers.push(eve.post(path, body).await);
        }
        assert_eq!((answers[0].status, &answers[0].body), (answers[1].status, &answers[1].body), "{path}");
    }
    assert_eq!(eve.cookie, None);
    // The owner of the known address has a mail about it, and the one who is new has a code.
    let mut told: Vec<(String, bool)> = Vec::new();
    for _ in 0..3 {
        let letter = postbox.letter().await;
        told.push((letter.to, letter.text.contains("It has an account already")));
    }
    told.sort();
    let expected = [("ann@example.com", false), ("ann@example.com", true), ("nobody@example.com", false)];
    assert_eq!(told, expected.map(|(to, known)| (to.to_owned(), known)));
}

#[tokio::test]
async fn of_many_who_sign_up_with_one_address_at_once_one_has_the_account() {
    for kind in KINDS {
        let world = World::start(kind, open()).await;
        let mut all = Vec::new();
        for _ in 0..4 {
            let mut browser = Browser::new(&world);
            all.push(tokio::spawn(async move { browser.post("/signup", somebody("ann@example.com")).await }));
        }
        let mut statuses = Vec::new();
        for one in all {
            statuses.push(one.await.expect("no panic").status);
        }
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409, 409, 409], "{kind:?}");
        let late = Browser::new(&world).post("/signup", somebody("ANN@EXAMPLE.COM")).await;
        assert_eq!((late.status, &late.body["error"]["code"]), (409, &json!("conflict")), "{kind:?}");
    }
}

#[tokio::test]
async fn what_is_no_address_no_password_and_no_name_is_refused() {
    let world = World::new().await;
    for (key, value) in [
        ("email", "ann"),
        ("email", "a\r\nbcc: b@example.com"),
        ("password", "short"),
        ("name", " \u{202e} "),
        ("name", &"x".repeat(81)),
    ] {
        let mut body = somebody("ann@example.com");
        body[key] = value.into();
        let answer = Browser::new(&world).post("/signup", body).await;
        assert_eq!((answer.status, &answer.body["error"]["code"]), (400, &json!("bad_message")), "{key} {value:?}");
    }
    let mut body = somebody("ann@example.com");
    body["role"] = "admin".into();
    assert_eq!(Browser::new(&world).post("/signup", body).await.status, 400, "what is not asked for");
}

#[tokio::test]
async fn guessing_at_a_password_takes_ever_longer() {
    let world = World::new().await;
    Browser::signed_up(&world, "ann").await;
    let mut eve = Browser::new(&world);
    let mut statuses = Vec::new();
    for n in 0..6 {
        let body = json!({ "email": "ann@example.com", "password": format!("guess number {n}") });
        statuses.push(eve.post("/login", body).await.status);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429]);
    eve.from = "198.51.100.1";
    let right = eve.post("/login", json!({ "email": "ann@example.com", "password": PASSWORD })).await;
    assert_eq!(right.status, 429, "also for the right one");
    assert!(right.body["error"]["retry_ms"].as_u64().is_some_and(|wait| wait > 0));
}

#[tokio::test]
async fn another_password_puts_all_others_out() {
    let world = World::new().await;
    let mut ann = Browser::signed_up(&world, "ann").await;
    let mut phone = ann.clone();
    let mut live = phone.live().await;
    live.follow("table:chat_profiles").await;
    let wrong = ann.post("/me/password", json!({ "old": "not this one", "new": "battery staple" })).await;
    assert_eq!(wrong.status, 401);
    assert_eq!(ann.get("/me").await.status, 200);
    let changed = ann.post("/me/password", json!({ "old": PASSWORD, "new": "battery staple" })).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(live.hears("close").await["reason"], "revoked");
    assert_eq!(phone.get("/me").await.status, 401);
    assert_eq!(ann.get("/me").await.status, 200);
    let mut new = Browser::new(&world);
    assert_eq!(new.post("/login", json!({ "email": "ann@example.com", "password": PASSWORD })).await.status, 401);
    assert_eq!(
        new.post("/login", json!({ "email": "ann@example.com", "password": "battery staple" })).await.status,
        200
    );
}

#[tokio::test]
async fn who_has_no_token_of_the_chats_has_nothing() {
    let world = World::new().await;
    let ann = Browser::signed_up(&world, "ann").await;
    let mut nobody = Browser::new(&world);
    for path in ["/me", "/me/link.svg", "/links/x"] {
        assert_eq!(nobody.get(path).await.status, 401, "{path}");
    }
    nobody.cookie = Some("rowcast=forged.token.here".into());
    assert_eq!(nobody.get("/me").await.status, 401);
    nobody.cookie = None;
    // What a request says of the user is not looked at: it is refused, or nothing.
    let told = ann.request(reqwest::Method::PATCH, "/chat/api/me").json(&json!({ "id": "another", "name": "Eve" }));
    assert_eq!(told.send().await.expect("an answer").status(), 400);
    let foreign = reqwest::Client::new().patch(format!("http://{}/chat/api/me", world.address));
    let foreign =
        foreign.header("origin", "https://evil.example").header("cookie", ann.cookie.clone().expect("a cookie"));
    assert_eq!(foreign.json(&json!({ "name": "Eve" })).send().await.expect("an answer").status(), 403);
    for table in ["chat_accounts", "chat_codes", "chat_migrations"] {
        assert_eq!(ann.status_of_table(table).await, 404, "{table}");
    }
    assert_eq!(nobody.get("/nothing").await.status, 404);
}
