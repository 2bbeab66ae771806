//! Who somebody is, is said by the token and by nothing else; what is another's is as if it were not there.

use serde_json::json;

use super::people::{befriend, delete, group_of, people, put, say, send_file, talk_of};
use crate::world::{KINDS, World, open};

#[tokio::test]
async fn ids_of_others_open_nothing() {
    for kind in KINDS {
        let world = World::start(kind, open()).await;
        let [mut ann, mut bob, mut eve] = people(&world, ["ann", "bob", "eve"]).await;
        befriend(&mut ann, &mut bob, "bob").await;
        let room = group_of(&mut ann, "two", &[&bob]).await;
        let direct = talk_of(&mut ann, &bob).await;
        let message = say(&mut ann, &room, "secret").await["id"].clone();
        let own = say(&mut bob, &direct, "secret, too").await;
        let file = send_file(&mut ann, &room, "a.txt", b"words".to_vec()).await;
        let file = super::people::id(&file.body["file"]["id"]);
        let nonce = own["nonce"].clone();
        let none = "00000000-0000-4000-8000-000000000000";
        // Each is answered as what is not there at all.
        for (there, other) in [(&*room, none), (&*direct, none)] {
            for id in [there, other] {
                let rooms = format!("/rooms/{id}");
                let said = eve.post(&format!("{rooms}/messages"), json!({ "nonce": nonce, "body": "x" })).await;
                assert_eq!(
                    (said.status, &said.body["error"]["message"]),
                    (404, &json!("there is no such talk")),
                    "{kind:?}"
                );
                assert_eq!(
                    eve.post(&format!("{rooms}/receipt"), json!({ "read": message })).await.status,
                    404,
                    "{kind:?}"
                );
                assert_eq!(eve.patch(&format!("{rooms}/settings"), json!({ "muted": true })).await.status, 404);
                assert_eq!(eve.patch(&rooms, json!({ "name": "mine" })).await.status, 404, "{kind:?}");
                assert_eq!(eve.post(&format!("{rooms}/members"), json!({ "user": eve.user })).await.status, 404);
                let role = eve.patch(&format!("{rooms}/members/{}", eve.user), json!({ "role": "owner" })).await;
                assert_eq!(role.status, 404, "{kind:?}");
                assert_eq!(delete(&mut eve, &format!("{rooms}/members/{}", ann.user)).await, 404, "{kind:?}");
                assert_eq!(send_file(&mut eve, id, "b.txt", b"words".to_vec()).await.status, 404, "{kind:?}");
            }
        }
        for id in [message.to_string(), "99999999".into(), "x".into(), "1%00".into()] {
            assert_eq!(eve.patch(&format!("/messages/{id}"), json!({ "body": "mine" })).await.status, 404, "{id}");
            assert_eq!(delete(&mut eve, &format!("/messages/{id}")).await, 404, "{id}");
            assert_eq!(put(&mut eve, &format!("/messages/{id}/reactions/👍")).await, 404, "{id}");
        }
        for path in [format!("/files/{file}"), format!("/files/{file}/thumbnail"), format!("/files/{none}")] {
            assert_eq!(eve.get(&path).await.status, 404, "{kind:?} {path}");
        }
        // Nobody says who they are, or in whose name.
        let body = json!({ "nonce": "n-1", "body": "x", "sender": bob.user });
        assert_eq!(ann.post(&format!("/rooms/{room}/messages"), body).await.status, 400, "{kind:?}");
        let said = ann
            .post(
                &format!("/rooms/{room}/messages?user={0}&sender={0}", bob.user),
                json!({ "nonce": "n-1", "body": "x" }),
            )
            .await;
        assert_eq!(said.body["message"]["sender"], json!(ann.user), "{kind:?}");
        // Another's nonce is nothing to me, nor is another's file or message.
        let said = ann.post(&format!("/rooms/{direct}/messages"), json!({ "nonce": nonce, "body": "mine" })).await;
        assert_eq!((said.status, &said.body["message"]["body"]), (201, &json!("mine")), "{kind:?}");
        for body in [
            json!({ "nonce": "n-2", "body": "x", "reply_to": own["id"] }),
            json!({ "nonce": "n-2", "body": "x", "reply_to": 99_999_999 }),
            json!({ "nonce": "n-2", "file": none }),
        ] {
            assert_eq!(ann.post(&format!("/rooms/{room}/messages"), body.clone()).await.status, 400, "{kind:?} {body}");
        }
        let others = json!({ "nonce": "n-3", "file": file });
        assert_eq!(bob.post(&format!("/rooms/{room}/messages"), others).await.status, 400, "{kind:?}");
        let elsewhere = json!({ "nonce": "n-4", "file": file });
        assert_eq!(ann.post(&format!("/rooms/{direct}/messages"), elsewhere).await.status, 400, "{kind:?}");
        // In a talk of theirs, others' messages are theirs.
        assert_eq!(bob.patch(&format!("/messages/{message}"), json!({ "body": "mine" })).await.status, 403, "{kind:?}");
        assert_eq!(delete(&mut bob, &format!("/messages/{message}")).await, 403, "{kind:?}");
        let receipt = format!("/rooms/{room}/receipt");
        assert_eq!(bob.post(&receipt, json!({ "read": own["id"] })).await.status, 400, "{kind:?}: of another talk");
    }
}

#[tokio::test]
async fn nothing_is_done_for_whoever_is_not_logged_in() {
    let world = World::new().await;
    let mut nobody = crate::browser::Browser::new(&world);
    for path in ["/unread", "/files/x"] {
        assert_eq!(nobody.get(path).await.status, 401, "{path}");
    }
    for path in ["/contacts", "/rooms", "/rooms/x/messages", "/rooms/x/receipt", "/files?room=x"] {
        assert_eq!(nobody.post(path, json!({ "user": "x", "userId": "x" })).await.status, 401, "{path}");
    }
}
