//! Presence over real sockets: every door, and every way in which a connection ends.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use rowcast::gateway::{Database, Gateway, Io, Limits, LogPlace};
use rowcast::socketio::Settings;
use rowcast::source::sqlite::SqliteSettings;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::socketio::client::{Client, Served};

const GRACE: Duration = Duration::from_millis(400);

struct World {
    served: Served,
    _gateway: Gateway,
    _folder: TempDir,
}

async fn world() -> World {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.db");
    rusqlite::Connection::open(&path).expect("a database").execute_batch("PRAGMA journal_mode = wal").expect("WAL");
    let database = Database::sqlite("app", &path, SqliteSettings::default());
    let limits = Limits { presence_grace: GRACE, presence_tick: Duration::from_millis(5), ..Limits::default() };
    let builder = Gateway::builder().database(database).log(LogPlace::Memory).limits(limits);
    let gateway = builder.socketio(Io::new(Settings::default())).start().await.expect("started");
    World { served: Served::new(gateway.router()).await, _gateway: gateway, _folder: folder }
}

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn connect(world: &World) -> Self {
        let (socket, _) = connect_async(format!("ws://{}/v1/ws", world.served.address)).await.expect("a WebSocket");
        let mut socket = Self(socket);
        assert_eq!(socket.next().await["type"], "hello");
        socket
    }

    async fn tracked(world: &World, user: &str, state: Json) -> Self {
        let mut socket = Self::connect(world).await;
        socket.say(json!({"type": "track", "channel": "room:r", "user": user, "state": state, "ref": "1"})).await;
        assert_eq!(socket.next().await, json!({"type": "tracked", "ref": "1"}));
        socket
    }

    async fn watching(world: &World) -> Self {
        let mut socket = Self::connect(world).await;
        socket.say(json!({"type": "subscribe", "id": "w", "channel": "presence:room:r"})).await;
        assert_eq!(socket.next().await["type"], "subscribed");
        socket
    }

    async fn say(&mut self, message: Json) {
        self.0.send(Message::text(message.to_string())).await.expect("sent");
    }

    async fn next(&mut self) -> Json {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(30), self.0.next()).await.expect("something");
            if let Message::Text(text) = next.expect("no end").expect("no error") {
                let message: Json = serde_json::from_str(&text).expect("JSON");
                if message["type"] != "position" {
                    return message;
                }
            }
        }
    }

    async fn close(mut self, code: u16) {
        let _ = self.0.close(Some(CloseFrame { code: code.into(), reason: "".into() })).await;
        while self.0.next().await.is_some_and(|next| next.is_ok()) {}
    }
}

/// The next event of a stream.
struct Stream(reqwest::Response, String);

impl Stream {
    async fn event(&mut self) -> (String, Json) {
        loop {
            if let Some((event, rest)) = self.1.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let found = field("event: ").zip(field("data: "));
                self.1 = rest.to_owned();
                if let Some((name, data)) = found {
                    return (name, serde_json::from_str(&data).expect("JSON"));
                }
                continue;
            }
            let chunk = self.0.chunk().await.expect("no error").expect("no end");
            self.1.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }
}

#[tokio::test]
async fn every_door_shows_the_same_users() {
    let world = world().await;
    let url = |path: &str| format!("http://{}{path}", world.served.address);
    let _ann = Socket::tracked(&world, "ann", json!({"at": 1})).await;

    let mut io = Client::connect(world.served.address).await;
    let (answer, _) = io.ask("subscribe", json!({"id": "w", "channel": "presence:room:r"})).await;
    assert_eq!((&answer["type"], &answer["resumed"]), (&json!("subscribed"), &json!(false)));
    let list = io.hears("presence").await;
    assert_eq!((&list[0]["full"], &list[0]["users"][0]["user"]), (&json!(true), &json!("ann")));

    let stream = reqwest::get(url("/v1/stream?channel=presence:room:r")).await.expect("a stream");
    let mut stream = Stream(stream, String::new());
    assert_eq!(stream.event().await.0, "subscribed");
    let (name, list) = stream.event().await;
    assert_eq!((name.as_str(), &list["users"][0]["state"]), ("presence", &json!({"at": 1})));
    let mut native = Socket::watching(&world).await;
    assert_eq!(native.next().await["users"][0]["connections"], 1);

    // The same user over another transport.
    let track = json!({"channel": "room:r", "user": "ann", "state": {"at": 2}, "ref": "mine"});
    assert_eq!(io.ask("track", track).await.0, json!({"type": "tracked", "ref": "mine"}));
    let wanted = json!([{"user": "ann", "state": {"at": 2}, "connections": 2}]);
    assert_eq!(io.hears("presence").await[0]["updates"], wanted);
    assert_eq!(stream.event().await.1["updates"], wanted);
    assert_eq!(native.next().await["updates"], wanted);
    let listed: Json = serde_json::from_str(
        &reqwest::get(url("/v1/presence/room:r")).await.expect("an answer").text().await.expect("text"),
    )
    .expect("JSON");
    assert_eq!((&listed["users"][0]["user"], &listed["users"][0]["connections"]), (&json!("ann"), &json!(2)));

    let (answer, _) = io.ask("track", json!({"channel": "nowhere"})).await;
    assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!("bad_channel")));
    assert_eq!(io.ask("untrack", json!({"channel": "room:r"})).await.0, json!({"type": "untracked"}));
    assert_eq!(native.next().await["updates"][0]["connections"], 1);
    let wrong = reqwest::get(url("/v1/presence/lobby")).await.expect("an answer");
    assert_eq!(wrong.status(), 400);
}

#[tokio::test]
async fn who_closes_is_gone_at_once_and_who_breaks_after_the_grace_time() {
    let world = world().await;
    let mut watcher = Socket::watching(&world).await;
    assert_eq!(watcher.next().await["users"], json!([]));
    for code in [1000, 1001] {
        let ann = Socket::tracked(&world, "ann", json!({})).await;
        assert_eq!(watcher.next().await["joins"][0]["user"], "ann");
        let began = Instant::now();
        ann.close(code).await;
        assert_eq!(watcher.next().await["leaves"], json!(["ann"]));
        assert!(began.elapsed() < GRACE, "{code}: {:?}", began.elapsed());
    }
    let mut io = Client::connect(world.served.address).await;
    io.ask("track", json!({"channel": "room:r", "user": "ann"})).await;
    watcher.next().await;
    let began = Instant::now();
    io.say("41").await;
    assert_eq!(watcher.next().await["leaves"], json!(["ann"]));
    assert!(began.elapsed() < GRACE, "{:?}", began.elapsed());

    // Without a word, or with one that says that something went wrong.
    for how in ["dropped", "4001", "socket.io"] {
        let began = match how {
            "dropped" => {
                let ann = Socket::tracked(&world, "ann", json!({})).await;
                watcher.next().await;
                drop(ann);
                Instant::now()
            }
            "4001" => {
                let ann = Socket::tracked(&world, "ann", json!({})).await;
                watcher.next().await;
                ann.close(4001).await;
                Instant::now()
            }
            _ => {
                let mut io = Client::connect(world.served.address).await;
                io.ask("track", json!({"channel": "room:r", "user": "ann"})).await;
                watcher.next().await;
                io.drop_connection().await;
                Instant::now()
            }
        };
        assert_eq!(watcher.next().await["leaves"], json!(["ann"]), "{how}");
        assert!(began.elapsed() > GRACE / 2, "{how}: {:?}", began.elapsed());
    }

    // Back in time, over another transport even: nobody hears of it.
    let ann = Socket::tracked(&world, "ann", json!({"at": 1})).await;
    watcher.next().await;
    drop(ann);
    let mut io = Client::connect(world.served.address).await;
    io.ask("track", json!({"channel": "room:r", "user": "ann", "state": {"at": 1}})).await;
    tokio::time::sleep(GRACE * 2).await;
    io.ask("untrack", json!({"channel": "room:r"})).await;
    assert_eq!(watcher.next().await["leaves"], json!(["ann"]), "the first that is heard");
}

#[tokio::test]
async fn a_socket_io_client_that_is_recovered_is_told_everybody_again() {
    let world = world().await;
    let mut io = Client::connect(world.served.address).await;
    io.ask("subscribe", json!({"id": "w", "channel": "presence:room:r"})).await;
    io.ask("subscribe", json!({"id": "m", "channel": "room:r"})).await;
    io.ask("publish", json!({"channel": "room:r", "event": "e", "data": 1})).await;
    while io.offset.is_none() {
        io.event().await;
    }
    io.drop_connection().await;
    let _ann = Socket::tracked(&world, "ann", json!({})).await;
    let (mut again, recovered) = Client::come_back(world.served.address, &io).await;
    assert!(recovered);
    let list = again.hears("presence").await;
    assert_eq!((&list[0]["id"], &list[0]["full"]), (&json!("w"), &json!(true)));
    assert_eq!(list[0]["users"][0]["user"], "ann");
}
