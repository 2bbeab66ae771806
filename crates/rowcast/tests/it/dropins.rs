//! Clients of other servers, served by ours: pgws, pg_eventserv and postgres-websockets, over a real PostgreSQL.

mod tokens;
mod world;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::http::{HeaderName, StatusCode};
use jsonwebtoken::{EncodingKey, Header};
use rowcast::transport::DropIns;
use rowcast::transport::dropin::{Audiences, Eventserv, Pgws, PostgresWebsockets};
use serde_json::{Value as Json, json};

use world::World;

fn pgws(settings: Pgws) -> DropIns {
    DropIns { pgws: Some(settings), ..DropIns::default() }
}

fn eventserv() -> DropIns {
    DropIns { eventserv: Some(Eventserv::default()), ..DropIns::default() }
}

fn parsed(text: &str) -> Json {
    serde_json::from_str(text).expect("JSON")
}

#[tokio::test]
async fn pg_notify_reaches_a_plain_websocket_at_ws() {
    let world = World::new(pgws(Pgws::default()), &[]).await;
    let (mut one, mut other) = (world.socket("/ws").await, world.socket("/ws").await);
    world.run(r#"select pg_notify('pgws', 'default,{"message": "hello, world"}')"#).await;
    let frame = one.text().await;
    assert!(frame.starts_with(r#"{"payload":{"message": "hello, world"},"channel":"pgws","id":""#), "{frame}");
    assert_eq!(frame.len(), r#"{"payload":{"message": "hello, world"},"channel":"pgws","id":""}"#.len() + 36);
    assert_eq!(other.text().await, frame, "the same id for every client");
}

#[tokio::test]
async fn nothing_is_sent_for_a_transaction_that_is_rolled_back() {
    let world = World::new(pgws(Pgws::default()), &[]).await;
    let mut socket = world.socket("/ws").await;
    world.run(r#"begin; select pg_notify('pgws', 'default,{"n":1}'); rollback"#).await;
    world.run(r#"select pg_notify('pgws', 'default,{"n":2}')"#).await;
    assert_eq!(parsed(&socket.text().await)["payload"], json!({ "n": 2 }));
}

#[tokio::test]
async fn three_hundred_messages_of_one_transaction_arrive_in_order() {
    let world = World::new(pgws(Pgws::default()), &[]).await;
    let mut socket = world.socket("/ws").await;
    world.run(r#"select pg_notify('pgws', 'default,{"n":' || i || '}') from generate_series(1, 300) i"#).await;
    let mut ids = BTreeSet::new();
    for i in 1..=300 {
        let frame = parsed(&socket.text().await);
        assert_eq!(frame["payload"], json!({ "n": i }));
        ids.insert(frame["id"].to_string());
    }
    assert_eq!(ids.len(), 300, "each message has its own id");
}

#[tokio::test]
async fn a_malformed_payload_is_dropped_and_the_next_arrives() {
    let world = World::new(pgws(Pgws::default()), &[]).await;
    let mut socket = world.socket("/ws").await;
    let longest = "x".repeat(37);
    for payload in ["hello", "default,[1]", "default,{", "default,{} rest", &format!("{longest},{{}}")] {
        world.run(&format!("select pg_notify('pgws', '{payload}')")).await;
    }
    world.run(r#"select pg_notify('pgws', 'default,{"n":1}')"#).await;
    assert_eq!(parsed(&socket.text().await)["payload"], json!({ "n": 1 }));
}

#[tokio::test]
async fn sockets_of_different_audiences_never_see_each_others_messages() {
    let header = Audiences::Header(HeaderName::from_static("x-tenants"));
    let world = World::new(pgws(Pgws { audiences: header, ..Pgws::default() }), &[]).await;
    let mut a = world.socket_with("/ws", &[("x-tenants", "a")]).await.expect("open");
    let mut b = world.socket_with("/ws", &[("x-tenants", "b")]).await.expect("open");
    let mut both = world.socket_with("/ws", &[("x-tenants", "a, b")]).await.expect("open");
    let mut nobodys = world.socket_with("/ws", &[("x-tenants", "")]).await.expect("open");
    let sent = [("a", 1), ("b", 2), ("", 3), ("default", 4), ("a", 5), ("b", 6), ("", 7)];
    for (audience, n) in sent {
        world.run(&format!(r#"select pg_notify('pgws', '{audience},{{"n":{n}}}')"#)).await;
    }
    for (socket, seen) in
        [(&mut a, &[1, 5][..]), (&mut b, &[2, 6]), (&mut both, &[1, 2, 5, 6]), (&mut nobodys, &[3, 7])]
    {
        for n in seen {
            let frame = socket.text().await;
            assert_eq!(parsed(&frame)["payload"], json!({ "n": n }));
            assert_eq!(parsed(&frame).as_object().expect("an object").len(), 3, "the audience is never sent: {frame}");
        }
    }
    assert_eq!(world.refusal("/ws", &[]).await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_program_of_the_users_own_decides_audiences() {
    let decide = Audiences::Decided(Arc::new(|request| {
        let token = request.uri.query()?.strip_prefix("token=")?;
        (token == "letmein").then(|| vec!["noosa".to_owned(), "coolum".to_owned()])
    }));
    let world = World::new(pgws(Pgws { audiences: decide, ..Pgws::default() }), &[]).await;
    let mut socket = world.socket("/ws?token=letmein").await;
    world.run(r#"select pg_notify('pgws', 'default,{"n":1}'), pg_notify('pgws', 'coolum,{"n":2}')"#).await;
    assert_eq!(parsed(&socket.text().await)["payload"], json!({ "n": 2 }));
    assert_eq!(world.refusal("/ws?token=guess", &[]).await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn any_number_of_channels_is_heard_at_any_path() {
    let settings = Pgws {
        path: "/live/ws".into(),
        channels: vec!["pgws".into(), "pgwebsocket".into(), "Third One".into()],
        ..Pgws::default()
    };
    let world = World::new(pgws(settings), &[]).await;
    let mut socket = world.socket("/live/ws").await;
    for channel in ["pgwebsocket", "Third One", "pgws"] {
        world.run(&format!("select pg_notify('{channel}', 'default,{{}}')")).await;
        assert_eq!(parsed(&socket.text().await)["channel"], json!(channel));
    }
}

#[tokio::test]
async fn who_comes_back_with_a_position_hears_what_it_missed_under_the_same_id() {
    let world = World::new(pgws(Pgws::default()), &[]).await;
    let mut socket = world.socket("/ws?since=").await;
    world.run(r#"select pg_notify('pgws', 'default,{"n":1}'), pg_notify('pgws', 'default,{"n":2}')"#).await;
    let (first, second) = (parsed(&socket.text().await), socket.text().await);
    drop(socket);
    let position = first["position"].as_str().expect("a position");
    let mut again = world.socket(&format!("/ws?since={position}")).await;
    assert_eq!(again.text().await, second);
    let mut late = world.socket("/ws?since=99-1").await;
    assert_eq!(late.text().await, r#"{"gap":true}"#);
}

#[tokio::test]
async fn one_slow_client_stalls_nobody() {
    let world = World::new(pgws(Pgws::default()), &[]).await;
    let slow = world.socket("/ws").await;
    let mut quick = world.socket("/ws").await;
    let burst = r#"select pg_notify('pgws', 'default,{"n":' || i || ',"x":"' || repeat('x', 7000) || '"}') from generate_series(1, 1000) i"#;
    for _ in 0..3 {
        world.run(burst).await;
        for i in 1..=1000 {
            assert_eq!(parsed(&quick.text().await)["payload"]["n"], json!(i));
        }
    }
    drop(slow);
}

#[tokio::test]
async fn pages_of_another_origin_may_not_connect() {
    let both = DropIns { eventserv: Some(Eventserv::default()), ..pgws(Pgws::default()) };
    let world = World::new(both, &["news"]).await;
    for path in ["/ws", "/listen/news"] {
        assert_eq!(world.refusal(path, &[("origin", "https://evil.example")]).await, StatusCode::FORBIDDEN);
        let own = format!("http://{}", world.authority());
        world.socket_with(path, &[("origin", &own)]).await.expect("its own pages may");
    }
}

#[tokio::test]
async fn a_lost_listener_comes_back_under_open_sockets() {
    let world = World::new(pgws(Pgws::default()), &[]).await;
    let mut plain = world.socket("/ws").await;
    let mut resumable = world.socket("/ws?since=").await;
    world.run("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'rowcast-notify' and datname = current_database()").await;
    assert_eq!(resumable.text().await, r#"{"gap":true}"#, "who knows the word is told");
    world.socket("/ws").await;
    world.run(r#"select pg_notify('pgws', 'default,{"n":1}')"#).await;
    assert_eq!(parsed(&plain.text().await)["payload"], json!({ "n": 1 }));
}

#[tokio::test]
async fn a_frame_of_pg_eventserv_is_the_raw_payload() {
    let world = World::new(eventserv(), &["people", "*é*"]).await;
    let mut socket = world.socket("/listen/people").await;
    let mut odd = world.socket("/listen/a%20%22%C3%A9%22%2Fb").await;
    let writer = world.database.connect().await.expect("connected");
    for payload in ["hello", "", r#"{"a": "ü\n"}"#, "zeile\nzwei"] {
        writer.execute("select pg_notify('people', $1)", &[&payload]).await.expect("notified");
        assert_eq!(socket.text().await, payload);
    }
    writer.execute(r#"select pg_notify('a "é"/b', 'odd')"#, &[]).await.expect("notified");
    assert_eq!(odd.text().await, "odd");
}

#[tokio::test]
async fn a_channel_outside_the_allow_list_is_forbidden() {
    let world = World::new(eventserv(), &["room_*"]).await;
    assert_eq!(world.refusal("/listen/secret", &[]).await, StatusCode::FORBIDDEN);
    assert_eq!(world.refusal(&format!("/listen/room_{}", "x".repeat(60)), &[]).await, StatusCode::BAD_REQUEST);
    world.socket("/listen/room_7").await;
}

#[tokio::test]
async fn twenty_channels_do_not_hang() {
    let world = World::new(eventserv(), &["*"]).await;
    let opening = (0..20).map(|i| world.socket_at(format!("/listen/channel{i}")));
    let mut sockets = futures_util::future::join_all(opening).await;
    world.run("select pg_notify('channel' || i, 'for ' || i) from generate_series(0, 19) i").await;
    for (i, socket) in sockets.iter_mut().enumerate() {
        assert_eq!(socket.text().await, format!("for {i}"));
    }
}

#[tokio::test]
async fn the_viewer_has_no_inline_script() {
    let world = World::new(eventserv(), &["*"]).await;
    let (head, page) = world.get("/listen/").await;
    assert!(
        head.starts_with("HTTP/1.1 200") && head.contains("script-src 'self'") && !head.contains("unsafe"),
        "{head}"
    );
    assert!(
        page.contains(r#"<script src="viewer.js" defer></script>"#) && page.matches("<script").count() == 1,
        "{page}"
    );
    assert!(!page.contains("style=") && !page.contains("onclick="), "{page}");
    assert!(world.get("/listen/viewer.js").await.1.contains("new WebSocket"));
    assert!(world.get("/listen/viewer.css").await.1.contains("font-family"));
    assert!(world.get("/listen").await.0.contains("location: /listen/"), "without the slash, too");
    assert_eq!(world.get("/own").await.1, "the program's own");
    let mut socket = world.socket("/listen/viewer.js").await;
    world.run("select pg_notify('viewer.js', 'a channel like any other')").await;
    assert_eq!(socket.text().await, "a channel like any other");
}

const SECRET: &str = "a secret of the tests, long enough";

fn token(claims: &Json) -> String {
    jsonwebtoken::encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET.as_bytes())).expect("a token")
}

async fn chat() -> World {
    let settings = PostgresWebsockets { path: "/pw".into(), ..PostgresWebsockets::new(SECRET) };
    World::new(DropIns { postgres_websockets: Some(settings), ..DropIns::default() }, &[]).await
}

#[tokio::test]
async fn a_token_lets_a_socket_hear_its_channel_and_no_other() {
    let world = chat().await;
    let mut chat = world.socket(&format!("/pw/chat/{}", token(&json!({ "mode": "r" })))).await;
    let mut both = world.socket(&format!("/pw/{}", token(&json!({ "mode": "r", "channels": ["chat", "news"] })))).await;
    for channel in ["news", "secret", "chat"] {
        let sql = "select pg_notify('postgres-websockets-listener', json_build_object('event', 'WebsocketMessage', 'channel', '$', 'payload', 'test')::text)";
        world.run(&sql.replace('$', channel)).await;
    }
    let frame = |channel: &str| json!({ "event": "WebsocketMessage", "channel": channel, "payload": "test" });
    assert_eq!(parsed(&chat.text().await), frame("chat"));
    assert_eq!(parsed(&both.text().await), frame("news"));
    assert_eq!(parsed(&both.text().await), frame("chat"));
}

#[tokio::test]
async fn what_a_client_says_is_notified_with_its_claims() {
    let world = chat().await;
    let claims = json!({ "mode": "rw", "user": 7 });
    let mut writer = world.socket(&format!("/pw/chat/{}", token(&claims))).await;
    let mut reader = world.socket(&format!("/pw/chat/{}", token(&json!({ "mode": "r" })))).await;
    reader.say("a reader says nothing").await;
    writer.say("Hi! \"ü\"").await;
    for socket in [&mut writer, &mut reader] {
        let mut frame = parsed(&socket.text().await);
        let at = frame["claims"].as_object_mut().expect("claims").remove("message_delivered_at");
        assert!(at.and_then(|at| at.as_f64()).is_some_and(|at| at > 1.7e9));
        let expected =
            json!({ "event": "WebsocketMessage", "channel": "chat", "payload": "Hi! \"ü\"", "claims": claims });
        assert_eq!(frame, expected);
    }
    let mut mute = world.socket(&format!("/pw/chat/{}", token(&json!({ "mode": "w" })))).await;
    mute.say("heard by others").await;
    assert_eq!(parsed(&reader.text().await)["payload"], json!("heard by others"));
    mute.say(&"x".repeat(8000)).await;
    assert_eq!(mute.end().await, 1008, "NOTIFY takes no such message");
}

#[tokio::test]
async fn a_token_that_is_wrong_is_refused_and_one_that_expires_ends() {
    let world = chat().await;
    let in_a_second =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs() + 2;
    let mut socket = world.socket(&format!("/pw/chat/{}", token(&json!({ "mode": "r", "exp": in_a_second })))).await;
    let other = jsonwebtoken::encode(&Header::default(), &json!({ "mode": "rw" }), &EncodingKey::from_secret(b"other"));
    for path in [
        format!("/pw/chat/{}", other.expect("a token")),
        format!("/pw/chat/{}", token(&json!({ "mode": "r", "exp": 1 }))),
        format!("/pw/chat/{}", token(&json!({ "mode": "r", "channels": ["news"] }))),
        format!("/pw/{}", token(&json!({ "mode": "r" }))),
        "/pw/chat/nonsense".to_owned(),
    ] {
        assert_eq!(world.refusal(&path, &[]).await, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(socket.end().await, 3001);
}
