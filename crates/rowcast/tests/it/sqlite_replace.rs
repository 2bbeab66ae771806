//! Rows that others make give way, whatever the statement: what is told of them adds up to what the table holds.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rowcast::event::{Body, Op, Row};
use rusqlite::Connection;

use crate::source_contract::{Follower, row_text, text};
use crate::sqlite::Sqlite;

#[track_caller]
fn run(connection: &Connection, sql: &str) {
    if let Err(error) = connection.execute_batch(sql) {
        panic!("{sql}: {error}");
    }
}

#[tokio::test]
async fn a_row_replaced_under_its_key_is_updated() {
    let db = Sqlite::with("CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE TABLE w (id TEXT PRIMARY KEY, v)");
    let mut follower = db.follow().await;
    let writer = db.connect();
    run(&writer, "INSERT INTO t VALUES (1, 'a'); REPLACE INTO t VALUES (1, 'b')");
    run(&writer, "INSERT INTO w VALUES ('k', 'a'), ('l', 'a'); REPLACE INTO w VALUES ('k', 'b')");
    follower.expect(&[r#"insert t (1,"a")"#, r#"update t (1,"a") (1,"b")"#]).await;
    follower.expect(&[r#"insert w ("k","a")"#, r#"insert w ("l","a")"#, r#"update w ("k","a") ("k","b")"#]).await;
}

#[tokio::test]
async fn rows_replaced_for_another_value_are_deleted_first() {
    let db = Sqlite::with("CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE, v UNIQUE ON CONFLICT REPLACE)");
    let mut follower = db.follow().await;
    let writer = db.connect();
    run(&writer, "INSERT INTO t VALUES (1, 'a', 'x'), (2, 'b', 'y'), (3, 'c', 'z')");
    run(&writer, "REPLACE INTO t VALUES (1, 'b', 'z')");
    run(&writer, "INSERT INTO t VALUES (9, 'd', 'z')");
    run(&writer, "UPDATE OR REPLACE t SET u = 'd', id = 8 WHERE id = 9");
    follower.changes(3).await;
    follower
        .expect(&[
            r#"delete t (2,"b","y")"#,
            r#"delete t (3,"c","z")"#,
            r#"update t (1,"a","x") (1,"b","z")"#,
            r#"delete t (1,"b","z")"#,
            r#"insert t (9,"d","z")"#,
            r#"update t (9,"d","z") (8,"d","z")"#,
        ])
        .await;
}

#[tokio::test]
async fn an_ignored_row_and_an_upsert_delete_nothing() {
    let db = Sqlite::with("CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE, n)");
    let mut follower = db.follow().await;
    let writer = db.connect();
    run(&writer, "INSERT INTO t VALUES (1, 'a', 0), (2, 'b', 0)");
    run(&writer, "INSERT OR IGNORE INTO t VALUES (1, 'z', 1), (3, 'b', 1), (4, 'd', 1)");
    run(&writer, "INSERT INTO t VALUES (5, 'a', 2) ON CONFLICT (u) DO UPDATE SET id = 7, n = n + 1");
    run(
        &writer,
        "INSERT INTO t VALUES (2, 'q', 2) ON CONFLICT DO NOTHING; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (2, 'e', 3)",
    );
    follower.changes(2).await;
    follower.expect(&[r#"insert t (4,"d",1)"#, r#"update t (1,"a",0) (7,"a",1)"#]).await;
    follower.expect(&[r#"delete t (2,"b",0)"#, r#"insert t (2,"e",3)"#]).await;
}

#[tokio::test]
async fn cascades_are_followed() {
    let db = Sqlite::with(
        "CREATE TABLE p (id INTEGER PRIMARY KEY);
         CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE CASCADE ON UPDATE CASCADE)",
    );
    let mut follower = db.follow().await;
    let writer = db.connect();
    run(&writer, "PRAGMA foreign_keys=ON; INSERT INTO p VALUES (1); INSERT INTO c VALUES (10, 1), (11, 1)");
    run(&writer, "UPDATE p SET id = 2; DELETE FROM p");
    follower.changes(3).await;
    let mut update = follower.texts(3).await;
    update.sort();
    assert_eq!(update, ["update c (10,1) (10,2)", "update c (11,1) (11,2)", "update p (1) (2)"]);
    let mut delete = follower.texts(3).await;
    delete.sort();
    assert_eq!(delete, ["delete c (10,2)", "delete c (11,2)", "delete p (2)"]);
}

#[tokio::test]
async fn what_the_users_triggers_do_comes_after_its_cause() {
    let db = Sqlite::with(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n);
         CREATE TRIGGER touch AFTER INSERT ON t BEGIN UPDATE t SET n = n + 1 WHERE id = NEW.id; END",
    );
    let mut follower = db.follow().await;
    let writer = db.connect();
    run(&writer, "INSERT INTO t VALUES (1, 1)");
    follower.expect(&["insert t (1,1)", "update t (1,1) (1,2)"]).await;
    run(
        &writer,
        "CREATE TRIGGER again AFTER UPDATE ON t WHEN NEW.n < 100 BEGIN UPDATE t SET n = 100 WHERE id = NEW.id; END",
    );
    follower.expect(&["reset t"]).await;
    run(&writer, "UPDATE t SET n = 5");
    follower.expect(&["update t (1,2) (1,5)", "update t (1,5) (1,100)"]).await;
}

/// Tables that have everything that can be in a row's way.
const TABLES: [&str; 7] = [
    "CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE, v, w)",
    "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL COLLATE NOCASE, u UNIQUE ON CONFLICT REPLACE, v, w, UNIQUE (v, w))",
    "CREATE TABLE t (id, u, v, w UNIQUE, PRIMARY KEY (id, u) ON CONFLICT REPLACE) WITHOUT ROWID",
    "CREATE TABLE t (id, u, v, w UNIQUE)",
    "CREATE TABLE t (id INTEGER PRIMARY KEY, u, v, w); CREATE UNIQUE INDEX i ON t (u COLLATE NOCASE) WHERE v > 1",
    "CREATE TABLE t (id INTEGER PRIMARY KEY, u, v, w, g AS (u || w) UNIQUE)",
    "CREATE TABLE t (id INT PRIMARY KEY NOT NULL, u UNIQUE, v, w);
     CREATE TRIGGER tr AFTER INSERT ON t WHEN NEW.v = 2 BEGIN UPDATE OR REPLACE t SET u = 'a' WHERE w = NEW.w; END",
];

/// A history of statements, each of which may fail.
fn statements() -> impl Strategy<Value = Vec<String>> {
    let or = prop::sample::select(vec!["", "OR REPLACE", "OR REPLACE", "OR IGNORE", "OR FAIL", "OR ROLLBACK"]);
    let id = prop::sample::select(vec!["1", "2", "3", "'a'", "'A'", "NULL"]);
    let u = prop::sample::select(vec!["'a'", "'A'", "'b'", "'c'", "NULL"]);
    let insert = (or.clone(), id.clone(), u.clone(), 0..4, 0..4).prop_map(|(or, id, u, v, w)| {
        format!("INSERT {or} INTO t (id, u, v, w) VALUES ({id}, {u}, {v}, {w}), ({w}, {u}, {w}, {v})")
    });
    let one = (or.clone(), id.clone(), u.clone(), 0..4, 0..4)
        .prop_map(|(or, id, u, v, w)| format!("INSERT {or} INTO t (id, u, v, w) VALUES ({id}, {u}, {v}, {w})"));
    let upsert = (id.clone(), u.clone(), 0..4, u.clone()).prop_map(|(id, u, v, to)| {
        format!("INSERT INTO t (id, u, v, w) VALUES ({id}, {u}, {v}, 1) ON CONFLICT DO UPDATE SET u = {to}, v = v + 1")
    });
    let update = (or, id.clone(), u, 0..4, 0..4, prop::sample::select(vec!["id", "w", "v", "u"])).prop_map(
        |(or, id, u, v, w, by)| format!("UPDATE {or} t SET id = {id}, u = {u}, w = {w} WHERE {by} = {v} OR {by} = {u}"),
    );
    let delete = id.prop_map(|id| format!("DELETE FROM t WHERE id = {id} OR w = {id}"));
    let frame = prop::sample::select(vec![
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT s",
        "ROLLBACK TO s",
        "RELEASE s",
        "PRAGMA recursive_triggers=ON",
        "PRAGMA recursive_triggers=OFF",
    ]);
    let statement =
        prop_oneof![3 => insert, 4 => one, 2 => upsert, 4 => update, 1 => delete, 2 => frame.prop_map(str::to_owned)];
    prop::collection::vec(statement, 1..60)
}

/// What a client holds that applies every change.
#[derive(Default)]
struct Client(BTreeMap<String, Row>);

impl Client {
    fn apply(&mut self, row: &rowcast::event::RowChange, story: &str) {
        let key = |of: &Row| row.table.key.iter().map(|&n| of.values[n].to_json()).collect::<Vec<_>>().join(",");
        if let Some(old) = &row.old {
            let held = self.0.remove(&key(old));
            assert_eq!(held.as_ref().map(row_text), Some(row_text(old)), "the old row is what the client has\n{story}");
        }
        if let Some(new) = &row.new {
            let held = self.0.insert(key(new), new.clone());
            assert_eq!(held.as_ref().map(row_text), None, "a new row is new\n{story}");
        }
        assert_eq!(row.old.is_some(), row.op != Op::Insert);
        assert_eq!(row.new.is_some(), row.op != Op::Delete);
    }
}

fn rows_of(connection: &Connection, columns: &str) -> Vec<String> {
    let mut statement = connection.prepare(&format!("SELECT {columns} FROM t")).expect("a statement");
    let count = statement.column_count();
    let rows = statement.query_map([], |row| {
        let values = (0..count).map(|n| row.get::<_, rusqlite::types::Value>(n));
        values.collect::<Result<Vec<_>, _>>()
    });
    let mut rows: Vec<String> = rows
        .expect("rows")
        .map(|row| {
            let values = row.expect("a row").into_iter().map(|value| match value {
                rusqlite::types::Value::Null => rowcast::event::Value::Null,
                rusqlite::types::Value::Integer(n) => rowcast::event::Value::Int(n),
                rusqlite::types::Value::Real(x) => rowcast::event::Value::Real(x),
                rusqlite::types::Value::Text(text) => rowcast::event::Value::Text(text.into()),
                rusqlite::types::Value::Blob(bytes) => rowcast::event::Value::Bytes(bytes.into()),
            });
            row_text(&Row::from(values.collect::<Vec<_>>()))
        })
        .collect();
    rows.sort();
    rows
}

async fn check_history(tables: &str, history: &[String]) {
    let db = Sqlite::with(&format!("{tables}; CREATE TABLE fence (id INTEGER PRIMARY KEY)"));
    let mut follower: Follower = db.follow().await;
    let writer = db.connect();
    for sql in history {
        // Whatever the database refuses has not happened.
        let _ = writer.execute_batch(sql);
    }
    let _ = writer.execute_batch("COMMIT");
    run(&writer, "INSERT INTO fence VALUES (1)");
    let story = format!("{tables}\n{}", history.join(";\n"));
    let mut client = Client::default();
    let changes = follower.until("insert fence (1)").await;
    let told: Vec<String> = changes.iter().map(text).collect();
    let story = format!("{story}\n{}", told.join("\n"));
    for change in changes {
        let Body::Row(row) = change.body else { panic!("{story}") };
        client.apply(&row, &story);
    }
    let columns = if tables.contains("(id, u, v, w UNIQUE)") { "rowid, *" } else { "*" };
    let mut held: Vec<String> = client.0.values().map(row_text).collect();
    held.sort();
    assert_eq!(held, rows_of(&writer, columns), "{story}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn any_history_adds_up_to_the_table(tables in prop::sample::select(TABLES.to_vec()), history in statements()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(check_history(tables, &history));
    }
}
