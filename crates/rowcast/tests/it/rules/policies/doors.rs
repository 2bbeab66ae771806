//! Rows and charts over HTTP, and what a client asks beside: the same policies.

use rowcast::auth::rules::{RuleSpec, Rules};
use rowcast::auth::{Auth, Settings};
use rowcast::postgres::{Capture, PostgresSettings};
use rowcast::protocol::Code;
use serde_json::{Value as Json, json};

use super::world::{Stage, ada, messages, rls};
use crate::doors_auth::world::{AUDIENCE, SECRET, auth, now, sign};
use crate::rules::world::{World, identity};
use crate::socketio::client::Served;

/// Who asks over HTTP, with a token.
struct Caller {
    served: Served,
    claims: Json,
}

impl Caller {
    async fn gets(&self, target: &str) -> Json {
        let mut claims = self.claims.clone();
        claims["aud"] = AUDIENCE.into();
        claims["exp"] = (now() + 3600).into();
        let url = format!("http://{}{target}", self.served.address);
        // One for the process; another test may have been faster.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let answer = reqwest::Client::new().get(url).bearer_auth(sign(&claims, SECRET)).send().await.expect("answered");
        serde_json::from_slice(&answer.bytes().await.expect("read")).expect("JSON")
    }
}

#[tokio::test]
async fn rows_and_charts_are_those_that_the_role_sees() {
    let stage = Stage::new().await;
    stage
        .run(
            "CREATE TABLE points (id int PRIMARY KEY, owner text, at float8, n int); ALTER TABLE points ENABLE ROW LEVEL SECURITY; \
             GRANT SELECT ON points TO {role}; CREATE POLICY own ON points USING (owner = auth.uid()); \
             INSERT INTO points SELECT i, CASE WHEN i % 3 = 0 THEN 'ada' ELSE 'bob' END, i, i FROM generate_series(1, 30) AS i",
        )
        .await;
    let rules = Rules::new(vec![messages(&stage.role), rls("points", &stage.role)], None, None).expect("rules");
    let world = stage.start(Capture::Wal, Auth { rules, ..auth(Settings::default()) }).await.expect("started");
    for (claims, seen, points) in [
        (ada(), json!([{ "id": 1 }, { "id": 5 }]), 10),
        (json!({ "sub": "bob", "tenant": "b" }), json!([]), 20),
        (json!({ "sub": "eve" }), json!([]), 0),
    ] {
        let caller = Caller { served: Served::new(world.router()).await, claims };
        assert_eq!(caller.gets("/v1/tables/messages?columns=id").await, seen);
        assert_eq!(caller.gets("/v1/tables/messages?columns=id&where=id%3D3").await, json!([]));
        let chart = caller.gets("/v1/tables/points/series?time=at&value=n&buckets=5&exact=true").await;
        let groups = chart["groups"].as_array().expect("groups");
        let counts = groups.iter().flat_map(|group| group["count"].as_array().expect("counts"));
        assert_eq!(counts.map(|count| count.as_u64().expect("a number")).sum::<u64>(), points, "{chart}");
    }
}

/// So many rows that they are read here and there along the index.
#[tokio::test]
async fn a_chart_of_many_rows_reads_what_the_role_was_given_and_nothing_else() {
    let stage = Stage::new().await;
    stage
        .run(
            "CREATE TABLE points (id int PRIMARY KEY, owner text, at float8, n int, secret text); CREATE INDEX ON points (at); \
             ALTER TABLE points ENABLE ROW LEVEL SECURITY; GRANT SELECT (id, owner, at, n) ON points TO {role}; \
             CREATE POLICY own ON points USING (owner = auth.uid()); \
             INSERT INTO points SELECT i, CASE WHEN i % 3 = 0 THEN 'ada' ELSE 'bob' END, i, CASE WHEN i % 3 = 0 THEN 1 ELSE 2 END, 's' \
             FROM generate_series(1, 60000) AS i; ANALYZE points",
        )
        .await;
    let columns = Some(["id", "owner", "at", "n"].map(str::to_owned).to_vec());
    let rules = Rules::new(vec![RuleSpec { columns, ..rls("points", &stage.role) }], None, None).expect("rules");
    let settings = PostgresSettings { series_rows: 2_000, ..PostgresSettings::default() };
    let auth = Auth { rules, ..auth(Settings::default()) };
    let world = World::over(stage.database_with(settings), auth).await.expect("started");
    let caller = Caller { served: Served::new(world.router()).await, claims: json!({ "sub": "ada" }) };
    let target = "/v1/tables/points/series?time=at&value=n&from=10000&to=20000&buckets=4";
    let chart = caller.gets(target).await;
    assert_eq!((&chart["exact"], chart["groups"].as_array().map(Vec::len)), (&json!(false), Some(1)), "{chart}");
    // Of others' rows it has none.
    assert_eq!(chart["groups"][0]["max"][0], json!([1.0, 1.0, 1.0, 1.0]), "{chart}");
}

#[tokio::test]
async fn what_is_asked_beside_the_policies_is_joined_to_them() {
    let stage = Stage::new().await;
    let world = stage.gateway(Capture::Wal, vec![messages(&stage.role)]).await;
    let mut client = world.client(&identity(ada()));
    client.subscribe("table:messages", json!({ "where": "secret = 's'" }));
    client.refused(Code::BadFilter).await;
    client.subscribe("table:messages", json!({ "where": "room = 3", "columns": ["id", "body"] }));
    client.hears(&["1 rows", "subscribed"]).await;
    stage.run("INSERT INTO messages VALUES (10, 3, 'a', 'ada', 'b', 's'), (11, 3, 'a', 'bob', 'b', 's'), (12, 1, 'a', 'bob', 'b', 's')").await;
    client.hears(&["insert 10"]).await;
    stage.run("UPDATE messages SET room = 1 WHERE id IN (10, 11); UPDATE messages SET room = 3, author = 'ada' WHERE id = 12").await;
    client.hears(&["delete 10", "insert 12"]).await;
    client.hears_nothing().await;
}

#[tokio::test]
async fn another_token_shows_what_it_lets_be_seen() {
    let stage = Stage::new().await;
    let rules = Rules::new(vec![messages(&stage.role)], None, None).expect("rules");
    let world = stage.start(Capture::Wal, Auth { rules, ..auth(Settings::default()) }).await.expect("started");
    let mut client = world.client(&identity(ada()));
    client.subscribe("table:messages", json!({}));
    client.hears(&["2 rows", "subscribed"]).await;
    let claims = json!({ "sub": "bob", "tenant": "a", "aud": AUDIENCE, "exp": now() + 3600 });
    client.say(&json!({ "type": "auth", "token": sign(&claims, SECRET) }));
    let message = client.next().await;
    // A connection stays one user's: the same one may have other claims.
    assert_eq!(message.kind(), "error", "{message:?}");
    let claims = json!({ "sub": "ada", "tenant": "b", "aud": AUDIENCE, "exp": now() + 3600 });
    client.say(&json!({ "type": "auth", "token": sign(&claims, SECRET) }));
    client.hears(&["authenticated", "revoked", "1 rows", "subscribed"]).await;
    stage.run("INSERT INTO messages VALUES (10, 2, 'a', 'ada', 'b', 's'), (11, 2, 'b', 'kim', 'b', 's')").await;
    client.hears(&["insert 11"]).await;
    client.hears_nothing().await;
}

#[tokio::test]
async fn one_that_conflates_has_the_newest_that_it_may_see() {
    let stage = Stage::new().await;
    let world = stage.gateway(Capture::Wal, vec![messages(&stage.role)]).await;
    let mut client = world.client(&identity(ada()));
    client.subscribe("table:messages", json!({ "deliver": { "every_ms": 50 } }));
    client.hears(&["2 rows", "subscribed"]).await;
    stage.run("INSERT INTO messages VALUES (10, 1, 'a', 'bob', 'b', 's'), (11, 3, 'a', 'bob', 'b', 's')").await;
    client.hears(&["insert 10"]).await;
    stage.run("UPDATE messages SET room = 3 WHERE id = 10; UPDATE messages SET room = 1 WHERE id = 11").await;
    let mut heard = Vec::new();
    while heard.len() < 2 {
        let message = client.next().await;
        if let rowcast::protocol::ServerMessage::Change { op, key, .. } = &message {
            heard.push(format!("{op} {}", key[0]));
        }
    }
    heard.sort();
    assert_eq!(heard, ["delete 10", "insert 11"]);
}
