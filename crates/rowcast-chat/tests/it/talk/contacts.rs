//! Who knows whom: asked, accepted, answered, removed.

use serde_json::json;

use super::people::{befriend, delete, people, say, talk_of};
use crate::browser::Browser;
use crate::world::{KINDS, World, open};

async fn state(who: &Browser) -> String {
    let rows = who.rows("chat_contacts").await;
    rows.first().map_or_else(|| "absent".into(), |row| row["state"].as_str().expect("a state").to_owned())
}

#[tokio::test]
async fn whoever_adds_back_has_accepted() {
    for kind in KINDS {
        let world = World::start(kind, open()).await;
        let [mut ann, mut bob] = people(&world, ["ann", "bob"]).await;
        let link = bob.get("/me").await.body["link"].as_str().expect("a link").to_owned();
        let code = link.rsplit('/').next().expect("a code").to_owned();
        assert_eq!(ann.post("/contacts", json!({ "link": code })).await.status, 201, "{kind:?}");
        assert_eq!((state(&ann).await, state(&bob).await), ("pending".into(), "pending".into()), "{kind:?}");
        // Asking again changes nothing, and nobody accepts for the other.
        assert_eq!(ann.post("/contacts", json!({ "email": "bob@example.com" })).await.status, 200);
        assert_eq!(ann.post(&format!("/contacts/{}/accept", bob.user), json!({})).await.status, 409, "{kind:?}");
        assert_eq!(state(&ann).await, "pending");
        assert_eq!(bob.post("/contacts", json!({ "email": "ann@example.com" })).await.status, 200);
        assert_eq!((state(&ann).await, state(&bob).await), ("accepted".into(), "accepted".into()), "{kind:?}");
        // Now each sees the other's profile.
        assert_eq!(ann.rows("chat_profiles").await.len(), 2, "{kind:?}");
    }
}

#[tokio::test]
async fn two_who_add_each_other_at_once_have_accepted() {
    for kind in KINDS {
        let world = World::start(kind, open()).await;
        let [mut ann, mut bob] = people(&world, ["ann", "bob"]).await;
        let (one, two) = tokio::join!(
            ann.post("/contacts", json!({ "email": "bob@example.com" })),
            bob.post("/contacts", json!({ "email": "ann@example.com" })),
        );
        assert!(one.status < 300 && two.status < 300, "{kind:?} {one:?} {two:?}");
        assert_eq!((state(&ann).await, state(&bob).await), ("accepted".into(), "accepted".into()), "{kind:?}");
    }
}

#[tokio::test]
async fn whoever_is_removed_may_ask_again() {
    let world = World::new().await;
    let [mut ann, mut bob] = people(&world, ["ann", "bob"]).await;
    befriend(&mut ann, &mut bob, "bob").await;
    let (room, bobs) = (talk_of(&mut ann, &bob).await, format!("/contacts/{}", bob.user));
    assert_eq!(delete(&mut ann, &bobs).await, 204);
    assert_eq!(delete(&mut ann, &bobs).await, 404);
    assert_eq!((state(&ann).await, state(&bob).await), ("absent".into(), "none".into()));
    say(&mut bob, &room, "still there?").await;
    let row = ann.rows("chat_contacts").await.remove(0);
    assert_eq!((&row["state"], &row["requested_by"]), (&json!("pending"), &json!(bob.user)));
}

#[tokio::test]
async fn nobody_adds_himself_or_nobody() {
    let world = World::new().await;
    let [mut ann] = people(&world, ["ann"]).await;
    assert_eq!(ann.post("/contacts", json!({ "email": "ann@example.com" })).await.status, 400);
    assert_eq!(ann.post("/contacts", json!({ "email": "nobody@example.com" })).await.status, 404);
    assert_eq!(ann.post("/contacts", json!({ "link": "nothing" })).await.status, 404);
    assert_eq!(ann.post("/contacts", json!({})).await.status, 400);
    assert_eq!(ann.post("/contacts", json!({ "email": "a@b.c", "owner": "x" })).await.status, 400);
    assert!(ann.rows("chat_contacts").await.is_empty());
}

#[tokio::test]
async fn nobody_finds_out_by_asking_who_has_an_account() {
    for kind in KINDS {
        let world = World::start(kind, open()).await;
        let [mut ann, mut bob, mut eve] = people(&world, ["ann", "bob", "eve"]).await;
        befriend(&mut ann, &mut bob, "bob").await;
        // Whoever is a contact already says nothing new.
        for _ in 0..25 {
            assert_eq!(ann.post("/contacts", json!({ "email": "bob@example.com" })).await.status, 200, "{kind:?}");
        }
        let mut statuses = Vec::new();
        for n in 0..19 {
            statuses.push(eve.post("/contacts", json!({ "email": format!("nobody-{n}@example.com") })).await.status);
        }
        assert_eq!(statuses, [404; 19], "{kind:?}");
        // One that is there counts as one that is not.
        assert_eq!(eve.post("/contacts", json!({ "email": "ann@example.com" })).await.status, 201, "{kind:?}");
        for email in ["bob@example.com", "nobody@example.com"] {
            let request = eve.request(reqwest::Method::POST, "/chat/api/contacts").json(&json!({ "email": email }));
            let refused = request.send().await.expect("an answer");
            assert_eq!(refused.status().as_u16(), 429, "{kind:?} {email}");
            assert!(refused.headers().contains_key("retry-after"), "{kind:?}");
            let body: serde_json::Value = refused.json().await.expect("JSON");
            assert_eq!(body["error"]["code"], "rate_limited", "{kind:?}");
            assert!(body["error"]["retry_ms"].as_u64().is_some_and(|wait| wait > 0), "{kind:?} {body}");
        }
        // From elsewhere, too: it is the user. Others go on, and links are not guessed.
        eve.from = "198.51.100.1";
        assert_eq!(eve.post("/contacts", json!({ "email": "bob@example.com" })).await.status, 429, "{kind:?}");
        assert_eq!(eve.post("/contacts", json!({ "link": "nothing" })).await.status, 404, "{kind:?}");
        assert_eq!(bob.post("/contacts", json!({ "email": "eve@example.com" })).await.status, 201, "{kind:?}");
    }
}

#[tokio::test]
async fn many_users_of_one_network_ask_no_more_than_a_hundred_times() {
    let world = World::new().await;
    let mut asked = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        let mut one = Browser::signed_up(&world, name).await;
        one.from = "2001:db8:1:2::1";
        for n in 0..19 {
            asked.push(one.post("/contacts", json!({ "email": format!("{name}{n}@example.org") })).await.status);
        }
        one.from = "2001:db8:1:2:ffff::2";
        asked.push(one.post("/contacts", json!({ "email": "last@example.org" })).await.status);
    }
    let (first, rest) = asked.split_at(100);
    assert!(first.iter().all(|status| *status == 404), "{asked:?}");
    assert!(rest.iter().all(|status| *status == 429), "{asked:?}");
}
