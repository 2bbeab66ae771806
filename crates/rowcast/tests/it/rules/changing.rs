//! What may be changed and removed: by the row as it is, and as it would be, over each database.

use mysql_async::prelude::Queryable;
use rowcast::auth::Auth;
use rowcast::auth::rules::RuleSpec;
use rowcast::gateway::Database;
use rowcast::mysql::{self, MysqlSettings};
use rowcast::postgres::PostgresSettings;
use rowcast::protocol::{Code, ServerMessage};
use rowcast::source::sqlite::SqliteSettings;
use serde_json::{Value as Json, json};

use super::world::{Client, World, auth, identity, read};
use crate::store_contract::{all, rows, table};

const SCHEMA: &[&str] = &[
    "CREATE TABLE tasks (id int PRIMARY KEY, room varchar(20), owner varchar(20), note varchar(20), secret varchar(20), tenant varchar(20))",
    "CREATE TABLE members (id int PRIMARY KEY, user_id varchar(20), room varchar(20))",
    "CREATE TABLE notices (id int PRIMARY KEY, text varchar(20), tenant varchar(20))",
    "INSERT INTO members VALUES (1, 'ada', 'x'), (2, 'ada', 'y'), (3, 'bob', 'x')",
    "INSERT INTO tasks VALUES (1, 'x', 'ada', 'n', 's', 'a'), (2, 'x', 'bob', 'n', 's', 'a'), (3, 'z', 'ada', 'n', 's', 'a'), \
     (4, 'x', 'ada', 'n', 's', 'b')",
    "INSERT INTO notices VALUES (1, 'hello', 'a')",
];

fn rules() -> Auth {
    let own = "owner = claims.sub and room in (select room from members where user_id = claims.sub)";
    let tasks = RuleSpec {
        columns: Some(["id", "room", "owner", "note", "tenant"].map(str::to_owned).to_vec()),
        insert: Some(own.into()),
        update: Some("owner = claims.sub".into()),
        check: Some(own.into()),
        changes: Some(["room", "note", "tenant"].map(str::to_owned).to_vec()),
        delete: Some("owner = claims.sub".into()),
        ..read("tasks", "room in (select room from members where user_id = claims.sub)")
    };
    auth(vec![tasks, read("notices", "true")], Some("tenant"))
}

/// What is answered: how many rows each change has concerned, or what is wrong.
async fn answer(client: &mut Client, message: Json) -> Result<Vec<u64>, (Code, String)> {
    client.say(&message);
    match client.next().await {
        ServerMessage::Written { counts, position, .. } => {
            assert!(position.is_some());
            Ok(counts)
        }
        ServerMessage::Error { code, message, .. } => Err((code, message)),
        other => panic!("{other:?}"),
    }
}

async fn update(client: &mut Client, set: Json, filter: &str) -> Result<Vec<u64>, (Code, String)> {
    answer(client, json!({ "type": "update", "table": "tasks", "set": set, "where": filter })).await
}

async fn delete(client: &mut Client, filter: &str) -> Result<Vec<u64>, (Code, String)> {
    answer(client, json!({ "type": "delete", "table": "tasks", "where": filter })).await
}

async fn together(client: &mut Client, writes: Json) -> Result<Vec<u64>, (Code, String)> {
    answer(client, json!({ "type": "write", "writes": writes })).await
}

fn code(outcome: &Result<Vec<u64>, (Code, String)>) -> Code {
    outcome.as_ref().expect_err("refused").0
}

async fn story(world: &World) {
    let store = world.node.database.store.clone();
    let tasks = table(&*store, "tasks").await;
    let standing = async || rows(&*store, all(&tasks)).await;
    let untouched = standing().await;
    let mut ada = world.client(&identity(json!({ "sub": "ada", "tenant": "a" })));
    let note = || json!({ "note": "new" });

    // One's own is changed; of others' rows nothing is, and whether there are any is not told.
    for filter in ["id = 2", "id = 3", "id = 4", "id = 99"] {
        assert_eq!(update(&mut ada, note(), filter).await, Ok(vec![0]), "{filter}");
        assert_eq!(delete(&mut ada, filter).await, Ok(vec![0]), "{filter}");
        let wanted = json!({ "type": "delete", "table": "tasks", "where": filter, "rows": 1 });
        let (code, message) = answer(&mut ada, wanted).await.expect_err("none");
        assert_eq!((code, &*message), (Code::Conflict, "delete `tasks`: there are 0 such rows, not 1"), "{filter}");
    }
    // What is there is refused by the key, which says no more than that.
    for id in [3, 4] {
        let row = json!({ "id": id, "room": "x", "owner": "ada", "tenant": "a" });
        let taken = together(&mut ada, json!([{ "insert": "tasks", "row": row }])).await;
        assert_eq!(taken, Err((Code::Conflict, "there is such a row already (id)".into())));
    }
    // A row is not moved to where it may not be: to another room, to another tenant.
    for set in [json!({ "room": "z" }), json!({ "tenant": "b" }), json!({ "tenant": null }), json!({ "room": null })] {
        assert_eq!(code(&update(&mut ada, set.clone(), "id = 1").await), Code::Forbidden, "{set}");
    }
    // Columns: one that may not be changed, one that may not be read, one that is not there.
    let fixed = update(&mut ada, json!({ "owner": "bob" }), "id = 1").await;
    assert_eq!(fixed, Err((Code::Forbidden, format!("you may not set `owner` of `{}`", tasks.name))));
    for unseen in ["secret", "nothing"] {
        let set = update(&mut ada, json!({ unseen: "x" }), "id = 1").await.expect_err("refused");
        assert_eq!(set, (Code::UnknownColumn, format!("table `{}` has no column `{unseen}`", tasks.name)));
        assert_eq!(code(&update(&mut ada, note(), &format!("{unseen} = 's'")).await), Code::BadFilter);
        assert_eq!(code(&delete(&mut ada, &format!("{unseen} = 's'")).await), Code::BadFilter);
    }
    // Tables: one that may be read only, one that nobody may see, one that is not there.
    for (name, wanted) in
        [("notices", Code::Forbidden), ("members", Code::UnknownTable), ("nothing", Code::UnknownTable)]
    {
        for message in [
            json!({ "type": "update", "table": name, "set": { "id": 9 }, "where": "true" }),
            json!({ "type": "delete", "table": name, "where": "true" }),
            json!({ "type": "write", "writes": [{ "insert": name, "row": { "id": 9 } }] }),
        ] {
            assert_eq!(code(&answer(&mut ada, message.clone()).await), wanted, "{message}");
        }
    }
    assert_eq!(code(&update(&mut ada, note(), " ").await), Code::BadMessage);
    assert_eq!(code(&update(&mut ada, json!({ "id": "x" }), "id = 1").await), Code::Forbidden);
    // Of several, all or none.
    let row = |id: i64, room: &str| json!({ "id": id, "room": room, "owner": "ada", "tenant": "a" });
    let mine = json!({ "update": "tasks", "set": { "note": "both" }, "where": "id = 1", "rows": 1 });
    for last in [
        json!({ "insert": "tasks", "row": row(6, "z") }),
        json!({ "insert": "tasks", "row": { "id": 6, "room": "x", "owner": "ada" } }),
        json!({ "require": "tasks", "where": "id = 3" }),
        json!({ "require": "tasks", "where": "id = 2", "rows": 0 }),
        json!({ "delete": "tasks", "where": "id = 2", "rows": 1 }),
        json!({ "update": "tasks", "set": { "room": "z" }, "where": "id = 1" }),
    ] {
        let refused = together(&mut ada, json!([{ "insert": "tasks", "row": row(5, "y") }, mine, last])).await;
        let (code, message) = refused.expect_err("refused");
        assert!(matches!(code, Code::Conflict | Code::Forbidden), "{last}: {message}");
        assert!(message.starts_with("write 3: "), "{message}");
    }
    assert_eq!(standing().await, untouched, "nothing of all that stands");

    assert_eq!(update(&mut ada, json!({ "note": "new", "room": "y" }), "note = 'n'").await, Ok(vec![1]));
    let changes = json!([
        { "insert": "tasks", "row": row(5, "y") },
        mine,
        { "require": "tasks", "where": "owner = 'bob'", "rows": 1 },
        { "delete": "notices", "where": "true" }
    ]);
    assert_eq!(code(&together(&mut ada, changes.clone()).await), Code::Forbidden);
    let allowed: Vec<Json> = changes.as_array().expect("changes")[..3].to_vec();
    assert_eq!(together(&mut ada, allowed.into()).await, Ok(vec![1, 1, 1]));
    assert_eq!(
        standing().await,
        [
            r#"(1,"y","ada","both","s","a")"#,
            r#"(2,"x","bob","n","s","a")"#,
            r#"(3,"z","ada","n","s","a")"#,
            r#"(4,"x","ada","n","s","b")"#,
            r#"(5,"y","ada",null,null,"a")"#,
        ]
    );
    assert_eq!(delete(&mut ada, "true").await, Ok(vec![2]));
    assert_eq!(standing().await, untouched[1..]);
    // Who has no tenant has nothing; who looks after the gateway is a client like others here.
    let mut nobody = world.client(&identity(json!({ "sub": "ada" })));
    assert_eq!(delete(&mut nobody, "true").await, Ok(vec![0]));
}

async fn postgres() -> (servers::Database, World) {
    let database = servers::Database::new().await.expect("a database");
    for sql in SCHEMA {
        database.run(sql).await;
    }
    let (slot, publication) = (database.name.clone(), database.name.clone());
    let settings = PostgresSettings { slot, publication, ..PostgresSettings::default() };
    let address = database.url().parse().expect("an address");
    let world = World::over(Database::postgres("world", address, settings), rules()).await.expect("started");
    (database, world)
}

async fn mysql() -> (servers::MysqlDatabase, World) {
    let database = servers::MysqlDatabase::new().await.expect("a database");
    for sql in SCHEMA {
        database.run(sql).await;
    }
    let settings = MysqlSettings { instance: database.name.clone(), ..MysqlSettings::default() };
    let address = mysql::Address::parse(&database.url()).expect("an address");
    let world = World::over(Database::mysql("world", address, settings), rules()).await.expect("started");
    (database, world)
}

#[tokio::test]
async fn rows_are_changed_as_far_as_the_rules_allow_in_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("world.db");
    rusqlite::Connection::open(&path).expect("opened").execute_batch(&SCHEMA.join(";")).expect("made");
    let database = Database::sqlite("world", &path, SqliteSettings::default());
    story(&World::over(database, rules()).await.expect("started")).await;
}

#[tokio::test]
async fn rows_are_changed_as_far_as_the_rules_allow_in_postgres() {
    let (_database, world) = postgres().await;
    story(&world).await;
}

#[tokio::test]
async fn rows_are_changed_as_far_as_the_rules_allow_in_mysql() {
    let (_database, world) = mysql().await;
    story(&world).await;
}

/// What comes of a change that waits for whoever takes its user's membership away.
async fn overtaken(world: &World, waits: impl AsyncFnOnce(), commit: impl AsyncFnOnce()) {
    let store = world.node.database.store.clone();
    let tasks = table(&*store, "tasks").await;
    let before = rows(&*store, all(&tasks)).await;
    let mut ada = world.client(&identity(json!({ "sub": "ada", "tenant": "a" })));
    ada.say(&json!({ "type": "update", "table": "tasks", "set": { "note": "late" }, "where": "id = 1" }));
    waits().await;
    commit().await;
    match ada.next().await {
        ServerMessage::Written { counts, .. } => assert_eq!(counts, [0]),
        ServerMessage::Error { code, .. } => assert_eq!(code, Code::Forbidden),
        other => panic!("{other:?}"),
    }
    assert_eq!(rows(&*store, all(&tasks)).await, before);
}

const ENDS: &str = "DELETE FROM members WHERE user_id = 'ada' AND room = 'x'";

#[tokio::test]
async fn a_membership_that_ends_meanwhile_ends_a_change_in_postgres() {
    let (database, world) = postgres().await;
    let other = database.connect().await.expect("a connection");
    other.batch_execute(&format!("BEGIN; {ENDS}")).await.expect("it ends");
    let waits = async || {
        let sql = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while other.query(sql, &[]).await.expect("rows").is_empty() {
            // The list is as it was when the transaction first looked.
            other.batch_execute("SELECT pg_stat_clear_snapshot()").await.expect("a look");
        }
    };
    overtaken(&world, waits, async || other.batch_execute("COMMIT").await.expect("committed")).await;
}

#[tokio::test]
async fn a_membership_that_ends_meanwhile_ends_a_change_in_mysql() {
    let (database, world) = mysql().await;
    let mut other = database.connect().await.expect("a connection");
    let mut observer = database.connect().await.expect("a connection");
    other.query_drop("BEGIN").await.expect("begun");
    other.query_drop(ENDS).await.expect("it ends");
    let waits = async || {
        let sql = "SELECT 1 FROM information_schema.innodb_trx t JOIN information_schema.processlist p \
                   ON p.id = t.trx_mysql_thread_id WHERE t.trx_state = 'LOCK WAIT' AND p.db = DATABASE()";
        while observer.query_first::<u8, _>(sql).await.expect("rows").is_none() {
            // The list is made anew only when nobody has read it for 100 ms.
            tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        }
    };
    overtaken(&world, waits, async || other.query_drop("COMMIT").await.expect("committed")).await;
}

/// Every pairing of rules with every question: what is changed is what SQL says.
#[tokio::test]
async fn what_is_changed_is_what_sql_says() {
    const RULES: [&str; 5] = [
        "true",
        "owner = claims.sub",
        "n > 2 or owner is null",
        "not (n = 1)",
        "room in (select room from members where user_id = claims.sub)",
    ];
    const ASKED: [&str; 5] = ["true", "n < 4", "owner = 'ada' or n is null", "not (room = 'x')", "owner is null"];
    let mut schema = String::from(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, owner TEXT, room TEXT, hit INTEGER NOT NULL DEFAULT 0);
         CREATE TABLE members (id INTEGER PRIMARY KEY, user_id TEXT, room TEXT);
         INSERT INTO members VALUES (1, 'ada', 'x'), (2, 'ada', NULL), (3, 'bob', 'y');",
    );
    for n in ["NULL", "1", "2", "3", "4"] {
        for owner in ["NULL", "'ada'", "'bob'"] {
            for room in ["NULL", "'x'", "'y'"] {
                schema.push_str(&format!("INSERT INTO t (n, owner, room) VALUES ({n}, {owner}, {room});"));
            }
        }
    }
    for readable in RULES {
        for changeable in RULES {
            let rule = RuleSpec {
                update: Some(changeable.into()),
                check: Some("true".into()),
                delete: Some(changeable.into()),
                ..read("t", readable)
            };
            let world = World::new(&schema, auth(vec![rule], None)).await;
            let mut ada = world.client(&identity(json!({ "sub": "ada" })));
            let database = world.database();
            let ids = |condition: &str| -> Vec<i64> {
                let sql = format!("SELECT id FROM t WHERE {} ORDER BY id", condition.replace("claims.sub", "'ada'"));
                let mut found = database.prepare(&sql).expect("a query");
                found.query_map([], |row| row.get(0)).expect("rows").collect::<Result<_, _>>().expect("ids")
            };
            for asked in ASKED {
                let wanted = ids(&format!("({readable}) AND ({changeable}) AND ({asked})"));
                let message = json!({ "type": "update", "table": "t", "set": { "hit": 1 }, "where": asked });
                assert_eq!(answer(&mut ada, message).await, Ok(vec![wanted.len() as u64]));
                assert_eq!(ids("hit = 1"), wanted, "{readable} / {changeable} / {asked}");
                world.run("UPDATE t SET hit = 0");
            }
            let before = ids("true");
            let gone = ids(&format!("({readable}) AND ({changeable}) AND ({})", ASKED[1]));
            let message = json!({ "type": "delete", "table": "t", "where": ASKED[1] });
            assert_eq!(answer(&mut ada, message).await, Ok(vec![gone.len() as u64]));
            let left: Vec<i64> = before.into_iter().filter(|id| !gone.contains(id)).collect();
            assert_eq!(ids("true"), left, "{readable} / {changeable}");
        }
    }
}
