//! Filters are the server's work, and its indexes serve them.

use std::time::{Duration, Instant};

use rowcast::event::Value;
use rowcast::filter::{Dialect, Filter};
use rowcast::store::{OrderBy, Select};
use serde_json::Map;

use super::Pg;
use crate::store_contract::{all, rows, table, take};

const ROWS: &str = "CREATE TABLE t (id int PRIMARY KEY, city text, n bigint, at timestamptz, empty int);
    INSERT INTO t SELECT n, 'c' || n % 1000, n / 2, '2026-01-01'::timestamptz + n * interval '1 s', NULLIF(n % 3, 0) * n FROM generate_series(0, 19999) n;
    CREATE INDEX ON t (city); CREATE INDEX ON t (n); CREATE INDEX ON t (at); CREATE INDEX ON t (empty); VACUUM ANALYZE t";

async fn scans(db: &Pg) -> (i64, i64) {
    let client = db.database.connect().await.expect("connected");
    let sql = "SELECT coalesce(seq_scan, 0), coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relname = 't'";
    let row = client.query_one(sql, &[]).await.expect("numbers");
    (row.get(0), row.get(1))
}

/// Rows of `select`, read without looking at the whole table.
async fn by_index(filter: Option<&str>, order_by: Vec<OrderBy>, limit: Option<u64>) -> Vec<i64> {
    let mut db = Pg::with("SELECT").await;
    for statement in ROWS.split("; ") {
        db.database.run(statement).await;
    }
    let (seq_before, idx_before) = scans(&db).await;
    let t = table(&*db.store, "t").await;
    let filter = filter.map(|text| {
        let parsed = Filter::parse(text).expect(text);
        std::sync::Arc::new(parsed.bind(&t, Dialect::Postgres, &Map::new()).expect(text))
    });
    let select = Select { filter, order_by, limit, ..all(&t) };
    let snapshot = rowcast::store::Store::snapshot(&*db.store, select).await.expect("a snapshot");
    let rows = take(snapshot).await;
    // A connection that ends tells what it has done.
    db.store = std::sync::Arc::new(rowcast::store::postgres::PostgresStore::open(
        super::address(&db.database.url()),
        rowcast::postgres::PostgresSettings::default(),
        std::sync::Arc::default(),
    ));
    let begun = Instant::now();
    while scans(&db).await.1 == idx_before {
        assert!(begun.elapsed() < Duration::from_secs(20), "no index was used");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(scans(&db).await.0, seq_before, "the whole table was read");
    rows.iter().map(|row| if let Value::Int(id) = row.values[0] { id } else { -1 }).collect()
}

#[tokio::test]
async fn an_equal_text_is_found_by_its_index() {
    let ids = by_index(Some("city = 'c7'"), Vec::new(), None).await;
    assert_eq!(ids, (0..20).map(|n| n * 1000 + 7).collect::<Vec<i64>>());
}

#[tokio::test]
async fn a_range_of_times_is_found_by_its_index() {
    let ids = by_index(Some("at >= '2026-01-01T00:01:00Z' AND at < '2026-01-01T00:01:05Z'"), Vec::new(), None).await;
    assert_eq!(ids, [60, 61, 62, 63, 64]);
}

#[tokio::test]
async fn the_last_rows_are_found_from_the_end_of_an_index() {
    let order_by = vec![OrderBy { column: 4, descending: true }];
    assert_eq!(by_index(None, order_by, Some(3)).await, [19_997, 19_994, 19_991]);
}

#[tokio::test]
async fn claims_and_odd_values_are_parameters() {
    let db = Pg::with(
        "CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE TABLE t (id int PRIMARY KEY, \"odd \"\"name\" text, m mood, u uuid, n numeric);
         INSERT INTO t VALUES (1, 'it''s; DROP TABLE t', 'glad', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 1.50), (2, NULL, 'sad', NULL, 2)",
    )
    .await;
    let t = table(&*db.store, "t").await;
    for text in [
        "\"odd \"\"name\" = 'it''s; DROP TABLE t'",
        "\"odd \"\"name\" LIKE 'it''s%'",
        "m = 'glad'",
        "u = 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'",
        "n = 1.5",
        "id IN (1, 7) AND u IS NOT NULL",
    ] {
        let filter = Filter::parse(text).expect(text).bind(&t, Dialect::Postgres, &Map::new()).expect(text);
        let select = Select { filter: Some(filter.into()), limit: Some(10), ..all(&t) };
        let found = rows(&*db.store, select).await;
        assert_eq!(found.len(), 1, "{text}");
        assert!(found[0].starts_with("(1,"), "{text}");
    }
}
