//! Socket.IO as a program has it: handlers, answers, rooms, users, and clients that come back.

use std::time::Duration;

use bytes::Bytes;
use rowcast::socketio::{Ack, AckError, Arguments, Binary, Connecting, Io, Reason, Refused, Settings, Socket};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;

use super::client::{Client, Served};

async fn serve(io: &Io) -> Served {
    Served::new(io.router()).await
}

/// Answers every event with itself.
fn echo(io: &Io) {
    io.root().on_any(async |socket: Socket, name: String, arguments: Arguments, ack: Ack| match ack.is_wanted() {
        true => ack.send_arguments(&arguments),
        false => socket.emit_arguments(&name, &arguments),
    });
}

#[derive(Debug, Serialize, Deserialize)]
struct Point {
    speed: u32,
    note: Option<String>,
}

#[tokio::test]
async fn handlers_take_and_answer_with_types() {
    let io = Io::new(Settings { recovery: None, ..Settings::default() });
    io.namespace("/chat").on("point", async |_: Socket, mut point: Point, ack: Ack| {
        point.speed += 1;
        ack.send(&point).expect("JSON");
    });
    io.namespace("/chat").on("two", async |socket: Socket, (a, b): (u32, String), _: Ack| {
        socket.emit_arguments("two", &Arguments::several(&(b, a)).expect("JSON"));
    });
    let served = serve(&io).await;
    let mut client = Client::open(served.address, 4).await;
    client.join("/chat", None).await;
    client.say(r#"42/chat,1["point",{"speed":36}]"#).await;
    assert_eq!(client.text().await, r#"43/chat,1[{"speed":37,"note":null}]"#);
    client.say(r#"42/chat,["two",1,"b"]"#).await;
    assert_eq!(client.text().await, r#"42/chat,["two","b",1]"#);
    client.say(r#"42/chat,2["point",{"speed":"fast"}]"#).await;
    let answer = client.text().await;
    assert!(answer.starts_with(r#"43/chat,2[{"error":{"code":"bad_message""#), "{answer}");
    client.say(r#"42/chat,["nobody listens"]"#).await;
    client.say(r#"42/chat,["two",2,"c"]"#).await;
    assert_eq!(client.text().await, r#"42/chat,["two","c",2]"#);
    client.say("40/other,").await;
    assert_eq!(client.text().await, r#"44/other,{"message":"Invalid namespace"}"#);
}

#[tokio::test]
async fn binary_goes_both_ways_and_beside_json() {
    let io = Io::new(Settings { recovery: None, ..Settings::default() });
    echo(&io);
    io.root().on("length", async |_: Socket, data: Binary, ack: Ack| ack.send(&data.0.len()).expect("JSON"));
    let served = serve(&io).await;
    let mut client = Client::connect(served.address).await;
    client.say(r#"452-["m",{"_placeholder":true,"num":0},{"b":{"_placeholder":true,"num":1}}]"#).await;
    client.say_binary(&[1, 2]).await;
    client.say_binary(&[3]).await;
    assert_eq!(client.text().await, r#"452-["m",{"_placeholder":true,"num":0},{"b":{"_placeholder":true,"num":1}}]"#);
    assert_eq!((client.binary().await, client.binary().await), (vec![1, 2], vec![3]));
    client.say(r#"451-5["length",{"_placeholder":true,"num":0}]"#).await;
    client.say_binary(&[0; 1000]).await;
    assert_eq!(client.text().await, "435[1000]");
    io.emit("file", &Binary(Bytes::from_static(b"x"))).expect("JSON");
    assert_eq!(client.text().await, r#"451-["file",{"_placeholder":true,"num":0}]"#);
    assert_eq!(client.binary().await, b"x");
    let mut old = Client::open(served.address, 3).await;
    assert_eq!(old.text().await, "40");
    old.say(r#"451-["m",{"_placeholder":true,"num":0}]"#).await;
    old.say_binary(&[4, 9]).await;
    assert_eq!(old.text().await, r#"451-["m",{"_placeholder":true,"num":0}]"#);
    assert_eq!(old.binary().await, [4, 9], "with the type of the message in front");
}

#[tokio::test]
async fn events_are_answered_in_their_order() {
    let io = Io::new(Settings { recovery: None, ..Settings::default() });
    echo(&io);
    let served = serve(&io).await;
    let mut client = Client::connect(served.address).await;
    for n in 0..500 {
        client.say(&format!(r#"42["n",{n}]"#)).await;
    }
    for n in 0..500 {
        assert_eq!(client.text().await, format!(r#"42["n",{n}]"#));
    }
}

#[tokio::test]
async fn rooms_users_and_broadcasts_reach_whom_they_are_for() {
    let io = Io::new(Settings { recovery: None, ..Settings::default() });
    io.root().middleware(async |connecting: Connecting| {
        if let Some(user) = connecting.auth::<Json>().and_then(|auth| auth["user"].as_str().map(str::to_owned)) {
            connecting.set_user(user);
        }
        Ok(())
    });
    io.root().on("join", async |socket: Socket, room: String, ack: Ack| {
        socket.join(room);
        ack.send(&socket.rooms().len()).expect("JSON");
    });
    io.root().on("others", async |socket: Socket, room: String, _: Ack| {
        socket.to(room).emit("others", &1).expect("JSON");
        socket.broadcast().emit("all others", &1).expect("JSON");
    });
    let served = serve(&io).await;
    let mut clients = Vec::new();
    for user in ["ada", "bob", "ada"] {
        let mut client = Client::open(served.address, 4).await;
        client.join("/", Some(json!({ "user": user }))).await;
        client.say(r#"421["join","a"]"#).await;
        assert_eq!(client.text().await, "431[1]");
        clients.push(client);
    }
    let [a, b, c] = &mut clients[..] else { panic!("three") };
    a.say(r#"42["others","a"]"#).await;
    for other in [&mut *b, &mut *c] {
        assert_eq!(
            (other.text().await, other.text().await),
            (r#"42["others",1]"#.into(), r#"42["all others",1]"#.into())
        );
    }
    assert_eq!(io.user("ada").emit("you", &()).expect("JSON"), 2);
    assert_eq!((a.text().await, c.text().await), (r#"42["you"]"#.into(), r#"42["you"]"#.into()));
    assert_eq!(io.to("a").except(b.sid.clone()).emit("not b", &()).expect("JSON"), 2);
    assert_eq!(io.to("a").user("ada").to(b.sid.clone()).emit("once", &()).expect("JSON"), 3);
    assert_eq!(b.text().await, r#"42["once"]"#, "and only once");
    assert_eq!(io.root().socket(&b.sid).expect("connected").user().as_deref(), Some("bob"));
    io.to(b.sid.clone()).leave("a");
    assert_eq!(io.to("a").sockets().len(), 2);
}

#[tokio::test]
async fn middleware_refuses_with_a_message_and_data() {
    let io = Io::new(Settings::default());
    io.namespace("/admin").middleware(async |connecting: Connecting| {
        let by_query = connecting.handshake().query("token");
        match connecting.auth::<Json>() {
            Some(auth) if auth["token"] == "secret" => Ok(()),
            _ => Err(Refused::new("not allowed").with(json!({ "token": by_query }))),
        }
    });
    let served = serve(&io).await;
    let mut client = Client::open(served.address, 4).await;
    client.say("40/admin,").await;
    assert_eq!(client.text().await, r#"44/admin,{"message":"not allowed","data":{"token":"t"}}"#);
    client.join("/admin", Some(json!({ "token": "secret" }))).await;
    let mut old = Client::open(served.address, 3).await;
    assert_eq!(old.text().await, "40");
    old.say("40/admin").await;
    assert_eq!(old.text().await, r#"44/admin,{"token":"t"}"#);
}

#[tokio::test]
async fn a_program_waits_for_answers_up_to_its_patience() {
    let io = Io::new(Settings { acks: 2, ..Settings::default() });
    let served = serve(&io).await;
    let mut client = Client::connect(served.address).await;
    let socket = io.root().socket(&client.sid).expect("connected");
    let long = Duration::from_secs(60);
    let asked = tokio::spawn({
        let socket = socket.clone();
        async move { socket.emit_with_ack::<(u32, String)>("question", &"why", long).await }
    });
    assert_eq!(client.text().await, r#"420["question","why"]"#);
    client.say(r#"430[42,"because"]"#).await;
    assert_eq!(asked.await.expect("done").expect("answered"), (42, "because".into()));
    let late = socket.emit_with_ack::<u32>("late", &(), Duration::from_millis(10)).await;
    assert!(matches!(late, Err(AckError::Timeout)));
    client.text().await;
    // Too late, twice, and never asked for: nothing happens.
    for text in ["431[1]", "431[1]", "4399[1]"] {
        client.say(text).await;
    }
    let waiting = [1, 2].map(|_| {
        let socket = socket.clone();
        tokio::spawn(async move { socket.emit_with_ack::<u32>("q", &(), long).await })
    });
    client.text().await;
    client.text().await;
    assert!(matches!(socket.emit_with_ack::<u32>("q", &(), long).await, Err(AckError::Full)));
    drop(client);
    for waiting in waiting {
        assert!(matches!(waiting.await.expect("done"), Err(AckError::Disconnected)));
    }
    assert!(!socket.is_connected());
    assert!(matches!(socket.emit_with_ack::<u32>("q", &(), long).await, Err(AckError::Disconnected)));
}

#[tokio::test]
async fn a_program_hears_why_a_client_has_gone() {
    let io = Io::new(Settings::default());
    let (said, mut hears) = mpsc::channel(16);
    io.root().on_connect({
        let said = said.clone();
        move |socket: Socket| {
            let said = said.clone();
            async move {
                socket.emit("welcome", &1).expect("JSON");
                said.send((socket.id().to_owned(), "connect".to_owned())).await.expect("heard");
            }
        }
    });
    io.root().on_disconnect(move |socket: Socket, reason: Reason| {
        let said = said.clone();
        async move { said.send((socket.id().to_owned(), reason.to_string())).await.expect("heard") }
    });
    let served = serve(&io).await;
    let mut hears = async |client: &Client, expected: &str| {
        let (sid, what) = hears.recv().await.expect("said");
        assert_eq!((sid, what.as_str()), (client.sid.clone(), expected));
    };
    let mut client = Client::connect(served.address).await;
    hears(&client, "connect").await;
    assert_eq!(client.hears("welcome").await[0], 1);
    client.say("41").await;
    hears(&client, "client namespace disconnect").await;
    client.join("/", None).await;
    hears(&client, "connect").await;
    client.hears("welcome").await;
    io.to(client.sid.clone()).disconnect(false);
    assert_eq!(client.text().await, "41");
    hears(&client, "server namespace disconnect").await;
    client.join("/", None).await;
    hears(&client, "connect").await;
    client.hears("welcome").await;
    io.to(client.sid.clone()).disconnect(true);
    assert_eq!(client.text().await, "41");
    client.closed().await;
    hears(&client, "server namespace disconnect").await;
    let mut client = Client::connect(served.address).await;
    hears(&client, "connect").await;
    client.drop_connection().await;
    hears(&client, "transport close").await;
}

#[tokio::test]
async fn a_handler_that_panics_harms_nobody() {
    let io = Io::new(Settings { recovery: None, ..Settings::default() });
    echo(&io);
    io.root().on("panic", async |_: Socket, (): (), _: Ack| panic!("as it was asked to"));
    let served = serve(&io).await;
    let mut client = Client::connect(served.address).await;
    client.say(r#"42["panic"]"#).await;
    client.say(r#"42["m",1]"#).await;
    assert_eq!(client.text().await, r#"42["m",1]"#);
}

#[tokio::test]
async fn a_client_that_comes_back_gets_what_it_missed() {
    let io = Io::new(Settings::default());
    io.root().on("join", async |socket: Socket, room: String, ack: Ack| {
        socket.join(room);
        ack.send(&()).expect("JSON");
    });
    let served = serve(&io).await;
    let mut client = Client::connect(served.address).await;
    let mut quiet = Client::connect(served.address).await;
    client.ask("join", json!("a")).await;
    io.to("a").emit("m", &0).expect("JSON");
    assert_eq!(client.hears("m").await[0], 0);
    let sid = client.sid.clone();
    client.drop_connection().await;
    for n in 1..5 {
        io.to("a").emit("m", &n).expect("JSON");
        io.to("b").emit("m", &"not for it").expect("JSON");
        io.to(sid.clone()).emit("own", &n).expect("JSON");
        io.to("a").volatile().emit("m", &"lost").expect("JSON");
    }
    let (mut back, recovered) = Client::come_back(served.address, &client).await;
    assert!(recovered && io.root().socket(&back.sid).expect("connected").recovered());
    for n in 1..5 {
        assert_eq!((back.event().await.1[0].clone(), back.event().await.1[0].clone()), (json!(n), json!(n)));
    }
    io.emit("m", &"all").expect("JSON");
    assert_eq!(back.event().await.1[0], "all");
    assert_eq!(quiet.event().await.1[0], "all");
    // The old connection has not been noticed to be dead.
    let (mut again, recovered) = Client::come_back(served.address, &back).await;
    assert!(recovered);
    back.closed().await;
    // Never heard anything that has a position.
    let mut silent = Client::connect(served.address).await;
    silent.drop_connection().await;
    io.emit("m", &"x").expect("JSON");
    let (mut silent, recovered) = Client::come_back(served.address, &silent).await;
    assert!(recovered);
    assert_eq!((silent.event().await.1[0].clone(), again.event().await.1[0].clone()), (json!("x"), json!("x")));
    // Who leaves does not come back.
    let pid = again.pid.clone();
    again.say("41").await;
    again.join("/", None).await;
    again.pid = pid;
    let (_, recovered) = Client::come_back(served.address, &again).await;
    assert!(!recovered);
}

#[tokio::test]
async fn a_text_at_the_end_is_never_taken_for_a_position() {
    let io = Io::new(Settings::default());
    let served = serve(&io).await;
    let mut client = Client::connect(served.address).await;
    io.emit("m", &"text").expect("JSON");
    assert_eq!(client.event().await.1.len(), 2);
    io.root().all().volatile().emit("v", &"text").expect("JSON");
    assert_eq!(client.event().await.1, [json!("text"), Json::Null]);
    let (_, recovered) = Client::come_back(served.address, &client).await;
    assert!(recovered);
}
