//! Where snapshots and inserts stand in the binlog, which the tests read by themselves.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::StreamExt;
use mysql_async::binlog::events::EventData;
use mysql_async::binlog::value::BinlogValue;
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStreamRequest, Row, Value as Raw};
use rowcast::event::{Mark, Value};
use rowcast::mysql::{Live, Mode, MysqlSettings};
use rowcast::store::mysql::MysqlStore;
use rowcast::store::{Insert, Store, StoreError};

use super::{My, address};
use crate::store_contract::{all, insert, int, rows, table, take};

const WRITERS: i64 = 6;
const TRANSACTIONS: i64 = 120;

/// The binlog's end: file and position.
async fn end(db: &My) -> (String, u64) {
    let mut conn = db.database.connect().await.expect("connected");
    let mariadb = conn.query_first::<String, _>("SELECT VERSION()").await.expect("asked").expect("a version");
    let new = !mariadb.contains("MariaDB") && !mariadb.starts_with("8.0");
    let sql = if new { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" };
    let row: Row = conn.query_first(sql).await.expect("asked").expect("a binlog");
    (row.get(0).expect("a file"), row.get(1).expect("a position"))
}

/// The transactions that wrote to `t`, as the binlog has them from here on: their numbers and the ids.
async fn transactions(db: &My, (file, position): (String, u64)) -> Vec<(u64, BTreeSet<i64>)> {
    let conn = db.database.connect().await.expect("connected");
    let request = BinlogStreamRequest::new(rand::random::<u32>() | 1 << 30)
        .with_filename(file.as_bytes())
        .with_pos(position)
        .with_non_blocking();
    let mut stream = conn.get_binlog_stream(request).await.expect("a stream");
    // Behind the name of a rotation that the server makes up for us stands its checksum.
    let digits = |name: &str| name.chars().take_while(char::is_ascii_digit).collect::<String>();
    let number = |file: &str| digits(file.rsplit_once('.').expect("a number").1).parse::<u64>().expect("a number");
    let (mut at, mut ids, mut found) = (number(&file), BTreeSet::new(), Vec::new());
    while let Some(event) = stream.next().await {
        let event = event.expect("an event");
        let end = u64::from(event.header().log_pos());
        match event.read_data().expect("readable") {
            Some(EventData::RotateEvent(rotate)) => at = number(&rotate.name()),
            Some(EventData::RowsEvent(event)) => {
                let Some(map) = stream.get_tme(event.table_id()) else { continue };
                if map.database_name() != *db.database.name || map.table_name() != "t" {
                    continue;
                }
                for row in event.rows(map) {
                    let (_, new) = row.expect("a row");
                    match new.expect("an insert").as_ref(0) {
                        Some(BinlogValue::Value(Raw::Int(id))) => drop(ids.insert(*id)),
                        other => panic!("{other:?}"),
                    }
                }
            }
            Some(EventData::XidEvent(_)) if !ids.is_empty() => {
                found.push((at << 36 | end, std::mem::take(&mut ids)));
            }
            _ => {}
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_shows_exactly_the_transactions_up_to_its_mark() {
    let db = My::with(
        "CREATE TABLE t (id bigint PRIMARY KEY, a int); CREATE TABLE u (id bigint AUTO_INCREMENT PRIMARY KEY)",
    )
    .await;
    let from = end(&db).await;
    let t = table(&*db.store, "t").await;
    let next = Arc::new(AtomicI64::new(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (url, next) = (db.database.url(), next.clone());
            tokio::spawn(async move {
                let opts = mysql_async::Opts::from_url(&url).expect("a URL");
                let mut conn = mysql_async::Conn::new(opts).await.expect("connected");
                for n in 0..TRANSACTIONS {
                    let id = next.fetch_add(3, Ordering::Relaxed);
                    let other = if (n + writer) % 3 == 0 { "INSERT INTO u VALUES (NULL);" } else { "" };
                    let sql = format!(
                        "BEGIN; INSERT INTO t VALUES ({id}, 1); {other} INSERT INTO t VALUES ({}, 2), ({}, 3); COMMIT",
                        id + 1,
                        id + 2
                    );
                    conn.query_drop(sql).await.expect("written");
                }
            })
        })
        .collect();
    let (mut snapshots, mut inserts) = (Vec::new(), Vec::new());
    while writers.iter().any(|writer| !writer.is_finished()) {
        let snapshot = db.store.snapshot(all(&t)).await.expect("a snapshot");
        let Mark::UpTo(mark) = snapshot.mark else { panic!("{:?}", snapshot.mark) };
        let place = snapshot.place.clone();
        let ids: BTreeSet<i64> = take(snapshot)
            .await
            .iter()
            .map(|row| match row.values[0] {
                Value::Int(id) => id,
                ref other => panic!("{other:?}"),
            })
            .collect();
        snapshots.push((mark, place, ids));
        let own = 1_000_000_000 + snapshots.len() as i64;
        inserts.push((own, insert(&*db.store, &t, &[&[int(own), int(0)]]).await.place));
    }
    for writer in writers {
        writer.await.expect("written");
    }
    let last = snapshots.len();
    assert!(last > 3, "{last} snapshots");
    let transactions = transactions(&db, from).await;
    assert_eq!(transactions.len() as i64, WRITERS * TRANSACTIONS + inserts.len() as i64);
    for (n, (mark, place, ids)) in snapshots.iter().enumerate() {
        let contained: BTreeSet<i64> =
            transactions.iter().filter(|(tx, _)| tx <= mark).flat_map(|(_, ids)| ids).copied().collect();
        assert_eq!(*ids, contained, "snapshot {n} of {last}: no gap, no repeat");
        assert!(db.store.reached(Some(place), place));
    }
    for (id, place) in &inserts {
        let (file, position) =
            place.0.split_once(';').map_or(&*place.0, |(at, _)| at).rsplit_once(':').expect("a place");
        let number: u64 = file.rsplit_once('.').expect("a number").1.parse().expect("a number");
        let tx = number << 36 | position.parse::<u64>().expect("a position");
        let (committed, _) = transactions.iter().find(|(_, ids)| ids.contains(id)).expect("committed");
        assert!(*committed <= tx, "an insert's place is not before its commit");
    }
    println!("{last} snapshots among {} transactions", transactions.len());
}

#[tokio::test]
async fn a_user_without_privileges_on_the_server_can_read_and_write() {
    let db = My::with("CREATE TABLE t (id int PRIMARY KEY)").await;
    let name = &db.database.name;
    let user = format!("u_{}", &name[name.len() - 12..]);
    let mut admin = db.database.connect().await.expect("connected");
    let mariadb = admin
        .query_first::<String, _>("SELECT VERSION()")
        .await
        .expect("asked")
        .expect("a version")
        .contains("MariaDB");
    admin
        .query_drop(format!(
            "CREATE USER {user}@'%' IDENTIFIED BY 'x1'; GRANT SELECT, INSERT ON {name}.* TO {user}@'%'"
        ))
        .await
        .expect("made");
    let url = format!("mysql://{user}:x1@127.0.0.1:{}/{name}", db.database.port());
    let live = Arc::new(Live::default());
    live.began(Mode::Binlog);
    let store = MysqlStore::open(address(&url), MysqlSettings::default(), live);
    let t = table(&store, "t").await;
    if mariadb {
        assert_eq!(insert(&store, &t, &[&[int(1)]]).await.count, 1);
        assert_eq!(rows(&store, all(&t)).await, ["(1)"]);
    } else {
        let missing = |answer: Result<_, StoreError>, grant: &str| match answer {
            Err(StoreError::Refused(why)) => assert!(why.contains(grant), "{why}"),
            other => panic!("{other:?}"),
        };
        missing(store.snapshot(all(&t)).await.map(|_| ()), "LOCK TABLES");
        admin.query_drop(format!("GRANT LOCK TABLES ON {name}.* TO {user}@'%'")).await.expect("granted");
        let opened = MysqlStore::open(address(&url), MysqlSettings::default(), Arc::new(Live::default()));
        missing(opened.snapshot(all(&t)).await.map(|_| ()), "REPLICATION CLIENT");
        missing(opened.insert(Insert::new(t.clone(), vec![])).await.map(|_| ()), "REPLICATION CLIENT");
        admin.query_drop(format!("GRANT REPLICATION CLIENT ON *.* TO {user}@'%'")).await.expect("granted");
        let opened = MysqlStore::open(address(&url), MysqlSettings::default(), Arc::new(Live::default()));
        assert_eq!(insert(&opened, &t, &[&[int(1)]]).await.count, 1);
        assert_eq!(rows(&opened, all(&t)).await, ["(1)"]);
    }
    admin.query_drop(format!("DROP USER {user}@'%'")).await.expect("dropped");
}

#[tokio::test]
async fn without_a_binlog_it_is_said_what_to_do() {
    let server = servers::Mysql::start_with(&servers::MysqlOptions::default().without_binlog()).expect("a server");
    let database = server.database().await.expect("a database");
    database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let live = Arc::new(Live::default());
    live.began(Mode::Binlog);
    let store = MysqlStore::open(address(&database.url()), MysqlSettings::default(), live);
    let t = table(&store, "t").await;
    let answer = store.snapshot(all(&t)).await;
    assert!(matches!(&answer, Err(StoreError::Refused(why)) if why.contains("log_bin")), "{answer:?}");
}
