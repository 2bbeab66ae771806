//! Every door and every way to show a token there, with every kind of bad token: refused, for a reason that helps nobody, and a good one
//! is not.

use reqwest::Method;
use serde_json::{Value as Json, json};

use super::world::{COOKIE, Socket, Wish, World, bad_tokens, bearer, cookie, revoke_one, token};
use crate::socketio::client::Client;

/// What came of showing a token.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    LetIn,
    /// With this message.
    Refused(String),
}

/// Where a token is shown: in which way, and at which door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Bearer,
    Cookie,
    Query,
    /// InfluxDB's own ways.
    InfluxToken,
    InfluxPassword,
}

const PLAIN: [(Method, &str); 13] = [
    (Method::GET, "/v1/tables"),
    (Method::GET, "/v1/tables/Data"),
    (Method::GET, "/v1/tables/Data/series?time=time&value=speed"),
    (Method::POST, "/v1/tables/Data"),
    (Method::POST, "/v1/publish"),
    (Method::GET, "/v1/status"),
    (Method::GET, "/v1/dead-letters"),
    (Method::POST, "/v1/admin/disconnect"),
    (Method::POST, "/v1/admin/revoke"),
    (Method::GET, "/v1/whoami"),
    (Method::POST, "/v1/session"),
    (Method::GET, "/v1/nothing"),
    (Method::GET, "/v1/stream?channel=table:Data"),
];

/// WebSockets whose handshake is refused.
const SOCKETS: [&str; 3] = ["/v1/ws", "/ws", "/listen/news"];

fn headers(world: &World, place: Place, token: &str) -> Vec<(&'static str, String)> {
    match place {
        Place::Bearer => vec![bearer(token)],
        // As a page of the same host.
        Place::Cookie => vec![cookie(token), ("origin", format!("http://{}", world.authority()))],
        Place::InfluxToken => vec![("authorization", format!("Token {token}"))],
        Place::Query | Place::InfluxPassword => Vec::new(),
    }
}

fn target(path: &str, place: Place, token: &str) -> String {
    let sign = if path.contains('?') { '&' } else { '?' };
    match place {
        Place::Query => format!("{path}{sign}access_token={token}"),
        Place::InfluxPassword => format!("{path}{sign}u=telegraf&p={token}"),
        _ => path.to_owned(),
    }
}

/// What is said in a refusal, whichever door says it.
fn message(body: &str) -> String {
    let json: Json = serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {body}"));
    let said = json["error"]["message"].as_str().or(json["message"].as_str()).or(json["error"].as_str());
    said.unwrap_or_else(|| panic!("no message: {body}")).to_owned()
}

async fn by_http(world: &World, method: &Method, path: &str, place: Place, token: &str) -> Outcome {
    let mut request = world.request(method.clone(), &target(path, place, token));
    for (name, value) in headers(world, place, token) {
        request = request.header(name, value);
    }
    let answer = request.send().await.expect("an answer");
    let challenge = answer.headers().get("www-authenticate").map(|value| value.to_str().expect("text").to_owned());
    if answer.status() != 401 {
        assert_eq!(challenge, None, "{path}");
        return Outcome::LetIn;
    }
    let challenge = challenge.expect("a challenge");
    assert!(challenge.starts_with("Bearer realm="), "{challenge}");
    let body = answer.text().await.expect("text");
    assert!(token.is_empty() || !body.contains(token), "{body}");
    Outcome::Refused(message(&body))
}

async fn by_socket(world: &World, path: &str, place: Place, token: &str) -> Outcome {
    match world.socket(&target(path, place, token), &headers(world, place, token)).await {
        Err((401, body)) => Outcome::Refused(message(&body)),
        // There is no NOTIFY on SQLite: whoever hears that has come in.
        Ok(_) | Err(_) => Outcome::LetIn,
    }
}

/// The native `auth`.
async fn by_message(world: &World, token: &str) -> Outcome {
    let anonymous = world.get("/v1/whoami").send().await.expect("an answer").status() == 200;
    let mut client = world.socket("/v1/ws", &[]).await.expect("a socket that is to say who it is");
    client.hears("hello").await;
    let answer = client.ask(&json!({ "type": "auth", "token": token, "ref": "r" }), "authenticated").await;
    assert_eq!(answer["ref"], "r");
    if answer["type"] == "authenticated" {
        return Outcome::LetIn;
    }
    assert_eq!(answer["code"], "unauthenticated");
    let still = client.ask(&json!({ "type": "ping" }), "pong").await;
    // It goes on as who it was: as nobody.
    assert_eq!(still["code"] == "unauthenticated", !anonymous, "{still}");
    Outcome::Refused(answer["message"].as_str().expect("a message").to_owned())
}

async fn socketio_answer(client: &mut Client) -> Outcome {
    let answer = client.text().await;
    match answer.strip_prefix("44") {
        None => {
            assert!(answer.starts_with("40"), "{answer}");
            Outcome::LetIn
        }
        Some(refused) => {
            let refused: Json = serde_json::from_str(refused).expect("JSON");
            if refused.is_object() {
                assert_eq!(refused["data"]["code"], "unauthenticated");
            }
            Outcome::Refused(refused["message"].as_str().or(refused.as_str()).expect("a message").to_owned())
        }
    }
}

/// Socket.IO: the handshake, in a place, and then the wish for the root namespace.
async fn by_handshake(world: &World, eio: u8, place: Place, token: &str) -> Outcome {
    let path = target(&format!("/socket.io/?EIO={eio}&transport=websocket"), place, token);
    let headers = headers(world, place, token);
    let mut client = Client::open_at(&format!("ws://{}{path}", world.authority()), &headers).await;
    if eio == 4 {
        client.say("40").await;
    }
    socketio_answer(&mut client).await
}

async fn by_wish(world: &World, auth: &Json) -> Outcome {
    let mut client = Client::open(world.served.address, 4).await;
    client.say(&format!("40{auth}")).await;
    socketio_answer(&mut client).await
}

/// Every door, in every way that it takes a token.
async fn check(world: &World, what: &str, token: &str, expected: &Outcome) {
    use Place::{Bearer, Cookie, InfluxPassword, InfluxToken, Query};
    for (method, path) in &PLAIN {
        for place in [Bearer, Cookie, Query] {
            let takes = match place {
                Cookie => *path != "/v1/session",
                Query => path.starts_with("/v1/stream"),
                _ => true,
            };
            if takes {
                let came = by_http(world, method, path, place, token).await;
                assert_eq!(came, *expected, "{what}: {method} {path} by {place:?}");
            }
        }
    }
    for path in ["/write?db=d", "/api/v2/write?bucket=b"] {
        for place in [Bearer, Cookie, InfluxToken, InfluxPassword] {
            let came = by_http(world, &Method::POST, path, place, token).await;
            assert_eq!(came, *expected, "{what}: {path} by {place:?}");
        }
    }
    for place in [Bearer, Cookie, Query] {
        for path in SOCKETS {
            assert_eq!(by_socket(world, path, place, token).await, *expected, "{what}: {path} by {place:?}");
        }
        for eio in [3, 4] {
            let came = by_handshake(world, eio, place, token).await;
            assert_eq!(came, *expected, "{what}: Socket.IO {eio} by {place:?}");
        }
    }
    assert_eq!(by_message(world, token).await, *expected, "{what}: `auth`");
    assert_eq!(by_wish(world, &json!({ "token": token })).await, *expected, "{what}: `auth.token`");
}

#[tokio::test]
async fn a_bad_token_is_refused_at_every_door_and_a_good_one_at_none() {
    let world = World::new().await;
    revoke_one(&world).await;
    // A revocation without a name would be one of all.
    check(&world, "good", &token("anna"), &Outcome::LetIn).await;
    for (what, token, reason) in bad_tokens() {
        check(&world, what, &token, &Outcome::Refused(reason.to_owned())).await;
    }
}

#[tokio::test]
async fn a_bad_token_is_refused_also_where_none_is_needed() {
    let wish = Wish::default();
    let settings = rowcast::auth::Settings { anonymous: true, ..wish.settings };
    let world = World::with(Wish { settings, ..wish }).await;
    let none = by_http(&world, &Method::GET, "/v1/tables", Place::Query, "").await;
    assert!(matches!(none, Outcome::Refused(_)), "an empty one is one");
    for (method, path) in &PLAIN {
        let answer = world.request(method.clone(), path).send().await.expect("an answer");
        assert!(answer.status() != 401 || *path == "/v1/session", "{path}: {}", answer.status());
    }
    assert_eq!(
        world.get("/v1/whoami").send().await.expect("an answer").json::<Json>().await.expect("JSON")["standing"],
        "anonymous"
    );
    let (_, token, reason) = bad_tokens().swap_remove(0);
    check(&world, "garbage", &token, &Outcome::Refused(reason.to_owned())).await;
}

#[tokio::test]
async fn nobody_comes_in_without_a_token() {
    let world = World::new().await;
    let missing = || Outcome::Refused("the request has no token".into());
    for (method, path) in &PLAIN {
        let answer = world.request(method.clone(), path).send().await.expect("an answer");
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["www-authenticate"].as_bytes()),
            (401, &b"Bearer realm=\"rowcast\""[..]),
            "{path}"
        );
        assert_eq!(Outcome::Refused(message(&answer.text().await.expect("text"))), missing(), "{path}");
    }
    for path in ["/ws", "/listen/news"] {
        let Err((401, body)) = world.socket(path, &[]).await else { panic!("{path} was opened") };
        assert_eq!(message(&body), "the request has no token", "{path}");
    }
    let Err((401, body)) = world.socket("/postgres-websockets/chat/a.b.c", &[]).await else { panic!("it was opened") };
    assert_eq!(message(&body), "the token is not valid");
    for eio in [3, 4] {
        let mut client = Client::open(world.served.address, eio).await;
        if eio == 4 {
            client.say("40").await;
        }
        assert_eq!(socketio_answer(&mut client).await, Outcome::Refused("this needs a token".into()));
    }
    for auth in [json!({ "token": 7 }), json!({ "token": ["a"] }), json!({ "token": "" })] {
        assert!(matches!(by_wish(&world, &auth).await, Outcome::Refused(_)), "{auth}");
    }
}

#[tokio::test]
async fn a_good_token_in_the_wrong_place_or_beside_another_is_refused() {
    let world = World::new().await;
    let (anna, bert) = (token("anna"), token("bert"));
    for (method, path) in PLAIN.iter().filter(|(_, path)| !path.starts_with("/v1/stream")) {
        let came = by_http(&world, method, path, Place::Query, &anna).await;
        assert_eq!(came, Outcome::Refused("a token is not taken from the query here".into()), "{path}");
    }
    let refused = world.get("/v1/session").header("cookie", cookie(&anna).1).send().await.expect("an answer");
    assert_eq!(refused.status(), 405);
    let refused = world.request(Method::POST, "/v1/session").header("cookie", cookie(&anna).1).send().await;
    assert_eq!(refused.expect("an answer").status(), 401, "a cookie is not made of a cookie");
    let two = Outcome::Refused("the request has two different tokens".into());
    let pairs: [Vec<(&'static str, String)>; 3] = [
        vec![bearer(&anna), cookie(&bert)],
        vec![bearer(&anna), bearer(&bert)],
        vec![("cookie", format!("{COOKIE}={anna}; {COOKIE}={bert}"))],
    ];
    for headers in &pairs {
        let mut request = world.get("/v1/tables");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 401);
        assert_eq!(Outcome::Refused(message(&answer.text().await.expect("text"))), two, "{headers:?}");
        for path in SOCKETS {
            let Err((401, body)) = world.socket(path, headers).await else { panic!("{path} was opened: {headers:?}") };
            assert_eq!(Outcome::Refused(message(&body)), two);
        }
        let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", world.authority());
        let mut client = Client::open_at(&url, headers).await;
        client.say("40").await;
        assert_eq!(socketio_answer(&mut client).await, two);
    }
    let both = world.socket(&format!("/v1/ws?access_token={bert}"), &[bearer(&anna)]).await;
    assert!(matches!(both, Err((401, _))));
    // Once in a handshake and once in a wish: another user's is refused, the same user's is not.
    let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", world.authority());
    let mut client = Client::open_at(&url, &[bearer(&anna)]).await;
    client.say(&format!("40{}", json!({ "token": bert }))).await;
    assert_eq!(
        socketio_answer(&mut client).await,
        Outcome::Refused("the token is not of the user who is connected".into())
    );
    client.say(&format!("40{}", json!({ "token": token("anna") }))).await;
    assert_eq!(socketio_answer(&mut client).await, Outcome::LetIn);
}

#[tokio::test]
async fn another_users_token_takes_no_connection_over() {
    let world = World::new().await;
    let mut client = world.client(&token("anna")).await;
    let subscribed = json!({ "type": "subscribe", "id": "a", "channel": "table:Data" });
    assert_eq!(client.ask(&subscribed, "subscribed").await["type"], "subscribed");
    let refused = client.ask(&json!({ "type": "auth", "token": token("bert") }), "authenticated").await;
    assert_eq!(
        (&refused["code"], &refused["message"]),
        (&json!("unauthenticated"), &json!("the token is not of the user who is connected"))
    );
    for (what, bad, reason) in bad_tokens() {
        if what != "revoked" {
            let refused = client.ask(&json!({ "type": "auth", "token": bad }), "authenticated").await;
            assert_eq!((&refused["code"], &refused["message"]), (&json!("unauthenticated"), &json!(reason)), "{what}");
        }
    }
    world.insert(7);
    assert_eq!(client.hears("change").await["row"]["speed"], "7", "it goes on as it was");
    still_anna(&mut client).await;
}

async fn still_anna(client: &mut Socket) {
    let again = client.ask(&json!({ "type": "auth", "token": token("anna") }), "authenticated").await;
    assert_eq!((&again["type"], &again["user"]), (&json!("authenticated"), &json!("anna")));
}
