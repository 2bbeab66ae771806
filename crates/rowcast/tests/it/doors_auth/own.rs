//! A program's own routes, beside the gateway's: who uses them is known as everywhere, and the program makes people known itself.

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::{ConnectInfo, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json as Body, Router};
use reqwest::{Method, RequestBuilder};
use rowcast::gateway::{Caller, Refusal, Sessions};
use serde_json::{Value as Json, json};

use super::world::{COOKIE, World, bad_tokens, bearer, cookie, revoke_one, token};
use crate::socketio::client::Served;

/// A program with accounts: `/own/…` is for who is known, `/join` and `/ping` for everybody.
struct Program {
    world: World,
    served: Served,
}

impl Program {
    async fn start() -> Self {
        let world = World::new().await;
        let sessions = world.gateway.sessions();
        let own = Router::new()
            .route("/own/name", get(name).post(name).patch(name))
            .route("/v1/login", post(name))
            .route("/leave", post(leave))
            .route("/renew", post(renew))
            .with_state(sessions.clone());
        let open = Router::new().route("/join", post(join)).route("/ping", get(ping).delete(ping)).with_state(sessions);
        let router = world.gateway.for_clients(own).merge(world.gateway.for_everybody(open));
        Self { served: Served::new(router).await, world }
    }

    fn request(&self, method: Method, target: &str) -> RequestBuilder {
        self.world.http.request(method, format!("http://{}{target}", self.served.address))
    }

    fn join(&self, user: &str) -> RequestBuilder {
        self.request(Method::POST, "/join").json(&json!({ "user": user }))
    }
}

async fn name(Caller(identity): Caller) -> String {
    identity.user.as_deref().unwrap_or("nobody").to_owned()
}

async fn ping(Caller(identity): Caller, ConnectInfo(peer): ConnectInfo<SocketAddr>) -> String {
    format!("{:?} {}", identity.standing, peer.ip())
}

async fn join(
    State(sessions): State<Sessions>,
    parts: Parts,
    Body(body): Body<Json>,
) -> Result<impl IntoResponse, Refusal> {
    let claims = [("sub".to_owned(), body["user"].clone())].into_iter().collect();
    let known = sessions.begin(&parts, claims, Some(Duration::from_secs(600))).await?;
    Ok(([(header::SET_COOKIE, known.cookie)], known.identity.user.as_deref().unwrap_or_default().to_owned()))
}

async fn leave(State(sessions): State<Sessions>, parts: Parts) -> Result<impl IntoResponse, Refusal> {
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, sessions.end(&parts)?)]))
}

async fn renew(
    State(sessions): State<Sessions>,
    Caller(identity): Caller,
    parts: Parts,
) -> Result<impl IntoResponse, Refusal> {
    let closed = sessions.revoke(identity.user.as_deref().unwrap_or_default()).await?;
    let claims = [("sub".to_owned(), identity.user.as_deref().into())].into_iter().collect();
    let known = sessions.begin(&parts, claims, None).await?;
    Ok(([(header::SET_COOKIE, known.cookie)], closed.to_string()))
}

async fn status_of(request: RequestBuilder) -> u16 {
    request.send().await.expect("an answer").status().as_u16()
}

/// The cookie of an answer, as a browser sends it back.
fn cookie_of(answer: &reqwest::Response) -> String {
    let set = answer.headers()["set-cookie"].to_str().expect("text");
    assert!(set.starts_with(&format!("{COOKIE}=")) && set.contains("; Path=/; HttpOnly; SameSite=Strict; "), "{set}");
    set.split(';').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn own_routes_know_who_asks() {
    let program = Program::start().await;
    revoke_one(&program.world).await;
    let anna = token("anna");
    let own = |target| program.request(Method::GET, target);
    let answer = own("/own/name").header(bearer(&anna).0, bearer(&anna).1).send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.text().await.expect("text")), (200, "anna".to_owned()));
    let with_cookie = own("/own/name").header(cookie(&anna).0, cookie(&anna).1);
    assert_eq!(status_of(with_cookie).await, 200);
    assert_eq!(status_of(own("/own/name")).await, 401);
    let in_query = program.request(Method::GET, &format!("/own/name?access_token={anna}"));
    assert_eq!(status_of(in_query).await, 401, "no token in an URL");
    for (what, bad, _) in bad_tokens() {
        assert_eq!(status_of(own("/own/name").header(bearer(&bad).0, bearer(&bad).1)).await, 401, "{what}");
    }
    // Its name does not make it the gateway's log-in, which needs no token.
    assert_eq!(status_of(program.request(Method::POST, "/v1/login")).await, 401);
    assert_eq!(
        status_of(program.request(Method::PUT, "/own/name").header(bearer(&anna).0, bearer(&anna).1)).await,
        405
    );
}

#[tokio::test]
async fn pages_of_others_cannot_use_own_routes() {
    let program = Program::start().await;
    let anna = token("anna");
    for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
        let change = program.request(Method::PATCH, "/own/name").header(cookie(&anna).0, cookie(&anna).1);
        assert_eq!(status_of(change.header(name, value)).await, 403, "{name} with the cookie");
        assert_eq!(status_of(program.join("anna").header(name, value)).await, 403, "{name} without");
        assert_eq!(status_of(program.request(Method::DELETE, "/ping").header(name, value)).await, 403);
    }
    let form = program.request(Method::POST, "/join").header("content-type", "text/plain").body(r#"{"user":"anna"}"#);
    assert_eq!(status_of(form).await, 415, "what a form can send");
    let own = format!("http://{}", program.served.address);
    assert_eq!(status_of(program.join("anna").header("origin", &own)).await, 200);
    let change = program.request(Method::PATCH, "/own/name").header(cookie(&anna).0, cookie(&anna).1);
    assert_eq!(status_of(change.header("origin", own)).await, 200);
    let ping = program.request(Method::GET, "/ping").send().await.expect("an answer");
    assert_eq!(ping.text().await.expect("text"), "Unknown 127.0.0.1");
}

#[tokio::test]
async fn whom_the_program_makes_known_is_known_until_it_takes_that_back() {
    let program = Program::start().await;
    let joined = program.join("anna").send().await.expect("an answer");
    let first = cookie_of(&joined);
    assert_eq!(joined.text().await.expect("text"), "anna");
    let page = format!("http://{}", program.world.served.address);
    let whoami = |cookie: &str| program.world.get("/v1/whoami").header("cookie", cookie);
    let said: Json = whoami(&first).send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!((&said["standing"], &said["user"]), (&json!("known"), &json!("anna")));

    let token = first.split_once('=').expect("a cookie").1.to_owned();
    let mut socket = program.world.client(&token).await;
    let own = format!("http://{}", program.served.address);
    let renewed = program.request(Method::POST, "/renew").header("cookie", &first).header("origin", &own);
    let renewed = renewed.send().await.expect("an answer");
    let second = cookie_of(&renewed);
    assert_eq!(renewed.text().await.expect("text"), "1", "the socket");
    assert_eq!(socket.read_to_end().await.1, Some(4403));
    assert_eq!(status_of(whoami(&first)).await, 401, "it was made in the same second, perhaps");
    assert_eq!(status_of(whoami(&second).header("origin", page)).await, 200);

    let left = program.request(Method::POST, "/leave").header("cookie", &second).header("origin", own);
    let left = left.send().await.expect("an answer");
    assert_eq!((left.status().as_u16(), cookie_of(&left)), (204, format!("{COOKIE}=")));
    assert!(left.headers()["set-cookie"].to_str().expect("text").contains("Max-Age=0"));
}
