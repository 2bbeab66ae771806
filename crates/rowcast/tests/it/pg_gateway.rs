//! A whole gateway on a real PostgreSQL: rows, NOTIFY, messages and TRUNCATE on one connection, and a server that is away.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use rowcast::gateway::{Database, Gateway, LogPlace};
use rowcast::postgres::{Address, Capture, NotifySettings, PostgresSettings};
use rowcast::protocol::ServerMessage;
use servers::{Postgres, Stop};
use tokio_tungstenite::tungstenite::Message;

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

fn settings(slot: &str, capture: Capture) -> PostgresSettings {
    let notify = NotifySettings {
        channels: vec!["news".into()],
        allow: vec!["user_*".into()],
        probe_every: Duration::from_secs(1),
    };
    PostgresSettings { slot: slot.into(), publication: slot.into(), capture, notify, ..PostgresSettings::default() }
}

async fn start(url: &str, settings: PostgresSettings) -> Gateway {
    let address: Address = url.parse().expect("an address");
    let database = Database::postgres("shop", address, settings);
    Gateway::builder().database(database).log(LogPlace::Memory).start().await.expect("started")
}

/// A client of the gateway.
pub(crate) struct Client {
    socket: Socket,
}

impl Client {
    pub(crate) async fn connect(gateway: &Gateway) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("ws://{}/v1/ws", listener.local_addr().expect("an address"));
        let router = gateway.router().into_make_service_with_connect_info::<std::net::SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let (socket, _) = tokio_tungstenite::connect_async(url).await.expect("connected");
        let mut client = Self { socket };
        assert!(client.hear().await.starts_with("Hello"));
        client
    }

    pub(crate) async fn subscribe(&mut self, channel: &str) {
        let text = format!(r#"{{"type":"subscribe","id":"{channel}","channel":"{channel}"}}"#);
        self.socket.send(Message::text(text)).await.expect("sent");
    }

    /// The next message but `position`, in a few words.
    async fn hear(&mut self) -> String {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(60), self.socket.next()).await;
            let message = next.expect("in time").expect("open").expect("a message");
            let Message::Text(text) = message else { continue };
            return match serde_json::from_str(&text).expect("a message of the protocol") {
                ServerMessage::Position { .. } => continue,
                ServerMessage::Snapshot { rows, .. } => format!("{} rows", rows.len()),
                ServerMessage::Subscribed { id, .. } => format!("subscribed {id}"),
                ServerMessage::Change { op, row, last, .. } => {
                    format!("{op} {}{}", row["id"], if last { "!" } else { "" })
                }
                ServerMessage::Message { id, event, data, .. } => {
                    format!("{id} {event} {}", data.get("payload").unwrap_or(&data))
                }
                ServerMessage::Gap { reason, .. } => format!("gap {reason:?}"),
                ServerMessage::Error { code, .. } => format!("error {code:?}"),
                other => format!("{other:?}"),
            };
        }
    }

    pub(crate) async fn hears(&mut self, expected: &[&str]) {
        for expected in expected {
            assert_eq!(self.hear().await, *expected);
        }
    }
}

async fn rows_notify_and_truncate(capture: Capture) {
    let database = servers::Database::new().await.expect("a database");
    database.run("CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t VALUES (1, 1)").await;
    let gateway = start(&database.url(), settings(&database.name, capture)).await;
    let mut client = Client::connect(&gateway).await;
    client.subscribe("table:t").await;
    client.hears(&["1 rows", "subscribed table:t"]).await;
    database.run("BEGIN; INSERT INTO t VALUES (2, 2); INSERT INTO t VALUES (3, 3); COMMIT").await;
    client.hears(&["insert 2", "insert 3!"]).await;
    for channel in ["notify:news", "notify:user_7"] {
        client.subscribe(channel).await;
        assert_eq!(client.hear().await, format!("subscribed {channel}"));
    }
    client.subscribe("notify:secret").await;
    client.hears(&["error ChannelNotAllowed"]).await;
    database.run("SELECT pg_notify('user_7', 'hello')").await;
    client.hears(&["notify:user_7 notify \"hello\""]).await;
    database.run("BEGIN; INSERT INTO t VALUES (4, 4); TRUNCATE t; INSERT INTO t VALUES (5, 5); COMMIT").await;
    client.hears(&["insert 4", "gap Schema", "1 rows", "subscribed table:t"]).await;
    assert_eq!(gateway.ready(), Ok(()));
    let status = gateway.status();
    let names: Vec<_> = status["sources"].as_array().expect("a list").iter().map(|s| s["name"].as_str()).collect();
    assert_eq!(names, [Some("shop"), Some("shop:notify")]);
    assert_eq!(status["sources"][0]["database"], "postgresql");
    gateway.stop().await;
}

#[tokio::test]
async fn rows_notify_and_truncate_arrive_from_the_write_ahead_log() {
    rows_notify_and_truncate(Capture::Wal).await;
}

#[tokio::test]
async fn a_gateway_waits_for_a_server_that_is_away_and_says_so() {
    let server = Postgres::start().expect("a server");
    let database = server.database().await.expect("a database");
    database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    server.stop(Stop::Fast).expect("stopped");
    let gateway = start(&database.url(), settings("away", Capture::Wal)).await;
    assert!(gateway.ready().is_err());
    server.run().expect("started again");
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Err(reason) = gateway.ready() {
        assert!(Instant::now() < deadline, "{reason}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut client = Client::connect(&gateway).await;
    client.subscribe("table:t").await;
    client.hears(&["0 rows", "subscribed table:t"]).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_database_that_does_not_exist_stops_the_start() {
    let database = servers::Database::new().await.expect("a database");
    let url = database.url().replace(&database.name, "no_such_database");
    let address: Address = url.parse().expect("an address");
    let gateway = Gateway::builder().database(Database::postgres("shop", address, settings("x", Capture::Wal)));
    let error = gateway.start().await.err().expect("refused").to_string();
    assert!(error.contains("no_such_database"), "{error}");
}
