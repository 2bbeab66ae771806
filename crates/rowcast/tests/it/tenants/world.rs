//! A gateway that asks for tokens of tenants, and a client of each kind.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::HeaderValue;
use futures_util::{SinkExt, StreamExt};
use jsonwebtoken::{EncodingKey, Header};
use reqwest::Response;
use rowcast::auth::rules::{RuleSpec, Rules};
use rowcast::auth::{Algorithm, Auth, Expect, Key, Tokens, Trust};
use rowcast::gateway::{Allowances, Database, Gateway, LogPlace, Proxies};
use rowcast::socketio::Io;
use rowcast::source::sqlite::SqliteSettings;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::delivery_contract::speedometer;
use crate::socketio::client::Served;

const SECRET: &[u8] = b"a secret of the tests, which is long enough";

/// For all that must happen.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

pub(super) struct World {
    pub(super) gateway: Gateway,
    served: Served,
    http: reqwest::Client,
    folder: TempDir,
}

/// A token of a tenant's user.
pub(super) fn token(tenant: &str, user: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let claims = json!({ "sub": user, "tenant": tenant, "iat": now - 5, "exp": now + 3_600 });
    jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET)).expect("a token")
}

fn auth() -> Auth {
    let key = Key::secret(SECRET, None, &[Algorithm::Hs256]).expect("a key");
    let expect = Expect { tenant: Some("tenant".into()), ..Expect::default() };
    let tokens = Tokens::new(Trust { keys: vec![key], expect, ..Trust::default() });
    let yes = || Some("true".to_owned());
    let rooms = RuleSpec { channel: Some("room:*".into()), subscribe: yes(), publish: yes(), ..RuleSpec::default() };
    let rows = RuleSpec { table: Some(speedometer().name), read: yes(), insert: yes(), ..RuleSpec::default() };
    let rules = Rules::new(vec![rooms, rows], Some("claims.sub = 'root'"), None);
    Auth { tokens, rules: rules.expect("rules"), ..Auth::default() }
}

impl World {
    pub(super) async fn new(allowances: Allowances) -> Self {
        Self::behind(allowances, Proxies::default()).await
    }

    pub(super) async fn behind(allowances: Allowances, proxies: Proxies) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::sqlite("app", folder.path().join("app.db"), SqliteSettings::default());
        let builder = Gateway::builder().database(database).log(LogPlace::Memory).tables(vec![speedometer()]);
        let builder = builder.socketio(Io::new(rowcast::socketio::Settings::default())).auth(auth());
        let gateway = builder.allowances(allowances).proxies(proxies).start().await.expect("started");
        let served = Served::new(gateway.router()).await;
        Self { gateway, served, http: reqwest::Client::new(), folder }
    }

    /// Another program writes rows.
    pub(super) fn insert(&self, rows: usize) {
        let other = rusqlite::Connection::open(self.folder.path().join("app.db")).expect("opened");
        other.busy_timeout(Duration::from_secs(10)).expect("set");
        for n in 0..rows {
            let sql = r#"INSERT INTO "Data" (time, speed) VALUES ('1', ?)"#;
            other.execute(sql, [n.to_string()]).expect("inserted");
        }
    }

    pub(super) async fn get(&self, target: &str, token: &str) -> Response {
        let request = self.http.get(format!("http://{}{target}", self.served.address)).bearer_auth(token);
        request.send().await.expect("an answer")
    }

    pub(super) async fn post(&self, target: &str, token: &str, kind: &str, body: String) -> Response {
        let request = self.http.post(format!("http://{}{target}", self.served.address)).bearer_auth(token);
        request.header("content-type", kind).body(body).send().await.expect("an answer")
    }

    pub(super) async fn publish(&self, token: &str, channel: &str, data: &Json) -> Response {
        let body = json!({ "channel": channel, "event": "said", "data": data });
        self.post("/v1/publish", token, "application/json", body.to_string()).await
    }

    /// A stream of events, if it is let in.
    pub(super) async fn stream(&self, token: &str, query: &str) -> Result<Stream, Response> {
        let response = self.get(&format!("/v1/stream?{query}"), token).await;
        if response.status() != 200 { Err(response) } else { Ok(Stream { response, text: String::new() }) }
    }

    async fn open(
        &self,
        target: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Socket, (u16, Option<String>, Json)> {
        let mut request = format!("ws://{}{target}", self.served.address).into_client_request().expect("a request");
        for (name, value) in headers {
            request.headers_mut().append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        match connect_async(request).await {
            Ok((socket, _)) => Ok(Socket(socket)),
            Err(Error::Http(response)) => {
                let retry = response.headers().get("retry-after").map(|value| value.to_str().expect("text").to_owned());
                let body = response.body().as_deref().unwrap_or_default();
                Err((response.status().as_u16(), retry, serde_json::from_slice(body).unwrap_or(Json::Null)))
            }
            Err(error) => panic!("{target}: {error}"),
        }
    }

    /// A native client, if it is let in; otherwise the status, `Retry-After` and the body.
    pub(super) async fn socket(&self, token: &str) -> Result<Socket, (u16, Option<String>, Json)> {
        self.socket_from(token, "192.0.2.1").await
    }

    /// The same, through a proxy that says where it comes from.
    pub(super) async fn socket_from(&self, token: &str, from: &str) -> Result<Socket, (u16, Option<String>, Json)> {
        let bearer = format!("Bearer {token}");
        let mut socket = self.open("/v1/ws", &[("authorization", &bearer), ("x-forwarded-for", from)]).await?;
        assert_eq!(socket.next().await["type"], "hello");
        Ok(socket)
    }

    /// A Socket.IO client in the root namespace, if it is let in.
    pub(super) async fn socketio(&self, token: &str) -> Result<Socket, (u16, Option<String>, Json)> {
        let bearer = [("authorization", &*format!("Bearer {token}"))];
        let mut socket = self.open("/socket.io/?EIO=4&transport=websocket", &bearer).await?;
        assert!(socket.text().await.starts_with('0'));
        socket.send("40".into()).await;
        let connected = socket.text().await;
        assert!(connected.starts_with("40"), "{connected}");
        Ok(socket)
    }

    /// Waits until nobody is connected, and nothing is in anybody's account.
    pub(super) async fn until_nobody(&self) {
        let nothing = |status: &Json| {
            let tenants = status["tenants"].as_object().expect("tenants");
            let none = |tenant: &Json| tenant["connections"] == 0 && tenant["subscriptions"] == 0;
            status["session_count"] == 0 && tenants.values().all(none)
        };
        let waiting = async {
            while !nothing(&self.gateway.status()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(DEADLINE, waiting).await.expect("nobody");
    }
}

/// A WebSocket.
pub(super) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub(super) async fn send(&mut self, text: String) {
        self.0.send(Message::text(text)).await.expect("sent");
    }

    pub(super) async fn say(&mut self, message: &Json) {
        self.send(message.to_string()).await;
    }

    /// Says goodbye.
    pub(super) async fn close(mut self) {
        let _ = self.0.close(None).await;
    }

    /// The next text; `None` at the end.
    async fn heard(&mut self) -> Option<String> {
        loop {
            match tokio::time::timeout(DEADLINE, self.0.next()).await.expect("something") {
                Some(Ok(Message::Text(text))) if text.as_str() == "2" => self.send("3".into()).await,
                Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    pub(super) async fn text(&mut self) -> String {
        self.heard().await.expect("a text")
    }

    pub(super) async fn next(&mut self) -> Json {
        serde_json::from_str(&self.text().await).expect("JSON")
    }

    /// The next message of one of these types.
    pub(super) async fn hears(&mut self, kinds: &[&str]) -> Json {
        loop {
            let message = self.next().await;
            if kinds.iter().any(|kind| message["type"] == *kind) {
                return message;
            }
        }
    }

    /// Follows a channel; the answer.
    pub(super) async fn subscribe(&mut self, id: &str, channel: &str) -> Json {
        self.say(&json!({ "type": "subscribe", "id": id, "channel": channel })).await;
        self.hears(&["subscribed", "error"]).await
    }

    /// The next Socket.IO event of one of these names: its name and its argument.
    pub(super) async fn event(&mut self, names: &[&str]) -> (String, Json) {
        loop {
            let text = self.text().await;
            let Some(event) = text.strip_prefix("42") else { continue };
            // Name, argument, and an offset where the client may come back.
            let mut parts: Vec<Json> = serde_json::from_str(event).expect("an event");
            let name = parts[0].as_str().expect("a name").to_owned();
            if names.contains(&&*name) {
                return (name, parts.swap_remove(1));
            }
        }
    }

    /// What is said until it is closed; the reason is in the last.
    pub(super) async fn heard_to_end(&mut self) -> Vec<Json> {
        let mut said = Vec::new();
        while let Some(text) = self.heard().await {
            said.push(serde_json::from_str(&text).unwrap_or(Json::Null));
        }
        said
    }
}

/// A stream of events.
pub(super) struct Stream {
    response: Response,
    text: String,
}

impl Stream {
    /// The next event: its name, its id and its data.
    pub(super) async fn event(&mut self) -> Option<(String, String, Json)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let line = event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                    line.unwrap_or_default().to_owned()
                };
                let found = (field("event"), field("id"), serde_json::from_str(&field("data")).unwrap_or(Json::Null));
                self.text = rest.to_owned();
                if found.2.is_null() {
                    continue;
                }
                return Some(found);
            }
            let chunk = tokio::time::timeout(DEADLINE, self.response.chunk()).await.expect("something").ok()??;
            self.text.push_str(&String::from_utf8_lossy(&chunk));
        }
    }
}
