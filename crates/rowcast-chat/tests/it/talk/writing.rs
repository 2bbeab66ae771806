//! What is written: once, by whom it is, within bounds, in order.

use futures_util::future::join_all;
use serde_json::json;

use super::people::{delete, put, say, two_in_a_talk};
use crate::world::{KINDS, World, open};

#[tokio::test]
async fn one_nonce_is_one_message_however_often_it_is_sent() {
    for kind in KINDS {
        let world = World::start(kind, open()).await;
        let (mut ann, mut bob, room) = two_in_a_talk(&world).await;
        let (path, body) = (format!("/rooms/{room}/messages"), json!({ "nonce": "the-one", "body": "once" }));
        let tabs: Vec<_> = (0..8).map(|_| ann.clone()).collect();
        let answers = join_all(tabs.into_iter().map(|mut tab| {
            let (path, body) = (path.clone(), body.clone());
            async move { tab.post(&path, body).await }
        }));
        let answers = answers.await;
        let id = &answers[0].body["message"]["id"];
        assert!(id.is_number(), "{kind:?} {:?}", answers[0]);
        assert!(answers.iter().all(|answer| answer.body["message"]["id"] == *id), "{kind:?} {answers:?}");
        assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1, "{kind:?}");
        assert_eq!(bob.rows("chat_messages").await.len(), 1, "{kind:?}");
        // Also after the other one would not take it any more.
        bob.post(&format!("/contacts/{}/block", ann.user), json!({})).await;
        assert_eq!(ann.post(&path, body).await.status, 200, "{kind:?}");
    }
}

#[tokio::test]
async fn ids_grow_in_the_order_in_which_a_talk_tells_them() {
    for kind in KINDS {
        let world = World::start(kind, open()).await;
        let (ann, bob, room) = two_in_a_talk(&world).await;
        let mut live = bob.live().await;
        live.follow("table:chat_messages").await;
        let path = format!("/rooms/{room}/messages");
        let both: Vec<_> = (0..24).map(|n| (if n % 2 == 0 { ann.clone() } else { bob.clone() }, n)).collect();
        let sent = join_all(both.into_iter().map(|(mut who, n)| {
            let path = path.clone();
            async move { who.post(&path, json!({ "nonce": format!("n-{n}"), "body": "x" })).await.status }
        }));
        assert!(sent.await.iter().all(|status| *status == 201), "{kind:?}");
        let mut last = 0;
        for _ in 0..24 {
            let id = live.hears("change").await["row"]["id"].as_i64().expect("an id");
            assert!(id > last, "{kind:?}: {id} after {last}");
            last = id;
        }
        assert_eq!(ann.rows("chat_rooms").await[0]["last_id"], last, "{kind:?}");
    }
}

#[tokio::test]
async fn what_is_written_has_bounds() {
    for kind in KINDS {
        let world = World::start(kind, open()).await;
        let (mut ann, mut bob, room) = two_in_a_talk(&world).await;
        let path = format!("/rooms/{room}/messages");
        for (body, status) in [
            (json!({ "nonce": "a", "body": " \n" }), 400),
            (json!({ "nonce": "a", "body": "a\u{0}b" }), 400),
            (json!({ "nonce": "a", "body": "é".repeat(8_001) }), 413),
            (json!({ "nonce": "", "body": "x" }), 400),
            (json!({ "nonce": "a".repeat(37), "body": "x" }), 400),
            (json!({ "body": "x" }), 400),
            (json!({ "nonce": "a", "body": "👩‍👩‍👧".repeat(1_000) }), 201),
        ] {
            assert_eq!(ann.post(&path, body.clone()).await.status, status, "{kind:?}");
        }
        let message = say(&mut ann, &room, "x").await["id"].clone();
        let message = format!("/messages/{message}");
        assert_eq!(ann.patch(&message, json!({ "body": "" })).await.status, 400, "{kind:?}");
        assert_eq!(put(&mut ann, &format!("{message}/reactions/x")).await, 400, "{kind:?}");
        assert_eq!(put(&mut ann, &format!("{message}/reactions/👍👍")).await, 400, "{kind:?}");
        assert_eq!(put(&mut bob, &format!("{message}/reactions/👍")).await, 204, "{kind:?}");
        assert_eq!(delete(&mut bob, &format!("{message}/reactions/👍")).await, 204, "{kind:?}");
        assert!(ann.rows("chat_reactions").await.is_empty(), "{kind:?}");
        // What was taken back stays so.
        assert_eq!(delete(&mut ann, &message).await, 204, "{kind:?}");
        assert_eq!(delete(&mut ann, &message).await, 204, "{kind:?}");
        assert_eq!(ann.patch(&message, json!({ "body": "again" })).await.status, 409, "{kind:?}");
        assert_eq!(put(&mut ann, &format!("{message}/reactions/👍")).await, 409, "{kind:?}");
        assert_eq!(ann.post(&format!("/rooms/{room}/receipt"), json!({})).await.status, 400, "{kind:?}");
        assert_eq!(
            ann.patch(&format!("/rooms/{room}/settings"), json!({ "muted": true })).await.status,
            204,
            "{kind:?}"
        );
        let receipts = ann.rows("chat_receipts").await;
        let own = receipts.iter().find(|row| row["user_id"] == json!(ann.user)).expect("hers");
        assert!(own["muted"] == json!(true) || own["muted"] == json!(1), "{kind:?} {own}");
    }
}
