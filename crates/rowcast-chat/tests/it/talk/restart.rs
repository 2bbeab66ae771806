//! A gateway that ends in the middle of a talk, and comes back.

use serde_json::json;

use super::people::{say, two_in_a_talk};
use crate::world::{Base, KINDS, World, open};

async fn kept(base: Base) -> World {
    let log = World::kept_log(&base);
    let files = rowcast_chat::FilesPlace::Folder(base.files());
    World::with(base, rowcast_chat::Settings { files, ..open() }, log).await
}

#[tokio::test]
async fn what_was_missed_comes_once_the_gateway_is_back() {
    for kind in KINDS {
        let world = kept(Base::new(kind).await).await;
        let (mut ann, bob, room) = two_in_a_talk(&world).await;
        let mut live = bob.live().await;
        live.follow("table:chat_messages").await;
        say(&mut ann, &room, "before").await;
        let position = live.hears("change").await["position"].clone();
        drop(live);
        // What is said while he is away, and by SQL while nobody serves.
        say(&mut ann, &room, "while he slept").await;
        let base = world.stop().await;
        let row = format!("('{room}', '{}', 'by-hand', 'text', 'while it was down')", ann.user);
        base.run(&format!("INSERT INTO chat_messages (room, sender, nonce, kind, body) VALUES {row}")).await;

        let world = kept(base).await;
        let (mut ann, bob) = (ann.at(world.address), bob.at(world.address));
        let mut live = bob.live().await;
        let channel = "table:chat_messages";
        live.say(json!({ "type": "subscribe", "id": "m", "channel": channel, "since": position })).await;
        assert_eq!(live.hears("subscribed").await["resumed"], true, "{kind:?}");
        say(&mut ann, &room, "after").await;
        let mut told = Vec::new();
        while told.last().is_none_or(|last| last != "after") {
            told.push(live.hears("change").await["row"]["body"].as_str().expect("a text").to_owned());
        }
        assert_eq!(told, ["while he slept", "while it was down", "after"], "{kind:?}: nothing missing, nothing twice");
    }
}
