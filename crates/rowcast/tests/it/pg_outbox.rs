//! The outbox of PostgreSQL against the contract, and what is particular to it when it is read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rowcast::event::{Body, Change, Op, Place, ResetCause, Value};
use rowcast::postgres::install::{self, Capabilities};
use rowcast::postgres::{Address, Capture, Live, Mode, PostgresSettings};
use rowcast::source::Source;
use rowcast::source::postgres::PostgresSource;
use servers::{Postgres, PostgresOptions};
use tokio_postgres::Client;

use crate::source_contract::{Database, Follower, Writer, source_contract, text};

/// A database that is read through an outbox, as a user with few rights where one is named.
struct Pg {
    database: Arc<servers::Database>,
    user: Option<String>,
    settings: PostgresSettings,
}

impl Pg {
    async fn new() -> Self {
        Self::of(servers::Database::new().await.expect("a database"))
    }

    fn of(database: servers::Database) -> Self {
        let settings = PostgresSettings {
            capture: Capture::Outbox,
            look_every: Duration::from_millis(50),
            instance: "test".into(),
            ..PostgresSettings::default()
        };
        Self { database: Arc::new(database), user: None, settings }
    }

    async fn with(sql: &str) -> Self {
        let new = Self::new().await;
        new.database.run(sql).await;
        new
    }

    /// Owned by a user who may make a schema, and nothing else.
    async fn plain(sql: &str) -> Self {
        let mut new = Self::new().await;
        let user = format!("{}_owner", new.database.name);
        let grants = format!(
            "CREATE ROLE {user} LOGIN; GRANT CREATE ON DATABASE {} TO {user}; GRANT CREATE ON SCHEMA public TO {user};
             SET ROLE {user}; {sql}",
            new.database.name
        );
        new.database.run(&grants).await;
        new.user = Some(user);
        new
    }

    fn address(&self) -> Address {
        let url = self.database.url();
        let url = self.user.as_ref().map_or(url.clone(), |user| url.replace("postgres@", &format!("{user}@")));
        url.parse().expect("an address")
    }

    async fn follow(&self) -> Follower {
        Follower::new(self.source(1000)).await
    }

    async fn resume(&self, place: Option<Place>) -> Follower {
        Follower::resume(self.source(1000), place).await
    }

    async fn connect(&self) -> Client {
        self.database.connect().await.expect("connected")
    }
}

#[async_trait]
impl Database for Pg {
    fn source(&self, batch_rows: usize) -> Box<dyn Source> {
        let settings = PostgresSettings { batch_rows, ..self.settings.clone() };
        Box::new(PostgresSource::new("test", self.address(), settings, Arc::new(Live::default())))
    }

    fn writer(&self) -> Box<dyn Writer> {
        Box::new(PgWriter { database: self.database.clone(), client: None })
    }

    async fn leftovers(&self) -> Vec<String> {
        let sql = "SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname = 'rowcast'
             UNION ALL SELECT 'event trigger ' || evtname FROM pg_event_trigger
             UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger WHERE NOT tgisinternal";
        let rows = self.connect().await.query(sql, &[]).await.expect("a list");
        rows.iter().map(|row| row.get(0)).collect()
    }
}

/// Connects when it first writes.
struct PgWriter {
    database: Arc<servers::Database>,
    client: Option<Client>,
}

#[async_trait]
impl Writer for PgWriter {
    async fn try_run(&mut self, sql: &str) -> Result<(), String> {
        if self.client.is_none() {
            self.client = Some(self.database.connect().await.map_err(|error| error.to_string())?);
        }
        let client = self.client.as_ref().expect("connected a moment ago");
        client.batch_execute(sql).await.map_err(|error| format!("{error:?}"))
    }
}

source_contract!(Pg::new().await);

#[tokio::test]
async fn transactions_that_commit_out_of_order_are_all_read() {
    let db = Pg::with("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut follower = db.follow().await;
    let (early, late) = (db.connect().await, db.connect().await);
    early.batch_execute("BEGIN; INSERT INTO t VALUES (1)").await.expect("written");
    late.batch_execute("BEGIN; INSERT INTO t VALUES (2); COMMIT").await.expect("committed");
    follower.expect(&["insert t (2)"]).await;
    let between = follower.place.clone();
    early.batch_execute("INSERT INTO t VALUES (3); COMMIT").await.expect("committed");
    follower.expect(&["insert t (1)", "insert t (3)"]).await;
    drop(follower);
    db.resume(between).await.expect(&["insert t (1)", "insert t (3)"]).await;
}

#[tokio::test]
async fn a_long_transaction_holds_nobody_up() {
    let db = Pg::with("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut follower = db.follow().await;
    let (long, short) = (db.connect().await, db.connect().await);
    long.batch_execute("BEGIN; INSERT INTO t SELECT -n FROM generate_series(1, 5000) n").await.expect("written");
    for n in 0..30 {
        short.execute("INSERT INTO t VALUES ($1)", &[&n]).await.expect("committed");
        follower.expect(&[&format!("insert t ({n})")]).await;
    }
    long.batch_execute("COMMIT").await.expect("committed");
    let changes = follower.changes(5000).await;
    assert_eq!(changes.iter().map(|change| change.tx).collect::<std::collections::BTreeSet<_>>().len(), 1);
    assert_eq!(text(&changes[4999]), "insert t (-5000)");
    assert!(changes[4999].last && changes[..4999].iter().all(|change| !change.last));
}

#[tokio::test]
async fn a_large_transaction_comes_in_batches_that_are_small() {
    let mut db = Pg::with("CREATE TABLE t (id int PRIMARY KEY, a text)").await;
    db.settings.batch_bytes = 100_000;
    let mut follower = Follower::new(db.source(500)).await;
    let writer = db.connect().await;
    let insert = "INSERT INTO t SELECT n, repeat('x', CASE WHEN n % 2000 = 0 THEN 90000 ELSE 10 END) FROM generate_series(1, 10000) n";
    writer.batch_execute(insert).await.expect("written");
    let mut count = 0;
    while count < 10_000 {
        let batch = follower.batch().await;
        let bytes: usize = batch.iter().map(|change| text(change).len()).sum();
        assert!(batch.len() <= 500 && bytes < 250_000, "{} changes, {bytes} bytes", batch.len());
        count += batch.len();
        assert_eq!(batch.last().is_some_and(|change| change.last), count == 10_000);
    }
}

/// Without an event trigger nobody notes a change of columns at once.
#[tokio::test]
async fn values_stay_with_their_names_when_nobody_has_noted_the_change() {
    let mut db = Pg::plain("CREATE TABLE t (id int PRIMARY KEY, a text, b text)").await;
    db.settings.look_every = Duration::from_secs(3600);
    let mut follower = db.follow().await;
    let writer = db.connect().await;
    writer.batch_execute("INSERT INTO t VALUES (1, 'a', 'b')").await.expect("written");
    let swap = "ALTER TABLE t RENAME a TO c; ALTER TABLE t RENAME b TO a; ALTER TABLE t RENAME c TO b; ALTER TABLE t ADD d int;
                INSERT INTO t (id, a, b, d) VALUES (2, 'a', 'b', 4); ALTER TABLE t DROP d; INSERT INTO t (id, a, b) VALUES (3, 'a', 'b')";
    writer.batch_execute(swap).await.expect("written");
    let mut named = Vec::new();
    while named.len() < 3 {
        let change = follower.changes(1).await.remove(0);
        if let Body::Row(row) = &change.body {
            let names = row.table.columns.iter().map(|column| &*column.name);
            let values = row.row().values.iter().map(Value::to_json);
            named.push(names.zip(values).map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "));
        } else {
            assert_eq!(text(&change), "reset t");
        }
    }
    for (n, row) in named.iter().enumerate() {
        let mut parts: Vec<&str> = row.split(' ').collect();
        parts.sort_unstable();
        let expected = ["a=\"a\"", "b=\"b\"", "d=4", &format!("id={}", n + 1)];
        assert_eq!(parts, expected.into_iter().filter(|part| n == 1 || *part != "d=4").collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn odd_columns_and_sessions_change_no_value() {
    let columns = r#"id int PRIMARY KEY, "new" float8, "old" numeric, what bytea, root timestamptz, "row" interval, "T" json, "after" int8[]"#;
    let db = Pg::with(&format!("CREATE TABLE t ({columns})")).await;
    let mut follower = db.follow().await;
    let writer = db.connect().await;
    writer
        .batch_execute(
            "SET timezone = 'Asia/Tokyo'; SET datestyle = 'German'; SET extra_float_digits = -10; SET bytea_output = 'escape';
             SET intervalstyle = 'iso_8601'; SET search_path = 'nowhere', 'public';
             INSERT INTO t VALUES (1, 0.1 + 0.2::float8, 'NaN', '\\x00ff', '2026-11-21 10:00:00.5+00', '1 day 2 hours',
                                   '{\"b\":1.50, \"a\":2}', '{9007199254740993,null}')",
        )
        .await
        .expect("written");
    follower
        .expect(&[
            r#"insert t (1,0.30000000000000004,"NaN","\\x00ff","2026-11-21T10:00:00.5+00:00","1 day 02:00:00",{"b":1.50, "a":2},["9007199254740993",null])"#,
        ])
        .await;
}

#[tokio::test]
async fn truncation_and_partitions_are_told_by_their_root() {
    let db = Pg::with(
        "CREATE TABLE t (id int, at int, PRIMARY KEY (at, id)) PARTITION BY RANGE (at);
         CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10);
         CREATE TABLE t2 (at int NOT NULL, id int NOT NULL, PRIMARY KEY (at, id))",
    )
    .await;
    let mut follower = db.follow().await;
    let writer = db.connect().await;
    writer.batch_execute("INSERT INTO t VALUES (1, 5)").await.expect("written");
    writer.batch_execute("INSERT INTO t1 VALUES (2, 6)").await.expect("written");
    follower.expect(&["insert t (1,5)", "insert t (2,6)"]).await;
    writer.batch_execute("ALTER TABLE t ATTACH PARTITION t2 FOR VALUES FROM (10) TO (20)").await.expect("attached");
    writer.batch_execute("UPDATE t SET at = 15 WHERE id = 1").await.expect("moved");
    let moved = follower.changes(3).await;
    let mut moved: Vec<String> = moved.iter().map(text).collect();
    moved.sort();
    assert_eq!(moved, ["delete t (1,5)", "insert t (1,15)", "reset t2"]);
    writer.batch_execute("TRUNCATE t").await.expect("truncated");
    follower.expect(&["reset t"]).await;
    writer.batch_execute("TRUNCATE t1").await.expect("truncated");
    follower.expect(&["reset t"]).await;
}

#[tokio::test]
async fn writes_of_replication_are_seen() {
    let db = Pg::with("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut follower = db.follow().await;
    db.database.run("SET session_replication_role = replica; INSERT INTO t VALUES (1)").await;
    follower.expect(&["insert t (1)"]).await;
}

#[tokio::test]
async fn who_may_only_write_the_table_can_write_it() {
    let db = Pg::plain("CREATE TABLE t (id int PRIMARY KEY)").await;
    let writer = format!("{}_writer", db.database.name);
    db.database
        .run(&format!("CREATE ROLE {writer}; GRANT INSERT, UPDATE, DELETE, SELECT, TRUNCATE ON t TO {writer}"))
        .await;
    let settings = PostgresSettings { capture: Capture::Auto, slot: db.database.name.clone(), ..db.settings.clone() };
    let owner = db.address().connect("test").await.expect("connected");
    let able = Capabilities::of(&owner, &settings).await.expect("asked");
    let (mode, reason) = install::choose(&settings, &able).expect("possible");
    assert_eq!(mode, Mode::Outbox);
    assert!(reason.contains("REPLICATION"), "{reason}");
    let mut follower = db.follow().await;
    let write = format!(
        "SET ROLE {writer}; INSERT INTO t VALUES (1); UPDATE t SET id = 2; DELETE FROM t; SELECT rowcast.notify('a', 'b'); TRUNCATE t"
    );
    db.database.run(&write).await;
    follower.expect(&["insert t (1)", "update t (1) (2)", "delete t (2)", "message notify:a", "reset t"]).await;
    let client = db.connect().await;
    let refused = client.batch_execute(&format!("SET ROLE {writer}; SELECT * FROM rowcast.outbox")).await;
    assert!(refused.is_err(), "nobody else reads the outbox");
}

#[tokio::test]
async fn a_server_without_logical_replication_is_read() {
    let server = Postgres::start_with(&PostgresOptions::default().set("wal_level", "replica")).expect("a server");
    let db = Pg::of(server.database().await.expect("a database"));
    db.database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let settings = PostgresSettings { capture: Capture::Auto, ..db.settings.clone() };
    let able = Capabilities::of(&db.connect().await, &settings).await.expect("asked");
    assert_eq!(install::choose(&settings, &able).expect("possible").0, Mode::Outbox);
    let mut follower = db.follow().await;
    db.database.run("INSERT INTO t VALUES (1)").await;
    follower.expect(&["insert t (1)"]).await;
}

#[tokio::test]
async fn a_prepared_transaction_can_be_prepared() {
    let options = PostgresOptions::default().set("max_prepared_transactions", "5");
    let server = Postgres::start_with(&options).expect("a server");
    let db = Pg::of(server.database().await.expect("a database"));
    db.database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut follower = db.follow().await;
    let client = db.connect().await;
    client.batch_execute("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'p'").await.expect("prepared");
    client.batch_execute("INSERT INTO t VALUES (2)").await.expect("written");
    follower.expect(&["insert t (2)"]).await;
    client.batch_execute("COMMIT PREPARED 'p'").await.expect("committed");
    follower.expect(&["insert t (1)"]).await;
}

/// The message as `channel event data`.
fn message(change: &Change) -> String {
    match &change.body {
        Body::Message(message) => format!("{} {} {}", message.channel, message.event, message.json),
        _ => text(change),
    }
}

async fn check_messages(capture: Capture) {
    let mut db = Pg::with("CREATE TABLE t (id int PRIMARY KEY)").await;
    (db.settings.capture, db.settings.slot) = (capture, db.database.name.clone());
    let mut follower = db.follow().await;
    let client = db.connect().await;
    let publish = r#"BEGIN; INSERT INTO t VALUES (1); SELECT rowcast.publish('room:a', 'said', '{"n": 1.50}'); SAVEPOINT s;
        SELECT rowcast.publish('room:a', 'unsaid', 'null'); ROLLBACK TO s; SELECT rowcast.notify('ü x', repeat('y', 100000)); COMMIT;
        BEGIN; SELECT rowcast.publish('room:a', 'unsaid', 'null'); ROLLBACK;
        SELECT rowcast.publish('table:t', 'wrong', '1'), rowcast.publish(NULL, 'wrong', '1'), rowcast.publish('room:', 'wrong', '1'),
               rowcast.notify('', 'wrong'), rowcast.notify(NULL, 'wrong'), rowcast.notify(repeat('x', 257), 'wrong');
        BEGIN READ ONLY; SELECT rowcast.notify('a', 'wrong'); COMMIT;
        SELECT rowcast.publish('notify:b', NULL, NULL), rowcast.notify('b', NULL)"#;
    client.batch_execute(publish).await.expect("nothing fails");
    let changes = follower.changes(5).await;
    let texts: Vec<String> = changes.iter().map(message).collect();
    assert_eq!(texts[..2], ["insert t (1)", r#"room:a said {"n": 1.50}"#]);
    assert!(
        texts[2].starts_with(r#"notify:ü x notify {"payload" : "yyy"#) && texts[2].len() > 100_000,
        "{}",
        texts[2].len()
    );
    assert_eq!(texts[3], "notify:b message null");
    assert!(texts[4].starts_with(r#"notify:b notify {"payload" : "", "process_id" : "#), "{}", texts[4]);
    assert_eq!(changes.iter().map(|change| change.last).collect::<Vec<_>>(), [false, false, true, false, true]);
}

#[tokio::test]
async fn messages_from_sql_belong_to_their_transaction() {
    check_messages(Capture::Outbox).await;
}

#[tokio::test]
async fn messages_from_sql_belong_to_their_transaction_in_the_log_too() {
    check_messages(Capture::Wal).await;
}

#[tokio::test]
async fn an_outbox_that_somebody_empties_is_missed() {
    let db = Pg::with("CREATE TABLE t (id int PRIMARY KEY)").await;
    for (n, empty) in ["DELETE FROM rowcast.outbox", "TRUNCATE rowcast.outbox"].into_iter().enumerate() {
        let mut follower = db.follow().await;
        db.database.run(&format!("INSERT INTO t VALUES ({n})")).await;
        follower.expect(&[&format!("insert t ({n})")]).await;
        let place = follower.place.clone();
        drop(follower);
        db.database.run(&format!("INSERT INTO t VALUES (10 + {n}); {empty}")).await;
        let mut again = db.resume(place).await;
        let change = again.changes(1).await.remove(0);
        assert!(matches!(&change.body, Body::Reset { cause: ResetCause::Missed, .. }), "{}", text(&change));
    }
}

#[tokio::test]
async fn what_is_confirmed_is_removed_and_not_read_from_again() {
    let db = Pg::with("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut follower = db.follow().await;
    let client = db.connect().await;
    let old = follower.place.clone();
    client.batch_execute("INSERT INTO t SELECT generate_series(1, 20)").await.expect("written");
    follower.changes(20).await;
    client.batch_execute("INSERT INTO t VALUES (0)").await.expect("written");
    follower.expect(&["insert t (0)"]).await;
    let place = follower.place.clone().expect("a place");
    follower.source.confirm(&place).await.expect("confirmed");
    let left =
        async || client.query_one("SELECT count(*) FROM rowcast.outbox", &[]).await.expect("counted").get::<_, i64>(0);
    tokio::time::timeout(Duration::from_secs(20), async {
        while left().await > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("removed");
    drop(follower);
    client.batch_execute("INSERT INTO t VALUES (-1)").await.expect("written");
    let mut again = db.resume(Some(place)).await;
    again.expect(&["insert t (-1)"]).await;
    drop(again);
    let mut late = db.resume(old).await;
    let change = late.changes(1).await.remove(0);
    assert!(matches!(&change.body, Body::Reset { cause: ResetCause::Missed, .. }), "{}", text(&change));
}

#[tokio::test]
async fn its_own_dead_connection_is_ended() {
    let db = Pg::with("CREATE TABLE t (id int PRIMARY KEY)").await;
    // Nobody tells the server that this one is gone.
    let dead = db.follow().await;
    let mut again = db.resume(dead.place.clone()).await;
    db.database.run("INSERT INTO t VALUES (1)").await;
    again.expect(&["insert t (1)"]).await;
}

#[tokio::test]
async fn the_second_reader_says_that_it_waits() {
    let db = Pg::with("CREATE TABLE t (id int PRIMARY KEY)").await;
    let _first = db.follow().await;
    let settings = PostgresSettings { instance: "other".into(), ..db.settings.clone() };
    let mut second = PostgresSource::new("test", db.address(), settings, Arc::new(Live::default()));
    let said = second.start(None).await.expect_err("there is one already").to_string();
    assert!(said.contains("another Rowcast") && said.contains("rowcast-test"), "{said}");
}

/// Writers that commit, roll back and use savepoints at random; whoever applies the changes in order has the table.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_changes_make_the_table_whatever_writers_do() {
    const WRITERS: usize = 5;
    let db = Pg::with("CREATE TABLE t (id int PRIMARY KEY, v int)").await;
    let mut follower = Follower::new(db.source(7)).await;
    let tasks: Vec<_> = (0..WRITERS)
        .map(|_| {
            let database = db.database.clone();
            tokio::spawn(async move {
                let client = database.connect().await.expect("connected");
                for _ in 0..60 {
                    let mut sql = String::from("BEGIN;");
                    // Keys in one order, so that writers wait for each other and do not block each other for good.
                    for key in 0..12 {
                        let (kind, v) = (rand::random::<u32>() % 8, rand::random::<u32>() % 1000);
                        sql.push_str(&match kind {
                            0 => format!(
                                "INSERT INTO t VALUES ({key}, {v}) ON CONFLICT (id) DO UPDATE SET v = excluded.v;"
                            ),
                            1 => format!("DELETE FROM t WHERE id = {key};"),
                            2 => format!("UPDATE t SET v = v + 1 WHERE id = {key};"),
                            3 => format!(
                                "SAVEPOINT s; INSERT INTO t VALUES ({key}, -1) ON CONFLICT DO NOTHING; ROLLBACK TO s;"
                            ),
                            _ => continue,
                        });
                    }
                    sql.push_str(if rand::random::<u32>().is_multiple_of(4) { "ROLLBACK" } else { "COMMIT" });
                    client.batch_execute(&sql).await.expect("written");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a writer");
    }
    db.database.run("INSERT INTO t VALUES (-1, -1)").await;
    let mut table: BTreeMap<String, String> = BTreeMap::new();
    for change in follower.until("insert t (-1,-1)").await {
        let Body::Row(row) = &change.body else { panic!("{}", text(&change)) };
        let (key, value) = (row.row().values[0].to_json(), row.row().values[1].to_json());
        let old = row.old.as_ref().map(|old| old.values[1].to_json());
        let known = match row.op {
            Op::Delete => table.remove(&key),
            Op::Insert | Op::Update => table.insert(key, value),
        };
        assert_eq!(known, old, "a row never runs backwards: {}", text(&change));
    }
    let client = db.connect().await;
    let rows = client.query("SELECT id::text, v::text FROM t WHERE id >= 0", &[]).await.expect("rows");
    assert_eq!(table, rows.iter().map(|row| (row.get(0), row.get(1))).collect());
}
