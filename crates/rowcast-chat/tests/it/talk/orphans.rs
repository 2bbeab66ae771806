//! Files that nobody has a use for: swept after a time, by any number of processes, and none that has one.

use std::collections::BTreeSet;
use std::time::Duration;

use rowcast_chat::Settings;
use serde_json::json;

use super::files::png;
use super::people::{fetched, group_of, id, say_file, send_file, send_picture, two_in_a_talk};
use crate::browser::Live;
use crate::world::{KINDS, World, open};

/// It sweeps all the time what is old enough, as if a day had gone by with each question.
fn sweeping() -> Settings {
    Settings { sweep_every: Duration::from_millis(20), quota: 100_000, ..open() }
}

/// A day has gone by since every file was noted.
const LATER: &str = "UPDATE chat_orphans SET since = 1";

fn kept(world: &World) -> BTreeSet<String> {
    let names = std::fs::read_dir(world.base.files()).expect("a folder");
    names.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect()
}

/// Waits until nothing is kept but this: the bytes go after the row, and nobody tells of it.
async fn keeps(world: &World, names: &[&str]) {
    let expected: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let waiting = async {
        while kept(world) != expected {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), waiting).await;
    assert!(waited.is_ok(), "{:?} is not {expected:?}", kept(world));
}

/// Waits until a sweep has looked at everything that was old when this was called.
async fn swept(world: &World) {
    let fence = format!("fence-{}", kept(world).len());
    std::fs::write(world.base.files().join(&fence), b"x").expect("written");
    // The oldest come first, and this is the youngest of them.
    world.run(&format!("INSERT INTO chat_orphans (file, since) VALUES ('{fence}', 2)")).await;
    let waiting = async {
        while kept(world).contains(&fence) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("swept");
}

async fn hears_that_these_are_gone(live: &mut Live, mut files: BTreeSet<String>) {
    while !files.is_empty() {
        let change = live.hears("change").await;
        if change["op"] == "delete" {
            let gone = change["old"]["id"].as_str().or(change["row"]["id"].as_str()).or(change["key"]["id"].as_str());
            let gone = gone.unwrap_or_else(|| panic!("{change}"));
            assert!(files.remove(gone), "{change}");
        }
    }
}

#[tokio::test]
async fn what_nobody_has_a_use_for_is_swept_and_nothing_else() {
    for kind in KINDS {
        let world = World::start(kind, sweeping()).await;
        // As a second process on the same database and files.
        let _twin = world.twin(sweeping());
        let (mut ann, bob, room) = two_in_a_talk(&world).await;
        let file = |answer: crate::browser::Answer| {
            assert_eq!(answer.status, 201, "{kind:?} {answer:?}");
            id(&answer.body["file"]["id"])
        };
        let sent = file(send_file(&mut ann, &room, "a.txt", vec![b'a'; 30_000]).await);
        assert_eq!(say_file(&mut ann, &room, &sent).await.status, 201, "{kind:?}");
        let by_hand = file(send_file(&mut ann, &room, "b.txt", b"inserted with SQL".to_vec()).await);
        let row = format!("('{room}', '{}', 'by-hand', 'text', '', '{by_hand}')", ann.user);
        world.run(&format!("INSERT INTO chat_messages (room, sender, nonce, kind, body, file) VALUES {row}")).await;
        let unsent = file(send_file(&mut ann, &room, "c.txt", vec![b'c'; 60_000]).await);
        let mut pictures = Vec::new();
        for size in [10, 20, 30, 40] {
            pictures.push(file(send_picture(&mut ann, png(size, size)).await));
        }
        let [former, both, own, never] = &pictures[..] else { unreachable!("four") };
        let group = group_of(&mut ann, "two", &[&bob]).await;
        let shown = ann.patch(&format!("/rooms/{group}"), json!({ "picture": both })).await;
        assert_eq!(shown.status, 200, "{kind:?} {shown:?}");
        for picture in [former, both, own] {
            assert_eq!(ann.patch("/me", json!({ "picture": picture })).await.status, 200, "{kind:?}");
        }
        // What a process has left that ended in the middle: before its row was written, and in the middle of a piece.
        for name in ["crashed", "crashed.thumbnail", "torn#1"] {
            std::fs::write(world.base.files().join(name), b"x").expect("written");
        }
        world.run("INSERT INTO chat_orphans (file, since) VALUES ('crashed', 1), ('torn', 1)").await;
        // One that has long been used may be noted as well: it is looked at.
        world.run(&format!("INSERT INTO chat_orphans (file, since) VALUES ('{sent}', 1)")).await;

        let mut live = ann.live().await;
        assert_eq!(live.follow("table:chat_files").await.len(), 7, "{kind:?}");
        world.run(LATER).await;
        let gone = [&unsent, former, never].map(String::clone);
        hears_that_these_are_gone(&mut live, gone.clone().into()).await;
        keeps(&world, &[&sent, &by_hand, both, own]).await;
        world.run(LATER).await;
        swept(&world).await;
        keeps(&world, &[&sent, &by_hand, both, own]).await;
        for file in [&sent, &by_hand, both, own] {
            assert_eq!(fetched(&bob, &format!("/files/{file}")).await.0, 200, "{kind:?}");
        }
        for file in &gone {
            assert_eq!(fetched(&ann, &format!("/files/{file}")).await.0, 404, "{kind:?}");
        }
        assert_eq!(say_file(&mut ann, &room, &unsent).await.status, 400, "{kind:?}");
        assert_eq!(ann.patch("/me", json!({ "picture": never })).await.status, 404, "{kind:?}");
        // What is swept is given back.
        assert_eq!(send_file(&mut ann, &room, "d.txt", vec![b'd'; 60_000]).await.status, 201, "{kind:?}");
        // Once it is used for nothing any more, the picture of both goes, too.
        assert_eq!(ann.patch(&format!("/rooms/{group}"), json!({ "picture": null })).await.status, 200, "{kind:?}");
        world.run(&format!("UPDATE chat_orphans SET since = 1 WHERE file = '{both}'")).await;
        hears_that_these_are_gone(&mut live, [both.clone()].into()).await;
    }
}

#[tokio::test]
async fn a_file_that_is_sent_while_it_is_swept_is_there_or_was_not_sent() {
    for kind in KINDS {
        let world = World::start(kind, sweeping()).await;
        let _twin = world.twin(sweeping());
        let (mut ann, bob, room) = two_in_a_talk(&world).await;
        let mut sent = Vec::new();
        for n in 0..8 {
            let file = send_file(&mut ann, &room, "a.txt", vec![b'a'; 10 + n]).await;
            let file = id(&file.body["file"]["id"]);
            let ((), said) = tokio::join!(world.run(LATER), say_file(&mut ann, &room, &file));
            match said.status {
                201 => sent.push(file),
                status => assert_eq!(status, 400, "{kind:?} {said:?}"),
            }
        }
        world.run(LATER).await;
        swept(&world).await;
        let names: Vec<&str> = sent.iter().map(String::as_str).collect();
        keeps(&world, &names).await;
        for file in &sent {
            assert_eq!(fetched(&bob, &format!("/files/{file}")).await.0, 200, "{kind:?}");
        }
        let shown: Vec<_> = bob.rows("chat_files").await.iter().map(|row| id(&row["id"])).collect();
        assert_eq!(shown.iter().collect::<BTreeSet<_>>(), sent.iter().collect(), "{kind:?}");
    }
}
