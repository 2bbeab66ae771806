//! Somebody's browser: it keeps the cookie, and says which page it shows.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use futures_util::{SinkExt, StreamExt};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Map, Value as Json, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::world::{COOKIE, World, issuer};

pub(crate) const PASSWORD: &str = "correct horse";

/// For all that must happen.
const DEADLINE: Duration = Duration::from_secs(60);

/// A browser that may be logged in.
#[derive(Clone)]
pub(crate) struct Browser {
    http: reqwest::Client,
    authority: String,
    pub(crate) cookie: Option<String>,
    /// The user's id.
    pub(crate) user: String,
    /// Where it is, as a proxy says.
    pub(crate) from: &'static str,
}

/// An answer: its status, and its body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Json,
}

impl Browser {
    pub(crate) fn new(world: &World) -> Self {
        Self::to(world.address)
    }

    /// One that goes to a gateway.
    pub(crate) fn to(address: SocketAddr) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { http, authority: address.to_string(), cookie: None, user: String::new(), from: "192.0.2.1" }
    }

    /// The same one, at another gateway.
    pub(crate) fn at(&self, address: SocketAddr) -> Self {
        Self { authority: address.to_string(), ..self.clone() }
    }

    /// One of somebody who has just signed up as `NAME@example.com`, where nobody is asked for a code.
    pub(crate) async fn signed_up(world: &World, name: &str) -> Self {
        Self::signed_up_at(world.address, name).await
    }

    /// The same at a gateway.
    pub(crate) async fn signed_up_at(address: SocketAddr, name: &str) -> Self {
        let mut browser = Self::to(address);
        let body = json!({ "email": format!("{name}@example.com"), "password": PASSWORD, "name": name });
        let answer = browser.post("/signup", body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        browser
    }

    /// One with a token of an identity provider that the gateway trusts.
    pub(crate) fn known_elsewhere(world: &World, user: &str) -> Self {
        let claims = Map::from_iter([("sub".to_owned(), Json::from(user))]);
        let token = issuer().0.issue(claims, SystemTime::now()).expect("a token");
        Self { cookie: Some(format!("{COOKIE}={token}")), user: user.to_owned(), ..Self::new(world) }
    }

    pub(crate) fn request(&self, method: Method, target: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("http://{}{target}", self.authority));
        let request = request.header("origin", format!("http://{}", self.authority));
        let request = request.header("x-forwarded-for", self.from);
        match &self.cookie {
            Some(cookie) => request.header("cookie", cookie),
            None => request,
        }
    }

    /// Sends a request, and keeps what cookie it is given.
    pub(crate) async fn send(&mut self, request: RequestBuilder) -> Answer {
        let response = request.send().await.expect("an answer");
        let is_known = self.keep_cookie(&response);
        let status = response.status().as_u16();
        let text = response.text().await.expect("text");
        let body = serde_json::from_str(&text).unwrap_or(Json::String(text));
        if let Some(user) = body.pointer("/user/id").and_then(Json::as_str).filter(|_| is_known) {
            self.user = user.to_owned();
        }
        Answer { status, body }
    }

    /// Whether it is somebody's from now on.
    fn keep_cookie(&mut self, response: &Response) -> bool {
        let Some(set) = response.headers().get("set-cookie").and_then(|set| set.to_str().ok()) else { return false };
        let pair = set.split(';').next().unwrap_or_default();
        self.cookie = (pair != format!("{COOKIE}=")).then(|| pair.to_owned());
        self.cookie.is_some()
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(self.request(Method::GET, &format!("/chat/api{path}"))).await
    }

    pub(crate) async fn post(&mut self, path: &str, body: Json) -> Answer {
        self.send(self.request(Method::POST, &format!("/chat/api{path}")).json(&body)).await
    }

    pub(crate) async fn patch(&mut self, path: &str, body: Json) -> Answer {
        self.send(self.request(Method::PATCH, &format!("/chat/api{path}")).json(&body)).await
    }

    /// Rows of a table as a client of Rowcast reads them.
    pub(crate) async fn rows(&self, table: &str) -> Vec<Json> {
        let response = self.request(Method::GET, &format!("/v1/tables/{table}")).send().await.expect("an answer");
        let status = response.status();
        let body: Json = response.json().await.expect("JSON");
        assert!(status.is_success(), "{table}: {body}");
        body.as_array().expect("rows").clone()
    }

    /// What a table of which one may read nothing answers.
    pub(crate) async fn status_of_table(&self, table: &str) -> u16 {
        self.request(Method::GET, &format!("/v1/tables/{table}")).send().await.expect("an answer").status().as_u16()
    }

    /// A live connection, as a page opens it.
    pub(crate) async fn live(&self) -> Live {
        let mut request = format!("ws://{}/v1/ws", self.authority).into_client_request().expect("a request");
        let origin = format!("http://{}", self.authority).parse().expect("a value");
        request.headers_mut().insert("origin", origin);
        if let Some(cookie) = &self.cookie {
            request.headers_mut().insert("cookie", cookie.parse().expect("a value"));
        }
        let (socket, _) = connect_async(request).await.expect("connected");
        let mut live = Live(socket);
        live.hears("hello").await;
        live
    }
}

/// A live connection.
pub(crate) struct Live(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Live {
    pub(crate) async fn say(&mut self, message: Json) {
        self.0.send(Message::text(message.to_string())).await.expect("sent");
    }

    /// Follows a channel, and returns when all of it is there.
    pub(crate) async fn follow(&mut self, channel: &str) -> Vec<Json> {
        self.say(json!({ "type": "subscribe", "id": channel, "channel": channel })).await;
        let mut rows = Vec::new();
        loop {
            let message = self.next().await.expect("a message");
            match message["type"].as_str() {
                Some("snapshot") => rows.extend(message["rows"].as_array().expect("rows").clone()),
                Some("subscribed") => return rows,
                Some("error") => panic!("{channel}: {message}"),
                _ => {}
            }
        }
    }

    /// The next message; `None` where there are no more.
    pub(crate) async fn next(&mut self) -> Option<Json> {
        loop {
            match tokio::time::timeout(DEADLINE, self.0.next()).await.expect("something") {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).expect("JSON")),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The next message of a type, others aside.
    pub(crate) async fn hears(&mut self, kind: &str) -> Json {
        loop {
            let message = self.next().await.unwrap_or_else(|| panic!("the connection has ended without `{kind}`"));
            if message["type"] == kind {
                return message;
            }
        }
    }
}
