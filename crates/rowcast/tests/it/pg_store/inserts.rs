//! Inserts: what stands, what is refused, and how fast.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rowcast::event::Value;
use rowcast::postgres::{Live, Mode, PostgresSettings};
use rowcast::store::postgres::PostgresStore;
use rowcast::store::{Insert, Store, StoreError};

use super::Pg;
use crate::store_contract::{all, insert, int, rows, string, table};

#[tokio::test]
async fn what_is_left_out_gets_its_default() {
    let db = Pg::with(
        "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, s serial, a int DEFAULT 7, g int GENERATED ALWAYS AS (a + 1) STORED)",
    )
    .await;
    let t = table(&*db.store, "t").await;
    let rows_in =
        vec![vec![], vec![(2, int(1))], vec![(2, Value::Unchanged)], vec![(0, int(99))], vec![(2, Value::Null)]];
    let inserted = db.store.insert(Insert::new(t.clone(), rows_in)).await.expect("inserted");
    assert_eq!(inserted.count, 4);
    let [(3, reason)] = &inserted.rejected[..] else { panic!("{:?}", inserted.rejected) };
    assert!(reason.contains("\"id\""), "{reason}");
    let values: Vec<String> =
        rows(&*db.store, all(&t)).await.iter().map(|row| row.rsplit_once(',').expect("columns").1.to_owned()).collect();
    assert_eq!(values, ["7)", "1)", "7)", "null)"]);
}

#[tokio::test]
async fn every_refused_row_is_found_among_many() {
    let db = Pg::with(
        "CREATE TABLE t (id int PRIMARY KEY, a int CHECK (a % 1000 <> 7), at timestamptz);
         CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.a = 500 THEN RAISE 'not %', NEW.a; END IF; RETURN NEW; END $$;
         CREATE TRIGGER no BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION no(); INSERT INTO t VALUES (4000, 0)",
    )
    .await;
    let t = table(&*db.store, "t").await;
    let row = |n: i64| {
        let at = if n == 2_222 { string("soon") } else { string("2026-11-21T10:00:00Z") };
        if n % 2 == 0 { vec![(0, int(n)), (1, int(n)), (2, at)] } else { vec![(1, int(n)), (2, at), (0, int(n))] }
    };
    let inserted = db.store.insert(Insert::new(t.clone(), (0..5_000).map(row).collect())).await.expect("inserted");
    let refused: Vec<usize> = inserted.rejected.iter().map(|(row, _)| *row).collect();
    assert_eq!(refused, [7, 500, 1_007, 2_007, 2_222, 3_007, 4_000, 4_007]);
    let reason = |row: usize| &*inserted.rejected.iter().find(|(n, _)| *n == row).expect("refused").1;
    assert!(reason(7).contains("check constraint"));
    assert_eq!(reason(500), "not 500");
    assert!(reason(2_222).contains("invalid input syntax"));
    assert!(reason(4_000).contains("duplicate key"));
    assert_eq!(inserted.count, 4_992);
    assert_eq!(rows(&*db.store, all(&t)).await.len(), 4_993);
}

#[tokio::test]
async fn what_is_checked_at_the_commit_is_refused_row_by_row() {
    let db = Pg::with(
        "CREATE TABLE p (id int PRIMARY KEY); INSERT INTO p VALUES (1);
         CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p DEFERRABLE INITIALLY DEFERRED)",
    )
    .await;
    let c = table(&*db.store, "c").await;
    let inserted = insert(&*db.store, &c, &[&[int(1), int(1)], &[int(2), int(9)], &[int(3), int(1)]]).await;
    assert_eq!((inserted.count, inserted.rejected.len(), inserted.rejected[0].0), (2, 1, 1));
    assert_eq!(rows(&*db.store, all(&c)).await, ["(1,1)", "(3,1)"]);
}

#[tokio::test]
async fn a_missing_privilege_is_told_in_the_servers_words() {
    let db = Pg::with("CREATE TABLE t (id int)").await;
    // Roles are the whole server's.
    let role = format!("{}_plain", db.database.name);
    db.database.run(&format!("CREATE ROLE {role} LOGIN")).await;
    let plain = db.database.url().replace("postgres@", &format!("{role}@"));
    let live = Arc::new(Live::default());
    live.began(Mode::Wal);
    let store = PostgresStore::open(super::address(&plain), PostgresSettings::default(), live);
    let t = table(&store, "t").await;
    let answer = store.snapshot(all(&t)).await;
    assert!(matches!(&answer, Err(StoreError::Refused(words)) if words.contains("permission denied")), "{answer:?}");
    let inserted = insert(&store, &t, &[&[int(1)]]).await;
    assert!(inserted.rejected[0].1.contains("permission denied"));
}

#[tokio::test]
async fn a_lock_of_somebody_else_is_not_waited_for_for_ever() {
    let db = Pg::with("CREATE TABLE t (id int)").await;
    let t = table(&*db.store, "t").await;
    db.database.run(&format!("ALTER DATABASE {} SET lock_timeout = '1h'", db.database.name)).await;
    let other = db.database.connect().await.expect("connected");
    other.batch_execute("BEGIN; LOCK TABLE t IN SHARE MODE").await.expect("locked");
    let begun = Instant::now();
    let answer = db.store.insert(Insert::new(t.clone(), vec![vec![(0, int(1))]])).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    assert!(begun.elapsed() < Duration::from_secs(30));
    other.batch_execute("ROLLBACK").await.expect("unlocked");
    assert_eq!(insert(&*db.store, &t, &[&[int(1)]]).await.count, 1);
}

/// A database behind a cable, and a store at its other end. The table's rows are checked for a while at the commit.
async fn slow_to_commit(check: &str) -> (servers::Database, servers::Cable, PostgresStore) {
    let database = servers::Database::new().await.expect("a database");
    database
        .run(&format!(
            "CREATE TABLE t (id int); CREATE TABLE told (n int);
             CREATE FUNCTION check_t() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {check}; RETURN NULL; END $$;
             CREATE CONSTRAINT TRIGGER check_t AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_t()"
        ))
        .await;
    let cable = servers::Cable::to(database.port()).await.expect("a cable");
    let url = database.url().replace(&format!(":{}/", database.port()), &format!(":{}/", cable.port()));
    let live = Arc::new(Live::default());
    live.began(Mode::Wal);
    let store = PostgresStore::open(super::address(&url), PostgresSettings::default(), live);
    (database, cable, store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_done_once() {
    let (database, cable, store) = slow_to_commit("PERFORM pg_advisory_xact_lock(1)").await;
    let holder = database.connect().await.expect("connected");
    holder.execute("SELECT pg_advisory_lock(1)", &[]).await.expect("locked");
    let t = table(&store, "t").await;
    let insert = Insert::new(t.clone(), vec![vec![(0, int(1))]]);
    let inserting = async { store.insert(insert).await };
    let cutting = async {
        let waiting = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
                       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        while holder.query(waiting, &[]).await.expect("locks").is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // The commit has been sent, and goes on without anybody who would hear how it ends.
        cable.cut();
        holder.execute("SELECT pg_advisory_unlock(1)", &[]).await.expect("unlocked");
        while holder.query("SELECT FROM t", &[]).await.expect("rows").is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        cable.mend();
    };
    let (inserted, ()) = tokio::join!(inserting, cutting);
    assert_eq!(inserted.expect("it stands").count, 1);
    assert_eq!(rows(&store, all(&t)).await, ["(1)"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_the_server_has_cut_off_is_not_taken_for_done() {
    let check = "IF (SELECT count(*) FROM told) = 0 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF";
    let (database, _cable, store) = slow_to_commit(check).await;
    let t = table(&store, "t").await;
    let answer = store.insert(Insert::new(t.clone(), vec![vec![(0, int(1))]])).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    database.run("INSERT INTO told VALUES (1)").await;
    assert_eq!(insert(&store, &t, &[&[int(1)]]).await.count, 1);
    assert_eq!(rows(&store, all(&t)).await, ["(1)"]);
}

#[tokio::test]
async fn inserts_are_quick() {
    let db = Pg::with("CREATE TABLE t (id bigint PRIMARY KEY, name text, v double precision, at timestamptz)").await;
    let t = table(&*db.store, "t").await;
    let batch = |from: i64| -> Vec<Vec<(usize, Value)>> {
        (from..from + 1_000)
            .map(|n| {
                vec![(0, int(n)), (1, string("a name")), (2, Value::Real(0.5)), (3, string("2026-11-21T10:00:00Z"))]
            })
            .collect()
    };
    let begun = Instant::now();
    for n in 0..20 {
        db.store.insert(Insert::new(t.clone(), batch(n * 1_000))).await.expect("inserted");
    }
    let took = begun.elapsed();
    println!("20,000 rows in {took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
}
