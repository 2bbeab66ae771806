//! SQLite against the contract, and what is particular to it when it is read.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rowcast::event::{Body, Place};
use rowcast::source::sqlite::{SqliteSettings, SqliteSource};
use rowcast::source::{Source, SourceError};
use rusqlite::Connection;

use crate::source_contract::{Database, Follower, Writer, source_contract, text};

/// A database file in a folder of its own.
pub(crate) struct Sqlite {
    folder: tempfile::TempDir,
    pub(crate) settings: SqliteSettings,
}

impl Sqlite {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), settings: SqliteSettings::default() }
    }

    /// With these tables.
    pub(crate) fn with(sql: &str) -> Self {
        let new = Self::new();
        new.connect().execute_batch(sql).expect(sql);
        new
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("test.db")
    }

    /// A connection as another program has it.
    pub(crate) fn connect(&self) -> Connection {
        let connection = Connection::open(self.path()).expect("a database");
        connection.busy_timeout(Duration::from_secs(20)).expect("a timeout");
        connection
            .execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA foreign_keys=OFF")
            .expect("WAL");
        connection
    }

    pub(crate) async fn follow(&self) -> Follower {
        Follower::new(self.source(1000)).await
    }

    pub(crate) async fn resume(&self, place: Option<Place>) -> Follower {
        Follower::resume(self.source(1000), place).await
    }
}

#[async_trait]
impl Database for Sqlite {
    fn source(&self, batch_rows: usize) -> Box<dyn Source> {
        let settings = SqliteSettings { batch_rows, ..self.settings.clone() };
        Box::new(SqliteSource::new("test", self.path(), settings))
    }

    fn writer(&self) -> Box<dyn Writer> {
        Box::new(self.connect())
    }

    async fn leftovers(&self) -> Vec<String> {
        let connection = self.connect();
        let mut statement =
            connection.prepare("SELECT name FROM sqlite_master WHERE sql LIKE '%rowcast%'").expect("a statement");
        let names = statement.query_map([], |row| row.get(0)).expect("names");
        names.map(|name| name.expect("a name")).collect()
    }
}

#[async_trait]
impl Writer for Connection {
    async fn try_run(&mut self, sql: &str) -> Result<(), String> {
        // A transaction that begins by reading cannot wait for a writer; nobody's does here.
        self.execute_batch(&sql.replace("BEGIN;", "BEGIN IMMEDIATE;")).map_err(|error| error.to_string())
    }
}

source_contract!(Sqlite::new());

/// So many outbox rows further on.
fn moved(place: &Place, by: i64) -> Place {
    let (id, seq) = place.0.split_once(':').expect("id:seq");
    Place(format!("{id}:{}", seq.parse::<i64>().expect("a number") + by).into())
}

#[track_caller]
fn run(connection: &Connection, sql: &str) {
    if let Err(error) = connection.execute_batch(sql) {
        panic!("{sql}: {error}");
    }
}

#[tokio::test]
async fn every_storage_class_comes_through() {
    let db = Sqlite::with("CREATE TABLE t (id INTEGER PRIMARY KEY, v)");
    let writer = db.connect();
    let mut follower = db.follow().await;
    for value in [
        "1",
        "1.5",
        "9e999",
        "'1'",
        "'a' || char(0) || 'b'",
        "x'00ff'",
        "x''",
        "CAST(x'ff41' AS TEXT)",
        "NULL",
        "1e300",
    ] {
        run(&writer, &format!("INSERT INTO t (v) VALUES ({value})"));
    }
    let texts = follower.texts(10).await;
    let values = [
        "1",
        "1.5",
        "\"Infinity\"",
        "\"1\"",
        "\"a\\u0000b\"",
        r#""\\x00ff""#,
        r#""\\x""#,
        "\"\u{fffd}A\"",
        "null",
        "1e+300",
    ];
    let expected: Vec<String> = values.iter().enumerate().map(|(n, v)| format!("insert t ({},{v})", n + 1)).collect();
    assert_eq!(texts, expected);
}

#[tokio::test]
async fn all_kinds_of_tables_are_captured() {
    let db = Sqlite::with(
        "CREATE TABLE wr (a TEXT, b INTEGER, c, PRIMARY KEY (b, a)) WITHOUT ROWID;
         CREATE TABLE keyless (a); CREATE TABLE taken (rowid, a); CREATE TABLE hidden (rowid, oid, _rowid_);
         CREATE TABLE strict (id INTEGER PRIMARY KEY, a ANY) STRICT;
         CREATE TABLE computed (id INTEGER PRIMARY KEY, a, v AS (a || 'v'), s AS (a || 's') STORED UNIQUE);",
    );
    let writer = db.connect();
    let mut follower = db.follow().await;
    run(&writer, "INSERT INTO wr VALUES ('k', 1, 2); UPDATE wr SET a = 'l'; DELETE FROM wr");
    run(&writer, "INSERT INTO keyless VALUES ('x'); UPDATE keyless SET rowid = 9; DELETE FROM keyless");
    run(&writer, "INSERT INTO taken VALUES ('r', 1); INSERT INTO hidden VALUES (1, 2, 3); DELETE FROM hidden");
    run(
        &writer,
        "INSERT INTO strict VALUES (1, '1'); INSERT INTO computed (a) VALUES ('c'); UPDATE computed SET a = 'd'",
    );
    follower.expect(&[r#"insert wr ("k",1,2)"#, r#"update wr ("k",1,2) ("l",1,2)"#, r#"delete wr ("l",1,2)"#]).await;
    follower
        .expect(&[r#"insert keyless (1,"x")"#, r#"update keyless (1,"x") (9,"x")"#, r#"delete keyless (9,"x")"#])
        .await;
    follower.expect(&[r#"insert taken (1,"r",1)"#, "insert hidden (1,2,3)", "delete hidden (1,2,3)"]).await;
    follower.expect(&[r#"insert strict (1,"1")"#, r#"insert computed (1,"c","cv","cs")"#]).await;
    follower.expect(&[r#"update computed (1,"c","cv","cs") (1,"d","dv","ds")"#]).await;
}

#[tokio::test]
async fn rows_wider_than_the_outbox_come_whole() {
    let columns: Vec<String> = (0..1990).map(|n| format!("c{n}")).collect();
    let db = Sqlite::with(&format!("CREATE TABLE wide (id INTEGER PRIMARY KEY, {})", columns.join(",")));
    let writer = db.connect();
    let mut follower = Follower::new(db.source(1)).await;
    run(&writer, "INSERT INTO wide (c0, c15, c16, c1989) VALUES ('a', 'b', 'c', 'd')");
    run(&writer, "UPDATE wide SET c15 = 'e'; REPLACE INTO wide (id, c1989) VALUES (1, 'f')");
    let changes = follower.changes(3).await;
    let pick = |n: usize| {
        let Body::Row(row) = &changes[n].body else { panic!("a row") };
        let part = |row: &rowcast::event::Row| [0, 1, 16, 17, 1990].map(|n| row.values[n].to_json()).join(",");
        (row.old.as_ref().map(part), row.new.as_ref().map(part))
    };
    let row = |values: &str| Some(values.to_owned());
    assert_eq!(pick(0), (None, row(r#"1,"a","b","c","d""#)));
    assert_eq!(pick(1), (row(r#"1,"a","b","c","d""#), row(r#"1,"a","e","c","d""#)));
    assert_eq!(pick(2), (row(r#"1,"a","e","c","d""#), row(r#"1,null,null,null,"f""#)));
}

#[tokio::test]
async fn only_chosen_tables_are_captured() {
    let mut db = Sqlite::with(
        "CREATE TABLE log_a (x); CREATE TABLE log_b (x); CREATE TABLE other (x); CREATE VIEW v AS SELECT 1;
         CREATE VIRTUAL TABLE f USING fts5 (x)",
    );
    db.settings.include = vec!["LOG_*".into()];
    db.settings.exclude = vec!["*_b".into()];
    let mut follower = db.follow().await;
    run(
        &db.connect(),
        "INSERT INTO other VALUES (1); INSERT INTO log_b VALUES (1); INSERT INTO f VALUES ('x'); INSERT INTO log_a VALUES (1)",
    );
    follower.expect(&["insert log_a (1,1)"]).await;
    assert_eq!(follower.source.status().tables, ["log_a"]);
}

/// Commits transactions of these sizes, as fast as it goes.
fn commit_quickly(writer: &Connection, sizes: &[usize]) {
    for &size in sizes {
        if size > 1 {
            run(writer, "BEGIN");
        }
        for _ in 0..size {
            let insert = "INSERT INTO t (n) VALUES (1)";
            writer.prepare_cached(insert).and_then(|mut insert| insert.execute([])).expect("inserted");
        }
        if size > 1 {
            run(writer, "COMMIT");
        }
    }
}

/// Where transactions end, as the source tells.
async fn ends_of(follower: &mut Follower, sizes: &[usize]) -> Vec<usize> {
    let changes = follower.changes(sizes.iter().sum()).await;
    (1..).zip(changes).filter(|(_, change)| change.last).map(|(n, _)| n).collect()
}

fn ends(sizes: &[usize]) -> Vec<usize> {
    sizes
        .iter()
        .scan(0, |sum, size| {
            *sum += size;
            Some(*sum)
        })
        .collect()
}

#[tokio::test]
async fn quick_small_transactions_are_told_apart() {
    let db = Sqlite::with("CREATE TABLE t (id INTEGER PRIMARY KEY, n)");
    let mut follower = db.follow().await;
    let sizes: Vec<usize> = (0..200).map(|n| if n % 10 == 0 { 1 + n / 10 % 9 } else { 1 }).collect();
    commit_quickly(&db.connect(), &sizes);
    assert_eq!(ends_of(&mut follower, &sizes).await, ends(&sizes));
}

#[tokio::test]
async fn no_transaction_is_split_however_fast_they_come() {
    let db = Sqlite::with("CREATE TABLE t (id INTEGER PRIMARY KEY, n)");
    let mut follower = db.follow().await;
    let sizes: Vec<usize> = (0..5_000).map(|n| 1 + n % 7 * (n % 2)).collect();
    let (writer, quick) = (db.connect(), sizes.clone());
    let written = tokio::task::spawn_blocking(move || commit_quickly(&writer, &quick));
    let told = ends_of(&mut follower, &sizes).await;
    written.await.expect("written");
    let ends = ends(&sizes);
    assert!(told.iter().all(|end| ends.binary_search(end).is_ok()));
}

#[tokio::test]
async fn what_is_committed_after_a_start_is_not_one_with_what_was_there_before() {
    let db = Sqlite::with("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    let mut follower = db.follow().await;
    let place = follower.place.take();
    drop(follower);
    let writer = db.connect();
    run(&writer, "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)");
    // Where those two end is forgotten with the write-ahead log.
    run(&writer, "PRAGMA wal_checkpoint(TRUNCATE)");
    let last = "SELECT max(seq) FROM _rowcast_outbox";
    let before: i64 = writer.query_row(last, [], |row| row.get(0)).expect("a number");
    let before = before.unsigned_abs();
    let mut follower = db.resume(place).await;
    run(&writer, "INSERT INTO t VALUES (3)");
    let changes = follower.changes(3).await;
    assert!(changes[1].tx <= before && changes[1].last, "{changes:?}");
    assert!(changes[2].tx > before, "a snapshot that was taken before it would seem to contain it: {changes:?}");
}

#[tokio::test]
async fn a_large_transaction_comes_in_parts_and_is_one() {
    let db = Sqlite::with("CREATE TABLE t (id INTEGER PRIMARY KEY, n)");
    let mut follower = db.follow().await;
    let many =
        "WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s LIMIT 20000) INSERT INTO t SELECT n, n FROM s";
    run(&db.connect(), many);
    let changes = follower.changes(20_000).await;
    assert!(follower.borders.len() >= 20);
    assert_eq!(changes.iter().filter(|change| change.last).count(), 1);
    assert!(changes[19_999].last);
    // Resumed in its midst, the transaction keeps its number.
    let middle = follower.borders[5].clone();
    drop(follower);
    let mut again = db.resume(Some(middle)).await;
    let rest = again.changes(1).await;
    assert_eq!((rest[0].tx, rest[0].last), (changes[0].tx, false));
}

#[tokio::test]
async fn another_connections_insert_is_read_quickly() {
    let db = Sqlite::with("CREATE TABLE t (id INTEGER PRIMARY KEY, n)");
    let mut follower = db.follow().await;
    let writer = db.connect();
    let mut waits = Vec::new();
    for n in 1..=20 {
        run(&writer, &format!("INSERT INTO t VALUES ({n}, 0)"));
        let inserted = Instant::now();
        follower.expect(&[&format!("insert t ({n},0)")]).await;
        waits.push(inserted.elapsed());
    }
    waits.sort();
    assert!(waits[10] < Duration::from_millis(100), "{waits:?}");
}

#[tokio::test]
async fn confirmed_rows_leave_the_outbox() {
    let db = Sqlite::with("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    let mut follower = db.follow().await;
    let writer = db.connect();
    run(&writer, "INSERT INTO t VALUES (1), (2), (3)");
    follower.changes(3).await;
    let place = follower.place.clone().expect("a place");
    follower.source.confirm(&place).await.expect("confirmed");
    let count =
        || writer.query_row("SELECT count(*) FROM _rowcast_outbox", [], |row| row.get::<_, i64>(0)).expect("a count");
    let deadline = Instant::now() + Duration::from_secs(20);
    while count() > 1 {
        assert!(Instant::now() < deadline, "{} rows are left", count());
        tokio::task::yield_now().await;
    }
    // Numbers go on, whatever is done to SQLite's own counter.
    run(&writer, "DELETE FROM sqlite_sequence; INSERT INTO t VALUES (4)");
    follower.expect(&["insert t (4)"]).await;
    drop(follower);
    // What was removed cannot be read again, and is not passed over in silence.
    let before = moved(&place, -3);
    db.resume(Some(before)).await.expect(&["reset t"]).await;
}

#[tokio::test]
async fn a_restored_backup_resets_everything_and_numbers_go_on() {
    let db = Sqlite::with("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    let mut follower = db.follow().await;
    run(&db.connect(), "INSERT INTO t VALUES (1)");
    let before = follower.changes(1).await;
    let place = follower.place.clone().expect("a place");
    drop(follower);
    let later = moved(&place, 50);
    let mut again = db.resume(Some(later)).await;
    again.expect(&["reset t"]).await;
    run(&db.connect(), "INSERT INTO t VALUES (2)");
    let after = again.changes(1).await;
    assert_eq!(text(&after[0]), "insert t (2)");
    assert!(after[0].tx > before[0].tx + 50, "{}", after[0].tx);
}

#[tokio::test]
async fn there_is_one_reader() {
    let db = Sqlite::with("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    let first = db.follow().await;
    let mut second = db.source(10);
    let Err(SourceError::Stop { message, .. }) = second.start(None).await else { panic!("a second reader") };
    assert!(message.contains("test.db-rowcast.lock"), "{message}");
    assert!(second.teardown().await.is_err());
    drop(first);
    second.start(None).await.expect("the first has gone");
}

#[tokio::test]
async fn what_is_not_set_up_cannot_be_started() {
    let db = Sqlite::with("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    let mut source = db.source(10);
    let Err(SourceError::Stop { message, .. }) = source.start(None).await else { panic!("started") };
    assert!(message.contains("rowcast setup"), "{message}");
    assert!(source.next().await.is_err());
}

#[tokio::test]
async fn half_done_statements_are_read_and_never_renumbered() {
    let db = Sqlite::with("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    let mut follower = db.follow().await;
    let writer = db.connect();
    run(&writer, "INSERT INTO t VALUES (5)");
    writer.execute_batch("INSERT OR FAIL INTO t VALUES (3), (4), (5), (6)").expect_err("a duplicate");
    follower.expect(&["insert t (5)", "insert t (3)", "insert t (4)"]).await;
    let place = follower.place.clone().expect("a place");
    follower.source.confirm(&place).await.expect("confirmed");
    run(&writer, "INSERT INTO t VALUES (7)");
    let changes = follower.changes(1).await;
    assert_eq!((text(&changes[0]).as_str(), changes[0].tx), ("insert t (7)", 5), "one reset, three rows");
}

#[tokio::test]
async fn what_others_do_to_the_outbox_is_not_passed_over() {
    let db = Sqlite::with("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    let mut follower = db.follow().await;
    let writer = db.connect();
    run(&writer, "BEGIN; INSERT INTO t VALUES (1), (2), (3); DELETE FROM _rowcast_outbox WHERE v0 = 2; COMMIT");
    let mut found = follower.texts(1).await;
    if found == ["insert t (1)"] {
        found = follower.texts(1).await;
    }
    assert_eq!(found, ["reset t"]);
    run(&writer, "DROP TABLE _rowcast_meta");
    follower.expect(&["reset t"]).await;
    run(&writer, "INSERT INTO t VALUES (4)");
    // The triggers that were made again tell of themselves, too.
    assert_eq!(follower.until("insert t (4)").await.iter().map(text).filter(|text| text != "reset t").count(), 0);
}

#[tokio::test]
async fn others_checkpoints_come_through() {
    let db = Sqlite::with("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    let mut follower = db.follow().await;
    let writer = db.connect();
    for n in 0..3 {
        run(&writer, &format!("INSERT INTO t VALUES ({n})"));
        follower.expect(&[&format!("insert t ({n})")]).await;
        let busy: i64 =
            writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).expect("a checkpoint");
        assert_eq!(busy, 0);
    }
}
