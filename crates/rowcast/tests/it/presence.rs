//! Who is on a channel: what those who watch are told, as sessions tell it.

mod doors;
mod random;
mod world;

use std::time::{Duration, Instant};

use rowcast::hub::Closing;
use rowcast::session::{Connected, Limits};
use serde_json::json;

use world::{World, anonymous, user};

fn limits() -> Limits {
    Limits { presence_grace: Duration::from_millis(300), presence_tick: Duration::from_millis(1), ..Limits::default() }
}

#[tokio::test]
async fn the_first_connection_joins_and_the_last_one_leaves() {
    let world = World::new(limits());
    let mut watcher = world.watcher("room:lobby").await;
    let mut first = world.client(user("ann"));
    first.track("room:lobby", json!({"at": 1})).await;
    let heard = watcher.presence().await;
    assert_eq!((&heard["full"], &heard["joins"][0]["user"]), (&json!(false), &json!("ann")));
    assert_eq!((&heard["joins"][0]["state"], &heard["joins"][0]["connections"]), (&json!({"at": 1}), &json!(1)));
    assert!(heard["joins"][0]["since"].as_u64().is_some_and(|since| since > 1_600_000_000_000));

    let mut second = world.client(user("ann"));
    second.track("room:lobby", json!({"at": 2})).await;
    let updates = |state, connections| json!([{"user": "ann", "state": state, "connections": connections}]);
    assert_eq!(watcher.presence().await["updates"], updates(json!({"at": 2}), 2));
    first.track("room:lobby", json!({"typing": true})).await;
    assert_eq!(watcher.presence().await["updates"], updates(json!({"typing": true}), 2));
    // The others' state counts when the newest is gone.
    first.untrack("room:lobby").await;
    assert_eq!(watcher.presence().await["updates"], updates(json!({"at": 2}), 1));
    second.untrack("room:lobby").await;
    let gone = watcher.presence().await;
    assert_eq!((&gone["leaves"], gone.get("joins"), gone.get("updates")), (&json!(["ann"]), None, None));
    assert_eq!(world.document("room:lobby"), json!({"users": []}));
    let counts = world.node.presence.counts();
    assert_eq!((counts.channels, counts.users, counts.watchers), (1, 0, 1));
    drop(watcher);
    assert_eq!(world.node.presence.counts(), Default::default());
}

#[tokio::test]
async fn who_comes_late_begins_with_everybody() {
    let world = World::new(limits());
    let mut ann = world.client(user("ann"));
    ann.track("table:orders", json!({"cursor": [1, 2]})).await;
    let mut watcher = world.watcher("table:orders").await;
    assert_eq!(watcher.users().await, [("ann".to_owned(), (json!({"cursor": [1, 2]}), 1))].into());
    // What was typed on more than one line, and what was said before, is told as it is.
    ann.say(json!({"type": "untrack", "channel": "table:orders"}));
    ann.say_text("{\"type\":\"track\",\"channel\":\"table:orders\",\"state\":{\n\"a\":\"ü\"}}");
    assert_eq!(ann.next().await["type"], "untracked");
    assert_eq!(ann.next().await["type"], "tracked");
    assert_eq!(watcher.presence().await["updates"][0]["state"], json!({"a": "ü"}), "gone and back within a tick");
}

#[tokio::test]
async fn who_breaks_and_comes_back_in_time_is_not_heard_of() {
    let world = World::new(limits());
    let mut watcher = world.watcher("room:r").await;
    let mut ann = world.client(user("ann"));
    ann.track("room:r", json!({"at": 1})).await;
    assert_eq!(watcher.presence().await["joins"][0]["user"], "ann");
    for round in 0..3 {
        // As a cut cable ends it: nobody says goodbye.
        drop(ann);
        ann = world.client(user("ann"));
        ann.track("room:r", json!({"at": 1})).await;
        let mut other = world.client(user(&format!("other {round}")));
        other.track("room:r", json!({})).await;
        assert_eq!(watcher.presence().await["joins"], json!([world.seen("room:r", &format!("other {round}"))]));
        other.untrack("room:r").await;
        assert_eq!(watcher.presence().await["leaves"], json!([format!("other {round}")]));
    }
    // Long after the first has broken.
    tokio::time::sleep(Duration::from_millis(400)).await;
    let began = Instant::now();
    drop(ann);
    assert_eq!(watcher.presence().await["leaves"], json!(["ann"]));
    assert!(began.elapsed() >= Duration::from_millis(250), "{:?}", began.elapsed());
}

#[tokio::test]
async fn who_goes_on_purpose_is_gone_at_once() {
    let world = World::new(Limits { presence_grace: Duration::from_secs(3600), ..limits() });
    let mut watcher = world.watcher("room:r").await;
    let mut ann = world.client(user("ann"));
    ann.track("room:r", json!({})).await;
    watcher.presence().await;
    ann.session.depart();
    assert_eq!(watcher.presence().await["leaves"], json!(["ann"]));
    // Nobody waits for one who was put out either.
    let mut ann = world.client(user("ann"));
    ann.track("room:r", json!({})).await;
    watcher.presence().await;
    let whose = |connected: &Connected| connected.identity.lock().user.as_deref() == Some("ann");
    for (_, connected) in world.node.sessions().iter().filter(|(_, connected)| whose(connected)) {
        connected.queue.close(Closing { reason: "revoked", message: String::new(), retry_ms: 0 });
    }
    assert!(ann.session.next(&mut Vec::new()).await.is_err());
    assert_eq!(watcher.presence().await["leaves"], json!(["ann"]));
}

#[tokio::test]
async fn changes_within_a_tick_are_told_together_and_the_first_at_once() {
    let tick = Duration::from_millis(200);
    let world = World::new(Limits { presence_tick: tick, ..limits() });
    let mut watcher = world.watcher("room:r").await;
    let mut clients: Vec<_> = (0..21).map(|n| world.client(user(&format!("user {n}")))).collect();
    clients[0].track("room:r", json!({})).await;
    let began = Instant::now();
    assert_eq!(watcher.presence().await["joins"].as_array().map(Vec::len), Some(1));
    assert!(began.elapsed() < tick, "{:?}", began.elapsed());
    for client in &mut clients[1..] {
        client.track("room:r", json!({})).await;
    }
    assert_eq!(watcher.presence().await["joins"].as_array().map(Vec::len), Some(20));
}

#[tokio::test]
async fn a_slow_client_is_told_everybody_again_and_nothing_wrong() {
    let world = World::new(Limits { queue_bytes: 8 << 10, ..limits() });
    let mut slow = world.watcher("room:r").await;
    let mut quick = world.watcher("room:r").await;
    let mut clients = Vec::new();
    let mut joins = 0;
    for n in 0..200 {
        let mut client = world.client(user(&format!("user {n}")));
        client.track("room:r", json!({"pad": "x".repeat(200)})).await;
        clients.push(client);
        joins += 1;
        while quick.users.len() < joins {
            quick.presence().await;
        }
    }
    // It has read nothing so far: part of what was told is lost to it.
    let mut lists = 0;
    while slow.users != quick.users {
        let heard = slow.next().await;
        assert_ne!(heard["type"], "skipped", "{heard}");
        lists += u32::from(heard["full"] == true);
        slow.hear(&heard);
    }
    assert_eq!((lists, slow.users.len()), (1, 200));
    clients[0].untrack("room:r").await;
    assert_eq!(slow.presence().await["leaves"], json!(["user 0"]));
}

#[tokio::test]
async fn what_comes_after_something_that_was_missed_is_not_told_by_itself() {
    let world = World::new(Limits { queue_bytes: 8 << 10, ..limits() });
    let mut slow = world.watcher("room:r").await;
    let mut quick = world.watcher("room:r").await;
    let state = json!({"pad": "x".repeat(4060)});
    let mut clients = ["first", "missed"].map(|name| world.client(user(name)));
    for client in &mut clients {
        client.track("room:r", state.clone()).await;
        quick.presence().await;
    }
    // There was no room for the second; there is for its end.
    clients[1].untrack("room:r").await;
    quick.presence().await;
    let heard = slow.presence().await;
    assert_eq!((&heard["full"], slow.users.len()), (&json!(true), 1));
    assert!(!slow.has_more().await);
}

#[tokio::test]
async fn tenants_have_nothing_to_do_with_each_other() {
    let world = World::new(limits());
    let (mut of_a, mut of_b) = (world.client(world::tenant("a", "ann")), world.client(world::tenant("b", "ann")));
    let mut watchers = [world.client(world::tenant("a", "eve")), world.client(world::tenant("b", "eve"))];
    for watcher in &mut watchers {
        watcher.watch("w", "room:lobby").await;
    }
    of_a.track("room:lobby", json!({"of": "a"})).await;
    assert_eq!(watchers[0].presence().await["joins"][0]["state"], json!({"of": "a"}));
    of_b.track("room:lobby", json!({"of": "b"})).await;
    assert_eq!(watchers[1].presence().await["joins"][0]["state"], json!({"of": "b"}));
    of_a.untrack("room:lobby").await;
    assert_eq!(watchers[0].presence().await["leaves"], json!(["ann"]));
    of_b.track("room:lobby", json!({"of": "b", "n": 2})).await;
    assert_eq!(watchers[1].presence().await["updates"][0]["connections"], 1);
}

#[tokio::test]
async fn nobody_is_seen_as_another_user_than_he_is() {
    let world = World::new(limits());
    let track = |user: &str| json!({"type": "track", "channel": "room:r", "user": user, "ref": "t"});
    for identity in [user("ann"), anonymous()] {
        let mut client = world.client(identity);
        client.say(track("eve"));
        let answer = client.next().await;
        assert_eq!((&answer["code"], &answer["ref"]), (&json!("forbidden"), &json!("t")), "{answer}");
    }
    let mut ann = world.client(user("ann"));
    ann.say(track("ann"));
    assert_eq!(ann.next().await, json!({"type": "tracked", "ref": "t"}));
    let mut program = world.client(rowcast::auth::Identity::trusted());
    program.say(track("anybody"));
    assert_eq!(program.next().await["type"], "tracked");
    // Another name on the same connection is another user.
    program.say(track("somebody"));
    assert_eq!(program.next().await["type"], "tracked");
    program.say(track("line\nbreak"));
    assert_eq!(program.next().await["code"], "bad_message");
    let mut guests = [world.client(anonymous()), world.client(anonymous())];
    for guest in &mut guests {
        guest.track("room:r", json!({})).await;
    }
    let names: Vec<String> = world.users("room:r").into_keys().collect();
    assert_eq!((names.len(), &*names[0], &*names[3]), (4, "ann", "somebody"));
    assert!(names[1..3].iter().all(|name| name.starts_with("guest-") && name.len() == 22), "{names:?}");
    let mut unknown = world.client(rowcast::auth::Identity::unknown());
    unknown.say(json!({"type": "track", "channel": "room:r"}));
    assert_eq!(unknown.next().await["code"], "unauthenticated");
    unknown.say(json!({"type": "subscribe", "id": "w", "channel": "presence:room:r"}));
    assert_eq!(unknown.next().await["code"], "unauthenticated");
}

#[tokio::test]
async fn what_is_too_much_or_wrong_is_refused_and_the_rest_stands() {
    let world = World::new(Limits { presence_channels: 2, presence_state_bytes: 100, ..limits() });
    let mut ann = world.client(user("ann"));
    let refused = [
        (json!({"type": "track", "channel": "room:r", "state": {"pad": "x".repeat(100)}}), "too_large"),
        (json!({"type": "track", "channel": "room:r", "state": [1]}), "bad_message"),
        (json!({"type": "track", "channel": "room:r", "state": "text"}), "bad_message"),
        (json!({"type": "track", "channel": "lobby"}), "bad_channel"),
        (json!({"type": "track", "channel": "presence:room:r"}), "bad_channel"),
        (json!({"type": "untrack", "channel": "lobby"}), "bad_channel"),
        (json!({"type": "subscribe", "id": "w", "channel": "presence:lobby"}), "bad_channel"),
        (json!({"type": "subscribe", "id": "w", "channel": "presence:presence:room:r"}), "bad_channel"),
        (json!({"type": "subscribe", "id": "w", "channel": "presence:table:t", "where": "a = 1"}), "bad_message"),
        (json!({"type": "subscribe", "id": "w", "channel": "presence:table:t", "deliver": "latest"}), "bad_message"),
    ];
    for (message, code) in refused {
        ann.say(message.clone());
        let answer = ann.next().await;
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!(code)), "{message}: {answer}");
    }
    ann.track("room:1", json!({})).await;
    ann.track("room:2", json!({})).await;
    ann.say(json!({"type": "track", "channel": "room:3"}));
    let answer = ann.next().await;
    assert_eq!(answer["code"], "rate_limited");
    assert!(answer["message"].as_str().is_some_and(|text| text.contains("2 channels")), "{answer}");
    ann.track("room:2", json!({"again": true})).await;
    ann.untrack("room:1").await;
    ann.track("room:3", json!({})).await;
    assert_eq!((world.users("room:1").len(), world.users("room:3").len()), (0, 1));
    // To untrack what is not tracked does no harm.
    ann.untrack("room:1").await;
}

#[tokio::test]
async fn a_position_means_nothing_to_who_is_present() {
    let world = World::new(limits());
    let mut ann = world.client(user("ann"));
    ann.track("room:r", json!({})).await;
    let mut watcher = world.client(user("eve"));
    watcher.say(json!({"type": "subscribe", "id": "w", "channel": "presence:room:r", "since": "1-1"}));
    assert_eq!(watcher.next().await["resumed"], false);
    assert_eq!(watcher.presence().await["full"], true);
    watcher.say(json!({"type": "unsubscribe", "id": "w"}));
    assert_eq!(watcher.next().await["type"], "unsubscribed");
    ann.untrack("room:r").await;
    watcher.say(json!({"type": "ping"}));
    assert_eq!(watcher.next().await["type"], "pong", "nothing more is heard");
}
