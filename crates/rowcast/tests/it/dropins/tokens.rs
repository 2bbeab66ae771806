//! Drop-ins where clients show tokens: who comes in, and how it ends.

use std::time::{Duration, Instant};

use rowcast::auth::Settings;
use rowcast::session::Whose;
use rowcast::transport::DropIns;
use rowcast::transport::dropin::{Pgws, PostgresWebsockets};
use serde_json::json;

use super::world::World;
use crate::doors_auth::world::{AUDIENCE, SECRET, auth, bearer, now, sign, token, token_for};

async fn world() -> World {
    let postgres_websockets = Some(PostgresWebsockets::new(SECRET));
    let drop_ins = DropIns { pgws: Some(Pgws::default()), postgres_websockets, ..DropIns::default() };
    let settings = Settings { grace: Duration::ZERO, ..Settings::default() };
    World::with(drop_ins, &[], Some(auth(settings))).await
}

const NEWS: &str = r#"select pg_notify('pgws', 'default,{"n": 1}')"#;

#[tokio::test]
async fn a_socket_ends_when_its_token_does() {
    let world = world().await;
    let (_, header) = bearer(&token_for("anna", 2));
    let mut socket = world.socket_with("/ws", &[("authorization", &header)]).await.expect("a socket");
    world.run(NEWS).await;
    assert!(socket.text().await.contains(r#""n": 1"#));
    assert_eq!(socket.end().await, 4401);
}

#[tokio::test]
async fn a_socket_that_is_put_out_ends_within_a_second() {
    let world = world().await;
    let mut socket = world.socket_at(format!("/ws?access_token={}", token("anna"))).await;
    let begun = Instant::now();
    let whose = Whose { user: Some("anna".into()), ..Whose::default() };
    assert_eq!(world.node.disconnect(&whose, None), 1);
    assert_eq!(socket.end().await, 4403);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_token_in_the_path_is_enough_if_it_is_one_of_the_gateways() {
    let world = world().await;
    let claims = json!({ "sub": "anna", "aud": AUDIENCE, "exp": now() + 60, "mode": "r", "channels": ["chat"] });
    let socket = world.socket_with(&format!("/postgres-websockets/chat/{}", sign(&claims, SECRET)), &[]).await;
    assert!(socket.is_ok());
    let other = json!({ "sub": "anna", "exp": now() + 60, "mode": "r", "channels": ["chat"] });
    let refused = world.refusal(&format!("/postgres-websockets/chat/{}", sign(&other, SECRET)), &[]).await;
    assert_eq!(refused, 401, "it is for somebody else");
}
