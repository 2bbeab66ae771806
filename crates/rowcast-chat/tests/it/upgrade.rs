//! A database of an earlier chat, which a later one goes on with.

use std::time::Duration;

use rowcast_chat::Settings;
use serde_json::json;

use crate::browser::Browser;
use crate::talk::people::{delete, id, say_file, send_file};
use crate::world::{Base, KINDS, Kind, World, open};

const ANN: &str = "11111111-1111-4111-8111-111111111111";
const BOB: &str = "22222222-2222-4222-8222-222222222222";
const ROOM: &str = "33333333-3333-4333-8333-333333333333";
const FILE: &str = "44444444-4444-4444-8444-444444444444";

/// The tables of the first version, in the words of each database.
fn tables(kind: Kind) -> &'static str {
    match kind {
        Kind::Sqlite => include_str!("upgrade/sqlite.sql"),
        Kind::Postgres => include_str!("upgrade/postgres.sql"),
        Kind::Mysql => include_str!("upgrade/mysql.sql"),
    }
}

/// Two who have talked in it: a message with a file of 600 bytes.
fn rows() -> String {
    let both = |row: fn(&str, &str) -> String| format!("{}, {}", row(ANN, "ann"), row(BOB, "bob"));
    let accounts = both(|id, name| format!("('{id}', '{name}@example.com', 'none', '{name}')"));
    let profiles = both(|id, name| format!("('{id}', '{name}')"));
    let members = both(|id, name| format!("('{ROOM}', '{id}', 'owner', '{name}')"));
    let receipts = both(|id, _| format!("('{ROOM}', '{id}')"));
    [
        "INSERT INTO chat_migrations (step) VALUES (0), (1)".to_owned(),
        format!("INSERT INTO chat_accounts (user_id, email, password_hash, link) VALUES {accounts}"),
        format!("INSERT INTO chat_profiles (id, name) VALUES {profiles}"),
        format!("INSERT INTO chat_rooms (id, kind, created_by) VALUES ('{ROOM}', 'group', '{ANN}')"),
        format!("INSERT INTO chat_members (room, user_id, role, name) VALUES {members}"),
        format!("INSERT INTO chat_receipts (room, user_id) VALUES {receipts}"),
        format!("INSERT INTO chat_files (id, owner, room, name, type, bytes) VALUES ('{FILE}', '{ANN}', '{ROOM}', 'a', 'text/plain', 600)"),
        format!("INSERT INTO chat_messages (room, sender, nonce, kind, body, file) VALUES ('{ROOM}', '{ANN}', 'n', 'text', '', '{FILE}')"),
    ]
    .join(";\n")
}

#[tokio::test]
async fn a_later_chat_adds_to_the_tables_of_an_earlier_one_what_it_needs() {
    for kind in KINDS {
        let settings = || Settings { quota: 1_000, sweep_every: Duration::from_millis(20), ..open() };
        let base = Base::new(kind).await;
        for statement in [tables(kind), &rows()].iter().flat_map(|sql| sql.split(";\n")) {
            if !statement.trim().is_empty() {
                base.run(statement).await;
            }
        }
        let world = World::on(base, settings()).await;
        let mut ann = Browser::known_elsewhere(&world, ANN);
        assert_eq!(ann.get("/me").await.body["user"]["name"], "ann", "{kind:?}");
        let old = ann.rows("chat_messages").await.remove(0);
        assert_eq!(old["file"], FILE, "{kind:?}");
        // What she had stored before is counted, and given back.
        let refused = send_file(&mut ann, ROOM, "b.txt", vec![b'b'; 401]).await;
        let message = refused.body["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert_eq!((refused.status, message.contains(" 400 bytes are left")), (413, true), "{kind:?} {refused:?}");
        let sent = send_file(&mut ann, ROOM, "b.txt", vec![b'b'; 400]).await;
        assert_eq!(sent.status, 201, "{kind:?} {sent:?}");
        assert_eq!(say_file(&mut ann, ROOM, &id(&sent.body["file"]["id"])).await.status, 201, "{kind:?}");
        assert_eq!(ann.rows("chat_files").await.len(), 2, "{kind:?}: nobody sweeps what was sent before");
        assert_eq!(delete(&mut ann, &format!("/messages/{}", old["id"])).await, 204, "{kind:?}");

        // Once more, with what it has made itself.
        let world = World::on(world.stop().await, settings()).await;
        let mut ann = ann.at(world.address);
        assert_eq!(send_file(&mut ann, ROOM, "c.txt", vec![b'c'; 601]).await.status, 413, "{kind:?}");
        assert_eq!(send_file(&mut ann, ROOM, "c.txt", vec![b'c'; 600]).await.status, 201, "{kind:?}");

        // A chat of this version does not go on with what a later one has made.
        let base = world.stop().await;
        base.run("INSERT INTO chat_migrations (step) VALUES (99)").await;
        let world = World::on(base, settings()).await;
        let refused = ann.at(world.address).get("/me").await;
        assert_eq!(refused.status, 503, "{kind:?} {refused:?}");
        assert_eq!(refused.body["error"]["message"], json!("the chat's tables are of a later version"), "{kind:?}");
    }
}
