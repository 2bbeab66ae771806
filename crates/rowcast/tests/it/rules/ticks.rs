//! Where the commits of a history are in the log: each writes its number into a table of its own.

use std::collections::BTreeMap;

use rowcast::event::Position;
use rowcast::protocol::ServerMessage;
use serde_json::json;

use super::world::{Client, World, identity};

/// Follows the commits.
pub(super) struct Ticks {
    client: Client,
    places: BTreeMap<u64, Position>,
}

impl Ticks {
    pub(super) async fn follow(world: &World) -> Self {
        let mut client = world.client(&identity(json!({ "sub": "clock" })));
        client.subscribe("table:ticks", json!({}));
        client.hears(&["0 rows", "subscribed"]).await;
        Self { client, places: BTreeMap::new() }
    }

    pub(super) async fn until(&mut self, n: u64) -> BTreeMap<u64, Position> {
        while !self.places.contains_key(&n) {
            if let ServerMessage::Change { row, position, .. } = self.client.next().await {
                self.places.insert(row["n"].as_u64().expect("a number"), position.parse().expect("a position"));
            }
        }
        self.places.clone()
    }
}
