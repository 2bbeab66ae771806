//! Two tenants under load in equally named rooms: each hears all of its own, once and in order, and nothing of the other.

use std::sync::Arc;

use rowcast::gateway::Allowances;
use serde_json::{Value as Json, json};

use super::world::{Socket, World, token};

const MESSAGES: u64 = 240;
/// After so many a client leaves, and comes back for the rest.
const STAY: usize = 50;
const TENANTS: [&str; 2] = ["acme", "globex"];
const ROOM: &str = "room:lobby";

/// What one client has heard so far.
struct Heard {
    tenant: &'static str,
    next: u64,
    position: Option<String>,
}

impl Heard {
    fn new(tenant: &'static str) -> Self {
        Self { tenant, next: 0, position: None }
    }

    fn take(&mut self, message: &Json) {
        assert_eq!(message["data"], json!({ "tenant": self.tenant, "n": self.next }), "{}: {message}", self.tenant);
        self.next += 1;
        self.position = message["position"].as_str().map(str::to_owned);
    }

    fn wish(&self) -> Json {
        let mut wish = json!({ "id": "r", "channel": ROOM });
        if let Some(position) = &self.position {
            wish["since"] = json!(position);
        }
        wish
    }

    fn has_all(&self) -> bool {
        self.next == MESSAGES
    }
}

async fn by_websocket(world: Arc<World>, tenant: &'static str) {
    let mut heard = Heard::new(tenant);
    while !heard.has_all() {
        let mut socket = world.socket(&token(tenant, "ann")).await.expect("let in");
        let mut subscribe = heard.wish();
        subscribe["type"] = json!("subscribe");
        socket.say(&subscribe).await;
        for _ in 0..STAY {
            let message = socket.hears(&["message", "error", "gap"]).await;
            heard.take(&message);
            if heard.has_all() {
                break;
            }
        }
    }
}

async fn by_stream(world: Arc<World>, tenant: &'static str) {
    let mut heard = Heard::new(tenant);
    while !heard.has_all() {
        let since = heard.position.as_ref().map(|position| format!("&since={position}")).unwrap_or_default();
        let wish = format!("channel={ROOM}{since}");
        let Ok(mut stream) = world.stream(&token(tenant, "ann"), &wish).await else { panic!("refused") };
        for _ in 0..STAY {
            let message = loop {
                let (name, _, data) = stream.event().await.expect("no end");
                assert!(name != "error" && name != "gap", "{name} {data}");
                if name == "message" {
                    break data;
                }
            };
            heard.take(&message);
            if heard.has_all() {
                break;
            }
        }
    }
}

async fn bysocketio(world: Arc<World>, tenant: &'static str) {
    let mut heard = Heard::new(tenant);
    while !heard.has_all() {
        let mut socket = world.socketio(&token(tenant, "ann")).await.expect("let in");
        socket.send(format!("42{}", json!(["subscribe", heard.wish()]))).await;
        for _ in 0..STAY {
            let (_, message) = socket.event(&["message", "error", "gap"]).await;
            heard.take(&message);
            if heard.has_all() {
                break;
            }
        }
    }
}

/// Says something by one of the three ways, and waits until it is taken.
async fn say(world: &World, native: &mut Socket, io: &mut Socket, tenant: &str, n: u64) {
    let data = json!({ "tenant": tenant, "n": n });
    let message = json!({ "channel": ROOM, "event": "said", "data": data });
    match n % 3 {
        0 => {
            let mut message = message;
            message["type"] = json!("publish");
            native.say(&message).await;
            assert_eq!(native.hears(&["published", "error"]).await["type"], "published");
        }
        1 => {
            io.send(format!("42{}", json!(["publish", message]))).await;
            assert_eq!(io.event(&["published", "error"]).await.0, "published");
        }
        _ => assert_eq!(world.publish(&token(tenant, "bob"), ROOM, &data).await.status(), 200),
    }
}

async fn speak(world: Arc<World>, tenant: &'static str) {
    let mut native = world.socket(&token(tenant, "bob")).await.expect("let in");
    let mut io = world.socketio(&token(tenant, "bob")).await.expect("let in");
    for n in 0..MESSAGES {
        say(&world, &mut native, &mut io, tenant, n).await;
    }
}

#[tokio::test]
async fn tenants_in_equally_named_rooms_hear_nothing_of_each_other() {
    let world = Arc::new(World::new(Allowances::default()).await);
    let mut listeners = tokio::task::JoinSet::new();
    for tenant in TENANTS {
        listeners.spawn(by_websocket(world.clone(), tenant));
        listeners.spawn(by_stream(world.clone(), tenant));
        listeners.spawn(bysocketio(world.clone(), tenant));
    }
    // Who comes later hears less: they are all there before the first word.
    let all = async {
        while world.gateway.status()["subscriptions"] != 6 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(super::world::DEADLINE, all).await.expect("six listeners");
    let speakers = TENANTS.map(|tenant| tokio::spawn(speak(world.clone(), tenant)));
    while let Some(ended) = listeners.join_next().await {
        ended.expect("heard all of it");
    }
    for speaker in speakers {
        speaker.await.expect("said all of it");
    }
    let status = world.gateway.status();
    let said = TENANTS.map(|tenant| status["tenants"][tenant]["messages"].as_u64().expect("counted"));
    assert!(said.iter().all(|said| *said >= MESSAGES), "{said:?}");
    world.until_nobody().await;
}

#[tokio::test]
async fn a_room_of_another_tenant_cannot_be_named_on_any_door() {
    let world = World::new(Allowances::default()).await;
    let mut owner = world.socket(&token("globex", "ann")).await.expect("let in");
    assert_eq!(owner.subscribe("s", "room:secret").await["type"], "subscribed");
    let acme = token("acme", "ann");
    // The same answer as for a kind of channel that there is not, whether there is such a room or not.
    let unlike = |text: String, name: &str| text.replace(name, "NAME");
    let mut answers = Vec::new();
    for name in ["room@globex:secret", "room@globex:nothing", "room@nobody:secret", "room@:secret", "kind:secret"] {
        let mut socket = world.socket(&acme).await.expect("let in");
        let mut told = socket.subscribe("s", name).await.to_string();
        socket.say(&json!({ "type": "publish", "channel": name, "event": "e", "data": 1 })).await;
        told += &socket.hears(&["published", "error"]).await.to_string();
        let response = world.publish(&acme, name, &json!(1)).await;
        told += &format!("{}{}", response.status(), response.text().await.expect("a body"));
        let Err(response) = world.stream(&acme, &format!("channel={name}")).await else { panic!("{name} is followed") };
        told += &format!("{}{}", response.status(), response.text().await.expect("a body"));
        let mut io = world.socketio(&acme).await.expect("let in");
        io.send(format!("42{}", json!(["subscribe", { "id": "s", "channel": name }]))).await;
        told += &io.event(&["subscribed", "error"]).await.1.to_string();
        assert!(told.contains("bad_channel"), "{told}");
        answers.push(unlike(told, name));
    }
    assert!(answers.windows(2).all(|two| two[0] == two[1]), "{answers:#?}");
    // What somebody says in a room of his own is nowhere else.
    assert_eq!(world.publish(&acme, "room:secret", &json!("mine")).await.status(), 200);
    assert_eq!(world.publish(&token("globex", "bob"), "room:secret", &json!("ours")).await.status(), 200);
    assert_eq!(owner.hears(&["message"]).await["data"], "ours");
}

#[tokio::test]
async fn who_administers_the_gateway_may_name_any_tenants_room() {
    let world = World::new(Allowances::default()).await;
    let mut owner = world.socket(&token("globex", "ann")).await.expect("let in");
    assert_eq!(owner.subscribe("s", "room:secret").await["type"], "subscribed");
    let root = token("operators", "root");
    assert_eq!(world.publish(&root, "room:secret", &json!("to my own")).await.status(), 200);
    assert_eq!(world.publish(&root, "room@globex:secret", &json!("to you")).await.status(), 200);
    assert_eq!(owner.hears(&["message"]).await["data"], "to you");
}

#[tokio::test]
async fn a_sessions_name_counts_nobody() {
    let world = World::new(Allowances::default()).await;
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let socket = world.socket(&token("acme", "ann")).await.expect("let in");
        let status = world.gateway.status();
        let name = status["sessions"][0]["id"].as_str().expect("a name").to_owned();
        assert!(name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
        names.insert(name);
        drop(socket);
        world.until_nobody().await;
    }
    assert_eq!(names.len(), 3);
}
