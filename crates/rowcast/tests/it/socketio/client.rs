//! A Socket.IO client over a bare WebSocket, and a gateway over an SQLite file for it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rowcast::event::{Channel, TableName};
use rowcast::gateway::{Database, Drain, EventName, Gateway, LogPlace, StartError};
use rowcast::log::local::LogSettings;
use rowcast::socketio::{Io, Push, Settings, Shape, What};
use rowcast::source::sqlite::SqliteSettings;
use serde_json::{Value as Json, json};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::delivery_contract::speedometer;

/// A program that serves Socket.IO on some port.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    serving: AbortHandle,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Served {
    pub(crate) async fn new(router: axum::Router) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let served = axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>());
        let serving = tokio::spawn(async move { served.await.expect("served") }).abort_handle();
        Self { address, serving }
    }
}

/// A gateway over the speedometer's table.
pub(crate) struct World {
    pub(crate) gateway: Gateway,
    pub(crate) served: Served,
}

impl World {
    /// In a folder, which may be that of an earlier one.
    pub(crate) async fn start(folder: &Path, settings: Settings) -> Self {
        let gateway = loop {
            match Self::try_start(folder, settings.clone()).await {
                Ok(gateway) => break gateway,
                // What an earlier one has read is kept for a moment for others who ask for the same.
                Err(error) if error.to_string().contains("is open in another process") => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("{error}"),
            }
        };
        let served = Served::new(gateway.router()).await;
        Self { gateway, served }
    }

    async fn try_start(folder: &Path, settings: Settings) -> Result<Gateway, StartError> {
        let database = Database::sqlite("rtdb", folder.join("rtdb.db"), SqliteSettings::default());
        let log = LogPlace::Directory(folder.join("log"), LogSettings::default());
        let event = EventName {
            fields: vec!["time".into(), "speed".into()],
            as_text: true,
            ..EventName::new("newData", TableName::bare("Data"))
        };
        let builder = Gateway::builder().database(database).log(log).tables(vec![speedometer()]).event(event);
        builder.socketio(Io::new(settings)).start().await
    }

    pub(crate) fn io(&self) -> &Io {
        self.gateway.io().expect("it is served")
    }

    pub(crate) async fn stop(self) {
        let drain = Drain { per_second: 10_000, retry: Duration::ZERO, spread: Some(Duration::ZERO) };
        self.gateway.drain(drain).await;
        drop(self.served);
        self.gateway.stop().await;
    }
}

/// Another program that writes.
pub(crate) fn insert(folder: &Path, speed: u32) {
    let other = rusqlite::Connection::open(folder.join("rtdb.db")).expect("opened");
    other.busy_timeout(Duration::from_secs(10)).expect("set");
    let sql = r#"INSERT INTO "Data" (time, speed) VALUES ('1718000000123', ?)"#;
    other.execute(sql, [speed.to_string()]).expect("inserted");
}

pub(crate) fn new_data() -> Settings {
    let what = What::Channel(Channel::Event("newData".into()), Shape::Plain);
    let push = Push { event: "newData".into(), what, after: None, listeners: Vec::new() };
    Settings { pushes: vec![push], ..Settings::default() }
}

/// One client.
pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub(crate) sid: String,
    pub(crate) pid: Option<String>,
    /// The last text at the end of an event, as Socket.IO's client keeps it.
    pub(crate) offset: Option<String>,
}

impl Client {
    /// With an Engine.IO session, in no namespace.
    pub(crate) async fn open(address: SocketAddr, eio: u8) -> Self {
        Self::open_at(&format!("ws://{address}/socket.io/?EIO={eio}&transport=websocket&token=t"), &[]).await
    }

    /// The same with a URL and headers of one's own.
    pub(crate) async fn open_at(url: &str, headers: &[(&'static str, String)]) -> Self {
        let mut request = url.into_client_request().expect("a request");
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().expect("a value"));
        }
        let (socket, _) = connect_async(request).await.expect("a WebSocket");
        let mut client = Self { socket, sid: String::new(), pid: None, offset: None };
        let open = client.text().await;
        assert!(open.starts_with("0{"), "{open}");
        client
    }

    /// In the root namespace.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let mut client = Self::open(address, 4).await;
        client.join("/", None).await;
        client
    }

    /// Comes back with what an earlier client has. Returns whether it was recovered.
    pub(crate) async fn come_back(address: SocketAddr, before: &Self) -> (Self, bool) {
        let mut client = Self::open(address, 4).await;
        let mut auth = json!({ "pid": before.pid });
        if let Some(offset) = &before.offset {
            auth["offset"] = offset.as_str().into();
        }
        client.offset.clone_from(&before.offset);
        client.join("/", Some(auth)).await;
        let recovered = client.pid == before.pid;
        assert_eq!(recovered, client.sid == before.sid);
        (client, recovered)
    }

    pub(crate) async fn join(&mut self, namespace: &str, auth: Option<Json>) {
        let place = if namespace == "/" { String::new() } else { format!("{namespace},") };
        self.say(&format!("40{place}{}", auth.map(|auth| auth.to_string()).unwrap_or_default())).await;
        let answer = self.text().await;
        let json = answer.strip_prefix(&format!("40{place}")).unwrap_or_else(|| panic!("refused: {answer}"));
        let answer: Json = serde_json::from_str(json).expect("JSON");
        self.sid = answer["sid"].as_str().expect("a sid").to_owned();
        self.pid = answer["pid"].as_str().map(str::to_owned);
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.expect("sent");
    }

    pub(crate) async fn say_binary(&mut self, data: &[u8]) {
        self.socket.send(Message::binary(data.to_vec())).await.expect("sent");
    }

    /// The next message, pings answered.
    pub(crate) async fn message(&mut self) -> Option<Message> {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(30), self.socket.next()).await.expect("something");
            match next {
                Some(Ok(Message::Text(text))) if text == "2" => self.say("3").await,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(message)) => return Some(message),
                Some(Err(_)) | None => return None,
            }
        }
    }

    pub(crate) async fn text(&mut self) -> String {
        match self.message().await {
            Some(Message::Text(text)) => text.to_string(),
            other => panic!("no text: {other:?}"),
        }
    }

    pub(crate) async fn binary(&mut self) -> Vec<u8> {
        match self.message().await {
            Some(Message::Binary(data)) => data.to_vec(),
            other => panic!("nothing binary: {other:?}"),
        }
    }

    /// Until the server has closed.
    pub(crate) async fn closed(&mut self) {
        while let Some(message) = self.message().await {
            if let Message::Close(_) = message {
                return;
            }
        }
    }

    /// As a network does it: without a word.
    pub(crate) async fn drop_connection(&mut self) {
        if let MaybeTlsStream::Plain(stream) = self.socket.get_mut() {
            let _ = tokio::io::AsyncWriteExt::shutdown(stream).await;
        }
        while self.message().await.is_some() {}
    }

    /// The next event of the root namespace: name and arguments.
    pub(crate) async fn event(&mut self) -> (String, Vec<Json>) {
        let text = self.text().await;
        let json = text.strip_prefix("42").unwrap_or_else(|| panic!("no event: {text}"));
        let mut all: Vec<Json> = serde_json::from_str(json).expect("JSON");
        if let (Some(Json::String(offset)), true, true) = (all.last(), self.pid.is_some(), all.len() > 1) {
            self.offset = Some(offset.clone());
        }
        let name = all.remove(0).as_str().expect("a name").to_owned();
        (name, all)
    }

    /// The next event of a name, others aside.
    pub(crate) async fn hears(&mut self, expected: &str) -> Vec<Json> {
        loop {
            let (name, arguments) = self.event().await;
            if name == expected {
                return arguments;
            }
        }
    }

    /// Asks, and passes over events until the answer is there. Answers with the events, too.
    pub(crate) async fn ask(&mut self, name: &str, data: Json) -> (Json, Vec<(String, Vec<Json>)>) {
        self.say(&format!("427{}", json!([name, data]))).await;
        let mut events = Vec::new();
        loop {
            let text = self.text().await;
            if let Some(answer) = text.strip_prefix("437") {
                let answer: Vec<Json> = serde_json::from_str(answer).expect("JSON");
                return (answer.into_iter().next().unwrap_or(Json::Null), events);
            }
            let mut all: Vec<Json> = serde_json::from_str(text.strip_prefix("42").expect("an event")).expect("JSON");
            if let (Some(Json::String(offset)), true, true) = (all.last(), self.pid.is_some(), all.len() > 1) {
                self.offset = Some(offset.clone());
            }
            events.push((all.remove(0).as_str().expect("a name").to_owned(), all));
        }
    }
}
