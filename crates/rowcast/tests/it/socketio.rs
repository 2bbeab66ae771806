//! Socket.IO above Engine.IO, over bare WebSockets: the database's side of it.

pub(crate) mod client;
mod program;
mod recovery;

use rowcast::socketio::{Push, Settings, What};
use serde_json::json;

use client::{Client, World, insert, new_data};

#[tokio::test]
async fn a_table_is_followed_with_answers_and_events() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::start(folder.path(), Settings::default()).await;
    insert(folder.path(), 7);
    let mut client = Client::connect(world.served.address).await;
    let (answer, events) = client.ask("subscribe", json!({ "id": "a", "channel": "table:Data" })).await;
    assert_eq!(
        (&answer["type"], &answer["id"], &answer["resumed"]),
        (&json!("subscribed"), &json!("a"), &json!(false))
    );
    let (name, arguments) = &events[0];
    assert_eq!((name.as_str(), &arguments[0]["rows"][0]["speed"]), ("snapshot", &json!("7")));
    insert(folder.path(), 8);
    let change = client.hears("change").await;
    assert_eq!((&change[0]["op"], &change[0]["row"]["speed"]), (&json!("insert"), &json!("8")));
    assert_eq!(change[1], change[0]["position"], "the offset is the position");

    let rows = json!([{ "time": "1", "speed": "9" }]);
    let (answer, _) = client.ask("insert", json!({ "table": "Data", "rows": rows, "ref": "mine" })).await;
    assert_eq!((&answer["type"], &answer["count"], &answer["ref"]), (&json!("inserted"), &json!(1), &json!("mine")));
    let set = json!({ "table": "Data", "set": { "speed": "10" }, "where": "speed = '9'", "rows": 1, "ref": "mine" });
    let (answer, _) = client.ask("update", set).await;
    assert_eq!((&answer["type"], &answer["counts"], &answer["ref"]), (&json!("written"), &json!([1]), &json!("mine")));
    let (answer, _) = client.ask("delete", json!({ "table": "Data", "where": "speed = '9'" })).await;
    assert_eq!((&answer["type"], &answer["counts"]), (&json!("written"), &json!([0])));
    let writes = json!({ "writes": [{ "require": "Data", "where": "speed = '9'" }] });
    let (answer, _) = client.ask("write", writes).await;
    assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!("conflict")));
    let (answer, _) = client.ask("publish", json!({ "channel": "room:x", "event": "e", "data": 1 })).await;
    assert_eq!((&answer["type"], answer.get("ref")), (&json!("published"), None));
    let (answer, _) = client.ask("ping", json!({})).await;
    assert_eq!(answer["type"], "pong");
    let (answer, _) = client.ask("unsubscribe", json!({ "id": "a" })).await;
    assert_eq!(answer, json!({ "type": "unsubscribed", "id": "a" }));
    world.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_said_in_the_answer_or_as_an_event() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::start(folder.path(), Settings::default()).await;
    let mut client = Client::connect(world.served.address).await;
    let wrong = [
        (json!({ "id": "a", "channel": "table:none" }), "unknown_table"),
        (json!({ "id": "a", "channel": "what" }), "bad_channel"),
        (json!({ "id": "push:x", "channel": "table:Data" }), "bad_message"),
        (json!({ "id": "a" }), "bad_message"),
        (json!([1]), "bad_message"),
        (json!({ "type": "publish", "id": "a", "channel": "table:Data" }), "bad_message"),
    ];
    for (wish, code) in wrong {
        let (answer, _) = client.ask("subscribe", wish.clone()).await;
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!(code)), "{wish}");
    }
    client.say(r#"42["subscribe",{"id":"b","channel":"table:none"}]"#).await;
    assert_eq!(client.hears("error").await[0]["id"], "b");
    let (answer, _) = client.ask("subscribe", json!({ "id": "c", "channel": "table:Data" })).await;
    assert_eq!(answer["type"], "subscribed");
    let (answer, _) = client.ask("subscribe", json!({ "id": "c", "channel": "table:Data" })).await;
    assert_eq!(answer["code"], "duplicate_id");
    world.stop().await;
}

#[tokio::test]
async fn events_are_pushed_to_clients_of_both_versions() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut settings = new_data();
    let greeting = What::Data(json!({ "connected": true }));
    settings.pushes.push(Push { event: "connected".into(), what: greeting, after: None, listeners: Vec::new() });
    let world = World::start(folder.path(), settings).await;
    let mut new = Client::connect(world.served.address).await;
    assert_eq!(new.text().await, r#"42["connected",{"connected":true}]"#);
    let mut old = Client::open(world.served.address, 3).await;
    assert_eq!(old.text().await, "40");
    assert_eq!(old.text().await, r#"42["connected",{"connected":true}]"#);
    // What is committed from here on comes to both.
    insert(folder.path(), 37);
    assert_eq!(old.text().await, r#"42["newData",{"time":"1718000000123","speed":"37"}]"#);
    let arguments = new.hears("newData").await;
    assert_eq!(arguments[0], json!({ "time": "1718000000123", "speed": "37" }));
    assert!(arguments[1].is_string(), "the offset");
    world.stop().await;
}

#[tokio::test]
async fn a_push_waits_for_its_event_and_begins_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut settings = new_data();
    settings.pushes[0].after = Some("ready for data".into());
    let world = World::start(folder.path(), settings).await;
    let mut waiting = Client::connect(world.served.address).await;
    let mut ready = Client::connect(world.served.address).await;
    for _ in 0..3 {
        ready.ask("ready for data", json!({})).await;
    }
    insert(folder.path(), 1);
    assert_eq!(ready.hears("newData").await[0]["speed"], "1");
    insert(folder.path(), 2);
    assert_eq!(ready.hears("newData").await[0]["speed"], "2");
    assert_eq!(waiting.ask("ping", json!({})).await.1, []);
    world.stop().await;
}

#[tokio::test]
async fn what_is_against_the_protocol_ends_the_connection() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::start(folder.path(), Settings::default()).await;
    let wrong =
        ["4", "4abc", "42", "42{}", r#"42["connect"]"#, "43", "40", "42/x,[\"m\"]", "450-[]", "44\"no\"", "4\u{fc}"];
    for text in wrong {
        let mut client = Client::connect(world.served.address).await;
        client.say(text).await;
        client.closed().await;
    }
    let mut client = Client::connect(world.served.address).await;
    client.say_binary(&[1]).await;
    client.closed().await;
    let mut client = Client::connect(world.served.address).await;
    client.say(r#"451-["m",{"_placeholder":true,"num":0}]"#).await;
    client.say(r#"42["m"]"#).await;
    client.closed().await;
    // An event before any namespace.
    let mut client = Client::open(world.served.address, 4).await;
    client.say(r#"42["m"]"#).await;
    client.closed().await;
    world.stop().await;
}

#[tokio::test]
async fn a_client_that_asks_for_no_namespace_is_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = Settings { connect_timeout: std::time::Duration::from_millis(50), ..Settings::default() };
    let world = World::start(folder.path(), settings).await;
    let mut quiet = Client::open(world.served.address, 4).await;
    let mut lost = Client::open(world.served.address, 4).await;
    lost.say("40/nowhere,").await;
    assert_eq!(lost.text().await, r#"44/nowhere,{"message":"Invalid namespace"}"#);
    quiet.closed().await;
    lost.closed().await;
    world.stop().await;
}
