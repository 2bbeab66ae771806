//! Who a Socket.IO client is: for its programs, when it renews its token, and when it comes back.

use std::time::Duration;

use rowcast::socketio::{Ack, Io, Refused, Settings, Socket};
use serde_json::{Value as Json, json};

use super::world::{Wish, World, bearer, token, token_for};
use crate::socketio::client::Client;

async fn connect(world: &World, token: &str) -> Client {
    let mut client = Client::open(world.served.address, 4).await;
    client.join("/", Some(json!({ "token": token }))).await;
    client
}

/// Comes back with what another client has, as somebody. Returns whether it is taken for that client.
async fn come_back(world: &World, before: &Client, token: &str) -> (Client, bool) {
    let mut client = Client::open(world.served.address, 4).await;
    let mut auth = json!({ "pid": before.pid, "token": token });
    if let Some(offset) = &before.offset {
        auth["offset"] = offset.as_str().into();
    }
    client.offset.clone_from(&before.offset);
    client.join("/", Some(auth)).await;
    let recovered = client.pid == before.pid;
    assert_eq!(recovered, client.sid == before.sid);
    (client, recovered)
}

#[tokio::test]
async fn programs_see_who_a_client_is_and_who_it_has_become() {
    let io = Io::new(Settings::default());
    io.namespace("/admin").middleware(|connecting| async move {
        match connecting.identity().claims.get("sub").and_then(Json::as_str) {
            Some("anna") => Ok(()),
            _ => Err(Refused::new("for anna only")),
        }
    });
    io.root().on("who", async |socket: Socket, (): (), ack: Ack| {
        let identity = socket.identity();
        let issued = identity.expires.map(|at| at.elapsed().is_err());
        let _ = ack.send(&json!([identity.user.as_deref(), issued]));
    });
    let world = World::with(Wish { io, ..Wish::default() }).await;
    let mut client = connect(&world, &token("anna")).await;
    client.join("/admin", None).await;
    client.say(r#"425["who"]"#).await;
    assert_eq!(client.text().await, r#"435[["anna",true]]"#);
    let (answer, _) = client.ask("auth", json!({ "token": token_for("anna", 900) })).await;
    assert_eq!((&answer["type"], &answer["user"]), (&json!("authenticated"), &json!("anna")));
    let (answer, _) = client.ask("auth", json!({ "token": token("bert") })).await;
    assert_eq!(answer["code"], "unauthenticated");
    client.say(r#"425["who"]"#).await;
    assert_eq!(client.text().await, r#"435[["anna",true]]"#);

    let mut other = connect(&world, &token("bert")).await;
    other.say("40/admin,").await;
    assert_eq!(other.text().await, r#"44/admin,{"message":"for anna only"}"#);
}

#[tokio::test]
async fn a_broken_connection_is_taken_up_only_by_whose_it_was() {
    let world = World::new().await;
    let mut anna = connect(&world, &token("anna")).await;
    let (answer, _) = anna.ask("subscribe", json!({ "id": "a", "channel": "table:Data", "snapshot": false })).await;
    assert_eq!(answer["type"], "subscribed");
    anna.hears("position").await;
    world.insert(1);
    anna.hears("change").await;
    // While the connection still stands, nobody else takes it.
    let (_, recovered) = come_back(&world, &anna, &token("bert")).await;
    assert!(!recovered);
    anna.ask("ping", json!({})).await;
    anna.drop_connection().await;
    let (mut bert, recovered) = come_back(&world, &anna, &token("bert")).await;
    assert!(!recovered, "what was anna's is not bert's");
    world.insert(2);
    assert_eq!(bert.ask("ping", json!({})).await.1, [], "and he hears nothing of it");
    let mut client = Client::open(world.served.address, 4).await;
    let pid = json!({ "pid": anna.pid, "offset": anna.offset });
    client.say(&format!("40{pid}")).await;
    assert!(client.text().await.starts_with("44"), "an id is no token");
    client
        .say(&format!("40{}", json!({ "pid": anna.pid, "offset": anna.offset, "token": token_for("anna", 0) })))
        .await;
    assert_eq!(client.text().await, r#"44{"message":"the token has expired","data":{"code":"unauthenticated"}}"#);
    let (mut anna, recovered) = come_back(&world, &anna, &token("anna")).await;
    assert!(recovered, "the others have taken nothing away");
    assert_eq!(anna.hears("change").await[0]["row"]["speed"], "2");
}

#[tokio::test]
async fn what_a_program_sent_goes_to_whose_it_was() {
    let io = Io::new(Settings::default());
    let world = World::with(Wish { io: io.clone(), ..Wish::default() }).await;
    let mut anna = connect(&world, &token("anna")).await;
    io.to(anna.sid.as_str()).emit("note", &1).expect("sent");
    anna.hears("note").await;
    anna.drop_connection().await;
    io.to(anna.sid.as_str()).emit("note", &2).expect("sent");
    let (mut bert, recovered) = come_back(&world, &anna, &token("bert")).await;
    assert!(!recovered);
    assert_eq!(bert.ask("ping", json!({})).await.1, []);
    let (mut anna, recovered) = come_back(&world, &anna, &token("anna")).await;
    assert!(recovered);
    assert_eq!(anna.hears("note").await[0], 2);
}

#[tokio::test]
async fn a_client_that_never_says_who_it_is_is_closed() {
    let limits = rowcast::gateway::Limits { handshake: Duration::from_millis(300), ..Default::default() };
    let world = World::with(Wish { limits, ..Wish::default() }).await;
    let mut quiet = Client::open(world.served.address, 4).await;
    let mut wrong = Client::open(world.served.address, 4).await;
    wrong.say("40").await;
    assert!(wrong.text().await.starts_with(r#"44{"message":"this needs a token""#));
    quiet.closed().await;
    wrong.closed().await;
    world.until_connected(0).await;
}

#[tokio::test]
async fn a_client_of_version_3_says_it_in_its_handshake() {
    let world = World::new().await;
    let url = format!("ws://{}/socket.io/?EIO=3&transport=websocket&access_token={}", world.authority(), token("anna"));
    let mut client = Client::open_at(&url, &[]).await;
    assert_eq!(client.text().await, "40");
    let url = format!("ws://{}/socket.io/?EIO=3&transport=websocket", world.authority());
    let mut client = Client::open_at(&url, &[bearer("a.b.c")]).await;
    assert_eq!(client.text().await, r#"44"the token is not valid""#);
}
