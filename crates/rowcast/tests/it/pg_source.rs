//! PostgreSQL's write-ahead log against the contract, and what is particular to it when it is read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rowcast::event::{Body, Change, Op, Place, Value, Visible};
use rowcast::postgres::{Address, Capture, Identity, Live, Lsn, Mode, PostgresSettings, WalPlace};
use rowcast::source::Source;
use rowcast::source::postgres::PostgresSource;
use tokio_postgres::Client;

use crate::source_contract::{Database, Follower, Writer, source_contract, text};

/// A database of its own, and how it is captured.
pub(crate) struct Pg {
    pub(crate) database: Arc<servers::Database>,
    pub(crate) settings: PostgresSettings,
}

impl Pg {
    /// On the shared server, or on one of its own where there is none.
    pub(crate) async fn new(capture: Capture) -> Self {
        Self::of(servers::Database::new().await.expect("a database"), capture)
    }

    /// A database that is there.
    pub(crate) fn of(database: servers::Database, capture: Capture) -> Self {
        let settings = PostgresSettings {
            capture,
            slot: database.name.clone(),
            identity: Identity::Full,
            instance: "test".into(),
            look_every: Duration::from_millis(50),
            ..PostgresSettings::default()
        };
        Self { database: Arc::new(database), settings }
    }

    /// With these tables.
    pub(crate) async fn with(sql: &str) -> Self {
        let new = Self::new(Capture::Wal).await;
        new.database.run(sql).await;
        new
    }

    pub(crate) fn address(&self) -> Address {
        self.database.url().parse().expect("an address")
    }

    /// A source for it at another address.
    pub(crate) fn source_at(&self, address: Address) -> Box<dyn Source> {
        Box::new(PostgresSource::new("test", address, self.settings.clone(), Arc::new(Live::default())))
    }

    pub(crate) async fn connect(&self) -> Client {
        self.database.connect().await.expect("connected")
    }

    pub(crate) async fn follow(&self) -> Follower {
        Follower::new(self.source(1000)).await
    }

    pub(crate) async fn resume(&self, place: Option<Place>) -> Follower {
        Follower::resume(self.source(1000), place).await
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
        let sql = "SELECT 'slot ' || slot_name FROM pg_replication_slots WHERE database = current_database()
             UNION ALL SELECT 'publication ' || pubname FROM pg_publication
             UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname = 'rowcast'
             UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger WHERE NOT tgisinternal
             UNION ALL SELECT 'identity of ' || relname FROM pg_class WHERE relreplident = 'f'";
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

source_contract!(Pg::new(Capture::Wal).await);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_transaction_arrives_in_parts_and_in_little_memory() {
    const ROWS: usize = 200_000;
    let options = servers::PostgresOptions::default().set("logical_decoding_work_mem", "64kB");
    let server = servers::Postgres::start_with(&options).expect("a server");
    let mut db = Pg::of(server.database().await.expect("a database"), Capture::Wal);
    db.database
        .run("CREATE TABLE t (id int PRIMARY KEY, filler text); ALTER TABLE t ALTER filler SET STORAGE PLAIN")
        .await;
    let folder = tempfile::tempdir().expect("a folder");
    (db.settings.spool, db.settings.transaction_memory) = (Some(folder.path().to_owned()), 1 << 20);
    let mut follower = db.follow().await;
    // A savepoint that is rolled back leaves nothing, whether or not it was sent before the end.
    db.database
        .run(&format!(
            "BEGIN; INSERT INTO t SELECT n, repeat('x', 400) FROM generate_series(1, {ROWS}) n; SAVEPOINT s;
             INSERT INTO t SELECT -n, repeat('x', 400) FROM generate_series(1, 20000) n; ROLLBACK TO s;
             INSERT INTO t VALUES (0, 'last'); COMMIT"
        ))
        .await;
    let (mut next, mut batches, filler) = (1, 0, "x".repeat(400));
    let before = peak_memory();
    while next <= ROWS {
        let batch = follower.batch().await;
        assert!(batch.len() <= 1001, "{} changes at once", batch.len());
        batches += usize::from(!batch.is_empty());
        for change in &batch {
            let expected =
                format!("insert t ({},\"{}\")", next % (ROWS + 1), if next > ROWS { "last" } else { &filler });
            assert_eq!(text(change), expected);
            assert_eq!(change.last, next == ROWS + 1);
            next += 1;
        }
    }
    assert!(batches > ROWS / 1001, "{batches} batches");
    let grown = peak_memory() - before;
    assert!(grown < 40, "{grown} MB for 80 MB of rows");
}

/// The most memory that this process has had, in MB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_streamed_transaction_is_resumed_from_each_of_its_parts() {
    let options = servers::PostgresOptions::default().set("logical_decoding_work_mem", "64kB");
    let server = servers::Postgres::start_with(&options).expect("a server");
    let db = Pg::of(server.database().await.expect("a database"), Capture::Wal);
    db.database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut follower = db.follow().await;
    db.database.run("INSERT INTO t SELECT generate_series(1, 5000)").await;
    let whole = follower.texts(5000).await;
    let borders = std::mem::take(&mut follower.borders);
    drop(follower);
    let parts: Vec<&Place> = borders.iter().filter(|place| place.0.contains('+')).collect();
    assert_eq!(parts.len(), 4, "{borders:?}");
    for streaming in [true, false] {
        for part in &parts {
            let mut again = Pg { settings: db.settings.clone(), database: db.database.clone() };
            again.settings.streaming = streaming;
            let mut again = again.resume(Some((*part).clone())).await;
            let done: usize = part.0.split(['+', '@']).nth(1).expect("done").parse().expect("a number");
            assert_eq!(again.texts(5000 - done).await, whole[done..]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_come_in_the_order_of_their_commits() {
    let db = Pg::with("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut follower = db.follow().await;
    let (early, late) = (db.connect().await, db.connect().await);
    early.batch_execute("BEGIN; INSERT INTO t VALUES (1)").await.expect("begun");
    late.batch_execute("BEGIN; INSERT INTO t VALUES (2); COMMIT").await.expect("committed");
    early.batch_execute("INSERT INTO t VALUES (3); COMMIT").await.expect("committed");
    let changes = follower.changes(3).await;
    assert_eq!(changes.iter().map(text).collect::<Vec<_>>(), ["insert t (2)", "insert t (1)", "insert t (3)"]);
    assert!(changes[0].tx > changes[1].tx, "the later number was committed first");
    let now = early.query_one("SELECT pg_snapshot_xmax(pg_current_snapshot())::text", &[]).await.expect("a row");
    assert_eq!(changes[0].tx, now.get::<_, &str>(0).parse::<u64>().expect("a number") - 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_and_types_are_those_of_their_moment() {
    let db = Pg::with("CREATE TABLE t (id int PRIMARY KEY, a int)").await;
    let mut follower = db.follow().await;
    db.database
        .run(
            "INSERT INTO t VALUES (1, 1); ALTER TABLE t ADD b text; INSERT INTO t VALUES (2, 2, 'x');
             ALTER TABLE t RENAME a TO c; INSERT INTO t VALUES (3, 3, 'y'); ALTER TABLE t ALTER c TYPE text USING c || '!';
             INSERT INTO t VALUES (4, '4', 'z'); ALTER TABLE t DROP COLUMN b; INSERT INTO t VALUES (5, '5')",
        )
        .await;
    db.database.run("INSERT INTO t VALUES (6, '6')").await;
    let changes = follower.until(r#"insert t (6,"6")"#).await;
    let columns = |change: &Change| match &change.body {
        Body::Row(row) => row.table.columns.iter().map(|column| &*column.name).collect::<Vec<_>>().join(","),
        _ => String::new(),
    };
    let rows: Vec<(String, String)> = changes
        .iter()
        .filter(|change| matches!(change.body, Body::Row(_)))
        .filter(|change| !text(change).starts_with("update"))
        .map(|change| (text(change), columns(change)))
        .collect();
    let expected = [
        ("insert t (1,1)", "id,a"),
        (r#"insert t (2,2,"x")"#, "id,a,b"),
        (r#"insert t (3,3,"y")"#, "id,c,b"),
        (r#"insert t (4,"4","z")"#, "id,c,b"),
        (r#"insert t (5,"5")"#, "id,c"),
    ];
    assert_eq!(rows, expected.map(|(row, columns)| (row.to_owned(), columns.to_owned())));
    // Whoever follows the table is told before the first row that looks otherwise.
    let at = |wanted: &str| changes.iter().position(|change| text(change) == wanted).expect(wanted);
    for row in [r#"insert t (2,2,"x")"#, r#"insert t (3,3,"y")"#, r#"insert t (4,"4","z")"#, r#"insert t (5,"5")"#] {
        assert_eq!(text(&changes[at(row) - 1]), "reset t", "before {row}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncated_table_is_reset_in_its_place() {
    let db = Pg::with("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY REFERENCES t)").await;
    let mut follower = db.follow().await;
    db.database.run("BEGIN; INSERT INTO t VALUES (1); TRUNCATE t CASCADE; INSERT INTO t VALUES (2); COMMIT").await;
    let changes = follower.changes(4).await;
    let mut texts: Vec<String> = changes.iter().map(text).collect();
    texts[1..3].sort();
    assert_eq!(texts, ["insert t (1)", "reset t", "reset u", "insert t (2)"]);
    assert_eq!(changes.iter().map(|change| change.last).collect::<Vec<_>>(), [false, false, false, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_are_told_through_their_root() {
    let db = Pg::with(
        "CREATE TABLE t (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
         CREATE TABLE t1 PARTITION OF t FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
         CREATE TABLE t2 PARTITION OF t FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')",
    )
    .await;
    let mut follower = db.follow().await;
    db.database.run("INSERT INTO t VALUES (1, '2026-01-05'); UPDATE t SET day = '2026-02-05'").await;
    follower
        .expect(&[r#"insert t (1,"2026-01-05")"#, r#"delete t (1,"2026-01-05")"#, r#"insert t (1,"2026-02-05")"#])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_without_a_key_are_captured_whole() {
    let mut db = Pg::with("CREATE TABLE t (a int, b text)").await;
    db.settings.identity = Identity::Needed;
    let mut follower = db.follow().await;
    db.database.run("INSERT INTO t VALUES (1, 'x'); UPDATE t SET b = 'y'; DELETE FROM t").await;
    follower.expect(&[r#"insert t (1,"x")"#, r#"update t (1,"x") (1,"y")"#, r#"delete t (1,"y")"#]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_sql_keep_their_place_among_rows() {
    let db = Pg::with("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut follower = db.follow().await;
    db.database
        .run(
            "BEGIN; INSERT INTO t VALUES (1); SELECT pg_logical_emit_message(true, 'room:a', '{\"n\": 1}');
             INSERT INTO t VALUES (2); SELECT pg_logical_emit_message(true, 'other', 'x'); COMMIT;
             BEGIN; SELECT pg_logical_emit_message(true, 'room:a', 'never'); ROLLBACK;
             SELECT pg_logical_emit_message(false, 'notify:b', 'at once')",
        )
        .await;
    let changes = follower.changes(4).await;
    let texts: Vec<String> = changes.iter().map(text).collect();
    assert_eq!(texts, ["insert t (1)", "message room:a", "insert t (2)", "message notify:b"]);
    let transactions: Vec<(bool, bool)> = changes.iter().map(|c| (c.tx == changes[0].tx, c.last)).collect();
    assert_eq!(transactions, [(true, false), (true, false), (true, true), (false, true)]);
    let Body::Message(message) = &changes[1].body else { panic!("a message") };
    assert_eq!((&*message.event, &*message.json), ("message", r#"{"n": 1}"#));
    assert_eq!(changes[3].tx, 0, "of no transaction");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_no_transaction_is_not_read_twice() {
    let db = Pg::with("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut follower = db.follow().await;
    db.database.run("SELECT pg_logical_emit_message(false, 'room:a', 'one')").await;
    follower.expect(&["message room:a"]).await;
    let place = follower.place.clone();
    drop(follower);
    db.database.run("SELECT pg_logical_emit_message(false, 'room:b', 'two')").await;
    db.resume(place).await.expect(&["message room:b"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_and_the_stream_after_it_are_the_table() {
    let db = Pg::with("CREATE TABLE t (id int PRIMARY KEY, n int)").await;
    let mut follower = db.follow().await;
    let writers: Vec<_> = (0..3)
        .map(|w| {
            let mut writer = db.writer();
            tokio::spawn(async move {
                for n in 0..100 {
                    let id = n * 3 + w;
                    writer
                        .run(&format!(
                            "BEGIN; INSERT INTO t VALUES ({id}, 0); UPDATE t SET n = n + 1 WHERE id = {id}; COMMIT"
                        ))
                        .await;
                    if n % 3 == 0 {
                        writer.run(&format!("DELETE FROM t WHERE id = {id}")).await;
                    }
                }
            })
        })
        .collect();
    let reader = db.connect().await;
    let mut snapshots = Vec::new();
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        let sql = "SELECT pg_current_snapshot()::text, coalesce((SELECT json_object_agg(id, n)::text FROM t), '{}')";
        let row = reader.query_one(sql, &[]).await.expect("a snapshot");
        let visible: Visible = row.get::<_, &str>(0).parse().expect("a snapshot");
        let rows: BTreeMap<String, i64> = serde_json::from_str(row.get(1)).expect("rows");
        snapshots.push((visible, rows));
    }
    db.database.run("INSERT INTO t VALUES (-1, 0)").await;
    let changes = follower.until("insert t (-1,0)").await;
    let row = reader.query_one("SELECT json_object_agg(id, n)::text FROM t WHERE id >= 0", &[]).await.expect("rows");
    let end: BTreeMap<String, i64> = serde_json::from_str(row.get(0)).expect("rows");
    assert!(snapshots.len() > 3, "{} snapshots", snapshots.len());
    for (visible, mut rows) in snapshots {
        for change in changes.iter().filter(|change| !visible.contains(change.tx)) {
            let Body::Row(row) = &change.body else { panic!("{}", text(change)) };
            let [Value::Int(id), Value::Int(n)] = &*row.row().values else { panic!("integers") };
            let (id, old) = (id.to_string(), rows.get(&id.to_string()).copied());
            match row.op {
                Op::Insert => assert_eq!(rows.insert(id, *n), None, "{visible}"),
                Op::Update => assert_eq!((rows.insert(id, *n), old), (Some(n - 1), Some(n - 1)), "{visible}"),
                Op::Delete => assert!(rows.remove(&id).is_some(), "{visible}"),
            }
        }
        assert_eq!(rows, end, "{visible}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_is_told_how_far_it_is_at_once() {
    let db = Pg::with("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (id int PRIMARY KEY)").await;
    let live = Arc::new(Live::default());
    let settings = PostgresSettings { exclude: vec!["other".into()], ..db.settings.clone() };
    let source = PostgresSource::new("test", db.address(), settings, live.clone());
    let mut follower = Follower::new(Box::new(source)).await;
    assert_eq!(live.mode(), Some(Mode::Wal));
    let writer = db.connect().await;
    for n in 0..5 {
        writer.execute("INSERT INTO other VALUES ($1)", &[&n]).await.expect("inserted");
        let now = writer.query_one("SELECT pg_current_wal_flush_lsn()::text", &[]).await.expect("a place");
        let now: Lsn = now.get::<_, &str>(0).parse().expect("a place");
        live.ask();
        let began = Instant::now();
        while WalPlace::of(follower.place.as_ref().expect("a place")).expect("of the log").lsn < now.end_of_record() {
            assert_eq!(follower.batch().await, []);
        }
        assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
    }
}
