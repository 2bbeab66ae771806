//! Random rules, claims, rows and changes: at every position a client has exactly what SQL says it may see.
//!
//! `ROWCAST_SEED` repeats one history, `ROWCAST_HISTORIES` runs more of them.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rowcast::auth::rules::RuleSpec;
use rowcast::event::Position;
use rowcast::protocol::ServerMessage;
use serde_json::{Map, Value as Json, json};

use super::ticks::Ticks;
use super::world::{Client, Held, World, auth, identity, read};

const SCHEMA: &str = "
    CREATE TABLE items (id INTEGER PRIMARY KEY, tenant TEXT, owner TEXT, room INTEGER, level INTEGER, public INTEGER, title TEXT);
    CREATE TABLE memberships (id INTEGER PRIMARY KEY, user TEXT, room INTEGER, level INTEGER);
    CREATE TABLE blocks (user TEXT, other TEXT);
    CREATE TABLE admins (user TEXT PRIMARY KEY);
    CREATE TABLE ticks (n INTEGER PRIMARY KEY);";

const RULES: &[&str] = &[
    "tenant = claims.tenant",
    "tenant = claims.tenant and (owner = claims.sub or public)",
    "room in (select room from memberships where user = claims.sub)",
    "room in (select room from memberships where user = claims.sub) or owner = claims.sub",
    "tenant = claims.tenant and room in (select room from memberships where user = claims.sub and level > 1)",
    "room in (select room from memberships where user = claims.sub) and not (owner in (select other from blocks where user = claims.sub))",
    "owner not in (select other from blocks where user = claims.sub)",
    "claims.sub in (select user from admins) or owner = claims.sub",
    "not (claims.sub in (select user from admins)) and level < 3",
    "level <= claims.level and title like 'a%'",
    "room in (select room from memberships where user = claims.sub) or claims.sub in (select user from admins)",
    "room is null or room in claims.rooms",
];

const FILTERS: &[Option<&str>] =
    &[None, None, Some("level > 1"), Some("title like '%b' or public"), Some("room in (1, 2, 3)")];

const USERS: [&str; 4] = ["ada", "bob", "eve", "kim"];

#[tokio::test]
async fn a_client_has_what_sql_says_it_may_see_at_every_position() {
    let histories = std::env::var("ROWCAST_HISTORIES").map_or(12, |n| n.parse().expect("a number"));
    let seeds: Vec<u64> = match std::env::var("ROWCAST_SEED") {
        Ok(seed) => vec![seed.parse().expect("a number")],
        Err(_) => (0..histories).map(|_| rand::random_range(0..1_000_000)).collect(),
    };
    for seed in seeds {
        println!("seed {seed}");
        history(seed).await;
    }
}

async fn history(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let rule = RULES[rng.random_range(0..RULES.len())];
    let columns = rng.random_bool(0.3).then(|| ["id", "room", "owner"].map(str::to_owned).to_vec());
    let spec = RuleSpec { columns: columns.clone(), ..read("items", rule) };
    let mut clock = read("ticks", "true");
    clock.shared = true;
    let world = World::new(SCHEMA, auth(vec![spec, clock], None)).await;
    let database = world.database();
    let mut followers: Vec<Follower> = USERS
        .iter()
        .map(|user| {
            let mut claims = json!({ "sub": user, "tenant": if rng.random_bool(0.5) { "a" } else { "b" }, "level": rng.random_range(0..4) });
            if rng.random_bool(0.7) {
                claims["rooms"] = json!([rng.random_range(0..5), rng.random_range(0..5)]);
            }
            if rng.random_bool(0.1) {
                claims.as_object_mut().expect("an object").remove("tenant");
            }
            // A filter may name what may be read.
            let filter = if columns.is_some() { None } else { FILTERS[rng.random_range(0..FILTERS.len())] };
            Follower::new(claims, filter)
        })
        .collect();
    // What each may see after each commit.
    let mut expected: Vec<Vec<Rows>> = Vec::new();
    let mut ticks = Ticks::follow(&world).await;
    for n in 0..50_u64 {
        database.execute_batch("BEGIN").expect("begun");
        for _ in 0..rng.random_range(1..4) {
            let sql = change(&mut rng);
            database.execute_batch(&sql).expect(&sql);
        }
        database.execute_batch(&format!("INSERT INTO ticks VALUES ({n}); COMMIT")).expect("committed");
        let seen = followers.iter().map(|follower| {
            let asked = follower.filter.map_or(String::new(), |filter| format!(" AND ({filter})"));
            rows(&database, &format!("({}){asked}", with_claims(rule, &follower.claims)), columns.as_deref())
        });
        expected.push(seen.collect());
        for follower in &mut followers {
            if rng.random_bool(0.15) {
                follower.come_or_go(&world, &mut rng);
            }
            follower.listen(rng.random_range(0..4)).await;
        }
    }
    let places = ticks.until(49).await;
    let end = *places.values().next_back().expect("a tick");
    for (i, follower) in followers.iter_mut().enumerate() {
        follower.come_back(&world);
        follower.listen_until(end).await;
        let checked = follower.seen.len();
        for (position, held) in &follower.seen {
            // The commit that the position is in, or at the end of.
            let commit = places.iter().find(|(_, place)| *place >= position).map(|(n, _)| *n);
            let commit = usize::try_from(commit.expect("every commit has a tick")).expect("few");
            let before = places.values().all(|place| place > position) && commit == 0 && held.is_empty();
            let right = &expected[commit][i];
            assert!(
                held == right || before,
                "seed {seed}, rule {rule:?}, {} with {:?}, at {position} (commit {commit}):\nhas  {held:?}\nshould have {right:?}",
                follower.claims,
                follower.filter
            );
        }
        assert!(checked > 0, "seed {seed}: something was checked");
    }
}

type Rows = BTreeSet<String>;

/// The rows that SQL finds, each as JSON with its keys in order.
fn rows(database: &rusqlite::Connection, condition: &str, columns: Option<&[String]>) -> Rows {
    let all = ["id", "tenant", "owner", "room", "level", "public", "title"].map(str::to_owned);
    let columns = columns.unwrap_or(&all);
    let sql = format!("SELECT {} FROM items WHERE {condition}", columns.join(", "));
    let mut statement = database.prepare(&sql).expect(&sql);
    let read = |row: &rusqlite::Row<'_>| {
        let mut found = BTreeMap::new();
        for (i, column) in columns.iter().enumerate() {
            let value: rusqlite::types::Value = row.get(i)?;
            let value = match value {
                rusqlite::types::Value::Integer(n) => json!(n),
                rusqlite::types::Value::Text(text) => json!(text),
                _ => Json::Null,
            };
            found.insert(column.clone(), value);
        }
        Ok(serde_json::to_string(&found).expect("JSON"))
    };
    statement.query_map([], read).expect("asked").map(|row| row.expect("a row")).collect()
}

fn with_claims(rule: &str, claims: &Json) -> String {
    let mut sql = rule.to_owned();
    let rooms = claims["rooms"].as_array();
    // A claim that is missing is in no list.
    let list = rooms
        .map_or_else(|| "NULL".to_owned(), |rooms| rooms.iter().map(Json::to_string).collect::<Vec<_>>().join(", "));
    sql = sql.replace("in claims.rooms", &format!("in ({list})"));
    for name in ["sub", "tenant", "level"] {
        let literal = match &claims[name] {
            Json::String(text) => format!("'{text}'"),
            Json::Null => "NULL".to_owned(),
            other => other.to_string(),
        };
        sql = sql.replace(&format!("claims.{name}"), &literal);
    }
    sql
}

fn change(rng: &mut StdRng) -> String {
    let user = USERS[rng.random_range(0..USERS.len())];
    let other = USERS[rng.random_range(0..USERS.len())];
    let (id, room, level) = (rng.random_range(1..20), rng.random_range(0..5), rng.random_range(0..4));
    let room_or_null = if rng.random_bool(0.1) { "NULL".to_owned() } else { room.to_string() };
    let tenant = if rng.random_bool(0.5) { "'a'" } else { "'b'" };
    let title = ["ab", "b", "a", "bb"][rng.random_range(0..4)];
    match rng.random_range(0..20) {
        0..=5 => format!(
            "INSERT OR REPLACE INTO items VALUES ({id}, {tenant}, '{user}', {room_or_null}, {level}, {}, '{title}')",
            rng.random_range(0..2)
        ),
        6 | 7 => format!("UPDATE items SET owner = '{user}', level = {level} WHERE id = {id}"),
        8 | 9 => format!("UPDATE items SET room = {room_or_null}, title = '{title}' WHERE id % 3 = {}", id % 3),
        10 => format!("UPDATE items SET tenant = {tenant} WHERE id = {id}"),
        11 => format!("UPDATE OR IGNORE items SET id = {} WHERE id = {id}", rng.random_range(1..20)),
        12 => format!("DELETE FROM items WHERE id = {id}"),
        13 | 14 => format!("INSERT INTO memberships (user, room, level) VALUES ('{user}', {room_or_null}, {level})"),
        15 => format!("DELETE FROM memberships WHERE user = '{user}' AND room = {room}"),
        16 => format!("UPDATE memberships SET room = {room}, level = {level} WHERE user = '{user}'"),
        17 => format!("INSERT INTO blocks VALUES ('{user}', '{other}')"),
        18 => format!("DELETE FROM blocks WHERE user = '{user}'"),
        _ if rng.random_bool(0.5) => format!("INSERT OR IGNORE INTO admins VALUES ('{user}')"),
        _ => format!("DELETE FROM admins WHERE user = '{user}'"),
    }
}

/// A client that comes and goes, and notes what it had at each position.
struct Follower {
    claims: Json,
    filter: Option<&'static str>,
    client: Option<Client>,
    held: Held,
    /// What it goes on with after a reconnect.
    kept: Held,
    seen: Vec<(Position, Rows)>,
}

impl Follower {
    fn new(claims: Json, filter: Option<&'static str>) -> Self {
        Self { claims, filter, client: None, held: Held::default(), kept: Held::default(), seen: Vec::new() }
    }

    fn come_or_go(&mut self, world: &World, rng: &mut StdRng) {
        if self.client.take().is_none() {
            if rng.random_bool(0.2) {
                self.kept = Held::default();
            }
            self.come_back(world);
        }
    }

    fn come_back(&mut self, world: &World) {
        if self.client.is_some() {
            return;
        }
        let mut client = world.client(&identity(self.claims.clone()));
        let mut wish = json!({});
        if let Some(filter) = self.filter {
            wish["where"] = filter.into();
        }
        self.held = self.kept.clone();
        match self.held.position.filter(|_| self.held.whole) {
            Some(position) => wish["since"] = position.to_string().into(),
            None => self.held = Held::default(),
        }
        // A resumed one goes on with its rows.
        self.held.whole &= wish.get("since").is_some();
        client.subscribe("table:items", wish);
        self.client = Some(client);
    }

    async fn listen(&mut self, messages: usize) {
        for _ in 0..messages {
            let Some(client) = &mut self.client else { return };
            let Ok(message) = tokio::time::timeout(std::time::Duration::from_millis(2), client.any()).await else {
                return;
            };
            self.take(&message);
        }
    }

    async fn listen_until(&mut self, end: Position) {
        self.client.as_mut().expect("connected").say(&json!({ "type": "ping" }));
        while self.held.position.is_none_or(|position| position < end) || !self.held.whole {
            let message = self.client.as_mut().expect("connected").any().await;
            self.take(&message);
        }
    }

    fn take(&mut self, message: &ServerMessage) {
        assert!(!matches!(message, ServerMessage::Error { .. }), "{message:?}");
        if self.held.take(message)
            && let Some(position) = self.held.position
        {
            let rows = self.held.rows.values().map(sorted).collect();
            self.seen.push((position, rows));
            self.kept = self.held.clone();
        }
    }
}

fn sorted(row: &Map<String, Json>) -> String {
    serde_json::to_string(&row.iter().collect::<BTreeMap<_, _>>()).expect("JSON")
}
