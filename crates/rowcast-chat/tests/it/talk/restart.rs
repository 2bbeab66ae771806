//! A gateway that ends in the middle of a talk, and comes back.

use std::net::SocketAddr;
use std::path::Path;

use rowcast::gateway::{Database, Gateway, LogPlace};
use rowcast::log::local::LogSettings;
use rowcast::source::sqlite::SqliteSettings;
use rowcast_chat::{Chat, FilesPlace, Settings};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::people::{befriend, say, talk_of};
use crate::browser::Browser;
use crate::world::{auth, open};

/// What serves a gateway's routes.
struct Serving {
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Serving {
    /// Nobody is connected any more after this.
    async fn stop(self) {
        let _ = self.stop.send(());
        self.served.await.expect("served");
    }
}

/// Another gateway on what a world has left, with a log of its own that stays.
async fn start(folder: &Path) -> (SocketAddr, Gateway, Serving) {
    let files = FilesPlace::Folder(folder.join("files"));
    let chat = Chat::new(Settings { files, ..open() }).expect("a chat");
    let gateway = loop {
        let database = Database::sqlite("chat", folder.join("chat.db"), SqliteSettings::default());
        let log = LogPlace::Directory(folder.join("log"), LogSettings::default());
        match chat.prepare(Gateway::builder().database(database).log(log).auth(auth())).start().await {
            Ok(gateway) => break gateway,
            // The last connection to the one before is just going.
            Err(error) if error.to_string().contains("is open in another process") => {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            Err(error) => panic!("{error}"),
        }
    };
    let router = gateway.router().merge(chat.routes(&gateway));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel::<()>();
    let served = axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>());
    let served = served.with_graceful_shutdown(async move { drop(stopped.await) });
    let serving = Serving { stop, served: tokio::spawn(async move { served.await.expect("served") }) };
    (address, gateway, serving)
}

#[tokio::test]
async fn what_was_missed_comes_once_the_gateway_is_back() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir().expect("a folder");
    let (address, gateway, serving) = start(folder.path()).await;
    let mut ann = Browser::signed_up_at(address, "ann").await;
    let mut bob = Browser::signed_up_at(address, "bob").await;
    befriend(&mut ann, &mut bob, "bob").await;
    let room = talk_of(&mut ann, &bob).await;
    let mut live = bob.live().await;
    live.follow("table:chat_messages").await;
    say(&mut ann, &room, "before").await;
    let position = live.hears("change").await["position"].clone();
    drop(live);
    // What is said while he is away, and by SQL while nobody serves.
    say(&mut ann, &room, "while he slept").await;
    serving.stop().await;
    gateway.stop().await;
    let row = format!("('{room}', '{}', 'by-hand', 'text', 'while it was down')", ann.user);
    let other = rusqlite::Connection::open(folder.path().join("chat.db")).expect("opened");
    other
        .execute_batch(&format!("INSERT INTO chat_messages (room, sender, nonce, kind, body) VALUES {row}"))
        .expect("inserted");

    let (address, _gateway, _serving) = start(folder.path()).await;
    let (mut ann, bob) = (ann.at(address), bob.at(address));
    let mut live = bob.live().await;
    let channel = "table:chat_messages";
    live.say(json!({ "type": "subscribe", "id": "m", "channel": channel, "since": position })).await;
    assert_eq!(live.hears("subscribed").await["resumed"], true);
    say(&mut ann, &room, "after").await;
    let mut told = Vec::new();
    while told.last().is_none_or(|last| last != "after") {
        told.push(live.hears("change").await["row"]["body"].as_str().expect("a text").to_owned());
    }
    assert_eq!(told, ["while he slept", "while it was down", "after"], "nothing missing, nothing twice");
}
