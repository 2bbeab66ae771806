//! PostgreSQL's replication slot in trouble: lost, taken, cut off. Nothing is missed in silence, and nothing comes twice.
//!
//! On threads of their own, because a server that is dropped waits for connections that are half made.

use std::time::{Duration, Instant};

use rowcast::event::{Body, Place, ResetCause};
use rowcast::postgres::{Capture, Identity, WalBudget, WalPlace};
use rowcast::source::SourceError;
use servers::{Cable, Postgres, PostgresOptions, Stop};

use crate::pg_source::Pg;
use crate::source_contract::{Database, Follower, text};

/// A server of its own with one table.
async fn own(options: PostgresOptions) -> (Postgres, Pg) {
    let server = Postgres::start_with(&options).expect("a server");
    let pg = Pg::of(server.database().await.expect("a database"), Capture::Wal);
    pg.database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    (server, pg)
}

/// Reads on as the gateway does: a source that fails is started again from where the log stands.
async fn next(follower: &mut Follower, pg: &Pg) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match tokio::time::timeout(Duration::from_secs(20), follower.source.next()).await.expect("in time") {
            Ok(batch) => {
                let origin = batch.origin.expect("an origin");
                assert_eq!(origin.after, follower.place, "a batch continues the one before");
                follower.place = Some(origin.place);
                if !batch.changes.is_empty() {
                    return batch.changes.iter().map(text).collect();
                }
            }
            Err(SourceError::Retry { .. }) => start(follower, pg, deadline).await,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn start(follower: &mut Follower, pg: &Pg, deadline: Instant) {
    let mut first = true;
    while let Err(error) = follower.source.start(follower.place.clone()).await {
        assert!(Instant::now() < deadline, "{error}");
        if !std::mem::take(&mut first) {
            // The server is on its way back: asked again as soon as it answers at all.
            let _ = pg.database.connect().await;
        }
        tokio::task::yield_now().await;
    }
}

/// Resumes, and checks that everything begins anew, for a reason that has these words in it.
async fn begins_anew(pg: &Pg, place: Place, words: &str) {
    let mut follower = Follower::resume(pg.source(1000), Some(place)).await;
    let changes = follower.changes(1).await;
    let Body::Reset { cause, reason, .. } = &changes[0].body else { panic!("{}", text(&changes[0])) };
    assert_eq!((text(&changes[0]).as_str(), *cause), ("reset t", ResetCause::Missed));
    assert!(reason.contains(words), "{reason}");
    assert!(changes[0].last);
    pg.database.run("INSERT INTO t VALUES (1000)").await;
    pg.database.run("DELETE FROM t WHERE id = 1000").await;
    follower.expect(&["insert t (1000)", "delete t (1000)"]).await;
}

fn moved(place: &Place, change: impl FnOnce(&mut WalPlace)) -> Place {
    let mut place = WalPlace::of(place).expect("a place");
    change(&mut place);
    place.to_place()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_was_dropped_begins_anew() {
    let pg = Pg::with("CREATE TABLE t (id int PRIMARY KEY)").await;
    let follower = pg.follow().await;
    let place = follower.place.clone().expect("a place");
    drop(follower);
    pg.database.run("INSERT INTO t VALUES (1)").await;
    drop_slot(&pg).await;
    begins_anew(&pg, place, "was gone").await;
}

/// Drops the slot as soon as its connection has ended.
async fn drop_slot(pg: &Pg) {
    let client = pg.connect().await;
    let slot = &pg.settings.slot;
    let free = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NOT NULL";
    while client.query_opt(free, &[slot]).await.expect("asked").is_some() {
        tokio::task::yield_now().await;
    }
    client.execute("SELECT pg_drop_replication_slot($1)", &[slot]).await.expect("dropped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_the_server_gave_up_begins_anew() {
    let options = PostgresOptions::default().set("max_slot_wal_keep_size", "1MB").set("min_wal_size", "32MB");
    let (_server, pg) = own(options.set("max_wal_size", "32MB").set("wal_keep_size", "0")).await;
    let follower = pg.follow().await;
    let place = follower.place.clone().expect("a place");
    drop(follower);
    let client = pg.connect().await;
    let lost = async || {
        let sql = "SELECT wal_status = 'lost' FROM pg_replication_slots WHERE slot_name = $1";
        client.query_one(sql, &[&pg.settings.slot]).await.expect("a slot").get::<_, bool>(0)
    };
    for _ in 0..20 {
        let sql = "SELECT pg_switch_wal(); CHECKPOINT; INSERT INTO t SELECT coalesce(max(id), 0) + 1 FROM t";
        client.batch_execute(sql).await.expect("written");
        if lost().await {
            break;
        }
    }
    assert!(lost().await, "the server keeps more than it should");
    begins_anew(&pg, place, "max_slot_wal_keep_size").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_over_its_budget_is_given_up_loudly() {
    let mut pg = Pg::with("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE big (x text)").await;
    pg.settings.wal = WalBudget { warn: Some(1 << 20), stop: Some(8 << 20) };
    let mut follower = pg.follow().await;
    // Nothing is confirmed, so that the server keeps all of it.
    pg.database.run("INSERT INTO t SELECT generate_series(1, 20000)").await;
    follower.until("insert t (20000)").await;
    while !follower.source.status().problem.is_some_and(|problem| problem.contains("holds back")) {
        follower.batch().await;
    }
    let status = follower.source.status();
    assert!(status.retained_bytes > Some(1 << 20), "{status:?}");
    assert_eq!(status.wal_budget, Some(8 << 20));
    let writer = pg.connect().await;
    writer.batch_execute("INSERT INTO t SELECT generate_series(100001, 200000)").await.expect("written");
    let error = loop {
        match follower.source.next().await {
            Ok(batch) => follower.place = Some(batch.origin.expect("an origin").place),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("is allowed 8.0 MiB"), "{error}");
    follower.source.start(follower.place.clone()).await.expect("started again");
    assert_eq!(next(&mut follower, &pg).await, ["reset big", "reset t"]);
    writer.batch_execute("INSERT INTO t VALUES (0)").await.expect("written");
    assert_eq!(next(&mut follower, &pg).await, ["insert t (0)"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_has_moved_on_begins_anew() {
    let pg = Pg::with("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut follower = pg.follow().await;
    let place = follower.place.clone().expect("a place");
    pg.database.run("INSERT INTO t VALUES (1)").await;
    follower.expect(&["insert t (1)"]).await;
    let later = follower.place.clone().expect("a place");
    follower.source.confirm(&later).await.expect("confirmed");
    let client = pg.connect().await;
    let confirmed = "SELECT confirmed_flush_lsn > $2::text::pg_lsn FROM pg_replication_slots WHERE slot_name = $1";
    let lsn = WalPlace::of(&place).expect("a place").lsn.to_string();
    while !client.query_one(confirmed, &[&pg.settings.slot, &lsn]).await.expect("a slot").get::<_, bool>(0) {
        let _ = tokio::time::timeout(Duration::from_millis(20), follower.source.next()).await;
    }
    drop(follower);
    begins_anew(&pg, place, "has moved on").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_server_or_another_history_begins_anew() {
    let pg = Pg::with("CREATE TABLE t (id int PRIMARY KEY)").await;
    let follower = pg.follow().await;
    let place = follower.place.clone().expect("a place");
    drop(follower);
    for (place, words) in [
        (moved(&place, |place| place.system += 1), "another database server"),
        (moved(&place, |place| place.timeline += 1), "another history"),
        (moved(&place, |place| place.lsn.0 += 1 << 40), "older than what was read"),
    ] {
        begins_anew(&pg, place, words).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_across_crashes_of_the_server_come_once() {
    let (server, pg) = own(PostgresOptions::default()).await;
    let mut follower = pg.follow().await;
    for round in 0..2 {
        pg.database.run(&format!("INSERT INTO t VALUES ({round})")).await;
        assert_eq!(next(&mut follower, &pg).await, [format!("insert t ({round})")]);
        if round == 1 {
            let place = follower.place.clone().expect("a place");
            follower.source.confirm(&place).await.expect("confirmed");
        }
        server.stop(Stop::Immediate).expect("stopped");
        server.run().expect("started again");
    }
    pg.database.run("INSERT INTO t VALUES (100)").await;
    assert_eq!(next(&mut follower, &pg).await, ["insert t (100)"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_shuts_down_need_not_wait_for_us() {
    let (server, pg) = own(PostgresOptions::default()).await;
    let mut follower = pg.follow().await;
    pg.database.run("INSERT INTO t VALUES (1)").await;
    follower.expect(&["insert t (1)"]).await;
    let place = follower.place.clone().expect("a place");
    follower.source.confirm(&place).await.expect("confirmed");
    let began = Instant::now();
    let stopped = tokio::task::spawn_blocking(move || server.stop(Stop::Fast).map(|()| server));
    // As the gateway does: what is in the log is confirmed.
    while let Ok(batch) = follower.source.next().await {
        follower.place = Some(batch.origin.expect("an origin").place);
        let place = follower.place.clone().expect("a place");
        follower.source.confirm(&place).await.expect("confirmed");
    }
    let server = stopped.await.expect("a thread").expect("stopped");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    server.run().expect("started again");
    pg.database.run("INSERT INTO t VALUES (2)").await;
    assert_eq!(next(&mut follower, &pg).await, ["insert t (2)"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminated_walsender_loses_nothing() {
    let pg = Pg::with("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut follower = pg.follow().await;
    let client = pg.connect().await;
    let mut seen = Vec::new();
    for round in 0..5 {
        client.batch_execute(&format!("INSERT INTO t VALUES ({round})")).await.expect("written");
        let sql = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1";
        client.query(sql, &[&pg.settings.slot]).await.expect("terminated");
        seen.extend(next(&mut follower, &pg).await);
    }
    assert_eq!(seen, (0..5).map(|n| format!("insert t ({n})")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_and_a_silent_cable_are_noticed_and_lose_nothing() {
    let (server, mut pg) = own(PostgresOptions::default()).await;
    pg.settings.dead_after = Duration::from_secs(2);
    let cable = Cable::to(server.port()).await.expect("a cable");
    let address = pg.database.url().replace(&server.port().to_string(), &cable.port().to_string());
    let mut follower = Follower::new(pg.source_at(address.parse().expect("an address"))).await;
    pg.database.run("INSERT INTO t VALUES (1)").await;
    assert_eq!(next(&mut follower, &pg).await, ["insert t (1)"]);
    cable.cut();
    pg.database.run("INSERT INTO t VALUES (2)").await;
    let error = failure(&mut follower).await;
    assert!(matches!(error, SourceError::Retry { .. }), "{error}");
    cable.mend();
    start(&mut follower, &pg, Instant::now() + Duration::from_secs(20)).await;
    assert_eq!(next(&mut follower, &pg).await, ["insert t (2)"]);
    cable.silence();
    pg.database.run("INSERT INTO t VALUES (3)").await;
    let began = Instant::now();
    let error = failure(&mut follower).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}: {error}", began.elapsed());
    cable.mend();
    start(&mut follower, &pg, Instant::now() + Duration::from_secs(20)).await;
    assert_eq!(next(&mut follower, &pg).await, ["insert t (3)"]);
}

/// Reads until the source fails.
async fn failure(follower: &mut Follower) -> SourceError {
    loop {
        match follower.source.next().await {
            Ok(batch) => {
                assert_eq!(batch.changes, [], "nothing gets through");
                follower.place = Some(batch.origin.expect("an origin").place);
            }
            Err(error) => return error,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_gateway_waits_says_so_and_takes_over() {
    let pg = Pg::with("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut first = pg.follow().await;
    pg.database.run("INSERT INTO t VALUES (1)").await;
    first.expect(&["insert t (1)"]).await;
    let mut other = Pg { database: pg.database.clone(), settings: pg.settings.clone() };
    other.settings.instance = "other".into();
    let mut second = other.resume(first.place.clone()).await;
    let problem = second.source.status().problem.expect("a problem");
    assert!(
        problem.contains("another Rowcast uses the replication slot") && problem.contains("rowcast-test"),
        "{problem}"
    );
    pg.database.run("INSERT INTO t VALUES (2)").await;
    first.expect(&["insert t (2)"]).await;
    assert!(tokio::time::timeout(Duration::from_millis(500), second.source.next()).await.is_err(), "it waits");
    drop(first);
    second.expect(&["insert t (2)"]).await;
    assert_eq!(second.source.status().problem, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_dead_connection_is_ended() {
    let pg = Pg::with("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut before = pg.follow().await;
    // A process that was killed leaves its walsender behind for a while.
    let mut after = pg.resume(before.place.clone()).await;
    pg.database.run("INSERT INTO t VALUES (1)").await;
    after.expect(&["insert t (1)"]).await;
    assert!(before.source.next().await.is_err(), "its slot was taken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_table_does_not_hold_back_the_slot() {
    let (server, pg) = own(PostgresOptions::default()).await;
    let mut follower = pg.follow().await;
    let elsewhere = server.database().await.expect("another database");
    elsewhere.run("CREATE TABLE busy AS SELECT repeat('x', 100) FROM generate_series(1, 100000)").await;
    let client = pg.connect().await;
    let now = client.query_one("SELECT pg_current_wal_flush_lsn()::text", &[]).await.expect("a place");
    let now: &str = now.get(0);
    let held = "SELECT confirmed_flush_lsn < $2::text::pg_lsn FROM pg_replication_slots WHERE slot_name = $1";
    let deadline = Instant::now() + Duration::from_secs(20);
    while client.query_one(held, &[&pg.settings.slot, &now]).await.expect("a slot").get::<_, bool>(0) {
        assert!(Instant::now() < deadline, "the slot stays behind {now}");
        // There may be none any more: the last place is confirmed with the next status, within a second.
        let batch = tokio::time::timeout(Duration::from_millis(100), follower.batch()).await;
        assert_eq!(batch.unwrap_or_default(), []);
        let place = follower.place.clone().expect("a place");
        follower.source.confirm(&place).await.expect("confirmed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_by_somebody_elses_slot_is_left_alone() {
    let pg = Pg::with("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut source = pg.source(100);
    source.setup().await.expect("set up");
    let client = pg.connect().await;
    client.execute("SELECT pg_drop_replication_slot($1)", &[&pg.settings.slot]).await.expect("dropped");
    let sql = "SELECT pg_create_logical_replication_slot($1, 'test_decoding')";
    client.query_one(sql, &[&pg.settings.slot]).await.expect("made");
    let error = source.start(None).await.expect_err("a foreign slot");
    assert!(matches!(error, SourceError::Stop { .. }), "{error}");
    assert!(error.to_string().contains("choose another name"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publication_that_is_made_meanwhile_is_read_too() {
    let mut pg = Pg::with("CREATE TABLE t (id int PRIMARY KEY)").await;
    pg.settings.identity = Identity::Leave;
    let mut follower = pg.follow().await;
    // Of a table without a key only inserts can be had, by a publication of their own.
    pg.database.run("CREATE TABLE keyless (a int)").await;
    assert_eq!(next(&mut follower, &pg).await, ["reset keyless"]);
    assert!(matches!(follower.source.next().await, Err(SourceError::Retry { .. })), "it begins again");
    start(&mut follower, &pg, Instant::now() + Duration::from_secs(20)).await;
    pg.database.run("INSERT INTO keyless VALUES (1); INSERT INTO t VALUES (1)").await;
    assert_eq!(next(&mut follower, &pg).await, ["insert keyless (1)", "insert t (1)"]);
}
