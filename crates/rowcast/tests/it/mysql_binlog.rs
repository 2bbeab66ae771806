//! MariaDB's and MySQL's binlog against the contract, and what is particular to it when it is read.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rowcast::event::{Body, Change, Place, ResetCause, Value};
use rowcast::mysql::{Address, Capture, Live, MysqlSettings};
use rowcast::source::Source;
use rowcast::source::mysql::MysqlSource;
use servers::{Cable, Mysql, MysqlDatabase, MysqlOptions};

use crate::source_contract::{Database, Follower, Writer, source_contract, text};

/// A database of its own, and how it is captured.
pub(crate) struct My {
    pub(crate) database: Arc<MysqlDatabase>,
    pub(crate) settings: MysqlSettings,
    /// The server, where it is of its own.
    pub(crate) server: Option<Mysql>,
}

impl My {
    /// On the shared server, or on one of its own where there is none.
    pub(crate) async fn new() -> Self {
        Self::of(MysqlDatabase::new().await.expect("a database"), None)
    }

    /// On a server of its own.
    pub(crate) async fn on(options: &MysqlOptions) -> Self {
        let server = Mysql::start_with(options).expect("a server");
        Self::of(server.database().await.expect("a database"), Some(server))
    }

    fn of(database: MysqlDatabase, server: Option<Mysql>) -> Self {
        let settings = MysqlSettings {
            capture: Capture::Binlog,
            instance: database.name.clone(),
            look_every: Duration::from_millis(50),
            ..MysqlSettings::default()
        };
        Self { database: Arc::new(database), settings, server }
    }

    pub(crate) async fn connect(&self) -> Conn {
        let mut conn = self.database.connect().await.expect("connected");
        conn.query_drop("SET SESSION sql_mode = ''").await.expect("set");
        conn
    }

    pub(crate) async fn follow(&self) -> Follower {
        // Without `setup`, which needs nothing here.
        let mut follower = Follower::resume(self.source(1000), None).await;
        assert_eq!(follower.batch().await, []);
        follower
    }

    pub(crate) async fn resume(&self, place: Option<Place>) -> Follower {
        Follower::resume(self.source(1000), place).await
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.database.run(sql).await;
    }
}

#[async_trait]
impl Database for My {
    fn source(&self, batch_rows: usize) -> Box<dyn Source> {
        let settings = MysqlSettings { batch_rows, ..self.settings.clone() };
        let address = Address::parse(&self.database.url()).expect("an address");
        Box::new(MysqlSource::new("test", address, settings, Arc::new(Live::default())))
    }

    fn writer(&self) -> Box<dyn Writer> {
        Box::new(MyWriter { database: self.database.clone(), conn: None })
    }

    fn quote(&self, name: &str) -> String {
        format!("`{name}`")
    }

    async fn leftovers(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Connects when it first writes.
struct MyWriter {
    database: Arc<MysqlDatabase>,
    conn: Option<Conn>,
}

#[async_trait]
impl Writer for MyWriter {
    async fn try_run(&mut self, sql: &str) -> Result<(), String> {
        if self.conn.is_none() {
            self.conn = Some(self.database.connect().await.map_err(|error| error.to_string())?);
        }
        let conn = self.conn.as_mut().expect("connected a moment ago");
        loop {
            match conn.query_drop(sql).await {
                Ok(()) => return Ok(()),
                // A deadlock has rolled everything back.
                Err(mysql_async::Error::Server(error)) if error.code == 1213 => {}
                Err(error) => {
                    let _ = conn.query_drop("ROLLBACK").await;
                    return Err(error.to_string());
                }
            }
        }
    }
}

source_contract!(My::new().await;
    rows_are_carried_with_what_they_were a_transaction_is_one nothing_of_what_was_rolled_back
    statements_of_many_rows_are_many_changes keys_are_told_in_their_order values_are_exact names_may_be_anything
    an_altered_table_is_reset_and_followed a_table_made_again_is_reset_and_followed a_new_table_is_followed_at_once
    every_border_can_be_resumed_from dropped_waits_lose_nothing what_was_not_confirmed_is_read_again
    an_unknown_place_resets_everything competing_writers_lose_nothing
);

/// Columns of every type, each with values that are odd for it.
fn columns(mariadb: bool) -> Vec<(&'static str, Vec<&'static str>)> {
    let mut columns = vec![
        ("TINYINT", vec!["-128", "127", "0", "NULL"]),
        ("TINYINT UNSIGNED", vec!["255", "0"]),
        ("SMALLINT", vec!["-32768", "32767"]),
        ("SMALLINT UNSIGNED", vec!["65535"]),
        ("MEDIUMINT", vec!["-8388608", "-1", "8388607"]),
        ("MEDIUMINT UNSIGNED", vec!["16777215"]),
        ("YEAR", vec!["0", "1901", "2155", "2026"]),
        ("INT", vec!["-2147483648", "2147483647"]),
        ("INT UNSIGNED", vec!["4294967295"]),
        ("BIGINT", vec!["-9223372036854775808", "9223372036854775807"]),
        ("BIGINT UNSIGNED", vec!["18446744073709551615", "9223372036854775808", "7"]),
        ("FLOAT", vec!["0.1", "-3.4e38", "1e-20", "16777216", "0"]),
        ("DOUBLE", vec!["0.1", "-1.7976931348623157e308", "5e-300", "123456789.125"]),
        ("DECIMAL(10,2)", vec!["-12345678.90", "0.01", "99999999.99", "-0.5", "0"]),
        ("DECIMAL(65,30)", vec!["12345678901234567890123456789012345.123456789012345678901234567890", "-1"]),
        ("DECIMAL(20,0)", vec!["-99999999999999999999", "10000000000"]),
        ("DECIMAL(3,3)", vec!["0.123", "-0.999"]),
        ("DECIMAL(5,1) UNSIGNED", vec!["9999.9"]),
        ("BIT(1)", vec!["1", "0"]),
        ("BIT(13)", vec!["b'1000000000001'"]),
        ("BIT(64)", vec!["b'1111111111111111111111111111111111111111111111111111111111111111'", "1"]),
        ("CHAR(5)", vec!["'ab '", "''", "'Grüße'"]),
        ("VARCHAR(20)", vec!["'ab '", "'🚀'", "NULL"]),
        ("VARCHAR(300)", vec!["REPEAT('ü', 300)", "'x'"]),
        ("CHAR(255)", vec!["REPEAT('🚀', 255)"]),
        ("VARCHAR(20) CHARACTER SET latin1", vec!["'Grüße €'"]),
        ("VARCHAR(20) CHARACTER SET utf16", vec!["'Grüße 🚀'"]),
        ("VARCHAR(20) CHARACTER SET ucs2", vec!["'Grüße'"]),
        ("VARCHAR(20) CHARACTER SET utf32", vec!["'Grüße 🚀'"]),
        ("VARCHAR(20) CHARACTER SET cp1251", vec!["'Привет'"]),
        ("VARCHAR(20) CHARACTER SET cp850", vec!["'Grüße ░'"]),
        ("VARCHAR(20) CHARACTER SET sjis", vec!["'日本'"]),
        ("VARCHAR(20) CHARACTER SET gbk", vec!["'中文'"]),
        ("TINYTEXT", vec!["'a'"]),
        ("TEXT", vec!["'a\\nb'", "''"]),
        ("MEDIUMTEXT CHARACTER SET latin2", vec!["'Łódź'"]),
        ("LONGTEXT", vec!["REPEAT('abc', 30000)"]),
        ("BINARY(4)", vec!["x'01000000'", "x'00000000'", "x'ffffffff'"]),
        ("VARBINARY(10)", vec!["x'00ff00'", "''"]),
        ("TINYBLOB", vec!["x'00'"]),
        ("BLOB", vec!["x'ff00'"]),
        ("LONGBLOB", vec!["REPEAT(x'00ff', 40000)"]),
        ("ENUM('a','it''s','ü,x')", vec!["'a'", "'it''s'", "'ü,x'", "NULL", "'nonsense'"]),
        ("ENUM('ä','ö') CHARACTER SET latin1", vec!["'ö'"]),
        ("SET('a','b','ü')", vec!["''", "'a,ü'", "'b'"]),
        ("DATE", vec!["'2026-11-21'", "'0000-00-00'", "'9999-12-31'", "'2026-00-00'"]),
        ("TIME", vec!["'838:59:59'", "'-838:59:59'", "'00:00:01'", "'-00:00:01'"]),
        ("TIME(1)", vec!["'-00:00:01.5'", "'-00:00:00.1'", "'12:34:56.7'"]),
        ("TIME(3)", vec!["'-12:34:56.789'", "'00:00:00.001'"]),
        ("TIME(6)", vec!["'-837:59:58.000001'", "'00:00:00.999999'", "'-00:00:00.000001'"]),
        ("DATETIME", vec!["'2026-11-21 05:13:56'", "'0000-00-00 00:00:00'", "'1000-01-01 00:00:00'"]),
        ("DATETIME(2)", vec!["'2026-11-21 05:13:56.12'"]),
        ("DATETIME(4)", vec!["'2026-11-21 05:13:56.1234'"]),
        ("DATETIME(6)", vec!["'9999-12-31 23:59:59.999999'"]),
        ("TIMESTAMP NULL", vec!["'2026-11-21 05:13:56'", "'1970-01-01 12:00:01'", "'2000-02-29 12:00:00'", "0"]),
        ("TIMESTAMP(3) NULL", vec!["'2038-01-18 03:14:07.999'"]),
        ("TIMESTAMP(6) NULL", vec!["'2026-11-21 05:13:56.000001'", "NULL"]),
        ("JSON", vec!["'{\"a\": [1, 2.5, \"x\"], \"b\": null, \"ü\": true}'", "'[]'", "'\"s\"'", "'1'"]),
        ("GEOMETRY", vec!["ST_GeomFromText('POINT(1 2)', 4326)"]),
        ("POINT", vec!["ST_GeomFromText('POINT(-1.5 2)')"]),
        ("POLYGON", vec!["ST_GeomFromText('POLYGON((0 0,0 1,1 1,0 0))')"]),
    ];
    if mariadb {
        columns.extend([
            (
                "UUID",
                vec![
                    "'123e4567-e89b-12d3-a456-426655440000'",
                    "'018f4a1e-7b1c-7def-8abc-0123456789ab'",
                    "'00000000-0000-0000-0000-000000000000'",
                    "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
                    "'f47ac10b-58cc-4372-a567-0e02b2c3d400'",
                ],
            ),
            (
                "INET6",
                vec!["'::1'", "'2001:db8::ff00:42:8329'", "'::ffff:1.2.3.4'", "'::1.2.3.4'", "'1:0:0:2::'", "'::'"],
            ),
            ("INET4", vec!["'192.168.0.1'", "'0.0.0.0'"]),
            ("VARCHAR(2000) COMPRESSED", vec!["REPEAT('ü', 1500)", "'x'", "''"]),
            ("BLOB COMPRESSED", vec!["REPEAT(x'01', 5000)"]),
        ]);
    } else {
        columns.extend([("JSON", vec![
            "CAST('{\"d\": 1e20, \"e\": 1.0, \"f\": -0.1, \"n\": 18446744073709551615, \"q\": \"a\\\\\"b\\\\\\\\\"}' AS JSON)",
            "JSON_OBJECT('t', CAST('12:34:56.5' AS TIME(6)), 'd', CAST('2026-11-21' AS DATE), 'dt', CAST('2026-11-21 01:02:03' AS DATETIME))",
            "JSON_OBJECT('x', CAST(1.50 AS DECIMAL(10,2)), 'i', -40000, 'j', 3000000000, 'k', -9000000000)",
            "JSON_ARRAY(REPEAT('y', 70000), 1, 2)",
        ])]);
    }
    columns
}

/// What the server itself says of a column's value, as it is to be told.
fn printed(declared: &str, column: &str) -> String {
    let upper = declared.to_uppercase();
    if upper.starts_with("BIT") || upper == "YEAR" {
        return format!("CAST({column} + 0 AS CHAR)");
    }
    if ["BINARY", "VARBINARY", "TINYBLOB", "BLOB", "LONGBLOB", "GEOMETRY", "POINT", "POLYGON"]
        .iter()
        .any(|name| upper.starts_with(name))
    {
        return format!("CONCAT('\\\\x', LOWER(HEX({column})))");
    }
    if upper.starts_with("TIMESTAMP") {
        return format!("CONCAT(CONVERT({column} USING utf8mb4), '+00')");
    }
    format!("CONVERT({column} USING utf8mb4)")
}

/// As the server prints it; numbers that are not exact by their value.
fn told(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Unchanged => Some("unchanged".into()),
        Value::Int(number) => Some(number.to_string()),
        Value::Real(x) => Some(x.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(text) | Value::Text(text) | Value::Json(text) => Some(text.to_string()),
        Value::Bytes(bytes) => {
            Some(format!("\\x{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
        }
    }
}

/// Writes all odd values and compares what the binlog has with what the server prints, and the types with the catalog's.
async fn check_values(db: &My) {
    let mut conn = db.connect().await;
    conn.query_drop("SET SESSION time_zone = '+00:00'").await.expect("set");
    let version: String = conn.query_first("SELECT VERSION()").await.expect("asked").expect("a version");
    let mariadb = version.contains("MariaDB");
    let columns = columns(mariadb);
    for (n, part) in columns.chunks(24).enumerate() {
        let defined: Vec<String> = part.iter().enumerate().map(|(at, (kind, _))| format!("c{at} {kind}")).collect();
        conn.query_drop(format!("CREATE TABLE t{n} (id INT PRIMARY KEY AUTO_INCREMENT, {})", defined.join(", ")))
            .await
            .expect("a table");
    }
    let mut follower = db.follow().await;
    for (n, part) in columns.chunks(24).enumerate() {
        let most = part.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
        for row in 0..most {
            let values: Vec<&str> = part.iter().map(|(_, values)| values[row % values.len()]).collect();
            let names: Vec<String> = (0..part.len()).map(|at| format!("c{at}")).collect();
            let sql = format!("INSERT INTO t{n} ({}) VALUES ({})", names.join(","), values.join(","));
            conn.query_drop(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
        let list = part.iter().enumerate().map(|(at, (kind, _))| printed(kind, &format!("c{at}")));
        let sql = format!("SELECT {} FROM t{n} ORDER BY id", list.collect::<Vec<_>>().join(","));
        let rows: Vec<mysql_async::Row> = conn.query(sql).await.expect("rows");
        for row in rows {
            let change = follower.changes(1).await.remove(0);
            let Body::Row(change) = &change.body else { panic!("{change:?}") };
            let new = change.new.as_ref().expect("a new row");
            for (at, (kind, _)) in part.iter().enumerate() {
                let wanted: Option<String> = row.get(at).expect("a column");
                let found = told(&new.values[at + 1]);
                if kind.starts_with("FLOAT") || kind.starts_with("DOUBLE") {
                    let number = |text: Option<String>| text.map(|text| text.parse::<f64>().expect("a number"));
                    let (wanted, found) = (number(wanted), number(found));
                    let near = match (wanted, found) {
                        (Some(a), Some(b)) => a == b || ((a - b) / a).abs() < 1e-5,
                        (a, b) => a == b,
                    };
                    assert!(near, "{kind}: {found:?}, the server says {wanted:?}");
                } else {
                    assert_eq!(found, wanted, "{kind} as {}", change.table.columns[at + 1].declared);
                }
            }
        }
        let catalog = rowcast::mysql::catalog::tables(&mut conn).await.expect("a catalog");
        let known = catalog.iter().find(|table| *table.name.name == format!("t{n}")).expect("known");
        conn.query_drop(format!("UPDATE t{n} SET c0 = NULL ORDER BY id LIMIT 1")).await.expect("updated");
        for change in follower.changes(1).await {
            let Body::Row(row) = &change.body else { panic!("{change:?}") };
            assert_eq!(row.table, *known);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_is_told_as_the_server_prints_it() {
    check_values(&My::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_is_told_without_metadata_too() {
    let db = My::on(&MysqlOptions::default().set("binlog-row-metadata", "MINIMAL")).await;
    check_values(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_events_are_read() {
    let options = MysqlOptions::default();
    let db = My::on(&match std::env::var_os("ROWCAST_TEST_MYSQL_BIN") {
        None => options.set("log-bin-compress", "ON").set("log-bin-compress-min-len", "10"),
        Some(_) => options.set("binlog-transaction-compression", "ON"),
    })
    .await;
    db.run("CREATE TABLE t (id INT PRIMARY KEY, s TEXT)").await;
    let mut follower = db.follow().await;
    let place = follower.place.clone();
    db.run(
        "INSERT INTO t VALUES (1, REPEAT('a', 6000)), (2, REPEAT('b', 6000)); UPDATE t SET s = REPEAT('c', 10) WHERE id = 1; \
         DELETE FROM t WHERE id = 1; CREATE TABLE u (id INT PRIMARY KEY, n INT DEFAULT 1 COMMENT 'a long one, so that it is compressed')",
    )
    .await;
    let (a, b) = ("a".repeat(6000), "b".repeat(6000));
    let wanted = [
        format!("insert t (1,\"{a}\")"),
        format!("insert t (2,\"{b}\")"),
        format!("update t (1,\"{a}\") (1,\"cccccccccc\")"),
        "delete t (1,\"cccccccccc\")".to_owned(),
        "reset u".to_owned(),
    ];
    assert_eq!(follower.texts(5).await, wanted);
    assert_eq!(db.resume(place).await.texts(5).await, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_transaction_arrives_in_parts() {
    let mut db = My::new().await;
    let folder = tempfile::tempdir().expect("a folder");
    (db.settings.spool, db.settings.transaction_memory) = (Some(folder.path().to_owned()), 1 << 16);
    db.run("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, filler TEXT)").await;
    let mut follower = db.follow().await;
    db.run(
        "BEGIN; INSERT INTO t (filler) VALUES (REPEAT('x', 400)); INSERT INTO t (filler) SELECT filler FROM t; \
         INSERT INTO t (filler) SELECT filler FROM t; INSERT INTO t (filler) SELECT a.filler FROM t a, t b, t c, t d, t e, t f; \
         SAVEPOINT s; INSERT INTO t (filler) VALUES ('gone'); ROLLBACK TO s; INSERT INTO t (filler) VALUES ('end'); COMMIT",
    )
    .await;
    let (mut count, mut batches, mut tx) = (0, 0, None);
    loop {
        let batch = follower.batch().await;
        assert!(batch.len() <= 1000);
        batches += 1;
        count += batch.len();
        for change in &batch {
            assert_eq!(*tx.get_or_insert(change.tx), change.tx);
        }
        if batch.last().is_some_and(|change| change.last) {
            assert!(text(&batch[batch.len() - 1]).ends_with("\"end\")"));
            break;
        }
    }
    assert_eq!(count, 4 + 4096 + 1);
    assert!(batches > 4, "{batches} batches");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotation_is_followed_and_a_purged_place_resets() {
    let db = My::on(&MysqlOptions::default()).await;
    db.run("CREATE TABLE t (id INT PRIMARY KEY)").await;
    let mut follower = db.follow().await;
    let first = follower.place.clone();
    for n in 0..5 {
        db.run(&format!("INSERT INTO t VALUES ({n}); FLUSH BINARY LOGS")).await;
    }
    follower.expect(&["insert t (0)", "insert t (1)", "insert t (2)", "insert t (3)", "insert t (4)"]).await;
    let mut again = db.resume(first.clone()).await;
    again.expect(&["insert t (0)", "insert t (1)"]).await;
    drop(again);
    let mut conn = db.connect().await;
    let files: Vec<mysql_async::Row> = conn.query("SHOW BINARY LOGS").await.expect("files");
    let last: String = files.last().expect("a file").get(0).expect("a name");
    drop(follower);
    for _ in 0..50 {
        conn.query_drop(format!("PURGE BINARY LOGS TO '{last}'")).await.expect("purged");
        let left: Vec<mysql_async::Row> = conn.query("SHOW BINARY LOGS").await.expect("files");
        if left.len() == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut late = db.resume(first).await;
    let change = late.changes(1).await.remove(0);
    assert!(matches!(change.body, Body::Reset { cause: ResetCause::Missed, .. }), "{change:?}");
    db.run("INSERT INTO t VALUES (9)").await;
    late.expect(&["insert t (9)"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_binlog_that_was_made_anew_resets() {
    let db = My::on(&MysqlOptions::default()).await;
    db.run("CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    let follower = db.follow().await;
    let place = follower.place.clone();
    drop(follower);
    // The second is what tells files apart.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let mut conn = db.connect().await;
    let sql =
        if db.server.as_ref().is_some_and(Mysql::is_mariadb) { "RESET MASTER" } else { "RESET BINARY LOGS AND GTIDS" };
    conn.query_drop(sql).await.expect("reset");
    for n in 2..20 {
        conn.query_drop(format!("INSERT INTO t VALUES ({n})")).await.expect("written");
    }
    let mut late = db.resume(place).await;
    late.expect(&["reset t"]).await;
    db.run("INSERT INTO t VALUES (99)").await;
    late.expect(&["insert t (99)"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_with_another_server_id_goes_on() {
    let db = My::on(&MysqlOptions::default()).await;
    db.run("CREATE TABLE t (id INT PRIMARY KEY)").await;
    let follower = db.follow().await;
    let place = follower.place.clone();
    db.run("INSERT INTO t VALUES (1)").await;
    drop(follower);
    let server = db.server.as_ref().expect("a server");
    server.stop(servers::Stop::Fast).expect("stopped");
    server.set("server-id", "77");
    server.run().expect("run");
    db.run("INSERT INTO t VALUES (2)").await;
    db.resume(place).await.expect(&["insert t (1)", "insert t (2)"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_connection_that_the_server_still_writes_to_holds_nobody_up() {
    let mut db = My::on(&MysqlOptions::default()).await;
    db.settings.dead_after = Duration::from_secs(1);
    db.run("CREATE TABLE t (id INT PRIMARY KEY, filler LONGTEXT)").await;
    let port = db.server.as_ref().expect("a server").port();
    let cable = Cable::to(port).await.expect("a cable");
    let url = db.database.url().replace(&format!(":{port}"), &format!(":{}", cable.port()));
    let address = Address::parse(&url).expect("an address");
    let mut source = MysqlSource::new("test", address, db.settings.clone(), Arc::new(Live::default()));
    source.start(None).await.expect("started");
    let begun = source.next().await.expect("a batch").origin.expect("an origin").place;
    cable.silence();
    // More than the buffers on the way take.
    for id in 0..8 {
        db.run(&format!("INSERT INTO t VALUES ({id}, REPEAT('x', 4000000))")).await;
    }
    source.next().await.expect_err("nothing is heard");
    cable.mend();
    let heard = async {
        while source.start(Some(begun.clone())).await.is_err() {}
        let mut rows = 0;
        while rows < 8 {
            rows += source.next().await.expect("a batch").changes.len();
        }
    };
    tokio::time::timeout(Duration::from_secs(30), heard).await.expect("heard in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn minimal_images_are_completed_or_the_table_is_loaded_again() {
    let db = My::on(&MysqlOptions::default().set("binlog-row-image", "MINIMAL")).await;
    db.run("CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT DEFAULT 5, c TEXT)").await;
    let mut follower = db.follow().await;
    db.run("INSERT INTO t VALUES (1, 2, 3, 'x'); UPDATE t SET a = 9; DELETE FROM t").await;
    follower
        .expect(&[
            r#"insert t (1,2,3,"x")"#,
            "update t (1,unchanged,unchanged,unchanged) (1,9,unchanged,unchanged)",
            "delete t (1,unchanged,unchanged,unchanged)",
        ])
        .await;
    db.run("INSERT INTO t (id, a) VALUES (2, 2)").await;
    follower.expect(&["reset t"]).await;
    assert!(follower.source.status().problem.is_some_and(|problem| problem.contains("binlog_row_image = FULL")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_names_in_the_binlog_the_history_has_them() {
    let mut db = My::on(&MysqlOptions::default().set("binlog-row-metadata", "MINIMAL")).await;
    let folder = tempfile::tempdir().expect("a folder");
    db.settings.spool = Some(folder.path().to_owned());
    db.run("CREATE TABLE t (id INT PRIMARY KEY, a INT)").await;
    let mut follower = db.follow().await;
    db.run("INSERT INTO t VALUES (1, 1)").await;
    follower.expect(&["insert t (1,1)"]).await;
    let place = follower.place.clone();
    drop(follower);
    // While nobody reads: the same types, other names.
    db.run("INSERT INTO t VALUES (2, 2); ALTER TABLE t CHANGE a b INT; INSERT INTO t VALUES (3, 3)").await;
    let mut again = db.resume(place).await;
    let names = |change: &Change| match &change.body {
        Body::Row(row) => row.table.columns.iter().map(|column| &*column.name).collect::<Vec<_>>().join(","),
        other => format!("{other:?}"),
    };
    let changes = again.changes(3).await;
    assert_eq!(changes.iter().map(text).collect::<Vec<_>>(), ["insert t (2,2)", "reset t", "insert t (3,3)"]);
    assert_eq!([names(&changes[0]), names(&changes[2])], ["id,a", "id,b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_on_shapes_reset_their_table_and_no_other() {
    let db = My::new().await;
    db.run("CREATE TABLE t (id INT PRIMARY KEY); CREATE TABLE u (id INT PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    let mut follower = db.follow().await;
    db.run("TRUNCATE TABLE t; RENAME TABLE t TO v; INSERT INTO v VALUES (1); DROP TABLE v; INSERT INTO u VALUES (1)")
        .await;
    follower.expect(&["reset t", "reset t", "reset v", "insert v (1)", "reset v", "insert u (1)"]).await;
    db.run("CREATE TABLE w AS SELECT id FROM u; CREATE TEMPORARY TABLE x (id INT); INSERT INTO x VALUES (1); INSERT INTO u VALUES (2)")
        .await;
    follower.expect(&["reset w", "insert w (1)", "insert u (2)"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_distributed_transaction_is_told_when_it_commits() {
    let db = My::new().await;
    db.run("CREATE TABLE t (id INT PRIMARY KEY)").await;
    let mut follower = db.follow().await;
    let name = &db.database.name;
    for (n, end) in [(1, "COMMIT"), (2, "ROLLBACK")] {
        db.run(&format!(
            "XA START '{name}{n}'; INSERT INTO t VALUES ({n}); XA END '{name}{n}'; XA PREPARE '{name}{n}'"
        ))
        .await;
        db.run(&format!("INSERT INTO t VALUES (1{n})")).await;
        db.run(&format!("XA {end} '{name}{n}'")).await;
    }
    follower.expect(&["insert t (11)", "insert t (1)", "insert t (12)"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_logged_as_text_resets() {
    let db = My::new().await;
    db.run("CREATE TABLE t (id INT PRIMARY KEY)").await;
    let mut follower = db.follow().await;
    db.run("SET SESSION binlog_format = 'STATEMENT'; INSERT INTO t VALUES (1)").await;
    follower.expect(&["reset t"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partial_updates_of_json_are_completed() {
    if std::env::var_os("ROWCAST_TEST_MYSQL_BIN").is_none() {
        return;
    }
    let db = My::on(&MysqlOptions::default().set("binlog-row-value-options", "PARTIAL_JSON")).await;
    db.run("CREATE TABLE t (id INT PRIMARY KEY, j JSON)").await;
    let mut follower = db.follow().await;
    let mut conn = db.connect().await;
    conn.query_drop(
        r#"INSERT INTO t VALUES (1, '{"a": [1, 2, 3], "long key": {"x": "some text that is long enough"}, "z": null}')"#,
    )
    .await
    .expect("inserted");
    follower.changes(1).await;
    for change in [
        r#"JSON_SET(j, '$.a[1]', 9)"#,
        r#"JSON_REPLACE(j, '$."long key".x', 'short')"#,
        r#"JSON_REMOVE(j, '$.z')"#,
        r#"JSON_REMOVE(j, '$.a[0]')"#,
        r#"JSON_SET(j, '$.bb', 'new', '$.a[1]', 'y')"#,
    ] {
        conn.query_drop(format!("UPDATE t SET j = {change}")).await.expect("updated");
        let wanted: String = conn.query_first("SELECT CAST(j AS CHAR) FROM t").await.expect("asked").expect("a row");
        let found = follower.changes(1).await.remove(0);
        let Body::Row(row) = &found.body else { panic!("{found:?}") };
        assert_eq!(told(&row.new.as_ref().expect("a new row").values[1]), Some(wanted), "{change}");
    }
}
