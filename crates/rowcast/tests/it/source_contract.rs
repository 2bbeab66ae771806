//! What every source promises, as cases that are run against each kind of database.
//!
//! `source_contract!(factory)` makes a test of each case; the factory gives a fresh [`Database`].

use std::time::Duration;

use async_trait::async_trait;
use rowcast::event::{Body, Change, Channel, Op, Place, Row, TableName, Value};
use rowcast::source::Source;

/// A database of some kind, made for one test.
#[async_trait]
pub(crate) trait Database: Send + Sync {
    /// Another source for it, whose batches hold about so many changes.
    fn source(&self, batch_rows: usize) -> Box<dyn Source>;

    /// Another connection of some other program.
    fn writer(&self) -> Box<dyn Writer>;

    /// A name as SQL.
    fn quote(&self, name: &str) -> String {
        format!("\"{name}\"")
    }

    /// What of Rowcast's is left in the database.
    async fn leftovers(&self) -> Vec<String>;
}

/// A connection that tests write through.
#[async_trait]
pub(crate) trait Writer: Send {
    /// Runs statements, or says what the database said. A database that is busy is waited for.
    async fn try_run(&mut self, sql: &str) -> Result<(), String>;

    /// As `try_run`, for what must work.
    async fn run(&mut self, sql: &str) {
        self.try_run(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

/// Reads a source as the gateway does, and checks what must hold of every batch.
pub(crate) struct Follower {
    pub(crate) source: Box<dyn Source>,
    pub(crate) place: Option<Place>,
    waiting: Vec<Change>,
    transaction: Option<u64>,
    pub(crate) borders: Vec<Place>,
}

impl Follower {
    /// Sets the source up and follows it from now on.
    pub(crate) async fn new(mut source: Box<dyn Source>) -> Self {
        source.setup().await.expect("set up");
        let mut follower = Self::resume(source, None).await;
        assert_eq!(follower.batch().await, [], "the first batch only carries the place");
        follower
    }

    pub(crate) async fn resume(mut source: Box<dyn Source>, place: Option<Place>) -> Self {
        source.start(place.clone()).await.expect("started");
        Self { source, place, waiting: Vec::new(), transaction: None, borders: Vec::new() }
    }

    pub(crate) async fn batch(&mut self) -> Vec<Change> {
        let batch =
            tokio::time::timeout(Duration::from_secs(20), self.source.next()).await.expect("in time").expect("a batch");
        let origin = batch.origin.expect("an origin");
        assert_eq!(&*origin.source, self.source.name());
        assert_eq!(origin.after, self.place, "a batch continues the one before");
        self.borders.push(origin.place.clone());
        self.place = Some(origin.place);
        for change in &batch.changes {
            if let Some(open) = self.transaction {
                assert_eq!(change.tx, open, "a transaction's changes stay together");
            }
            self.transaction = (!change.last).then_some(change.tx);
        }
        batch.changes
    }

    /// The next so many changes.
    pub(crate) async fn changes(&mut self, count: usize) -> Vec<Change> {
        while self.waiting.len() < count {
            let batch = self.batch().await;
            self.waiting.extend(batch);
        }
        self.waiting.drain(..count).collect()
    }

    /// The next so many changes, as texts.
    pub(crate) async fn texts(&mut self, count: usize) -> Vec<String> {
        self.changes(count).await.iter().map(text).collect()
    }

    /// Checks that these changes come next.
    #[track_caller]
    pub(crate) fn expect<'a>(&'a mut self, expected: &'a [&'a str]) -> impl Future<Output = ()> + 'a {
        let at = std::panic::Location::caller();
        async move {
            let found = self.texts(expected.len()).await;
            assert_eq!(found, expected, "{at}");
        }
    }

    /// The next row of this table, whatever else comes before it.
    pub(crate) async fn until_row_of(&mut self, table: &str) -> String {
        loop {
            let change = self.changes(1).await.remove(0);
            if matches!(&change.body, Body::Row(row) if *row.table.name.name == *table) {
                return text(&change);
            }
        }
    }

    /// Everything up to the change that this text is of.
    pub(crate) async fn until(&mut self, fence: &str) -> Vec<Change> {
        let mut found = Vec::new();
        loop {
            let change = self.changes(1).await.remove(0);
            if text(&change) == fence {
                return found;
            }
            found.push(change);
        }
    }
}

/// `insert t (1,"a")`, `update t (1,"a") (1,"b")`, `delete t (1,"b")`, `reset t`.
pub(crate) fn text(change: &Change) -> String {
    match &change.body {
        Body::Row(row) => {
            let rows: Vec<String> = row.old.iter().chain(&row.new).map(row_text).collect();
            format!("{} {} {}", row.op.as_str(), name(&row.table.name), rows.join(" "))
        }
        Body::Reset { channel: Channel::Table(table), .. } => format!("reset {}", name(table)),
        Body::Reset { channel, .. } => format!("reset {channel}"),
        Body::Message(message) => format!("message {}", message.channel),
    }
}

/// A table's name without its schema, which not every database has.
fn name(table: &TableName) -> TableName {
    TableName::bare(&table.name)
}

pub(crate) fn row_text(row: &Row) -> String {
    let values: Vec<String> = row.values.iter().map(value_text).collect();
    format!("({})", values.join(","))
}

fn value_text(value: &Value) -> String {
    if matches!(value, Value::Unchanged) { "unchanged".to_owned() } else { value.to_json() }
}

pub(crate) async fn rows_are_carried_with_what_they_were(db: impl Database) {
    let mut writer = db.writer();
    writer.run("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)").await;
    let mut follower = Follower::new(db.source(100)).await;
    writer.run("INSERT INTO t (id, name) VALUES (1, 'a')").await;
    writer.run("UPDATE t SET name = 'b' WHERE id = 1").await;
    writer.run("DELETE FROM t WHERE id = 1").await;
    follower.expect(&[r#"insert t (1,"a")"#, r#"update t (1,"a") (1,"b")"#, r#"delete t (1,"b")"#]).await;
}

pub(crate) async fn a_transaction_is_one(db: impl Database) {
    let mut writer = db.writer();
    writer.run("CREATE TABLE t (id INTEGER PRIMARY KEY); CREATE TABLE u (id INTEGER PRIMARY KEY)").await;
    let mut follower = Follower::new(db.source(100)).await;
    writer.run("BEGIN; INSERT INTO t (id) VALUES (1); INSERT INTO u (id) VALUES (1), (2); DELETE FROM u; COMMIT").await;
    writer.run("INSERT INTO t (id) VALUES (2)").await;
    writer.run("INSERT INTO t (id) VALUES (3)").await;
    let changes = follower.changes(7).await;
    let last: Vec<bool> = changes.iter().map(|change| change.last).collect();
    assert_eq!(last, [false, false, false, false, true, true, true]);
    let mut transactions: Vec<u64> = changes.iter().map(|change| change.tx).collect();
    transactions.dedup();
    assert_eq!(transactions.len(), 3);
}

pub(crate) async fn nothing_of_what_was_rolled_back(db: impl Database) {
    let mut writer = db.writer();
    writer.run("CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    let mut follower = Follower::new(db.source(100)).await;
    writer.run("BEGIN; INSERT INTO t (id) VALUES (1); ROLLBACK").await;
    writer
        .run(
            "BEGIN; INSERT INTO t (id) VALUES (2); SAVEPOINT s; INSERT INTO t (id) VALUES (3); ROLLBACK TO SAVEPOINT s; \
             INSERT INTO t (id) VALUES (4); COMMIT",
        )
        .await;
    let failed = writer.try_run("INSERT INTO t (id) VALUES (5), (2)").await;
    assert!(failed.is_err(), "a duplicate key");
    writer.run("INSERT INTO t (id) VALUES (6)").await;
    follower.expect(&["insert t (2)", "insert t (4)", "insert t (6)"]).await;
}

pub(crate) async fn statements_of_many_rows_are_many_changes(db: impl Database) {
    let mut writer = db.writer();
    writer.run("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)").await;
    let mut follower = Follower::new(db.source(100)).await;
    writer.run("INSERT INTO t (id, n) VALUES (1, 1), (2, 2), (3, 3)").await;
    writer.run("UPDATE t SET n = n * 10 WHERE id > 1").await;
    writer.run("DELETE FROM t").await;
    follower.expect(&["insert t (1,1)", "insert t (2,2)", "insert t (3,3)"]).await;
    follower.expect(&["update t (2,2) (2,20)", "update t (3,3) (3,30)"]).await;
    follower.expect(&["delete t (1,1)", "delete t (2,20)", "delete t (3,30)"]).await;
}

pub(crate) async fn keys_are_told_in_their_order(db: impl Database) {
    let mut writer = db.writer();
    writer.run("CREATE TABLE t (a INTEGER, b VARCHAR(20), c INTEGER, PRIMARY KEY (c, b))").await;
    let mut follower = Follower::new(db.source(100)).await;
    writer.run("INSERT INTO t (a, b, c) VALUES (1, 'x', 2)").await;
    writer.run("UPDATE t SET c = 3").await;
    let changes = follower.changes(2).await;
    let Body::Row(row) = &changes[1].body else { panic!("a row") };
    assert_eq!(row.table.key, [2, 1]);
    assert_eq!(text(&changes[1]), r#"update t (1,"x",2) (1,"x",3)"#);
}

pub(crate) async fn values_are_exact(db: impl Database) {
    let mut writer = db.writer();
    writer.run("CREATE TABLE t (id INTEGER PRIMARY KEY, n BIGINT, s TEXT)").await;
    let mut follower = Follower::new(db.source(100)).await;
    writer.run("INSERT INTO t (id, n, s) VALUES (1, 9007199254740993, 'Grüße 🚀')").await;
    writer.run("INSERT INTO t (id, n, s) VALUES (2, -9223372036854775807, '')").await;
    writer.run("INSERT INTO t (id, n, s) VALUES (3, NULL, NULL)").await;
    follower
        .expect(&[
            r#"insert t (1,"9007199254740993","Grüße 🚀")"#,
            r#"insert t (2,"-9223372036854775807","")"#,
            "insert t (3,null,null)",
        ])
        .await;
}

pub(crate) async fn names_may_be_anything(db: impl Database) {
    let mut writer = db.writer();
    let [order, select, odd] = ["order", "select", "größe – 'x'"].map(|name| db.quote(name));
    writer.run(&format!("CREATE TABLE {order} (id INTEGER PRIMARY KEY, {select} INTEGER, {odd} INTEGER)")).await;
    let mut follower = Follower::new(db.source(100)).await;
    writer.run(&format!("INSERT INTO {order} (id, {select}, {odd}) VALUES (1, 2, 3)")).await;
    writer.run(&format!("UPDATE {order} SET {select} = 4")).await;
    writer.run(&format!("DELETE FROM {order}")).await;
    let changes = follower.changes(3).await;
    let Body::Row(row) = &changes[0].body else { panic!("a row") };
    let columns: Vec<&str> = row.table.columns.iter().map(|column| &*column.name).collect();
    assert_eq!(columns, ["id", "select", "größe – 'x'"]);
    let texts: Vec<String> = changes.iter().map(text).collect();
    assert_eq!(texts, ["insert order (1,2,3)", "update order (1,2,3) (1,4,3)", "delete order (1,4,3)"]);
}

pub(crate) async fn an_altered_table_is_reset_and_followed(db: impl Database) {
    let mut writer = db.writer();
    writer.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER)").await;
    let mut follower = Follower::new(db.source(100)).await;
    writer.run("INSERT INTO t (id, a) VALUES (1, 1)").await;
    writer.run("ALTER TABLE t ADD COLUMN b INTEGER DEFAULT 7").await;
    follower.expect(&["insert t (1,1)", "reset t"]).await;
    writer.run("INSERT INTO t (id, a, b) VALUES (2, 2, 2)").await;
    writer.run("UPDATE t SET a = 0 WHERE id = 1").await;
    follower.expect(&["insert t (2,2,2)", "update t (1,1,7) (1,0,7)"]).await;
}

pub(crate) async fn a_table_made_again_is_reset_and_followed(db: impl Database) {
    let mut writer = db.writer();
    writer.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER)").await;
    let mut follower = Follower::new(db.source(100)).await;
    writer.run("INSERT INTO t (id, a) VALUES (1, 1)").await;
    writer.run("DROP TABLE t").await;
    follower.expect(&["insert t (1,1)", "reset t"]).await;
    writer.run("CREATE TABLE t (id INTEGER PRIMARY KEY, b TEXT)").await;
    follower.expect(&["reset t"]).await;
    writer.run("INSERT INTO t (id, b) VALUES (1, 'again')").await;
    follower.expect(&[r#"insert t (1,"again")"#]).await;
}

pub(crate) async fn a_new_table_is_followed_at_once(db: impl Database) {
    let mut writer = db.writer();
    writer.run("CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    let mut follower = Follower::new(db.source(100)).await;
    writer.run("CREATE TABLE u (id INTEGER PRIMARY KEY)").await;
    follower.expect(&["reset u"]).await;
    writer.run("INSERT INTO u (id) VALUES (1)").await;
    follower.expect(&["insert u (1)"]).await;
}

/// A history with transactions of one to seven changes.
async fn write_history(writer: &mut dyn Writer) -> usize {
    let mut count = 0;
    for n in 0..12 {
        let mut sql = String::from("BEGIN;");
        for m in 0..=n % 7 {
            sql.push_str(&format!("INSERT INTO t (id, a) VALUES ({}, {m});", n * 10 + m));
            count += 1;
        }
        sql.push_str(&format!("UPDATE t SET a = -1 WHERE id = {};", n * 10));
        sql.push_str("COMMIT");
        count += 1;
        writer.run(&sql).await;
    }
    count
}

pub(crate) async fn every_border_can_be_resumed_from(db: impl Database) {
    let mut writer = db.writer();
    writer.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER)").await;
    let mut follower = Follower::new(db.source(3)).await;
    let count = write_history(&mut *writer).await;
    let whole = follower.changes(count).await;
    let borders = std::mem::take(&mut follower.borders);
    assert!(borders.len() > 10, "small batches: {}", borders.len());
    drop(follower);
    for border in borders {
        let mut again = Follower::resume(db.source(1000), Some(border.clone())).await;
        writer.run("INSERT INTO t (id, a) VALUES (-1, 0); DELETE FROM t WHERE id = -1").await;
        let rest = again.until("delete t (-1,0)").await;
        let rest: Vec<&Change> = rest.iter().filter(|change| !text(change).ends_with("(-1,0)")).collect();
        let expected = &whole[whole.len() - rest.len()..];
        let bodies = |change: &Change| change.body.clone();
        assert_eq!(rest.iter().map(|c| bodies(c)).collect::<Vec<_>>(), expected.iter().map(bodies).collect::<Vec<_>>());
        let resumed_inside = rest.first().is_some_and(|first| {
            let before = whole.len() - rest.len();
            before > 0 && whole[before - 1].tx == first.tx
        });
        assert!(
            rest.is_empty() || resumed_inside || whole[..whole.len() - rest.len()].last().is_none_or(|c| c.last),
            "what is resumed inside a transaction keeps its number"
        );
    }
}

pub(crate) async fn dropped_waits_lose_nothing(db: impl Database) {
    let mut writer = db.writer();
    writer.run("CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    let mut follower = Follower::new(db.source(2)).await;
    for n in 0..50 {
        // Not polled, polled once, and dropped while it waits.
        drop(follower.source.next());
        let mut wait = follower.source.next();
        let polled = futures_util::poll!(&mut wait);
        drop(wait);
        if let std::task::Poll::Ready(batch) = polled {
            let batch = batch.expect("a batch");
            follower.place = batch.origin.map(|origin| origin.place);
            follower.waiting.extend(batch.changes);
        }
        writer.run(&format!("INSERT INTO t (id) VALUES ({n})")).await;
    }
    let expected: Vec<String> = (0..50).map(|n| format!("insert t ({n})")).collect();
    assert_eq!(follower.texts(50).await, expected);
}

pub(crate) async fn what_was_not_confirmed_is_read_again(db: impl Database) {
    let mut writer = db.writer();
    writer.run("CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    let mut follower = Follower::new(db.source(100)).await;
    writer.run("INSERT INTO t (id) VALUES (1)").await;
    follower.expect(&["insert t (1)"]).await;
    let place = follower.place.clone();
    follower.source.confirm(place.as_ref().expect("a place")).await.expect("confirmed");
    writer.run("INSERT INTO t (id) VALUES (2)").await;
    follower.expect(&["insert t (2)"]).await;
    drop(follower);
    writer.run("INSERT INTO t (id) VALUES (3)").await;
    let mut again = Follower::resume(db.source(100), place).await;
    again.expect(&["insert t (2)", "insert t (3)"]).await;
}

pub(crate) async fn an_unknown_place_resets_everything(db: impl Database) {
    let mut writer = db.writer();
    writer.run("CREATE TABLE t (id INTEGER PRIMARY KEY); CREATE TABLE u (id INTEGER PRIMARY KEY)").await;
    let mut source = db.source(100);
    source.setup().await.expect("set up");
    let mut follower = Follower::resume(source, Some(Place("of somebody else".into()))).await;
    let mut resets = follower.texts(2).await;
    resets.sort();
    assert_eq!(resets, ["reset t", "reset u"]);
    writer.run("INSERT INTO t (id) VALUES (1)").await;
    follower.expect(&["insert t (1)"]).await;
}

/// Each of four writers commits numbered rows, and rolls some transactions back.
pub(crate) async fn competing_writers_lose_nothing(db: impl Database) {
    const WRITERS: u32 = 4;
    const TRANSACTIONS: u32 = 60;
    let mut writer = db.writer();
    writer.run("CREATE TABLE t (id INTEGER PRIMARY KEY, w INTEGER, n INTEGER)").await;
    let mut follower = Follower::new(db.source(16)).await;
    let tasks: Vec<_> = (0..WRITERS)
        .map(|w| {
            let mut writer = db.writer();
            tokio::spawn(async move {
                let mut committed = 0;
                for t in 0..TRANSACTIONS {
                    let rows = 1 + (t * 7 + w) % 5;
                    let inserts: String = (0..rows)
                        .map(|n| (committed + n, w))
                        .map(|(n, w)| format!("INSERT INTO t (id, w, n) VALUES ({}, {w}, {n});", n * WRITERS + w))
                        .collect();
                    let commits = (t + w) % 4 != 0;
                    let end = if commits { "COMMIT" } else { "ROLLBACK" };
                    let begin = "BEGIN";
                    writer.run(&format!("{begin}; {inserts} {end}")).await;
                    committed += if commits { rows } else { 0 };
                }
                committed
            })
        })
        .collect();
    let mut expected = Vec::new();
    for task in tasks {
        expected.push(task.await.expect("a writer"));
    }
    writer.run("INSERT INTO t (id, w, n) VALUES (-1, -1, -1)").await;
    let mut seen = vec![0; WRITERS as usize];
    for change in follower.until("insert t (-1,-1,-1)").await {
        let Body::Row(row) = &change.body else { panic!("a row") };
        assert_eq!(row.op, Op::Insert);
        let (Value::Int(w), Value::Int(n)) = (&row.row().values[1], &row.row().values[2]) else { panic!("integers") };
        let next = &mut seen[usize::try_from(*w).expect("a writer")];
        assert_eq!(*n, i64::from(*next), "each writer's rows come in order, none missing, none twice");
        *next += 1;
    }
    assert_eq!(seen, expected);
}

pub(crate) async fn setup_is_made_once_and_removed_wholly(db: impl Database) {
    let mut writer = db.writer();
    writer.run("CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    let mut source = db.source(100);
    assert!(!source.setup().await.expect("set up").is_empty());
    assert_eq!(source.setup().await.expect("set up again"), Vec::<String>::new());
    assert!(!db.leftovers().await.is_empty());
    assert!(!source.teardown().await.expect("torn down").is_empty());
    assert_eq!(db.leftovers().await, Vec::<String>::new());
    writer.run("INSERT INTO t (id) VALUES (1)").await;
    assert_eq!(source.teardown().await.expect("torn down again"), Vec::<String>::new());
}

/// One test for each case of the contract.
macro_rules! source_contract {
    ($factory:expr) => {
        source_contract!($factory;
            rows_are_carried_with_what_they_were a_transaction_is_one nothing_of_what_was_rolled_back
            statements_of_many_rows_are_many_changes keys_are_told_in_their_order values_are_exact names_may_be_anything
            an_altered_table_is_reset_and_followed a_table_made_again_is_reset_and_followed a_new_table_is_followed_at_once
            every_border_can_be_resumed_from dropped_waits_lose_nothing what_was_not_confirmed_is_read_again
            an_unknown_place_resets_everything competing_writers_lose_nothing setup_is_made_once_and_removed_wholly
        );
    };
    ($factory:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::source_contract::$case($factory).await;
            }
        )*
    };
}
pub(crate) use source_contract;
