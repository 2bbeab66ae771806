//! A schema that changes while its tables are followed, and while nobody follows them.

use rowcast::event::Body;
use rusqlite::Connection;

use crate::source_contract::Follower;
use crate::source_contract::text;
use crate::sqlite::Sqlite;

#[track_caller]
fn run(connection: &Connection, sql: &str) {
    if let Err(error) = connection.execute_batch(sql) {
        panic!("{sql}: {error}");
    }
}

async fn columns_of_next(follower: &mut Follower) -> Vec<String> {
    let changes = follower.changes(1).await;
    let Body::Row(row) = &changes[0].body else { panic!("{}", text(&changes[0])) };
    row.table.columns.iter().map(|column| column.name.to_string()).collect()
}

#[tokio::test]
async fn columns_can_be_renamed_and_dropped() {
    let db = Sqlite::with("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c UNIQUE)");
    let mut follower = db.follow().await;
    let writer = db.connect();
    run(&writer, "ALTER TABLE t RENAME COLUMN a TO aa");
    follower.expect(&["reset t"]).await;
    run(&writer, "INSERT INTO t VALUES (1, 1, 1, 1)");
    assert_eq!(columns_of_next(&mut follower).await, ["id", "aa", "b", "c"]);
    run(&writer, "ALTER TABLE t DROP COLUMN b");
    follower.expect(&["reset t"]).await;
    run(&writer, "INSERT INTO t VALUES (2, 2, 2)");
    assert_eq!(columns_of_next(&mut follower).await, ["id", "aa", "c"]);
}

#[tokio::test]
async fn a_dropped_column_is_never_a_false_null() {
    let db = Sqlite::with(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); INSERT INTO t VALUES (1, 1, 1); CREATE UNIQUE INDEX i ON t (b)",
    );
    let mut follower = db.follow().await;
    // In one transaction, so that the triggers cannot be made anew in between.
    run(
        &db.connect(),
        "BEGIN; DROP INDEX i; ALTER TABLE t DROP COLUMN b; INSERT INTO t VALUES (2, 2); UPDATE t SET a = 3 WHERE id = 1;
         REPLACE INTO t VALUES (2, 4); DELETE FROM t WHERE id = 1; COMMIT",
    );
    follower
        .expect(&[
            "insert t (2,2,unchanged)",
            "update t (1,1,unchanged) (1,3,unchanged)",
            "update t (2,2,unchanged) (2,4,unchanged)",
            "delete t (1,3,unchanged)",
            "reset t",
        ])
        .await;
}

#[tokio::test]
async fn a_renamed_table_is_two() {
    let db = Sqlite::with("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    let mut follower = db.follow().await;
    let writer = db.connect();
    run(&writer, "ALTER TABLE t RENAME TO u");
    let mut resets = follower.texts(2).await;
    resets.sort();
    assert_eq!(resets, ["reset t", "reset u"]);
    run(&writer, "INSERT INTO u VALUES (1)");
    follower.expect(&["insert u (1)"]).await;
    assert_eq!(follower.source.status().tables, ["u"]);
}

#[tokio::test]
async fn removed_triggers_are_made_again() {
    let db = Sqlite::with("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    let mut follower = db.follow().await;
    let writer = db.connect();
    run(&writer, "DROP TRIGGER _rowcast_1_insert");
    follower.expect(&["reset t"]).await;
    run(&writer, "INSERT INTO t VALUES (1)");
    follower.expect(&["insert t (1)"]).await;
}

#[tokio::test]
async fn vacuum_resets_only_what_it_may_renumber() {
    let db = Sqlite::with("CREATE TABLE keyed (id INTEGER PRIMARY KEY); CREATE TABLE keyless (a)");
    let mut follower = db.follow().await;
    let writer = db.connect();
    run(&writer, "INSERT INTO keyless VALUES ('a'), ('b'); DELETE FROM keyless WHERE a = 'a'");
    follower.changes(3).await;
    run(&writer, "VACUUM");
    follower.expect(&["reset keyless"]).await;
    run(&writer, "UPDATE keyless SET a = 'c'; INSERT INTO keyed VALUES (1)");
    follower.expect(&[r#"update keyless (1,"b") (1,"c")"#, "insert keyed (1)"]).await;
}

#[tokio::test]
async fn what_changed_while_nobody_read_is_reset() {
    let db = Sqlite::with("CREATE TABLE t (id INTEGER PRIMARY KEY, a); CREATE TABLE same (id INTEGER PRIMARY KEY)");
    let follower = db.follow().await;
    let place = follower.place.clone();
    drop(follower);
    let writer = db.connect();
    run(
        &writer,
        "INSERT INTO same VALUES (1); DROP TABLE t; CREATE TABLE t (id INTEGER PRIMARY KEY, b); INSERT INTO t VALUES (1, 2)",
    );
    let mut again = db.resume(place).await;
    again.expect(&["insert same (1)", "reset t"]).await;
    run(&writer, "UPDATE t SET b = 3");
    again.expect(&["update t (1,2) (1,3)"]).await;
}

#[tokio::test]
async fn columns_can_be_dropped_while_nobody_reads() {
    let db = Sqlite::with("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)");
    let follower = db.follow().await;
    let place = follower.place.clone();
    drop(follower);
    run(&db.connect(), "ALTER TABLE t DROP COLUMN a; ALTER TABLE t RENAME COLUMN b TO bb; INSERT INTO t VALUES (1, 2)");
    let mut again = db.resume(place).await;
    again.expect(&["insert t (1,unchanged,2)", "reset t"]).await;
}

#[tokio::test]
async fn a_setup_that_was_tampered_with_is_made_anew() {
    let db = Sqlite::with("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    let follower = db.follow().await;
    let place = follower.place.clone();
    drop(follower);
    run(&db.connect(), "DROP TABLE _rowcast_replaced");
    let mut again = db.resume(place).await;
    again.expect(&["reset t"]).await;
}
