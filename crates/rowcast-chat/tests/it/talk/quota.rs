//! How much somebody may store: counted with each file, and given back with it.

use futures_util::future::join_all;
use rowcast_chat::Settings;
use serde_json::json;

use super::files::png;
use super::people::{befriend, delete, group_of, id, people, say_file, send_file, send_picture, two_in_a_talk};
use crate::browser::Answer;
use crate::world::{KINDS, World, open};

/// Said where so many bytes are left.
fn refused(answer: &Answer, left: u64) {
    let message = answer.body["error"]["message"].as_str().unwrap_or_default();
    assert_eq!((answer.status, &answer.body["error"]["code"]), (413, &json!("too_large")), "{answer:?}");
    assert!(message.contains(&format!(" {left} bytes are left")), "{answer:?}");
}

#[tokio::test]
async fn what_somebody_stores_has_a_bound_and_what_is_deleted_is_given_back() {
    for kind in KINDS {
        let world = World::start(kind, Settings { quota: 1_000, ..open() }).await;
        assert_eq!(crate::browser::Browser::new(&world).get("/config").await.body["quota"], 1_000);
        let (mut ann, mut bob, room) = two_in_a_talk(&world).await;
        let words = |length: usize| vec![b'a'; length];
        let first = send_file(&mut ann, &room, "a.txt", words(600)).await;
        assert_eq!(first.status, 201, "{kind:?} {first:?}");
        refused(&send_file(&mut ann, &room, "b.txt", words(401)).await, 400);
        assert_eq!(send_file(&mut ann, &room, "c.txt", words(400)).await.status, 201, "{kind:?}");
        refused(&send_file(&mut ann, &room, "d.txt", words(1)).await, 0);
        refused(&send_picture(&mut ann, png(90, 90)).await, 0);
        // It is hers alone.
        assert_eq!(send_file(&mut bob, &room, "e.txt", words(900)).await.status, 201, "{kind:?}");
        // Of what was refused nothing is left.
        assert_eq!(ann.rows("chat_files").await.len(), 3, "{kind:?}");

        let said = say_file(&mut ann, &room, &id(&first.body["file"]["id"])).await;
        assert_eq!(said.status, 201, "{kind:?} {said:?}");
        let message = format!("/messages/{}", said.body["message"]["id"]);
        assert_eq!(delete(&mut ann, &message).await, 204, "{kind:?}");
        assert_eq!(delete(&mut ann, &message).await, 204, "{kind:?}: given back once");
        refused(&send_file(&mut ann, &room, "f.txt", words(601)).await, 600);
        assert_eq!(send_file(&mut ann, &room, "f.txt", words(600)).await.status, 201, "{kind:?}");
    }
}

#[tokio::test]
async fn files_that_come_at_once_do_not_exceed_it_together() {
    for kind in KINDS {
        let world = World::start(kind, Settings { quota: 1_000, ..open() }).await;
        let (mut ann, bob, room) = two_in_a_talk(&world).await;
        let tabs: Vec<_> = (0..8).map(|_| ann.clone()).collect();
        let sent = join_all(tabs.into_iter().map(|mut tab| {
            let room = room.clone();
            async move { send_file(&mut tab, &room, "a.txt", vec![b'a'; 300]).await.status }
        }));
        let mut statuses = sent.await;
        statuses.sort_unstable();
        // A database that many write to at once may ask one of them to try again.
        let taken = statuses.iter().filter(|status| **status == 201).count();
        assert!(taken <= 3 && statuses.iter().all(|status| [201, 413, 503].contains(status)), "{kind:?} {statuses:?}");
        while ann.rows("chat_files").await.len() < 3 {
            assert_eq!(send_file(&mut ann, &room, "a.txt", vec![b'a'; 300]).await.status, 201, "{kind:?}");
        }
        refused(&send_file(&mut ann, &room, "a.txt", vec![b'a'; 300]).await, 100);
        assert_eq!(bob.rows("chat_files").await.len(), 3, "{kind:?}");
    }
}

#[tokio::test]
async fn a_group_that_ends_gives_all_of_its_members_back_what_they_had_there() {
    for kind in KINDS {
        let world = World::start(kind, Settings { quota: 1_000, ..open() }).await;
        let [mut ann, mut bob] = people(&world, ["ann", "bob"]).await;
        befriend(&mut ann, &mut bob, "bob").await;
        let room = group_of(&mut ann, "two", &[&bob]).await;
        for who in [&mut ann, &mut bob] {
            for _ in 0..2 {
                assert_eq!(send_file(who, &room, "a.txt", vec![b'a'; 500]).await.status, 201, "{kind:?}");
            }
            refused(&send_file(who, &room, "a.txt", vec![b'a'; 500]).await, 0);
        }
        for who in [&mut ann, &mut bob] {
            let member = format!("/rooms/{room}/members/{}", who.user);
            assert_eq!(delete(who, &member).await, 204, "{kind:?}");
        }
        let room = group_of(&mut ann, "again", &[&bob]).await;
        for who in [&mut ann, &mut bob] {
            refused(&send_file(who, &room, "a.txt", vec![b'a'; 1_001]).await, 1_000);
            assert_eq!(send_file(who, &room, "a.txt", vec![b'a'; 1_000]).await.status, 201, "{kind:?}");
        }
    }
}
