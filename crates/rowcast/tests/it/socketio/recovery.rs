//! Clients that come back to the database's events: whatever breaks, nothing is lost and nothing is told twice.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rowcast::socketio::{Io, Settings};
use serde_json::{Value as Json, json};

use super::client::{Client, World, insert, new_data};

fn speeds(arguments: &[Json]) -> u32 {
    arguments[0]["speed"].as_str().and_then(|speed| speed.parse().ok()).expect("a speed")
}

#[tokio::test]
async fn a_client_of_a_push_gets_what_it_missed_also_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = World::start(folder.path(), new_data()).await;
    let mut client = Client::connect(world.served.address).await;
    let mut silent = Client::connect(world.served.address).await;
    silent.drop_connection().await;
    insert(folder.path(), 1);
    assert_eq!(speeds(&client.hears("newData").await), 1);
    client.drop_connection().await;
    insert(folder.path(), 2);
    let (mut client, recovered) = Client::come_back(world.served.address, &client).await;
    assert!(recovered);
    assert_eq!(speeds(&client.hears("newData").await), 2);
    world.stop().await;
    insert(folder.path(), 3);
    world = World::start(folder.path(), new_data()).await;
    let (mut client, recovered) = Client::come_back(world.served.address, &client).await;
    assert!(recovered, "after a restart");
    assert_eq!(speeds(&client.hears("newData").await), 3);
    // This one has never heard anything.
    let (mut silent, recovered) = Client::come_back(world.served.address, &silent).await;
    assert!(recovered);
    for n in 1..=3 {
        assert_eq!(speeds(&silent.hears("newData").await), n);
    }
    world.stop().await;
}

#[tokio::test]
async fn subscriptions_go_on_once_the_client_is_sure_of_what_it_has() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = World::start(folder.path(), Settings::default()).await;
    let mut client = Client::connect(world.served.address).await;
    client.ask("subscribe", json!({ "id": "a", "channel": "table:Data" })).await;
    client.ask("subscribe", json!({ "id": "b", "channel": "room:x" })).await;
    // Not told yet that it may rely on it: it has no position.
    client.hears("position").await;
    insert(folder.path(), 1);
    client.hears("change").await;
    client.drop_connection().await;
    insert(folder.path(), 2);
    world.stop().await;
    world = World::start(folder.path(), Settings::default()).await;
    let (mut client, recovered) = Client::come_back(world.served.address, &client).await;
    assert!(recovered);
    assert_eq!(client.hears("change").await[0]["row"]["speed"], "2");
    client.say(r#"42["publish",{"channel":"room:x","event":"e","data":5}]"#).await;
    assert_eq!(client.hears("message").await[0]["data"], 5);
    world.stop().await;
}

#[tokio::test]
async fn who_has_not_all_of_its_rows_begins_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::start(folder.path(), Settings::default()).await;
    insert(folder.path(), 1);
    let mut client = Client::connect(world.served.address).await;
    client.say(r#"42["subscribe",{"id":"a","channel":"table:Data"}]"#).await;
    client.drop_connection().await;
    let before = client.offset.take();
    assert!(!Client::come_back(world.served.address, &client).await.1, "{before:?}");
    world.stop().await;
}

#[tokio::test]
async fn recovery_can_be_switched_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = Settings { recovery: None, ..new_data() };
    let world = World::start(folder.path(), settings).await;
    let mut client = Client::connect(world.served.address).await;
    assert_eq!(client.pid, None);
    insert(folder.path(), 1);
    assert_eq!(client.text().await, r#"42["newData",{"time":"1718000000123","speed":"1"}]"#);
    world.stop().await;
}

/// A client follows, its connection breaks at random, the server stops and starts at random.
#[tokio::test]
async fn nothing_is_lost_and_nothing_repeated_in_a_random_history() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = World::start(folder.path(), new_data()).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push((Client::connect(world.served.address).await, 0));
    }
    let mut written = 0;
    for _ in 0..60 {
        match random.random_range(0..10) {
            0..5 => {
                for _ in 0..random.random_range(1..20) {
                    written += 1;
                    insert(folder.path(), written);
                }
            }
            5..9 => {
                let n = random.random_range(0..clients.len());
                let (client, heard) = &mut clients[n];
                // As far as it gets.
                let until = random.random_range(*heard..=written);
                while *heard < until {
                    *heard += 1;
                    assert_eq!(speeds(&client.hears("newData").await), *heard);
                }
                let (back, recovered) = Client::come_back(world.served.address, client).await;
                assert!(recovered);
                *client = back;
            }
            _ => {
                world.stop().await;
                world = World::start(folder.path(), new_data()).await;
                for (client, _) in &mut clients {
                    let (back, recovered) = Client::come_back(world.served.address, client).await;
                    assert!(recovered);
                    *client = back;
                }
            }
        }
    }
    written += 1;
    insert(folder.path(), written);
    for (client, heard) in &mut clients {
        while *heard < written {
            *heard += 1;
            assert_eq!(speeds(&client.hears("newData").await), *heard);
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn what_a_program_sends_and_what_the_database_says_are_not_mixed_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::start(folder.path(), new_data()).await;
    let io: Io = world.io().clone();
    let mut client = Client::connect(world.served.address).await;
    insert(folder.path(), 1);
    client.hears("newData").await;
    io.emit("own", &1).expect("JSON");
    client.hears("own").await;
    client.drop_connection().await;
    insert(folder.path(), 2);
    // Which of the two came first is not known of what it missed.
    assert!(!Client::come_back(world.served.address, &client).await.1);
    world.stop().await;
}
