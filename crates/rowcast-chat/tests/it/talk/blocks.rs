//! A block holds: by message, by adding, by groups, by presence, by profile.

use serde_json::json;

use super::people::{befriend, delete, group_of, people, put, say, send_file, try_to_say, two_in_a_talk};
use crate::world::{KINDS, World, open};

#[tokio::test]
async fn whoever_is_blocked_can_send_nothing() {
    for kind in KINDS {
        let world = World::start(kind, open()).await;
        let (mut ann, mut bob, room) = two_in_a_talk(&world).await;
        let anns = say(&mut ann, &room, "before").await;
        let bobs = say(&mut bob, &room, "before, too").await;
        let blocked = bob.post(&format!("/contacts/{}/block", ann.user), json!({})).await;
        assert_eq!((blocked.status, &blocked.body["contact"]["state"]), (200, &json!("blocked")), "{kind:?}");

        let refused = try_to_say(&mut ann, &room, "still there?").await;
        assert_eq!((refused.status, &refused.body["error"]["code"]), (403, &json!("forbidden")), "{kind:?}");
        let edit = ann.patch(&format!("/messages/{}", anns["id"]), json!({ "body": "listen to me" })).await;
        assert_eq!(edit.status, 403, "{kind:?}: an edit would be a message");
        assert_eq!(put(&mut ann, &format!("/messages/{}/reactions/👍", bobs["id"])).await, 403, "{kind:?}");
        assert_eq!(send_file(&mut ann, &room, "a.txt", b"words".to_vec()).await.status, 403, "{kind:?}");
        assert_eq!(ann.post("/contacts", json!({ "email": "bob@example.com" })).await.status, 403, "{kind:?}");
        // What was said can be read, and taken back. The profile cannot be called up any more.
        assert_eq!(ann.rows("chat_messages").await.len(), 2, "{kind:?}");
        assert_eq!(ann.rows("chat_profiles").await.len(), 1, "{kind:?}");
        assert_eq!(delete(&mut ann, &format!("/messages/{}", anns["id"])).await, 204, "{kind:?}");
        // She is told nothing: her own row is as it was.
        assert_eq!(ann.rows("chat_contacts").await[0]["state"], "accepted", "{kind:?}");

        // The blocker cannot write either, nor end the block by removing her.
        assert_eq!(try_to_say(&mut bob, &room, "and another thing").await.status, 409, "{kind:?}");
        assert_eq!(delete(&mut bob, &format!("/contacts/{}", ann.user)).await, 409, "{kind:?}");
        let unblocked = bob.post(&format!("/contacts/{}/unblock", ann.user), json!({})).await;
        assert_eq!(unblocked.body["contact"]["state"], "accepted", "{kind:?}: as before");
        say(&mut ann, &room, "thank you").await;
    }
}

#[tokio::test]
async fn a_block_outlives_being_removed_and_asked_again() {
    let world = World::new().await;
    let [mut ann, mut bob] = people(&world, ["ann", "bob"]).await;
    befriend(&mut ann, &mut bob, "bob").await;
    bob.post(&format!("/contacts/{}/block", ann.user), json!({})).await;
    assert_eq!(delete(&mut ann, &format!("/contacts/{}", bob.user)).await, 204);
    assert_eq!(ann.post("/contacts", json!({ "email": "bob@example.com" })).await.status, 403);
    let row = bob.rows("chat_contacts").await.remove(0);
    assert_eq!((&row["state"], &row["before"]), (&json!("blocked"), &json!("none")));
    let unblocked = bob.post(&format!("/contacts/{}/unblock", ann.user), json!({})).await;
    assert_eq!(unblocked.body["contact"]["state"], "none");
}

#[tokio::test]
async fn a_blocked_pair_reads_the_same_group_and_neither_is_added_nor_begun_with() {
    let world = World::new().await;
    let [mut ann, mut bob, mut eve] = people(&world, ["ann", "bob", "eve"]).await;
    befriend(&mut ann, &mut bob, "bob").await;
    befriend(&mut ann, &mut eve, "eve").await;
    let room = group_of(&mut ann, "all", &[&bob, &eve]).await;
    // Bob and Eve know each other from the group only; Eve does not want to.
    assert_eq!(eve.post(&format!("/contacts/{}/block", bob.user), json!({})).await.status, 200);
    say(&mut bob, &room, "hello all").await;
    assert!(eve.rows("chat_messages").await.iter().any(|row| row["body"] == "hello all"));
    let begun = bob.post("/rooms", json!({ "kind": "direct", "user": eve.user })).await;
    assert_eq!(begun.status, 403, "{begun:?}");
    let group = bob.post("/rooms", json!({ "kind": "group", "name": "trap", "members": [eve.user] })).await;
    assert_eq!(group.status, 403, "{group:?}");
    // Nor after they had accepted each other once.
    eve.post(&format!("/contacts/{}/unblock", bob.user), json!({})).await;
    befriend(&mut bob, &mut eve, "eve").await;
    eve.post(&format!("/contacts/{}/block", bob.user), json!({})).await;
    let own = group_of(&mut bob, "own", &[&ann]).await;
    let added = bob.post(&format!("/rooms/{own}/members"), json!({ "user": eve.user })).await;
    assert_eq!(added.status, 403, "{added:?}");
    assert_eq!(eve.rows("chat_rooms").await.len(), 1);
}
