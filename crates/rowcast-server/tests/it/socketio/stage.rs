//! A Socket.IO server on Rowcast that behaves as `tests/peers/stage.cjs` does on npm's.

use std::time::Duration;

use anyhow::Result;
use rowcast::socketio::{Ack, Arguments, Binary, EngineSettings, Io, Namespace, Reason, Refused, Settings, Socket, To};
use serde_json::json;

const ANSWER: Duration = Duration::from_secs(20);

/// Starts it on a port of its own, and returns its URL.
pub(super) async fn start(recovery: Option<Duration>) -> Result<String> {
    let engine = EngineSettings {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_secs(5),
        max_payload: 1_000_000,
        ..EngineSettings::default()
    };
    let io = Io::new(Settings { engine, recovery, ..Settings::default() });
    for name in ["/", "/chat"] {
        let namespace = io.namespace(name);
        namespace.on_connect(greet);
        listen(&namespace);
    }
    // As the others, but says nothing first.
    listen(&io.namespace("/quiet"));
    io.namespace("/closed").middleware(async |_| Err(Refused::new("not authorized").with(json!({ "code": "E1" }))));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, io.router()).await });
    Ok(url)
}

/// Tells a client what it has shown.
async fn greet(socket: Socket) {
    let shown = socket.auth().unwrap_or_else(|| match socket.handshake().query("token") {
        Some(token) => json!({ "token": token }),
        None => json!({}),
    });
    let _ = socket.emit("auth", &shown);
}

fn listen(namespace: &Namespace) {
    let left = namespace.clone();
    namespace.on_disconnect(move |socket: Socket, reason: Reason| {
        let left = left.clone();
        async move { tell(&left.all(), "left", &(socket.id(), reason.as_str())) }
    });
    namespace.on_any(async |socket: Socket, name: String, arguments: Arguments, ack: Ack| match &*name {
        "message" => socket.emit_arguments("message-back", &arguments),
        "message-with-ack" => ack.send_arguments(&arguments),
        // The server asks, and tells what it was answered.
        "ask" => {
            if let Ok(answer) = socket.ask("question", &arguments, ANSWER).await {
                socket.emit_arguments("answered", &answer);
            }
        }
        "kick" => socket.disconnect(false),
        "kick-out" => {
            let _ = socket.emit("said", "for the last time");
            socket.disconnect(true);
        }
        "cut" => socket.cut(),
        // Never answered.
        _ => {}
    });
    namespace.on("code-points", async |_: Socket, text: String, ack: Ack| {
        let _ = ack.send(&text.chars().map(u32::from).collect::<Vec<_>>());
    });
    namespace.on("from-code-points", async |_: Socket, points: Vec<u32>, ack: Ack| {
        let _ = ack.send(&points.into_iter().filter_map(char::from_u32).collect::<String>());
    });
    rooms(namespace);
}

fn rooms(namespace: &Namespace) {
    namespace.on("join", async |socket: Socket, room: String, ack: Ack| {
        socket.join(room);
        let _ = ack.send(&());
    });
    namespace.on("leave", async |socket: Socket, room: String, ack: Ack| {
        socket.leave(room);
        let _ = ack.send(&());
    });
    // To a room, the speaker included; to a room without the speaker; to everybody else; to everybody.
    let all = namespace.clone();
    namespace.on("say", move |_: Socket, (room, what): (String, Said), _: Ack| {
        let to = all.to(&*room);
        async move { tell(&to, "said", &(room, what)) }
    });
    namespace.on("whisper", async |socket: Socket, (room, what): (String, Said), _: Ack| {
        tell(&socket.to(&*room), "said", &(room, what));
    });
    namespace.on("tell", async |socket: Socket, what: Said, _: Ack| tell(&socket.broadcast(), "told", &(what,)));
    let all = namespace.clone();
    namespace.on("tell-all", move |_: Socket, what: Said, _: Ack| {
        let to = all.all();
        async move { tell(&to, "told", &(what,)) }
    });
}

/// What clients say to each other.
#[derive(Debug, serde::Deserialize, serde::Serialize)]
#[serde(untagged)]
enum Said {
    WithText { text: String, bytes: Binary },
    WithNumber { n: u32, bytes: Binary },
    Bytes { bytes: Binary },
    Any(serde_json::Value),
}

fn tell<T: serde::Serialize>(to: &To, event: &str, arguments: &T) {
    to.emit_arguments(event, &Arguments::several(arguments).expect("it is a tuple"));
}
