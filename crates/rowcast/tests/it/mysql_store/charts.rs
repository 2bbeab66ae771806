//! Charts over every kind of time column, and over tables that are too large to be read whole.

use rowcast::event::Value;
use rowcast::mysql::MysqlSettings;
use rowcast::store::{Insert, Series, SeriesQuery, Store, StoreError};

use super::My;
use crate::store_contract::{chart, int, table};

async fn series(db: &My, query: SeriesQuery) -> Series {
    db.store.series(query).await.expect("a series").series
}

/// 2026-11-21 00:00 UTC.
const DAY: f64 = 1_795_219_200_000.0;

#[tokio::test]
async fn every_way_to_keep_time_can_be_charted() {
    for (declared, values) in [
        ("bigint", ["1795219200000", "1795219260000", "1795222799999", "NULL"]),
        ("double", ["1795219200000", "1795219260000", "1795222799999", "NULL"]),
        ("decimal(20,3)", ["1795219200000", "1795219260000", "1795222799999", "NULL"]),
        ("varchar(20)", ["'1795219200000'", "' 1795219260000'", "'1795222799999'", "'soon'"]),
        ("datetime(3)", ["'2026-11-21'", "'2026-11-21 00:01'", "'2026-11-21 00:59:59.999'", "NULL"]),
        ("timestamp(3) NULL", ["'2026-11-21'", "'2026-11-21 00:01:00'", "'2026-11-21 00:59:59.999'", "NULL"]),
        ("varchar(40)", ["'2026-11-21'", "'2026-11-21T01:01:00+01:00'", "'2026-11-21 00:59:59.999Z'", "'2026-11-21x'"]),
        (
            "text CHARACTER SET latin1",
            ["'2026-11-20T23:30-00:30'", "'2026-11-21 00:01'", "'2026-11-20T21:29:59.999-0330'", "''"],
        ),
    ] {
        let db = My::with(&format!("CREATE TABLE t (id int PRIMARY KEY, at {declared}, v int)")).await;
        let [a, b, c, d] = values;
        db.database
            .run(&format!(
                "SET time_zone = '+00:00'; INSERT INTO t VALUES (1, {a}, 1), (2, {b}, 5), (3, {c}, 3), (4, {d}, 99)"
            ))
            .await;
        let t = table(&*db.store, "t").await;
        let query = SeriesQuery { from: Some(DAY), to: Some(DAY + 3_600_000.0), buckets: 4, ..chart(&t) };
        let found = series(&db, query.clone()).await;
        let [group] = &found.groups[..] else { panic!("{declared}") };
        assert_eq!(group.time, [DAY, DAY + 2_700_000.0], "{declared}");
        assert_eq!(group.count, [2, 1], "{declared}");
        assert_eq!(
            (group.last[0][0], group.max[0][0], group.avg[0][0]),
            (Some(5.0), Some(5.0), Some(3.0)),
            "{declared}"
        );
        let open = series(&db, SeriesQuery { from: None, to: None, ..query }).await;
        assert_eq!((open.from, open.to), (DAY, DAY + 3_599_999.0), "{declared}");
        assert_eq!(open.groups[0].count.iter().sum::<u64>(), 3, "{declared}");
    }
}

#[tokio::test]
async fn values_are_what_they_are_and_texts_count_where_they_are_numbers() {
    let db = My::with(
        "CREATE TABLE t (id int PRIMARY KEY, at int, f float, x varchar(9), d decimal(10,2), b bit(4), g varchar(9)); \
         INSERT INTO t VALUES (1, 1, 0.1, '1.5', 2.25, b'11', 'a'), (2, 1, 0.7, 'no', 1, b'1', 'A'), (3, 1, -0.1, NULL, NULL, NULL, NULL)",
    )
    .await;
    let t = table(&*db.store, "t").await;
    let query = SeriesQuery { values: vec![2, 3, 4, 5], from: Some(0.0), to: Some(10.0), buckets: 1, ..chart(&t) };
    let found = series(&db, query.clone()).await;
    let group = &found.groups[0];
    let firsts = |of: &Vec<Vec<Option<f64>>>| of.iter().map(|column| column[0]).collect::<Vec<_>>();
    assert_eq!(firsts(&group.min), [Some(-0.1), Some(1.5), Some(1.0), Some(1.0)]);
    assert_eq!(firsts(&group.max), [Some(0.7), Some(1.5), Some(2.25), Some(3.0)]);
    let grouped = series(&db, SeriesQuery { group_by: Some(6), ..query }).await;
    let mut names: Vec<&str> = grouped.groups.iter().map(|group| group.group.get()).collect();
    names.sort_unstable();
    assert_eq!(names, ["\"A\"", "\"a\"", "null"], "told apart by their bytes");
    let wrong = db.store.series(SeriesQuery { time: 5, ..chart(&t) }).await;
    assert!(matches!(&wrong, Err(StoreError::Refused(why)) if why.contains("no time")), "{wrong:?}");
}

#[tokio::test]
async fn large_tables_are_sampled_evenly() {
    for index in ["", ", KEY (at)"] {
        let settings = MysqlSettings { series_rows: 5_000, ..MysqlSettings::default() };
        let sql = format!("CREATE TABLE t (id int PRIMARY KEY, at datetime(3), v double, g varchar(9){index})");
        let db = My::with_settings(&sql, settings).await;
        let t = table(&*db.store, "t").await;
        let row = |n: i64| {
            let at = format!("2026-11-21 {:02}:{:02}:{:02}", n / 3600, n / 60 % 60, n % 60);
            vec![
                (0, int(n)),
                (1, Value::Text(at.into())),
                (2, Value::Real((n / 6_000) as f64)),
                (3, Value::Text("a".into())),
            ]
        };
        let many = (0..60_000).map(row).collect();
        assert_eq!(db.store.insert(Insert::new(t.clone(), many)).await.expect("inserted").count, 60_000);
        db.database.run("ANALYZE TABLE t").await;
        let query = SeriesQuery { from: None, to: None, buckets: 10, exact: false, ..chart(&t) };
        let sampled = series(&db, query.clone()).await;
        assert!(!sampled.exact, "{index}");
        let exact = series(&db, SeriesQuery { exact: true, ..query.clone() }).await;
        assert!(exact.exact);
        assert_eq!((sampled.from, sampled.to), (exact.from, exact.to), "{index}");
        assert_eq!(sampled.groups[0].time.len(), 10, "{index}");
        assert_eq!(exact.groups[0].count.iter().sum::<u64>(), 60_000);
        for (a, b) in sampled.groups[0].avg[0].iter().zip(&exact.groups[0].avg[0]) {
            assert!((a.expect("a number") - b.expect("a number")).abs() < 0.05, "{index}: {a:?} {b:?}");
        }
        let few = series(&db, SeriesQuery { from: Some(DAY), to: Some(DAY + 60_000.0), ..query }).await;
        assert_eq!(few.exact, !index.is_empty(), "a small window is found by the index");
    }
}
