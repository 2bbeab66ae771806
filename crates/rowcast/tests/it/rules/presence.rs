//! Who may see who is on a channel, and be seen there; and the end of that while they are connected.

use rowcast::auth::rules::RuleSpec;
use rowcast::protocol::{Code, ServerMessage};
use serde_json::{Value as Json, json};

use super::world::{Client, World, auth, channel, identity};

const SCHEMA: &str = "
    CREATE TABLE memberships (id INTEGER PRIMARY KEY, user TEXT, room INTEGER);
    INSERT INTO memberships VALUES (1, 'ada', 1), (2, 'bob', 1), (3, 'eve', 2);";

async fn world() -> World {
    let presence = Some("room in (select room from memberships where user = claims.sub)".into());
    World::new(SCHEMA, auth(vec![RuleSpec { presence, ..channel("room:{room}") }], None)).await
}

fn track(room: u8) -> Json {
    json!({ "type": "track", "channel": format!("room:{room}"), "state": { "at": 1 } })
}

/// Who comes and who goes, next.
async fn heard(client: &mut Client) -> (bool, Vec<String>, Vec<String>) {
    match client.next().await {
        ServerMessage::Presence { full, users, joins, leaves, .. } => {
            let come = users.unwrap_or_default().into_iter().chain(joins).map(|present| present.user);
            (full, come.collect(), leaves)
        }
        other => panic!("{other:?}"),
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn only_members_see_each_other_and_only_while_they_are() {
    let world = world().await;
    let mut clients = ["ada", "bob", "eve"].map(|name| world.client(&identity(json!({ "sub": name }))));
    let [ada, bob, eve] = &mut clients;
    eve.say(&track(1));
    eve.refused(Code::Forbidden).await;
    eve.subscribe("presence:room:1", json!({}));
    eve.refused(Code::Forbidden).await;

    ada.subscribe("presence:room:1", json!({}));
    ada.hears(&["subscribed"]).await;
    assert_eq!(heard(ada).await, (true, names(&[]), names(&[])));
    bob.say(&track(1));
    bob.hears(&["tracked"]).await;
    assert_eq!(heard(ada).await, (false, names(&["bob"]), names(&[])));

    // Others' memberships change nothing.
    world.run("DELETE FROM memberships WHERE user = 'eve'");
    world.run("DELETE FROM memberships WHERE user = 'bob'");
    assert!(bob.refused(Code::Forbidden).await.contains("room:1"));
    assert_eq!(heard(ada).await, (false, names(&[]), names(&["bob"])));
    bob.say(&track(1));
    bob.refused(Code::Forbidden).await;

    world.run("INSERT INTO memberships VALUES (4, 'bob', 1)");
    world.node.hub.reached(world.node.log.head()).await;
    bob.say(&track(1));
    while bob.next().await.kind() != "tracked" {
        // The gateway has not read it yet.
        bob.say(&track(1));
    }
    assert_eq!(heard(ada).await, (false, names(&["bob"]), names(&[])));

    world.run("DELETE FROM memberships WHERE user = 'ada'");
    ada.hears(&["revoked"]).await;
    ada.refused(Code::Forbidden).await;
    bob.say(&json!({ "type": "untrack", "channel": "room:1" }));
    bob.hears(&["untracked"]).await;
    ada.hears_nothing().await;
}

#[tokio::test]
async fn who_stays_a_member_is_told_the_whole_list_again() {
    let world = world().await;
    let mut ada = world.client(&identity(json!({ "sub": "ada" })));
    ada.subscribe("presence:room:1", json!({}));
    ada.hears(&["subscribed"]).await;
    assert!(heard(&mut ada).await.0);
    world.run("INSERT INTO memberships VALUES (5, 'ada', 7)");
    assert_eq!(heard(&mut ada).await, (true, names(&[]), names(&[])));
    ada.hears_nothing().await;
}
