//! Random policies, claims, rows and changes: a client has what a SELECT as its role finds.
//!
//! Policies over the row and the claims alone are held at every position; those that read other tables, whenever a client has heard all.
//! `ROWCAST_SEED` repeats one history, `ROWCAST_HISTORIES` runs more of them.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rowcast::auth::rules::RuleSpec;
use rowcast::event::Position;
use rowcast::postgres::Capture;
use rowcast::protocol::ServerMessage;
use serde_json::{Map, Value as Json, json};

use super::world::{Stage, rls};
use crate::rules::ticks::Ticks;
use crate::rules::world::{Client, Held, World, identity, read};

const SCHEMA: &str = "
    CREATE TABLE items (id int PRIMARY KEY, tenant text, owner text, room int, level int, public boolean);
    CREATE TABLE blocks (id serial PRIMARY KEY, user_id text, other text);
    CREATE TABLE ticks (n int PRIMARY KEY);
    ALTER TABLE items ENABLE ROW LEVEL SECURITY;
    GRANT SELECT ON items, blocks TO {role};
    CREATE FUNCTION auth.claim(name text) RETURNS text LANGUAGE sql STABLE AS
        $$ SELECT current_setting('request.jwt.claims', true)::jsonb ->> name $$;
    GRANT EXECUTE ON FUNCTION auth.claim TO {role};";

/// Of the row and the claims.
const OWN: &[&str] = &[
    "CREATE POLICY p1 ON items USING (tenant = auth.claim('tenant'))",
    "CREATE POLICY p2 ON items USING (owner = auth.uid() OR public)",
    "CREATE POLICY p3 ON items FOR SELECT TO {role} USING (level <= auth.claim('level')::int)",
    "CREATE POLICY p4 ON items AS RESTRICTIVE USING (tenant = auth.claim('tenant') OR public)",
    "CREATE POLICY p5 ON items AS RESTRICTIVE FOR SELECT TO {role} USING (room IS NOT NULL)",
    "CREATE POLICY p6 ON items FOR INSERT WITH CHECK (true)",
];

/// Of other tables, too.
const OTHERS: &[&str] = &[
    "CREATE POLICY q1 ON items USING (EXISTS (SELECT FROM memberships m WHERE m.room = items.room AND m.user_id = auth.uid()))",
    "CREATE POLICY q2 ON items USING (room IN (SELECT room FROM memberships))",
    "CREATE POLICY q3 ON items AS RESTRICTIVE USING (owner NOT IN (SELECT other FROM blocks b WHERE b.user_id = auth.uid()))",
];

const USERS: [&str; 4] = ["ada", "bob", "eve", "kim"];

fn seeds() -> Vec<u64> {
    let histories = std::env::var("ROWCAST_HISTORIES").map_or(3, |n| n.parse().expect("a number"));
    match std::env::var("ROWCAST_SEED") {
        Ok(seed) => vec![seed.parse().expect("a number")],
        Err(_) => (0..histories).map(|_| rand::random_range(0..1_000_000)).collect(),
    }
}

#[tokio::test]
async fn a_client_has_what_its_role_sees_at_every_position() {
    for seed in seeds() {
        println!("seed {seed}");
        history(seed, OWN, false).await;
    }
}

#[tokio::test]
async fn a_client_that_has_heard_all_has_what_its_role_sees_through_memberships() {
    for seed in seeds() {
        println!("seed {seed}");
        history(seed, OTHERS, true).await;
    }
}

/// What each may see after each commit, by the commit's tick.
type Expected = Vec<Vec<Vec<Json>>>;

async fn history(seed: u64, policies: &[&str], waits: bool) {
    let mut rng = StdRng::seed_from_u64(seed);
    let stage = Stage::new().await;
    stage.run(SCHEMA).await;
    let mut made = Vec::new();
    for policy in policies {
        if rng.random_bool(0.6) {
            stage.run(policy).await;
            made.push(*policy);
        }
    }
    let spec = RuleSpec {
        reads: waits
            .then(|| vec!["memberships where user_id = claims.sub".into(), "blocks where user_id = claims.sub".into()]),
        ..rls("items", &stage.role)
    };
    let capture = if rng.random_bool(0.5) { Capture::Wal } else { Capture::Outbox };
    let world = stage.gateway(capture, vec![spec, read("ticks", "true")]).await;
    let mut ticks = Ticks::follow(&world).await;
    let mut followers: Vec<Follower> = USERS.iter().map(|user| Follower::begin(&world, user, &mut rng)).collect();
    let database = stage.database.connect().await.expect("connected");
    let mut expected: Expected = Vec::new();
    for n in 0..25_u64 {
        let changes: Vec<String> = (0..rng.random_range(1..4)).map(|_| change(&mut rng, waits)).collect();
        let sql = format!("BEGIN; {}; INSERT INTO ticks VALUES ({n}); COMMIT", changes.join("; "));
        database.batch_execute(&sql).await.expect(&sql);
        let mut seen = Vec::new();
        for follower in &followers {
            seen.push(stage.sees(&follower.claims, "*", "items").await);
        }
        expected.push(seen);
        if waits {
            let place = ticks.until(n).await[&n];
            for (i, follower) in followers.iter_mut().enumerate() {
                follower.listen_until(place).await;
                let (has, should) = (follower.rows(), &expected[n as usize][i]);
                assert_eq!(&has, should, "seed {seed}, {made:?}, {} after commit {n}: {sql}", follower.claims);
            }
        }
    }
    if waits {
        return;
    }
    let places = ticks.until(24).await;
    for (i, follower) in followers.iter_mut().enumerate() {
        follower.listen_until(places[&24]).await;
        for (position, has) in &follower.seen {
            let Some((commit, _)) = places.iter().find(|(_, place)| *place >= position) else { continue };
            let should = &expected[*commit as usize][i];
            let before = *commit == 0 && has.is_empty();
            assert!(
                before || has == should,
                "seed {seed}, {made:?}, {} at commit {commit}:\nhas {has:?}\nshould have {should:?}",
                follower.claims
            );
        }
        assert!(follower.seen.len() > 1, "seed {seed}: something was checked");
    }
}

fn change(rng: &mut StdRng, waits: bool) -> String {
    let (user, other) = (USERS[rng.random_range(0..4)], USERS[rng.random_range(0..4)]);
    let (id, room, level) = (rng.random_range(0..15), rng.random_range(0..4), rng.random_range(0..4));
    let (tenant, public) = (["a", "b"][rng.random_range(0..2)], rng.random_bool(0.3));
    match rng.random_range(0..if waits { 14 } else { 9 }) {
        0..4 => format!(
            "INSERT INTO items VALUES ({id}, '{tenant}', '{user}', {room}, {level}, {public}) ON CONFLICT DO NOTHING"
        ),
        4 => format!("UPDATE items SET tenant = '{tenant}', public = {public} WHERE id = {id}"),
        5 => format!("UPDATE items SET room = {room}, owner = '{user}' WHERE level = {level}"),
        6 => format!(
            "UPDATE items SET id = id + 20 WHERE id = {id} AND NOT EXISTS (SELECT FROM items WHERE id = {})",
            id + 20
        ),
        7 => format!("UPDATE items SET room = NULL, level = {level} WHERE id = {id}"),
        8 => format!("DELETE FROM items WHERE id = {id}"),
        9 | 10 => format!("INSERT INTO memberships SELECT coalesce(max(id), 0) + 1, '{user}', {room} FROM memberships"),
        11 => format!("DELETE FROM memberships WHERE user_id = '{user}' AND room = {room}"),
        12 => format!("INSERT INTO blocks (user_id, other) VALUES ('{user}', '{other}')"),
        _ => format!("DELETE FROM blocks WHERE user_id = '{user}'"),
    }
}

/// A client that notes what it had at each position.
struct Follower {
    claims: Json,
    client: Client,
    held: Held,
    seen: Vec<(Position, Vec<Json>)>,
}

impl Follower {
    fn begin(world: &World, user: &str, rng: &mut StdRng) -> Self {
        let tenant = if rng.random_bool(0.5) { "a" } else { "b" };
        let claims = json!({ "sub": user, "tenant": tenant, "level": rng.random_range(0..4).to_string() });
        let mut client = world.client(&identity(claims.clone()));
        client.subscribe("table:items", json!({}));
        Self { claims, client, held: Held::default(), seen: Vec::new() }
    }

    async fn listen_until(&mut self, end: Position) {
        while self.held.position.is_none_or(|position| position < end) || !self.held.whole {
            let message = self.client.any().await;
            assert!(!matches!(message, ServerMessage::Error { .. }), "{message:?}");
            if self.held.take(&message)
                && let Some(position) = self.held.position
            {
                let rows = self.rows();
                self.seen.push((position, rows));
            }
        }
    }

    /// By id, as numbers are ordered.
    fn rows(&self) -> Vec<Json> {
        let mut rows: Vec<Map<String, Json>> = self.held.rows.values().cloned().collect();
        rows.sort_by_key(|row| row["id"].as_i64());
        rows.into_iter().map(Json::Object).collect()
    }
}
