//! Two talk, and a third must see nothing of it.

use serde_json::{Value as Json, json};

use super::people::{befriend, hears_of, people, put, say, talk_of, two_in_a_talk};
use crate::browser::{Browser, Live};
use crate::world::{KINDS, World, open};

/// Everything of the chat that clients may follow.
const TABLES: [&str; 7] =
    ["chat_contacts", "chat_rooms", "chat_members", "chat_receipts", "chat_messages", "chat_reactions", "chat_files"];

/// Follows everything; nothing of it may be there.
async fn strangers_ear(eve: &Browser) -> Live {
    let mut ear = eve.live().await;
    for table in TABLES {
        assert!(ear.follow(&format!("table:{table}")).await.is_empty(), "{table}");
    }
    ear
}

/// Waits for a message, in a snapshot or as a change.
async fn sees(live: &mut Live, id: &Json) {
    loop {
        let message = live.next().await.expect("a message");
        let rows = message["rows"].as_array().cloned().unwrap_or_default();
        if message["row"]["id"] == *id || rows.iter().any(|row| row["id"] == *id) {
            return;
        }
    }
}

#[tokio::test]
async fn two_talk_and_a_third_sees_nothing_of_it() {
    for kind in KINDS {
        let world = World::start(kind, open()).await;
        let [mut ann, mut bob, mut eve] = people(&world, ["ann", "bob", "eve"]).await;
        let mut strange = strangers_ear(&eve).await;
        let mut bobs_contacts = bob.live().await;
        assert!(bobs_contacts.follow("table:chat_contacts").await.is_empty());
        let mut bobs_messages = bob.live().await;
        assert!(bobs_messages.follow("table:chat_messages").await.is_empty());

        // A first message puts the sender into the recipient's list at once.
        let found = ann.post("/contacts", json!({ "email": "Bob@Example.com" })).await;
        assert_eq!((found.status, &found.body["contact"]["state"]), (201, &json!("pending")), "{kind:?} {found:?}");
        let seen = hears_of(&mut bobs_contacts, |_, row| row["owner"] == json!(bob.user)).await;
        assert_eq!((&seen["row"]["state"], &seen["row"]["requested_by"]), (&json!("pending"), &json!(ann.user)));
        let room = talk_of(&mut ann, &bob).await;
        let first = say(&mut ann, &room, "<b>hello</b> 👋").await;
        assert_eq!((&first["sender"], &first["body"]), (&json!(ann.user), &json!("<b>hello</b> 👋")), "{kind:?}");
        // Whoever comes into a talk hears of what is in it.
        sees(&mut bobs_messages, &first["id"]).await;

        // Answering is accepting.
        let answer = say(&mut bob, &room, "hello yourself").await;
        let contacts = ann.rows("chat_contacts").await;
        assert_eq!((contacts.len(), &contacts[0]["state"]), (1, &json!("accepted")), "{kind:?}");
        assert!(answer["id"].as_i64() > first["id"].as_i64());

        // Unread, read, edited, reacted, taken back.
        let unread = |answer: crate::browser::Answer| answer.body["rooms"][0]["unread"].clone();
        assert_eq!(unread(ann.get("/unread").await), 1, "{kind:?}");
        assert_eq!(unread(bob.get("/unread").await), 1, "{kind:?}");
        let receipt = format!("/rooms/{room}/receipt");
        assert_eq!(ann.post(&receipt, json!({ "read": answer["id"] })).await.status, 204, "{kind:?}");
        assert_eq!(ann.post(&receipt, json!({ "read": first["id"] })).await.status, 204, "{kind:?}");
        assert_eq!(unread(ann.get("/unread").await), 0, "{kind:?}: a receipt does not go back");
        let receipts = bob.rows("chat_receipts").await;
        let anns = receipts.iter().find(|row| row["user_id"] == json!(ann.user)).expect("hers");
        assert_eq!((&anns["read"], &anns["delivered"]), (&answer["id"], &answer["id"]), "{kind:?}");
        let message = format!("/messages/{}", answer["id"]);
        assert_eq!(bob.patch(&message, json!({ "body": "hello you" })).await.body["message"]["body"], "hello you");
        for emoji in ["👍", "❤️", "👍"] {
            assert_eq!(put(&mut ann, &format!("{message}/reactions/{emoji}")).await, 204, "{kind:?} {emoji}");
        }
        assert_eq!(bob.rows("chat_reactions").await.len(), 2, "{kind:?}: two emoji are two");
        let changed = hears_of(&mut bobs_messages, |_, row| row["body"] == "hello you").await;
        assert_ne!(changed["row"]["edited_at"], Json::Null);
        assert_eq!(super::people::delete(&mut bob, &message).await, 204, "{kind:?}");
        assert!(bob.rows("chat_reactions").await.is_empty(), "{kind:?}");

        // Nothing of all that was for eve: what she hears first is her own.
        for table in TABLES {
            assert!(eve.rows(table).await.is_empty(), "{kind:?} {table}");
        }
        assert_eq!(eve.get("/unread").await.body["rooms"], json!([]), "{kind:?}");
        assert_eq!(eve.post("/contacts", json!({ "email": "ann@example.com" })).await.status, 201);
        let first = strange.hears("change").await;
        assert_eq!(first["row"]["owner"], json!(eve.user), "{kind:?} {first}");
    }
}

#[tokio::test]
async fn a_message_inserted_by_sql_shows_up_in_the_talk() {
    for kind in KINDS {
        let world = World::start(kind, open()).await;
        let (ann, mut bob, room) = two_in_a_talk(&world).await;
        let mut live = bob.live().await;
        live.follow("table:chat_messages").await;
        let row = format!("('{room}', '{}', 'by-hand', 'text', 'written with psql')", ann.user);
        world.run(&format!("INSERT INTO chat_messages (room, sender, nonce, kind, body) VALUES {row}")).await;
        let change = hears_of(&mut live, |op, _| op == "insert").await;
        assert_eq!(change["row"]["body"], "written with psql", "{kind:?}");
        assert_eq!(bob.get("/unread").await.body["rooms"][0]["unread"], 1, "{kind:?}: it counts as any other");
    }
}

#[tokio::test]
async fn only_contacts_see_that_somebody_is_there() {
    for kind in KINDS {
        let world = World::start(kind, open()).await;
        let [mut ann, mut bob, eve] = people(&world, ["ann", "bob", "eve"]).await;
        befriend(&mut ann, &mut bob, "bob").await;
        let channel = format!("room:chat-user:{}", ann.user);
        let mut hers = ann.live().await;
        hers.say(json!({ "type": "track", "ref": "t", "channel": channel, "state": {} })).await;
        let tracked = hers.next().await.expect("a message");
        assert_eq!(tracked["type"], "tracked", "{kind:?} {tracked}");
        let watched = json!({ "type": "subscribe", "id": "p", "channel": format!("presence:{channel}") });
        let mut his = bob.live().await;
        his.say(watched.clone()).await;
        let subscribed = his.next().await.expect("a message");
        assert_eq!(subscribed["type"], "subscribed", "{kind:?} {subscribed}");
        let there = his.hears("presence").await;
        assert_eq!(there["users"][0]["user"], json!(ann.user), "{kind:?} {there}");
        let mut strange = eve.live().await;
        strange.say(watched.clone()).await;
        strange.hears("error").await;
        // A block ends it for him, too.
        assert_eq!(ann.post(&format!("/contacts/{}/block", bob.user), json!({})).await.status, 200, "{kind:?}");
        let mut again = bob.live().await;
        again.say(watched).await;
        again.hears("error").await;
    }
}
