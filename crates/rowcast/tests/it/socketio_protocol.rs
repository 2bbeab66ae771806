//! The cases of the official test suite of Socket.IO, for both versions, over WebSocket and polling as they are on the wire.
//! <https://github.com/socketio/socket.io-protocol> What is below Socket.IO has its suite in `transport/engineio/tests`.

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rowcast::session::Limits;
use rowcast::socketio::{Ack, Arguments, EngineSettings, Io, Settings, Socket as IoSocket};
use rowcast::transport::Origins;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// What `examples/socketio-echo` does.
async fn echo() -> SocketAddr {
    let engine = EngineSettings {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        ..EngineSettings::default()
    };
    let connect_timeout = Duration::from_millis(500);
    let io = Io::new(Settings { engine, connect_timeout, recovery: None, ..Settings::default() });
    for name in ["/", "/custom"] {
        let namespace = io.namespace(name);
        namespace.on_connect(async |socket: IoSocket| {
            let auth = socket.auth().unwrap_or_else(|| json!({}));
            let _ = socket.emit("auth", &auth);
        });
        namespace.on_any(async |socket: IoSocket, event: String, arguments: Arguments, ack: Ack| {
            match event.as_str() {
                "message" => socket.emit_arguments("message-back", &arguments),
                "message-with-ack" => ack.send_arguments(&arguments),
                _ => {}
            }
        });
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = io.router_for(&Origins::Any, &Limits::default());
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(axum::serve(listener, service).into_future());
    address
}

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Engine.IO is open.
    async fn open(address: SocketAddr, eio: u8) -> Self {
        let url = format!("ws://{address}/socket.io/?EIO={eio}&transport=websocket");
        let (socket, _) = connect_async(url).await.expect("a socket");
        let mut socket = Self(socket);
        assert!(socket.hear().await.starts_with('0'));
        socket
    }

    /// The root namespace stands.
    async fn connected(address: SocketAddr) -> Self {
        let mut socket = Self::open(address, 4).await;
        socket.say("40").await;
        assert!(socket.hear().await.starts_with("40{"));
        assert_eq!(socket.hear().await, r#"42["auth",{}]"#);
        socket
    }

    async fn connected_3(address: SocketAddr) -> Self {
        let mut socket = Self::open(address, 3).await;
        assert_eq!(socket.hear().await, "40");
        assert_eq!(socket.hear().await, r#"42["auth",{}]"#);
        socket
    }

    async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.expect("said");
    }

    async fn say_binary(&mut self, data: &'static [u8]) {
        self.0.send(Message::Binary(data.into())).await.expect("said");
    }

    /// The next message, pings aside.
    async fn message(&mut self) -> Message {
        loop {
            match self.0.next().await.expect("a message").expect("a message") {
                Message::Ping(_) | Message::Pong(_) => {}
                Message::Text(text) if text == "2" => {}
                message => return message,
            }
        }
    }

    async fn hear(&mut self) -> String {
        self.message().await.into_text().expect("a text").to_string()
    }

    /// Ends only when the server closes.
    async fn until_closed(&mut self) {
        while let Some(Ok(message)) = self.0.next().await {
            if let Message::Close(_) = message {
                return;
            }
        }
    }

    async fn check_connect(&mut self, packet: &str, prefix: &str, auth: &str) {
        self.say(packet).await;
        let connected = self.hear().await;
        let said: Value = serde_json::from_str(connected.strip_prefix(prefix).expect(prefix)).expect("JSON");
        assert_eq!(said.as_object().map(|said| said.keys().collect::<Vec<_>>()), Some(vec![&"sid".to_owned()]));
        assert!(said["sid"].is_string());
        assert_eq!(self.hear().await, auth);
    }
}

#[tokio::test]
async fn a_namespace_is_connected_with_and_without_a_payload() {
    let address = echo().await;
    let mut socket = Socket::open(address, 4).await;
    socket.check_connect("40", "40", r#"42["auth",{}]"#).await;
    let mut socket = Socket::open(address, 4).await;
    socket.check_connect(r#"40{"token":"123"}"#, "40", r#"42["auth",{"token":"123"}]"#).await;
    let mut socket = Socket::open(address, 4).await;
    socket.check_connect("40/custom,", "40/custom,", r#"42/custom,["auth",{}]"#).await;
    let mut socket = Socket::open(address, 4).await;
    let (packet, auth) = (r#"40/custom,{"token":"abc"}"#, r#"42/custom,["auth",{"token":"abc"}]"#);
    socket.check_connect(packet, "40/custom,", auth).await;
}

#[tokio::test]
async fn an_unknown_namespace_is_refused() {
    let mut socket = Socket::open(echo().await, 4).await;
    socket.say("40/random").await;
    assert_eq!(socket.hear().await, r#"44/random,{"message":"Invalid namespace"}"#);
}

#[tokio::test]
async fn a_handshake_that_is_none_closes_the_connection() {
    let mut socket = Socket::open(echo().await, 4).await;
    socket.say("4abc").await;
    socket.until_closed().await;
}

#[tokio::test]
async fn without_a_handshake_the_connection_is_closed() {
    let mut socket = Socket::open(echo().await, 4).await;
    while let Some(Ok(message)) = socket.0.next().await {
        match message {
            Message::Text(text) if text == "2" => socket.say("3").await,
            Message::Close(_) => break,
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn leaving_the_root_namespace_leaves_the_connection() {
    let mut socket = Socket::connected(echo().await).await;
    socket.say("41").await;
    assert_eq!(socket.0.next().await.expect("a ping").expect("a ping"), Message::text("2"));
    socket.check_connect("40/custom", "40/custom,", r#"42/custom,["auth",{}]"#).await;
}

#[tokio::test]
async fn a_namespace_is_left_alone() {
    let mut socket = Socket::connected(echo().await).await;
    socket.check_connect("40/custom", "40/custom,", r#"42/custom,["auth",{}]"#).await;
    socket.say("41/custom").await;
    socket.say(r#"42["message","message to main namespace"]"#).await;
    assert_eq!(socket.hear().await, r#"42["message-back","message to main namespace"]"#);
}

#[tokio::test]
async fn text_packets_come_back() {
    let mut socket = Socket::connected(echo().await).await;
    socket.say(r#"42["message",1,"2",{"3":[true]}]"#).await;
    assert_eq!(socket.hear().await, r#"42["message-back",1,"2",{"3":[true]}]"#);
    socket.say(r#"42456["message-with-ack",1,"2",{"3":[false]}]"#).await;
    assert_eq!(socket.hear().await, r#"43456[1,"2",{"3":[false]}]"#);
}

#[tokio::test]
async fn binary_packets_come_back() {
    let address = echo().await;
    let placeholders = r#"{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    for (asked, answer) in
        [(r#"452-["message","#, r#"452-["message-back","#), (r#"452-789["message-with-ack","#, "462-789[")]
    {
        let mut socket = Socket::connected(address).await;
        socket.say(&format!("{asked}{placeholders}")).await;
        socket.say_binary(&[1, 2, 3]).await;
        socket.say_binary(&[4, 5, 6]).await;
        assert_eq!(socket.hear().await, format!("{answer}{placeholders}"));
        assert_eq!(socket.message().await, Message::Binary([1, 2, 3][..].into()));
        assert_eq!(socket.message().await, Message::Binary([4, 5, 6][..].into()));

        let mut socket = Socket::connected_3(address).await;
        socket.say(&format!("{asked}{placeholders}")).await;
        socket.say_binary(&[4, 1, 2, 3]).await;
        socket.say_binary(&[4, 4, 5, 6]).await;
        assert_eq!(socket.hear().await, format!("{answer}{placeholders}"));
        assert_eq!(socket.message().await, Message::Binary([4, 1, 2, 3][..].into()));
        assert_eq!(socket.message().await, Message::Binary([4, 4, 5, 6][..].into()));
    }
}

#[tokio::test]
async fn packets_that_are_none_close_the_connection() {
    let address = echo().await;
    let wrong = [
        "4abc",
        "42{}",
        r#"42abc["message-with-ack",1,"2",{"3":[false]}]"#,
        r#"42["connect"]"#,
        "48",
        "42[",
        r#"451-["message",{"_placeholder":true,"num":1}]"#,
        r#"459999999-["message"]"#,
    ];
    for text in wrong {
        let mut socket = Socket::connected(address).await;
        socket.say(text).await;
        socket.until_closed().await;
    }
    let mut socket = Socket::connected(address).await;
    socket.say_binary(&[1, 2, 3]).await;
    socket.until_closed().await;
}

#[tokio::test]
async fn version_3_is_in_the_root_namespace_without_asking() {
    let address = echo().await;
    let mut socket = Socket::connected_3(address).await;
    socket.say(r#"42["message",1,"2",{"3":[true]}]"#).await;
    assert_eq!(socket.hear().await, r#"42["message-back",1,"2",{"3":[true]}]"#);
    socket.say(r#"42456["message-with-ack",1]"#).await;
    assert_eq!(socket.hear().await, "43456[1]");
    socket.say("40/random").await;
    assert_eq!(socket.hear().await, r#"44/random,"Invalid namespace""#);
    socket.say("40/custom?token=abc,").await;
    assert_eq!(socket.hear().await, "40/custom,");
    assert!(socket.hear().await.starts_with(r#"42/custom,["auth","#));
    socket.say("41/custom,").await;
    socket.say(r#"42["message","still here"]"#).await;
    assert_eq!(socket.hear().await, r#"42["message-back","still here"]"#);
    socket.say("4abc").await;
    socket.until_closed().await;
}

#[tokio::test]
async fn polling_carries_what_a_websocket_does() {
    let address = echo().await;
    let open = request(address, "GET", "", "").await;
    let open: Value = serde_json::from_str(open.strip_prefix('0').expect("an open packet")).expect("JSON");
    let sid = format!("&sid={}", open["sid"].as_str().expect("a sid"));
    let placeholder = r#"{"_placeholder":true,"num":0}"#;
    let body = format!("40\x1e42[\"message\",\"ü\"]\x1e451-7[\"message-with-ack\",{placeholder}]\x1ebAQID");
    assert_eq!(request(address, "POST", &sid, &body).await, "ok");
    let mut heard = Vec::new();
    while heard.len() < 5 {
        let polled = request(address, "GET", &sid, "").await;
        heard.extend(polled.split('\x1e').filter(|packet| *packet != "2").map(str::to_owned));
    }
    assert!(heard.remove(0).starts_with(r#"40{"sid":"#));
    let ack = format!("461-7[{placeholder}]");
    assert_eq!(heard, [r#"42["auth",{}]"#, r#"42["message-back","ü"]"#, &ack, "bAQID"]);
}

/// The body of an answer.
async fn request(address: SocketAddr, method: &str, sid: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let length = body.len();
    let request = format!(
        "{method} /socket.io/?EIO=4&transport=polling{sid} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer.split_once("\r\n\r\n").expect("a head").1.to_owned()
}
