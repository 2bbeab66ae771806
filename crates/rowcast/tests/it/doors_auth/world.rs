//! A gateway on a fresh file that asks for tokens, who makes them, and clients of each door.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::HeaderValue;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{SinkExt, StreamExt};
use jsonwebtoken::{EncodingKey, Header};
use reqwest::{Method, RequestBuilder};
use rowcast::auth::rules::{RuleSpec, Rules};
use rowcast::auth::{Algorithm, Auth, Expect, Issuer, Settings, Tokens, Trust, User, Users};
use rowcast::gateway::{Database, DropIns, Gateway, Influx, Limits, LogPlace, Origins};
use rowcast::socketio::Io;
use rowcast::source::sqlite::SqliteSettings;
use rowcast::transport::dropin::{Eventserv, Pgws, PostgresWebsockets};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::delivery_contract::speedometer;
use crate::socketio::client::Served;

pub(crate) const SECRET: &[u8] = b"a secret of the tests, which is long enough";
pub(crate) const AUDIENCE: &str = "the tests";
pub(super) const PASSWORD: &str = "the password of the tests";
pub(super) const COOKIE: &str = "rowcast_token";

/// For all that must happen.
const DEADLINE: Duration = Duration::from_secs(30);

pub(super) struct World {
    pub(super) gateway: Gateway,
    pub(super) served: Served,
    pub(super) http: reqwest::Client,
    folder: TempDir,
}

/// How a world differs from the usual.
pub(super) struct Wish {
    pub(super) settings: Settings,
    pub(super) limits: Limits,
    pub(super) origins: Origins,
    pub(super) io: Io,
}

impl Default for Wish {
    fn default() -> Self {
        let settings = Settings { cookie: Some(COOKIE.into()), ..Settings::default() };
        let (limits, origins) = (Limits::default(), Origins::default());
        Self { settings, limits, origins, io: Io::new(rowcast::socketio::Settings::default()) }
    }
}

pub(crate) fn auth(settings: Settings) -> Auth {
    let yes = || Some("true".to_owned());
    let (mut issuer, key) = Issuer::secret(SECRET, None, &[Algorithm::Hs256]).expect("a key");
    issuer.audience = Some(AUDIENCE.into());
    let expect = Expect { audiences: vec![AUDIENCE.into()], leeway: Duration::ZERO, ..Expect::default() };
    let tokens = Tokens::new(Trust { keys: vec![key], expect, ..Trust::default() });
    let table =
        RuleSpec { table: Some("Data".parse().expect("a name")), read: yes(), insert: yes(), ..RuleSpec::default() };
    let rooms =
        RuleSpec { channel: Some("room:{room}".into()), subscribe: yes(), publish: yes(), ..RuleSpec::default() };
    let notify = RuleSpec { channel: Some("notify:*".into()), subscribe: yes(), ..RuleSpec::default() };
    let rules = Rules::new(vec![table, rooms, notify], Some("claims.sub = 'admin'"), None).expect("rules");
    let password_hash = rowcast::auth::hash_password(PASSWORD).expect("a hash");
    let claims = [("role".to_owned(), json!("member"))].into_iter().collect();
    let users = Users::new(vec![User { name: "carla".into(), password_hash, claims }]).expect("users");
    Auth { tokens, rules, users, issuer: Some(issuer), settings, ..Auth::default() }
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with(Wish::default()).await
    }

    pub(super) async fn with(wish: Wish) -> Self {
        // One for the process; another test may have been faster.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::sqlite("app", folder.path().join("app.db"), SqliteSettings::default());
        let drop_ins = DropIns {
            pgws: Some(Pgws::default()),
            eventserv: Some(Eventserv::default()),
            postgres_websockets: Some(PostgresWebsockets::new(SECRET)),
        };
        let builder = Gateway::builder().database(database).log(LogPlace::Memory).tables(vec![speedometer()]);
        let builder = builder.influx(Influx::default()).drop_ins(drop_ins).socketio(wish.io);
        let builder = builder.limits(wish.limits).origins(wish.origins).auth(auth(wish.settings));
        let gateway = builder.start().await.expect("started");
        let served = Served::new(gateway.router()).await;
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        Self { gateway, served, http, folder }
    }

    pub(super) fn authority(&self) -> String {
        self.served.address.to_string()
    }

    pub(super) fn request(&self, method: Method, target: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{target}", self.served.address))
    }

    pub(super) fn get(&self, target: &str) -> RequestBuilder {
        self.request(Method::GET, target)
    }

    pub(super) fn post(&self, target: &str, body: &Json) -> RequestBuilder {
        self.request(Method::POST, target).header("content-type", "application/json").body(body.to_string())
    }

    /// An open socket, or the answer instead: its status and its body.
    pub(super) async fn socket(
        &self,
        target: &str,
        headers: &[(&'static str, String)],
    ) -> Result<Socket, (u16, String)> {
        let mut request = format!("ws://{}{target}", self.served.address).into_client_request().expect("a request");
        for (name, value) in headers {
            request.headers_mut().append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        match connect_async(request).await {
            Ok((socket, _)) => Ok(Socket(socket)),
            Err(Error::Http(response)) => {
                let body = response.body().as_deref().unwrap_or_default();
                Err((response.status().as_u16(), String::from_utf8_lossy(body).into_owned()))
            }
            Err(error) => panic!("{target}: {error}"),
        }
    }

    /// A native client that has shown a token.
    pub(super) async fn client(&self, token: &str) -> Socket {
        let mut socket = self.socket("/v1/ws", &[bearer(token)]).await.expect("a socket");
        assert_eq!(socket.next().await["type"], "hello");
        socket
    }

    /// Another program writes a row.
    pub(super) fn insert(&self, speed: u32) {
        let path: PathBuf = self.folder.path().join("app.db");
        let other = rusqlite::Connection::open(path).expect("opened");
        other.busy_timeout(Duration::from_secs(10)).expect("set");
        other.execute(r#"INSERT INTO "Data" (time, speed) VALUES ('1', ?)"#, [speed.to_string()]).expect("inserted");
    }

    /// Waits until so many clients are connected.
    pub(super) async fn until_connected(&self, count: u64) {
        let waiting = async {
            while self.gateway.status()["session_count"] != count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(DEADLINE, waiting).await.expect("so many clients");
    }
}

pub(crate) fn bearer(token: &str) -> (&'static str, String) {
    ("authorization", format!("Bearer {token}"))
}

pub(super) fn cookie(token: &str) -> (&'static str, String) {
    ("cookie", format!("other=1; {COOKIE}={token}"))
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

pub(crate) fn sign(claims: &Json, secret: &[u8]) -> String {
    jsonwebtoken::encode(&Header::default(), claims, &EncodingKey::from_secret(secret)).expect("a token")
}

/// A good token of a user.
pub(crate) fn token(user: &str) -> String {
    token_for(user, 3600)
}

/// One that expires in so many seconds. Each is another one.
pub(crate) fn token_for(user: &str, seconds: u64) -> String {
    let number = rand::random::<u32>();
    let claims =
        json!({ "sub": user, "aud": AUDIENCE, "iat": now() - 5, "exp": now() + seconds, "jti": number.to_string() });
    sign(&claims, SECRET)
}

/// Tokens that nobody accepts, by what is wrong with them, and what is said about it.
pub(super) fn bad_tokens() -> Vec<(&'static str, String, &'static str)> {
    let good = json!({ "sub": "anna", "aud": AUDIENCE, "iat": now() - 5, "exp": now() + 3600 });
    let with = |name: &str, value: Json| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let unsigned = |header: &str| {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.", part(header), part(&good.to_string()))
    };
    let none = "the token is not valid";
    vec![
        ("garbage", "garbage".into(), none),
        ("dots", "a.b.c".into(), none),
        ("alg none", unsigned(r#"{"alg":"none","typ":"JWT"}"#), none),
        ("alg NONE", unsigned(r#"{"alg":"NONE"}"#), none),
        ("wrong key", sign(&good, b"another secret that is long enough, too"), none),
        ("wrong audience", sign(&with("aud", json!("others")), SECRET), none),
        ("expired", sign(&with("exp", json!(now() - 60)), SECRET), "the token has expired"),
        ("early", sign(&with("nbf", json!(now() + 600)), SECRET), "the token is not valid yet"),
        ("revoked", sign(&with("sub", json!("revoked")), SECRET), "the token was revoked"),
    ]
}

/// Takes back all tokens of a user called `revoked`.
pub(super) async fn revoke_one(world: &World) {
    let answer = world
        .post("/v1/admin/revoke", &json!({ "user": "revoked" }))
        .header("authorization", bearer(&token("admin")).1);
    let answer = answer.send().await.expect("an answer");
    assert!(answer.status().is_success(), "{:?}", answer.text().await);
}

/// A WebSocket.
pub(super) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub(super) async fn say(&mut self, message: &Json) {
        self.0.send(Message::text(message.to_string())).await.expect("sent");
    }

    pub(super) async fn message(&mut self) -> Option<Message> {
        loop {
            let next = tokio::time::timeout(DEADLINE, self.0.next()).await.expect("something");
            match next {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(message)) => return Some(message),
                Some(Err(_)) | None => return None,
            }
        }
    }

    pub(super) async fn text(&mut self) -> String {
        match self.message().await {
            Some(Message::Text(text)) => text.to_string(),
            other => panic!("no text: {other:?}"),
        }
    }

    pub(super) async fn next(&mut self) -> Json {
        serde_json::from_str(&self.text().await).expect("JSON")
    }

    /// The next message of a type, others aside.
    pub(super) async fn hears(&mut self, kind: &str) -> Json {
        loop {
            let message = self.next().await;
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// Says something, and waits for an answer of this type, or an error.
    pub(super) async fn ask(&mut self, message: &Json, kind: &str) -> Json {
        self.say(message).await;
        loop {
            let answer = self.next().await;
            if answer["type"] == kind || answer["type"] == "error" {
                return answer;
            }
        }
    }

    /// All that is still said, and the code that it ends with.
    pub(super) async fn read_to_end(&mut self) -> (Vec<Json>, Option<u16>) {
        let mut said = Vec::new();
        loop {
            match self.message().await {
                Some(Message::Text(text)) => said.push(serde_json::from_str(&text).unwrap_or(Json::Null)),
                Some(Message::Close(frame)) => return (said, frame.map(|frame| frame.code.into())),
                Some(_) => {}
                None => return (said, None),
            }
        }
    }
}
