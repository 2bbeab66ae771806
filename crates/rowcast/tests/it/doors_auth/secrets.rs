//! What must be written nowhere: tokens, in whichever way they come.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::world::{World, bad_tokens, bearer, cookie, token};
use crate::socketio::client::Client;

/// All that is logged by anybody, at every level.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<String>>);

impl Visit for &Book {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = writeln!(self.0.lock().expect("a book"), "{field}={value:?}");
    }
}

impl Subscriber for Book {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut &*self);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut &*self);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let _ = writeln!(self.0.lock().expect("a book"), "{}", event.metadata().target());
        event.record(&mut &*self);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn no_token_is_logged_or_told_or_shown() {
    let book = Book::default();
    // One process for each test: nobody else's.
    let is_ours = tracing::subscriber::set_global_default(book.clone()).is_ok();
    let world = World::new().await;
    let (_, bad, _) = bad_tokens().swap_remove(4);
    let mut told = String::new();
    for token in [token("anna"), bad] {
        for path in [
            "/v1/tables",
            "/v1/stream?channel=nothing",
            "/v1/nothing",
            "/listen/x",
            "/listen",
            "/v1/ws",
            "/write",
            "/socket.io/",
        ] {
            let sign = if path.contains('?') { '&' } else { '?' };
            for target in
                [path.to_owned(), format!("{path}{sign}access_token={token}"), format!("{path}{sign}p={token}")]
            {
                for (name, value) in [bearer(&token), cookie(&token)] {
                    let answer = world.get(&target).header(name, value).send().await.expect("an answer");
                    if !answer.status().is_success() {
                        write!(told, "{:?}", answer.headers()).expect("written");
                        told += &answer.text().await.expect("text");
                    }
                }
            }
        }
        if let Err((_, body)) = world.socket(&format!("/postgres-websockets/chat/{token}"), &[]).await {
            told += &body;
        }
        let mut client = world.socket(&format!("/v1/ws?access_token={token}"), &[]).await.ok();
        if let Some(client) = &mut client {
            told += &client.next().await.to_string();
            told += &client.ask(&json!({ "type": "auth", "token": token }), "authenticated").await.to_string();
            told +=
                &client.ask(&json!({ "type": "auth", "token": token, "more": 1 }), "authenticated").await.to_string();
        }
        let mut socketio = Client::open(world.served.address, 4).await;
        socketio.say(&format!("40{}", json!({ "token": token }))).await;
        told += &socketio.text().await;
        told += &world.gateway.status().to_string();
    }
    let logged = book.0.lock().expect("a book").clone();
    assert!(!is_ours || logged.contains("a token is refused"), "the book is written: {logged}");
    for (what, text) in [("told", &told), ("logged", &logged)] {
        // A token's last part is its signature: nobody needs to see even that.
        for token in [token("anna"), bad_tokens().swap_remove(4).1] {
            let header = token.split('.').next().expect("a part");
            assert!(!text.contains(header), "a token was {what}: {text}");
        }
    }
}
