//! Groups: made of contacts, led by somebody, gone with the last.

use futures_util::future::join_all;
use serde_json::{Value as Json, json};

use super::people::{befriend, delete, group_of, hears_of, people, say, talk_of, two_in_a_talk};
use crate::browser::Browser;
use crate::world::{KINDS, World, open};

async fn roles(who: &Browser) -> Vec<(String, String)> {
    let rows = who.rows("chat_members").await;
    let text = |row: &Json, name: &str| row[name].as_str().expect(name).to_owned();
    let mut roles: Vec<_> = rows.iter().map(|row| (text(row, "name"), text(row, "role"))).collect();
    roles.sort();
    roles
}

fn named(roles: &[(&str, &str)]) -> Vec<(String, String)> {
    roles.iter().map(|(name, role)| ((*name).to_owned(), (*role).to_owned())).collect()
}

#[tokio::test]
async fn a_group_is_led_handed_over_and_gone_with_the_last() {
    for kind in KINDS {
        let world = World::start(kind, open()).await;
        let [mut ann, mut bob, mut eve] = people(&world, ["ann", "bob", "eve"]).await;
        befriend(&mut ann, &mut bob, "bob").await;
        befriend(&mut ann, &mut eve, "eve").await;
        let stranger = ann.post("/rooms", json!({ "kind": "group", "name": "x", "members": ["nobody"] })).await;
        assert_eq!(stranger.status, 403, "{kind:?}");
        let room = group_of(&mut ann, "three", &[&bob]).await;
        let member = |who: &Browser| format!("/rooms/{room}/members/{}", who.user);
        // Bob leads nothing yet.
        let add = json!({ "user": eve.user });
        assert_eq!(bob.post(&format!("/rooms/{room}/members"), add.clone()).await.status, 403, "{kind:?}");
        assert_eq!(bob.patch(&format!("/rooms/{room}"), json!({ "name": "mine" })).await.status, 403, "{kind:?}");
        assert_eq!(bob.patch(&member(&bob), json!({ "role": "owner" })).await.status, 403, "{kind:?}");
        assert_eq!(delete(&mut bob, &member(&ann)).await, 403, "{kind:?}");
        let mut live = eve.live().await;
        live.follow("table:chat_members").await;
        assert_eq!(ann.post(&format!("/rooms/{room}/members"), add.clone()).await.status, 201, "{kind:?}");
        assert_eq!(ann.post(&format!("/rooms/{room}/members"), add).await.status, 200, "{kind:?}");
        assert_eq!(
            ann.patch(&format!("/rooms/{room}"), json!({ "name": " four " })).await.body["room"]["name"],
            "four"
        );
        assert_eq!(eve.rows("chat_rooms").await[0]["name"], "four", "{kind:?}");
        assert_eq!(ann.patch(&member(&ann), json!({ "role": "member" })).await.status, 409, "{kind:?}: the last owner");
        assert_eq!(ann.patch(&member(&eve), json!({ "role": "admin" })).await.status, 200, "{kind:?}");
        assert_eq!(delete(&mut eve, &member(&ann)).await, 403, "{kind:?}: an admin does not remove the owner");
        let message = say(&mut bob, &room, "of bob").await["id"].clone();
        assert_eq!(
            delete(&mut eve, &format!("/messages/{message}")).await,
            204,
            "{kind:?}: but takes back what others said"
        );

        // The admin comes after the last owner, though bob is there for longer.
        assert_eq!(delete(&mut ann.clone(), &member(&ann)).await, 204, "{kind:?}");
        assert_eq!(roles(&bob).await, named(&[("bob", "member"), ("eve", "owner")]), "{kind:?}");
        for table in ["chat_rooms", "chat_members", "chat_messages", "chat_receipts"] {
            assert!(ann.rows(table).await.is_empty(), "{kind:?} {table}");
        }
        let told: Vec<Json> = bob
            .rows("chat_messages")
            .await
            .iter()
            .filter(|row| row["kind"] == "event")
            .map(|row| {
                serde_json::from_str::<Json>(row["body"].as_str().expect("a text")).expect("JSON")["event"].clone()
            })
            .collect();
        assert_eq!(told, ["made", "added", "renamed", "role", "left", "role"], "{kind:?}");
        assert_eq!(bob.get("/unread").await.body["rooms"][0]["unread"], 0, "{kind:?}: what has happened is not unread");

        assert_eq!(delete(&mut eve, &member(&bob)).await, 204, "{kind:?}");
        assert_eq!(super::people::try_to_say(&mut bob, &room, "still there?").await.status, 404, "{kind:?}");
        assert!(bob.rows("chat_messages").await.is_empty(), "{kind:?}");
        assert_eq!(delete(&mut eve.clone(), &member(&eve)).await, 204, "{kind:?}");
        world.run("DELETE FROM chat_seen").await;
        for table in ["chat_rooms", "chat_members", "chat_messages", "chat_receipts"] {
            assert!(eve.rows(table).await.is_empty(), "{kind:?} {table}");
        }
    }
}

#[tokio::test]
async fn whoever_is_removed_hears_nothing_more() {
    let world = World::new().await;
    let [mut ann, mut bob] = people(&world, ["ann", "bob"]).await;
    befriend(&mut ann, &mut bob, "bob").await;
    let room = group_of(&mut ann, "two", &[&bob]).await;
    let direct = talk_of(&mut ann, &bob).await;
    let mut live = bob.live().await;
    assert_eq!(live.follow("table:chat_messages").await.len(), 1, "that the group was made");
    say(&mut ann, &room, "one").await;
    hears_of(&mut live, |_, row| row["body"] == "one").await;
    assert_eq!(delete(&mut ann, &format!("/rooms/{room}/members/{}", bob.user)).await, 204);
    say(&mut ann, &room, "two").await;
    say(&mut ann, &direct, "three").await;
    loop {
        let message = live.next().await.expect("a message").to_string();
        assert!(!message.contains("\"two\""), "{message}");
        if message.contains("\"three\"") {
            break;
        }
    }
}

#[tokio::test]
async fn a_talk_between_two_cannot_be_changed() {
    let world = World::new().await;
    let (mut ann, mut bob, room) = two_in_a_talk(&world).await;
    assert_eq!(talk_of(&mut bob, &ann).await, room, "there is one");
    assert_eq!(ann.patch(&format!("/rooms/{room}"), json!({ "name": "x" })).await.status, 409);
    assert_eq!(delete(&mut ann.clone(), &format!("/rooms/{room}/members/{}", ann.user)).await, 409);
    assert_eq!(ann.post(&format!("/rooms/{room}/members"), json!({ "user": bob.user })).await.status, 409);
    let unknown = json!({ "kind": "direct", "user": "00000000-0000-4000-8000-000000000000" });
    assert_eq!(ann.post("/rooms", unknown).await.status, 404);
}

#[tokio::test]
async fn one_nonce_is_one_group_however_often_it_is_asked_for() {
    for kind in KINDS {
        let world = World::start(kind, open()).await;
        let [mut ann, mut bob] = people(&world, ["ann", "bob"]).await;
        befriend(&mut ann, &mut bob, "bob").await;
        let body = json!({ "kind": "group", "name": "one", "members": [bob.user], "nonce": "the-one" });
        let tabs: Vec<_> = (0..8).map(|_| ann.clone()).collect();
        let answers = join_all(tabs.into_iter().map(|mut tab| {
            let body = body.clone();
            async move { tab.post("/rooms", body).await }
        }));
        let answers = answers.await;
        let room = super::people::id(&answers[0].body["room"]["id"]);
        assert!(answers.iter().all(|answer| answer.body["room"]["id"] == json!(room)), "{kind:?} {answers:?}");
        assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1, "{kind:?} {answers:?}");
        assert_eq!((ann.rows("chat_rooms").await.len(), bob.rows("chat_members").await.len()), (1, 2), "{kind:?}");
        let told = bob.rows("chat_messages").await;
        assert_eq!(told.len(), 1, "{kind:?}: that it was made is told once");

        // Also after it would not be made any more. Another's nonce is another group, and without one each is new.
        let theirs = json!({ "kind": "group", "name": "two", "members": [ann.user], "nonce": "the-one" });
        let theirs = bob.post("/rooms", theirs).await;
        assert_eq!((theirs.status, theirs.body["room"]["id"] == json!(room)), (201, false), "{kind:?} {theirs:?}");
        assert_eq!(bob.post(&format!("/contacts/{}/block", ann.user), json!({})).await.status, 200, "{kind:?}");
        assert_eq!(ann.post("/rooms", body.clone()).await.status, 200, "{kind:?}");
        assert_eq!(bob.post(&format!("/contacts/{}/unblock", ann.user), json!({})).await.status, 200, "{kind:?}");
        assert_ne!(group_of(&mut ann, "one", &[&bob]).await, group_of(&mut ann, "one", &[&bob]).await, "{kind:?}");
        // Who has left it is not told of it again.
        assert_eq!(delete(&mut ann.clone(), &format!("/rooms/{room}/members/{}", ann.user)).await, 204, "{kind:?}");
        assert_eq!(ann.post("/rooms", body).await.status, 409, "{kind:?}");
        let wrong = json!({ "kind": "group", "name": "x", "members": [bob.user], "nonce": "a b" });
        assert_eq!(ann.post("/rooms", wrong).await.status, 400, "{kind:?}");
    }
}
