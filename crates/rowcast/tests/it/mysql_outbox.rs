//! The outbox of MySQL and MariaDB against the contract, and what is particular to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rowcast::event::{Body, Op, Place, ResetCause, Value};
use rowcast::mysql::{Address, Capture, Live, MysqlSettings, Server};
use rowcast::source::Source;
use rowcast::source::mysql::MysqlSource;
use servers::{Mysql, MysqlDatabase, MysqlOptions};

use crate::source_contract::{Database, Follower, Writer, source_contract, text};

/// A database that is read through an outbox.
struct My {
    database: Arc<MysqlDatabase>,
    url: String,
    settings: MysqlSettings,
    _server: Option<Mysql>,
}

impl My {
    async fn new() -> Self {
        Self::of(MysqlDatabase::new().await.expect("a database"))
    }

    /// On a server that has no binlog.
    async fn without_binlog() -> Self {
        let server = Mysql::start_with(&MysqlOptions::default().without_binlog()).expect("started");
        let mut new = Self::of(server.database().await.expect("a database"));
        new.settings.capture = Capture::Auto;
        new._server = Some(server);
        new
    }

    fn of(database: MysqlDatabase) -> Self {
        let settings = MysqlSettings {
            capture: Capture::Outbox,
            look_every: Duration::from_millis(50),
            ..MysqlSettings::default()
        };
        Self { url: database.url(), database: Arc::new(database), settings, _server: None }
    }

    async fn follow(&self) -> Follower {
        Follower::new(self.source(1000)).await
    }

    fn own(&self, settings: MysqlSettings) -> MysqlSource {
        let address = Address::parse(&self.url).expect("an address");
        MysqlSource::new("test", address, settings, Arc::new(Live::default()))
    }

    async fn connect(&self) -> Conn {
        self.database.connect().await.expect("connected")
    }

    async fn run(&self, sql: &str) {
        self.database.run(sql).await;
    }
}

#[async_trait]
impl Database for My {
    fn source(&self, batch_rows: usize) -> Box<dyn Source> {
        Box::new(self.own(MysqlSettings { batch_rows, ..self.settings.clone() }))
    }

    fn writer(&self) -> Box<dyn Writer> {
        Box::new(MyWriter { database: self.database.clone(), conn: None })
    }

    fn quote(&self, name: &str) -> String {
        format!("`{name}`")
    }

    async fn leftovers(&self) -> Vec<String> {
        let mut conn = self.connect().await;
        let mut found: Vec<String> = conn.query("SHOW TABLES LIKE '\\_rowcast%'").await.expect("tables");
        found.extend(
            conn.query_map("SHOW TRIGGERS", |row: mysql_async::Row| row.get(0).expect("a name"))
                .await
                .expect("triggers"),
        );
        found
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
        conn.query_drop(sql).await.map_err(|error| error.to_string())
    }
}

source_contract!(My::new().await);

#[tokio::test]
async fn where_there_is_no_binlog_triggers_are_chosen() {
    let db = My::without_binlog().await;
    db.run("create table t (id int primary key, ts timestamp null)").await;
    let mut follower = db.follow().await;
    let status = follower.source.status();
    assert_eq!(status.mode, "outbox triggers");
    assert!(status.guarantee.contains("keeps no binlog"), "{}", status.guarantee);
    assert_eq!(status.tables, ["t"]);
    db.run("set time_zone = '+05:00'; insert into t values (1, '2026-01-01 10:00:00'), (2, null)").await;
    follower.expect(&[r#"insert t (1,"2026-01-01 05:00:00+00")"#, "insert t (2,null)"]).await;
    let binlog = MysqlSettings { capture: Capture::Binlog, ..db.settings.clone() };
    let error = db.own(binlog).setup().await.expect_err("refused");
    assert!(error.to_string().contains("log_bin=binlog"), "{error}");
}

#[tokio::test]
async fn every_type_is_told_exactly() {
    let db = My::new().await;
    db.run(
        "create table t (id bigint unsigned primary key, a varchar(50) character set latin1, b decimal(30,5), c float, d double,
           e bit(64), f binary(3), g blob, h geometry, i enum('a','b''c'), j set('x','y'), k json, l date, m time(6),
           n datetime(3), o timestamp(6) null, p year, q text character set utf16, r int(5) zerofill, s tinyint(1),
           t int as (s * 2) virtual, u int as (s * 3) stored, v char(5))",
    )
    .await;
    let mut follower = db.follow().await;
    let mut conn = db.connect().await;
    conn.query_drop("set sql_mode = '', time_zone = '-03:00'").await.expect("set");
    conn.query_drop(
        r#"insert into t (id, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, v) values
           (18446744073709551615, 'é "q" \\ \n', -12.3, 0.1, 1e300, b'1000000000000000000000000000000000000000000000000000000000000000',
            x'00', x'00ff27', st_geomfromtext('point(1 2)'), 'b''c', 'x,y', '{"a": "é\\"x", "b": [1.10, null]}', '0000-00-00',
            '-838:59:59', '2026-01-02 03:04:05.678', '2026-01-01 00:00:00.000001', 2026, '🚀', 42, 1, 'ab  ')"#,
    )
    .await
    .expect("inserted");
    let change = follower.changes(1).await.remove(0);
    let Body::Row(row) = &change.body else { panic!("{change:?}") };
    let text = |text: &str| Value::Text(text.into());
    let number = |text: &str| Value::Number(text.into());
    let point = [0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xF0, 0x3F, 0, 0, 0, 0, 0, 0, 0, 0x40];
    let mut values = row.row().values.to_vec();
    let Value::Json(json) = values.remove(11) else { panic!("a document") };
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json, serde_json::json!({"a": "é\"x", "b": [1.1, null]}));
    assert_eq!(
        values,
        [
            number("18446744073709551615"),
            text("é \"q\" \\ \n"),
            number("-12.30000"),
            Value::Real(0.1),
            Value::Real(1e300),
            number("9223372036854775808"),
            Value::Bytes([0, 0, 0].as_slice().into()),
            Value::Bytes([0, 255, 39].as_slice().into()),
            Value::Bytes(point.as_slice().into()),
            text("b'c"),
            text("x,y"),
            text("0000-00-00"),
            text("-838:59:59.000000"),
            text("2026-01-02 03:04:05.678"),
            text("2026-01-01 03:00:00.000001+00"),
            Value::Int(2026),
            text("🚀"),
            Value::Int(42),
            Value::Int(1),
            Value::Int(2),
            Value::Int(3),
            text("ab"),
        ]
    );
    let zone: Option<String> = conn.query_first("select @@time_zone").await.expect("a zone");
    assert_eq!(zone.as_deref(), Some("-03:00"), "the writer's session is as it was");
    // Nothing in it changes: nothing is told.
    conn.query_drop("update t set s = 1; update t set a = 'É'").await.expect("updated");
    let change = follower.changes(1).await.remove(0);
    let Body::Row(row) = &change.body else { panic!("{change:?}") };
    assert_eq!(row.new.as_ref().map(|row| row.values[1].clone()), Some(self::text_value("É")));
}

fn text_value(text: &str) -> Value {
    Value::Text(text.into())
}

#[tokio::test]
async fn every_control_character_and_a_long_text_come_through() {
    let db = My::new().await;
    db.run("create table t (id int primary key, a longtext, b longblob)").await;
    let mut follower = db.follow().await;
    let odd: String = (0..0x100).filter_map(char::from_u32).chain(['\u{2028}', '\u{FFFF}', '🚀']).collect();
    let long = "ü".repeat(300_000);
    let bytes: Vec<u8> = (0..=255).cycle().take(500_000).collect();
    let mut conn = db.connect().await;
    conn.exec_drop("insert into t values (1, ?, null), (2, ?, ?)", (&odd, &long, &bytes)).await.expect("inserted");
    let changes = follower.changes(2).await;
    let values: Vec<Value> = changes
        .iter()
        .flat_map(|change| match &change.body {
            Body::Row(row) => row.row().values[1..].to_vec(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(values, [text_value(&odd), Value::Null, text_value(&long), Value::Bytes(bytes.into())]);
}

#[tokio::test]
async fn a_row_too_large_to_be_written_down_is_told_as_missed_and_the_write_succeeds() {
    let db = My::without_binlog().await;
    db.run("create table t (id int primary key, b longblob)").await;
    let mut follower = db.follow().await;
    db.run("set global max_allowed_packet = 1048576").await;
    let mut conn = db.connect().await;
    let row = "insert into t values (1, repeat('x', 900000)), (2, 'y')";
    conn.query_drop(row).await.expect("the write itself is none of ours to refuse");
    assert_eq!(follower.texts(2).await, ["reset t", r#"insert t (2,"\\x79")"#]);
}

#[tokio::test]
async fn a_writer_needs_no_rights_on_the_outbox() {
    let db = My::new().await;
    db.run("create table t (id int auto_increment primary key, a text)").await;
    let user = format!("w{}", &db.database.name[5..17]);
    db.run(&format!(
        "create user {user}@'%'; grant insert, update, delete, select on {}.t to {user}@'%'",
        db.database.name
    ))
    .await;
    let mut follower = db.follow().await;
    let url = db.url.replace("root@", &format!("{user}@"));
    let mut conn = Address::parse(&url).expect("an address").connect().await.expect("connected");
    conn.query_drop("insert into t (a) values ('x')").await.expect("inserted");
    assert_eq!(conn.last_insert_id(), Some(1), "of its own table, and not of the outbox");
    let id: Option<u64> = conn.query_first("select last_insert_id()").await.expect("an id");
    assert_eq!(id, Some(1));
    conn.query_drop("insert into t (a) values ('y') on duplicate key update a = 'z'").await.expect("inserted");
    conn.query_drop("replace into t (id, a) values (1, 'r')").await.expect("replaced");
    follower
        .expect(&[r#"insert t (1,"x")"#, r#"insert t (2,"y")"#, r#"delete t (1,"x")"#, r#"insert t (1,"r")"#])
        .await;
    assert!(conn.query_drop("select * from _rowcast_outbox").await.is_err());
    db.run(&format!("drop user {user}@'%'")).await;
}

#[tokio::test]
async fn a_dropped_or_renamed_column_makes_no_write_fail() {
    let db = My::new().await;
    db.run("create table t (id int primary key, a int, b int)").await;
    // Nobody runs who would make the triggers anew.
    let mut source = db.source(100);
    source.setup().await.expect("set up");
    let place = {
        let mut follower = Follower::resume(db.source(100), None).await;
        follower.batch().await;
        follower.place
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    db.run("alter table t drop column a").await;
    db.run("insert into t values (1, 1); update t set b = 2; delete from t").await;
    let mut follower = Follower::resume(db.source(100), place).await;
    let first = follower.changes(1).await.remove(0);
    assert!(matches!(&first.body, Body::Reset { cause: ResetCause::Missed | ResetCause::Altered, .. }), "{first:?}");
    db.run("insert into t values (7, 7)").await;
    let rest = follower.until("insert t (7,7)").await;
    assert!(rest.iter().all(|change| matches!(&change.body, Body::Reset { .. })), "{rest:?}");
}

#[tokio::test]
async fn another_way_of_capturing_before_resets_everything_once() {
    let db = My::new().await;
    db.run("create table t (id int primary key)").await;
    db.source(100).setup().await.expect("set up");
    let mut follower = Follower::resume(db.source(100), Some(Place("binlog.000001:4".into()))).await;
    let change = follower.changes(1).await.remove(0);
    assert!(matches!(&change.body, Body::Reset { cause: ResetCause::Missed, .. }), "{change:?}");
    let place = follower.place.clone();
    drop(follower);
    db.run("insert into t values (1)").await;
    let mut follower = Follower::resume(db.source(100), place.clone()).await;
    follower.expect(&["insert t (1)"]).await;
    drop(follower);
    // An outbox that was made anew has other numbers.
    let mut source = db.source(100);
    source.teardown().await.expect("torn down");
    source.setup().await.expect("set up");
    let mut follower = Follower::resume(source, place).await;
    follower.expect(&["reset t"]).await;
}

#[tokio::test]
async fn only_one_reads_and_the_next_goes_on() {
    let db = My::new().await;
    db.run("create table t (id int primary key)").await;
    let mut follower = db.follow().await;
    let mut other = db.source(100);
    let error = other.start(None).await.expect_err("refused");
    assert!(error.to_string().contains("another Rowcast reads"), "{error}");
    db.run("insert into t values (1)").await;
    follower.expect(&["insert t (1)"]).await;
    let place = follower.place.clone();
    drop(follower);
    let mut follower = Follower::resume(other, place).await;
    db.run("insert into t values (2)").await;
    follower.expect(&["insert t (2)"]).await;
}

#[tokio::test]
async fn what_is_confirmed_is_removed() {
    let db = My::new().await;
    db.run("create table t (id int primary key)").await;
    let mut follower = db.follow().await;
    db.run("insert into t values (1), (2); insert into t values (3)").await;
    follower.texts(3).await;
    let place = follower.place.clone().expect("a place");
    follower.source.confirm(&place).await.expect("confirmed");
    let mut conn = db.connect().await;
    for _ in 0..200 {
        let left: Option<u64> = conn.query_first("select count(*) from _rowcast_outbox").await.expect("a count");
        if left == Some(0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the outbox still has rows");
}

#[tokio::test]
async fn teardown_leaves_the_database_as_it_was() {
    let db = My::new().await;
    db.run("create table t (id int primary key, n int); create table u (id int primary key, t int references t (id))")
        .await;
    db.run("create trigger own after insert on t for each row insert into u values (new.id, new.id)").await;
    let look = async || {
        let mut conn = db.connect().await;
        let tables: Vec<String> = conn.query("show tables").await.expect("tables");
        let triggers: Vec<(String, String, String)> = conn
            .query_map("show triggers", |row: mysql_async::Row| {
                (row.get(0).expect("a name"), row.get(1).expect("an event"), row.get(2).expect("a table"))
            })
            .await
            .expect("triggers");
        (tables, triggers)
    };
    let before = look().await;
    let source = db.own(db.settings.clone());
    let planned = source.plan_setup().await.expect("planned");
    assert_eq!(look().await, before, "a plan changes nothing");
    let mut follower = db.follow().await;
    db.run("insert into t values (1, 1)").await;
    let mut both = follower.texts(2).await;
    both.sort();
    assert_eq!(both, ["insert t (1,1)", "insert u (1,1)"]);
    db.run("alter table t add column more int").await;
    follower.expect(&["reset t"]).await;
    // As the store makes them.
    db.run("create table _rowcast_progress (a int); create table _rowcast_keys (a int); create table _rowcast_dead_letters (a int)").await;
    let removed = follower.source.teardown().await.expect("torn down");
    assert_eq!(look().await, before);
    assert!(planned.len() > 6 && removed.len() == 12, "{removed:?}");
}

#[tokio::test]
async fn in_binlog_mode_setup_makes_nothing_and_removes_the_outbox() {
    let db = My::new().await;
    db.run("create table t (id int primary key)").await;
    let binlog = MysqlSettings { capture: Capture::Binlog, ..db.settings.clone() };
    assert_eq!(db.own(binlog.clone()).setup().await.expect("set up"), Vec::<String>::new());
    db.source(1).setup().await.expect("set up");
    let short = MysqlSettings { temporary: true, ..binlog.clone() };
    assert_eq!(db.own(short).setup().await.expect("set up"), Vec::<String>::new());
    assert!(!db.own(binlog).setup().await.expect("set up").is_empty());
    assert_eq!(db.leftovers().await, Vec::<String>::new());
}

/// Eight connections that change the same few rows, in transactions of all sizes, while the table is altered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_writers_of_the_same_rows_lose_nothing_and_keep_every_rows_order() {
    const WRITERS: u64 = 8;
    const TRANSACTIONS: u64 = 60;
    let db = My::new().await;
    db.run("create table t (id int primary key, n int, w int); insert into t values (0,0,0),(1,0,0),(2,0,0),(3,0,0),(4,0,0)").await;
    let mut follower = Follower::new(db.source(50)).await;
    let tasks: Vec<_> = (0..WRITERS)
        .map(|w| {
            let database = db.database.clone();
            tokio::spawn(async move {
                let mut conn = database.connect().await.expect("connected");
                let mut committed = 0_u64;
                for t in 0..TRANSACTIONS {
                    // In the order of the keys, so that nobody waits for one who waits for him.
                    let rows: Vec<u64> = (0..5).filter(|row| (t + w + row) % 3 != 0).collect();
                    let alone = t % 5 == 0;
                    let rows = if alone { rows[..1].to_vec() } else { rows };
                    let explicit = !alone;
                    if explicit {
                        conn.query_drop("begin").await.expect("begun");
                    }
                    for row in &rows {
                        conn.query_drop(format!("update t set n = n + 1, w = {w} where id = {row}"))
                            .await
                            .expect("updated");
                    }
                    let commits = alone || (t + w) % 4 != 0;
                    if explicit {
                        conn.query_drop(if commits { "commit" } else { "rollback" }).await.expect("ended");
                    }
                    committed += if commits { rows.len() as u64 } else { 0 };
                }
                committed
            })
        })
        .collect();
    let mut expected = 0;
    for task in tasks {
        expected += task.await.expect("a writer");
    }
    db.run("insert into t values (9, 9, 9)").await;
    let changes = follower.until("insert t (9,9,9)").await;
    assert_eq!(changes.len() as u64, expected);
    let mut rows: BTreeMap<i64, i64> = BTreeMap::new();
    let mut transactions = 0;
    for change in &changes {
        let Body::Row(row) = &change.body else { panic!("{}", text(change)) };
        assert_eq!(row.op, Op::Update);
        let int = |value: &Value| if let Value::Int(n) = value { *n } else { panic!("{value:?}") };
        let (old, new) = (row.old.as_ref().expect("old"), row.new.as_ref().expect("new"));
        let n = rows.entry(int(&new.values[0])).or_insert(0);
        assert_eq!((int(&old.values[1]), int(&new.values[1])), (*n, *n + 1), "row {}", int(&new.values[0]));
        *n += 1;
        transactions += u64::from(change.last);
    }
    let mut conn = db.connect().await;
    if !Server::of(&mut conn).await.expect("a server").is_mariadb() {
        assert!(transactions > WRITERS * TRANSACTIONS / 2, "MySQL tells transactions apart: {transactions}");
    }
}

#[tokio::test]
async fn a_large_transaction_comes_in_batches_that_can_be_resumed() {
    let db = My::new().await;
    db.run("create table t (id int primary key)").await;
    let mut follower = Follower::new(db.source(100)).await;
    let rows: Vec<String> = (0..5_000).map(|n| format!("({n})")).collect();
    db.run(&format!("insert into t values {}", rows.join(","))).await;
    let changes = follower.changes(1_000).await;
    assert!(changes.iter().all(|change| change.tx == changes[0].tx && !change.last));
    let place = follower.place.clone();
    drop(follower);
    let mut follower = Follower::resume(db.source(100), place).await;
    let rest = follower.changes(4_000).await;
    assert_eq!(text(&rest[0]), "insert t (1000)");
    assert!(rest.iter().all(|change| change.tx == changes[0].tx));
    assert_eq!(rest.iter().map(|change| change.last).collect::<Vec<_>>().iter().filter(|last| **last).count(), 1);
    assert!(rest[3_999].last);
}
