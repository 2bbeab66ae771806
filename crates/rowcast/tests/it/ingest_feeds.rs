//! Sources of every kind, each from a real server: what becomes of their records, and what of them when either side goes away.

mod mqtt;
mod poll;
mod socketio;
mod websocket;

use std::sync::Arc;

use rowcast::event::TableName;
use rowcast::ingest::pull::{Feed, Pull, Pulling};

use crate::scratch::Scratch;

/// A source into the scratch table.
fn pull(scratch: &Arc<Scratch>, feed: Feed) -> Pulling {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Pull::new("source", feed, TableName::bare("readings")).start(scratch.ingest()).expect("a feed that can be tried")
}

/// Waits until the source says that this is wrong.
async fn trouble(pulling: &Pulling, word: &str) -> String {
    loop {
        if let Some(error) = pulling.status().last_error.filter(|error| error.contains(word)) {
            return error;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// Waits until it is connected.
async fn connected(pulling: &Pulling) {
    while pulling.status().connected_since.is_none() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
