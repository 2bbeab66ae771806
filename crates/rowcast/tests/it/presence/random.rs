//! Many do anything at any time, and some who watch read slowly: in the end everybody has seen the same, and nothing that cannot be.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rowcast::session::Limits;
use serde_json::json;

use super::world::{Client, World, user};

#[tokio::test]
async fn whoever_watches_whenever_and_however_slowly_sees_who_is_there() {
    let seed: u64 = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    for round in 0..20 {
        let world = World::new(Limits {
            queue_bytes: if round % 2 == 0 { 4 << 10 } else { 1 << 20 },
            presence_tick: Duration::from_millis(random.random_range(0..4)),
            presence_grace: Duration::from_millis(random.random_range(0..20)),
            ..Limits::default()
        });
        let mut clients: Vec<Client> = Vec::new();
        let mut watchers: Vec<Client> = Vec::new();
        for _ in 0..300 {
            match random.random_range(0..10) {
                0..3 => {
                    let mut client = world.client(user(&format!("user {}", random.random_range(0..12))));
                    client.track("room:r", json!({"n": random.random_range(0..3)})).await;
                    clients.push(client);
                }
                3..6 if !clients.is_empty() => {
                    let at = random.random_range(0..clients.len());
                    let pad = "x".repeat(random.random_range(0..300));
                    clients[at].track("room:r", json!({"n": random.random_range(0..3), "pad": pad})).await;
                }
                6 if !clients.is_empty() => {
                    let at = random.random_range(0..clients.len());
                    clients.swap_remove(at).untrack("room:r").await;
                }
                7 if !clients.is_empty() => drop(clients.swap_remove(random.random_range(0..clients.len()))),
                8 if watchers.len() < 5 => watchers.push(world.watcher("room:r").await),
                8 => drop(watchers.swap_remove(random.random_range(0..watchers.len()))),
                _ => {
                    for watcher in &mut watchers {
                        if random.random_bool(0.3) && watcher.has_more().await {
                            watcher.presence().await;
                        }
                    }
                    tokio::time::sleep(Duration::from_millis(random.random_range(0..3))).await;
                }
            }
        }
        // Whoever broke is gone after this.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let users = world.users("room:r");
        for watcher in &mut watchers {
            while watcher.has_more().await {
                watcher.presence().await;
            }
            assert_eq!(watcher.users, users, "round {round} of seed {seed}");
        }
    }
}
