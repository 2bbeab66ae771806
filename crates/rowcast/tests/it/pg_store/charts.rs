//! Charts over the types that times are kept in.

use rowcast::postgres::PostgresSettings;
use rowcast::store::{Series, SeriesQuery, Store, StoreError};

use super::Pg;
use crate::store_contract::{chart, table};

async fn series(db: &Pg, query: SeriesQuery) -> Series {
    db.store.series(query).await.expect("a series").series
}

#[tokio::test]
async fn times_are_of_any_type() {
    let db = Pg::with(
        "CREATE TABLE t (id int PRIMARY KEY, v numeric, tz timestamptz, ts timestamp, d date, i int, b bigint, n numeric, r real, s varchar(40), x text);
         INSERT INTO t SELECT n, n * 1.5, '2026-01-01 00:00+00'::timestamptz + n * interval '12 h', '2026-01-01'::timestamp + n * interval '12 h',
         '2026-01-01'::date + n / 2, n * 12, n * 43200000::bigint, n * 0.5, n, (n * 43200000::bigint)::text,
         to_char('2026-01-01'::timestamp + n * interval '12 h', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') FROM generate_series(0, 7) n;
         INSERT INTO t (id, tz, ts, d, n, r, s, x) VALUES (8, 'infinity', '-infinity', 'infinity', 'NaN', 'NaN', 'soon', '2026-02-31T25:00:00Z');
         CREATE INDEX ON t (tz)",
    )
    .await;
    let t = table(&*db.store, "t").await;
    let column = |name: &str| t.column(name).expect(name);
    const DAY: f64 = 86_400_000.0;
    // The first of January 2026.
    const FIRST: f64 = 1_767_225_600_000.0;
    for (name, from, width) in [
        ("tz", FIRST, DAY),
        ("ts", FIRST, DAY),
        ("d", FIRST, DAY),
        ("x", FIRST, DAY),
        ("i", 0.0, 24.0),
        ("b", 0.0, DAY),
        ("n", 0.0, 1.0),
        ("r", 0.0, 2.0),
        ("s", 0.0, DAY),
    ] {
        let query = SeriesQuery {
            time: column(name),
            values: vec![column("v"), column("id")],
            from: Some(from),
            to: Some(from + 4.0 * width),
            ..chart(&t)
        };
        let found = series(&db, query.clone()).await;
        assert_eq!((found.from, found.to, found.width), (from, from + 4.0 * width, width), "{name}");
        let [group] = &found.groups[..] else { panic!("one group") };
        assert_eq!(group.time, [0.0, 1.0, 2.0, 3.0].map(|n| from + n * width), "{name}");
        assert_eq!(group.count, [2, 2, 2, 2], "{name}");
        assert_eq!(group.min[0], [0.0, 3.0, 6.0, 9.0].map(Some), "{name}");
        assert_eq!(group.avg[0], [0.75, 3.75, 6.75, 9.75].map(Some), "{name}");
        // Two rows of one day have the same time there.
        assert_eq!(group.last[1], [1.0, 3.0, 5.0, 7.0].map(Some), "{name}");
        let open = series(&db, SeriesQuery { from: None, to: None, ..query.clone() }).await;
        assert_eq!(open.from, from, "{name}");
        assert_eq!(open.groups[0].count.iter().sum::<u64>(), 8, "{name}: all but the infinite one");
        let part = series(&db, SeriesQuery { from: Some(from + width), to: None, ..query }).await;
        assert_eq!(part.groups[0].count.iter().sum::<u64>(), 6, "{name}");
    }
    let no_time = SeriesQuery { time: 0, ..chart(&t) };
    assert!(db.store.series(SeriesQuery { time: column("id"), ..no_time }).await.is_ok());
}

#[tokio::test]
async fn what_is_no_number_is_left_out_and_what_is_no_time_is_refused() {
    let db = Pg::with(
        "CREATE TABLE t (id int PRIMARY KEY, at int, f double precision, n numeric, s text, b boolean, j jsonb);
         INSERT INTO t VALUES (1, 1, 1, 1, '1', true, '1'), (2, 2, 'NaN', 'NaN', 'NaN', false, '2'),
         (3, 3, 'Infinity', '1e400', ' 3.5 ', NULL, '3'), (4, 4, 3, 3, '1e999', true, '4')",
    )
    .await;
    let t = table(&*db.store, "t").await;
    let found = series(&db, SeriesQuery { values: vec![2, 3, 4, 5, 6], buckets: 1, ..chart(&t) }).await;
    let [group] = &found.groups[..] else { panic!("one group") };
    assert_eq!(group.count, [4]);
    let of = |values: &Vec<Vec<Option<f64>>>| values.iter().map(|column| column[0]).collect::<Vec<_>>();
    assert_eq!(of(&group.avg), [Some(2.0), Some(2.0), Some(2.25), Some(2.0 / 3.0), None]);
    assert_eq!(of(&group.last), [Some(3.0), Some(3.0), Some(3.5), Some(1.0), None]);
    let answer = db.store.series(SeriesQuery { time: 6, ..chart(&t) }).await;
    assert!(matches!(&answer, Err(StoreError::Refused(words)) if words.contains("jsonb")), "{answer:?}");
}

#[tokio::test]
async fn groups_are_those_with_the_most_rows() {
    let db = Pg::with(
        "CREATE TABLE t (id int PRIMARY KEY, at timestamptz, v int, c char(5));
         INSERT INTO t SELECT n, '2026-01-01'::timestamptz + n * interval '1 s', n, CASE WHEN n % 10 < 5 THEN 'many' WHEN n % 10 < 8 THEN 'some' END
         FROM generate_series(0, 999) n",
    )
    .await;
    let t = table(&*db.store, "t").await;
    let query = SeriesQuery { group_by: Some(3), groups_max: 2, from: None, to: None, ..chart(&t) };
    let found = series(&db, query.clone()).await;
    let groups: Vec<(&str, u64)> =
        found.groups.iter().map(|group| (group.group.get(), group.count.iter().sum())).collect();
    assert_eq!(groups, [("\"many \"", 500), ("\"some \"", 300)]);
    let all = series(&db, SeriesQuery { groups_max: 10, ..query }).await;
    assert_eq!(all.groups.len(), 3);
    assert_eq!(all.groups[2].group.get(), "null");
}

#[tokio::test]
async fn a_large_table_is_sampled_evenly() {
    let settings = PostgresSettings { series_rows: 20_000, ..PostgresSettings::default() };
    let db = Pg::with_settings(
        "CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL, v double precision, plain bigint);
         INSERT INTO t SELECT n, '2026-01-01'::timestamptz + n * interval '1 s', n % 100, n FROM generate_series(0, 399999) n;
         CREATE INDEX ON t (at); ANALYZE t",
        settings,
    )
    .await;
    let t = table(&*db.store, "t").await;
    const FIRST: f64 = 1_767_225_600_000.0;
    let whole = SeriesQuery { from: None, to: None, buckets: 50, exact: false, ..chart(&t) };
    let part = SeriesQuery { from: Some(FIRST), to: Some(FIRST + 60_000_000.0), ..whole.clone() };
    let unindexed = SeriesQuery { time: 3, ..whole.clone() };
    for (name, query) in [("pages", whole.clone()), ("runs", part), ("without index", unindexed)] {
        let found = series(&db, query).await;
        assert!(!found.exact, "{name}");
        let [group] = &found.groups[..] else { panic!("one group") };
        assert_eq!(group.time.len(), 50, "{name}: every bucket has rows");
        assert!(group.avg[0].iter().flatten().all(|avg| (30.0..70.0).contains(avg)), "{name}: {:?}", group.avg[0]);
    }
    let few = SeriesQuery { from: Some(FIRST), to: Some(FIRST + 5_000_000.0), ..whole.clone() };
    assert!(series(&db, few).await.exact, "a small window is read whole");
    let exact = series(&db, SeriesQuery { exact: true, ..whole }).await;
    assert!(exact.exact);
    assert_eq!(exact.groups[0].count.iter().sum::<u64>(), 400_000);
}
