//! What every store promises of records that are brought to it: each stands once, or is kept where it can be looked at.
//!
//! `delivery_contract!(factory)` makes a test of each case; the factory gives a fresh [`StoredDatabase`].

use std::sync::Arc;

use rowcast::event::{Table, TableName, Value};
use rowcast::store::{
    ColumnDefault, ColumnKind, ColumnSpec, Conflict, DeadLetter, DeadLetters, Delivery, Insert, Inserted,
    NewDeadLetter, Origin, Progress, Store, StoreError, TableSpec,
};

use crate::source_contract::Follower;
use crate::store_contract::{StoredDatabase, all, int, rows, store_on, string, table};

pub(crate) const NUMBERS: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER NOT NULL CHECK (a < 10))";

/// Records `after + 1` to `upto` of source `s`, each a row `(number, number % 10)`.
pub(crate) fn numbered(t: &Arc<Table>, life: &str, after: u64, upto: u64) -> Insert {
    let numbers = after as i64 + 1..=upto as i64;
    let rows = numbers.clone().map(|n| vec![(0, int(n)), (1, int(n % 10))]).collect();
    let delivery = Delivery {
        source: "s".into(),
        life: life.into(),
        after,
        upto,
        records: numbers.map(|n| origin(n as u64, None)).collect(),
        dead: Vec::new(),
    };
    Insert { delivery: Some(delivery), ..Insert::new(t.clone(), rows) }
}

fn origin(line: u64, key: Option<&str>) -> Origin {
    Origin { line, raw: format!("record {line}").into(), key: key.map(Into::into) }
}

fn dead(line: u64, column: Option<&str>) -> NewDeadLetter {
    NewDeadLetter {
        line,
        raw: format!("record {line}").into(),
        column: column.map(Into::into),
        reason: "no row".into(),
    }
}

fn counts(inserted: &Inserted) -> (u64, u64, Vec<usize>) {
    (inserted.count, inserted.repeated, inserted.rejected.iter().map(|(row, _)| *row).collect())
}

async fn write(store: &dyn Store, insert: Insert) -> (u64, u64, Vec<usize>) {
    counts(&store.insert(insert).await.expect("inserted"))
}

async fn letters(store: &dyn Store, which: DeadLetters) -> Vec<DeadLetter> {
    store.dead_letters(which).await.expect("dead letters")
}

fn at(life: &str, upto: u64) -> Option<Progress> {
    Some(Progress { life: life.into(), upto })
}

pub(crate) async fn nothing_is_there_before_the_first_delivery(db: impl StoredDatabase) {
    let store = store_on(&db, NUMBERS).await;
    assert_eq!(store.progress("s").await.expect("progress"), None);
    assert_eq!(letters(&*store, DeadLetters::default()).await, []);
    assert_eq!(store.dead_letter_counts().await.expect("counts"), []);
    assert_eq!(store.bury(&[1, 2]).await.expect("buried"), 0);
    let resolving = Insert { resolves: vec![1], ..Insert::new(table(&*store, "t").await, Vec::new()) };
    assert!(matches!(store.insert(resolving).await, Err(StoreError::Refused(why)) if why.contains("dead letter 1")));
}

pub(crate) async fn a_delivery_whose_answer_was_lost_is_not_written_again(db: impl StoredDatabase) {
    let store = store_on(&db, NUMBERS).await;
    let t = table(&*store, "t").await;
    assert_eq!(write(&*store, numbered(&t, "one", 0, 3)).await, (3, 0, vec![]));
    assert_eq!(store.progress("s").await.expect("progress"), at("one", 3));
    let moved = |result: Result<Inserted, StoreError>| match result {
        Err(StoreError::Moved { at }) => at,
        other => panic!("{other:?}"),
    };
    assert_eq!(moved(store.insert(numbered(&t, "one", 0, 3)).await), at("one", 3));
    assert_eq!(moved(store.insert(numbered(&t, "one", 2, 5)).await), at("one", 3));
    assert_eq!(moved(store.insert(numbered(&t, "one", 5, 6)).await), at("one", 3));
    assert_eq!(moved(store.insert(numbered(&t, "two", 3, 6)).await), at("one", 3));
    let other = |after, upto| {
        let mut insert = numbered(&t, "one", after, upto);
        insert.delivery.as_mut().expect("a delivery").source = "other".into();
        insert
    };
    assert_eq!(moved(store.insert(other(7, 8)).await), None);
    assert_eq!(rows(&*store, all(&t)).await.len(), 3, "nothing was written");
    assert_eq!(write(&*store, numbered(&t, "one", 3, 5)).await, (2, 0, vec![]));
    // Another life begins anew.
    let mut anew = numbered(&t, "two", 0, 1);
    anew.rows[0][0].1 = int(100);
    assert_eq!(write(&*store, anew).await, (1, 0, vec![]));
    assert_eq!(store.progress("s").await.expect("progress"), at("two", 1));
    assert_eq!(moved(store.insert(numbered(&t, "one", 5, 6)).await), at("two", 1));
    assert_eq!(write(&*store, other(0, 0)).await, (0, 0, vec![]), "records that are no rows count, too");
}

pub(crate) async fn what_does_not_become_a_row_is_kept(db: impl StoredDatabase) {
    let store = store_on(&db, NUMBERS).await;
    let t = table(&*store, "t").await;
    let mut insert = numbered(&t, "one", 0, 4);
    insert.rows[1][1].1 = int(99);
    insert.delivery.as_mut().expect("a delivery").dead = vec![dead(7, Some("a")), dead(8, None)];
    assert_eq!(write(&*store, insert).await, (3, 0, vec![1]));
    assert_eq!(rows(&*store, all(&t)).await, ["(1,1)", "(3,3)", "(4,4)"]);
    assert_eq!(store.progress("s").await.expect("progress"), at("one", 4));
    let found = letters(&*store, DeadLetters::default()).await;
    let lines: Vec<(u64, &str, Option<&str>)> =
        found.iter().map(|letter| (letter.line, &*letter.raw, letter.column.as_deref())).collect();
    assert_eq!(lines.len(), 3);
    assert!(lines.contains(&(7, "record 7", Some("a"))) && lines.contains(&(8, "record 8", None)), "{lines:?}");
    let refused = found.iter().find(|letter| letter.line == 2).expect("of the refused row");
    assert_eq!((&*refused.raw, &*refused.source), ("record 2", "s"));
    assert!(!refused.reason.is_empty() && refused.table.ends_with('t'), "{refused:?}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis();
    assert!(found.iter().all(|letter| now.abs_diff(u128::from(letter.time_ms)) < 60_000));
    assert!(found.windows(2).all(|pair| pair[0].id > pair[1].id), "newest first");
}

pub(crate) async fn dead_letters_are_paged_and_counted(db: impl StoredDatabase) {
    let store = store_on(&db, NUMBERS).await;
    let t = table(&*store, "t").await;
    for (source, count) in [("x", 3_u64), ("y", 2), ("x", 1)] {
        let at = store.progress(source).await.expect("progress").map_or(0, |at| at.upto);
        let delivery = Delivery {
            source: source.into(),
            life: "one".into(),
            after: at,
            upto: at + count,
            records: Vec::new(),
            dead: (1..=count).map(|n| dead(at + n, None)).collect(),
        };
        write(&*store, Insert { delivery: Some(delivery), ..Insert::new(t.clone(), Vec::new()) }).await;
    }
    let counted = store.dead_letter_counts().await.expect("counts");
    assert_eq!(counted, [("x".to_owned(), 4), ("y".to_owned(), 2)]);
    let of_x = DeadLetters { source: Some("x".into()), limit: 3, ..DeadLetters::default() };
    let first = letters(&*store, of_x.clone()).await;
    assert_eq!(first.iter().map(|letter| letter.line).collect::<Vec<_>>(), [4, 3, 2]);
    let then = letters(&*store, DeadLetters { before: Some(first[2].id), ..of_x }).await;
    assert_eq!(then.iter().map(|letter| letter.line).collect::<Vec<_>>(), [1]);
    let these = DeadLetters { ids: vec![first[0].id, then[0].id, u64::from(u32::MAX)], ..DeadLetters::default() };
    assert_eq!(letters(&*store, these).await.len(), 2);
    assert_eq!(store.bury(&[first[0].id, then[0].id, u64::from(u32::MAX)]).await.expect("buried"), 2);
    assert_eq!(store.dead_letter_counts().await.expect("counts"), [("x".to_owned(), 2), ("y".to_owned(), 2)]);
}

pub(crate) async fn a_record_whose_key_is_known_is_passed_over(db: impl StoredDatabase) {
    let store = store_on(&db, NUMBERS).await;
    let t = table(&*store, "t").await;
    let keyed = |life: &str, source: &str, first: i64, keys: &[Option<&str>]| {
        let mut insert = numbered(&t, life, 0, keys.len() as u64);
        for (n, row) in insert.rows.iter_mut().enumerate() {
            row[0].1 = int(first + n as i64);
        }
        let delivery = insert.delivery.as_mut().expect("a delivery");
        delivery.source = source.into();
        delivery.records = keys.iter().enumerate().map(|(n, key)| origin(n as u64, *key)).collect();
        insert
    };
    let first = keyed("one", "s", 1, &[Some("k1"), Some("k2"), Some("k1"), None, None]);
    assert_eq!(write(&*store, first).await, (4, 1, vec![]), "twice in one delivery: the first counts");
    // Another life of the spool, the same records: as after its folder was lost.
    let again = keyed("two", "s", 11, &[Some("k2"), Some("k3"), None]);
    assert_eq!(write(&*store, again).await, (2, 1, vec![]));
    let elsewhere = keyed("one", "other", 21, &[Some("k1"), Some("K1"), Some("k1 ")]);
    assert_eq!(write(&*store, elsewhere).await, (3, 0, vec![]), "keys are of a source, and compared by their bytes");
    let found = rows(&*store, all(&t)).await;
    assert_eq!(found.len(), 9);
    assert!(found.contains(&"(1,1)".to_owned()) && !found.iter().any(|row| row.starts_with("(3,")), "{found:?}");
    // One that was refused is kept as a dead letter, once.
    for life in ["three", "four"] {
        let mut refused = keyed(life, "s", 31, &[Some("k9")]);
        refused.rows[0][1].1 = int(99);
        write(&*store, refused).await;
    }
    assert_eq!(store.dead_letter_counts().await.expect("counts"), [("s".to_owned(), 1)]);
}

pub(crate) async fn a_row_whose_key_is_there_is_refused_ignored_or_updated(db: impl StoredDatabase) {
    let store = store_on(
        &db,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, code VARCHAR(20) NOT NULL UNIQUE, a INTEGER, b INTEGER DEFAULT 7)",
    )
    .await;
    let t = table(&*store, "t").await;
    let mut follower = Follower::new(db.source(100)).await;
    let row = |id: i64, code: &str, a: i64| vec![(0, int(id)), (1, string(code)), (2, int(a))];
    let with = |conflict, rows| Insert { conflict, ..Insert::new(t.clone(), rows) };
    assert_eq!(write(&*store, with(Conflict::Refuse, vec![row(1, "x", 1), row(2, "y", 1)])).await, (2, 0, vec![]));
    assert_eq!(write(&*store, with(Conflict::Refuse, vec![row(1, "z", 1), row(3, "z", 1)])).await, (1, 0, vec![0]));
    let ignored = vec![row(1, "new", 5), row(4, "w", 5), row(4, "v", 6)];
    assert_eq!(write(&*store, with(Conflict::Ignore(vec![]), ignored)).await, (1, 2, vec![]));
    let by_code = vec![row(9, "x", 5), row(5, "u", 5)];
    assert_eq!(write(&*store, with(Conflict::Ignore(vec![1]), by_code)).await, (1, 1, vec![]));
    // Those that stand: what the statement sets is replaced, the key and the rest are not.
    let updated = vec![vec![(1, string("x")), (0, int(1)), (2, int(50))], row(6, "t", 50), row(6, "t", 51)];
    assert_eq!(write(&*store, with(Conflict::Update(vec![]), updated)).await, (3, 0, vec![]));
    assert_eq!(
        rows(&*store, all(&t)).await,
        [r#"(1,"x",50,7)"#, r#"(2,"y",1,7)"#, r#"(3,"z",1,7)"#, r#"(4,"w",5,7)"#, r#"(5,"u",5,7)"#, r#"(6,"t",51,7)"#]
    );
    follower.expect(&[r#"insert t (1,"x",1,7)"#, r#"insert t (2,"y",1,7)"#, r#"insert t (3,"z",1,7)"#]).await;
    follower.expect(&[r#"insert t (4,"w",5,7)"#, r#"insert t (5,"u",5,7)"#]).await;
    follower.expect(&[r#"update t (1,"x",1,7) (1,"x",50,7)"#]).await;
}

pub(crate) async fn a_conflict_needs_a_unique_key(db: impl StoredDatabase) {
    let store = store_on(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER)").await;
    let t = table(&*store, "t").await;
    for conflict in [Conflict::Ignore(vec![1]), Conflict::Update(vec![0, 1])] {
        let mut insert = numbered(&t, "one", 0, 1);
        insert.conflict = conflict;
        let Err(StoreError::Refused(why)) = store.insert(insert).await else { panic!("inserted") };
        assert!(why.contains("unique key") && why.contains('a'), "{why}");
    }
    assert_eq!(store.progress("s").await.expect("progress"), None, "nothing was written");
    assert!(rows(&*store, all(&t)).await.is_empty());
}

pub(crate) async fn a_mended_record_takes_its_dead_letter_away(db: impl StoredDatabase) {
    let store = store_on(&db, NUMBERS).await;
    let t = table(&*store, "t").await;
    let mut bad = numbered(&t, "one", 0, 2);
    bad.rows[0][1].1 = int(99);
    bad.rows[1][1].1 = Value::Null;
    assert_eq!(write(&*store, bad).await, (0, 0, vec![0, 1]));
    let ids: Vec<u64> = letters(&*store, DeadLetters::default()).await.iter().map(|letter| letter.id).collect();
    let mended = |id: i64, a: i64, resolves: &[u64]| Insert {
        resolves: resolves.to_vec(),
        ..Insert::new(t.clone(), vec![vec![(0, int(id)), (1, int(a))]])
    };
    assert_eq!(write(&*store, mended(1, 98, &ids[..1])).await, (0, 0, vec![0]), "still refused");
    assert_eq!(letters(&*store, DeadLetters::default()).await.len(), 2, "so it stays");
    assert_eq!(write(&*store, mended(1, 1, &ids[..1])).await, (1, 0, vec![]));
    assert_eq!(letters(&*store, DeadLetters::default()).await.len(), 1);
    let Err(StoreError::Refused(why)) = store.insert(mended(2, 2, &ids)).await else { panic!("inserted") };
    assert!(why.contains(&format!("dead letter {}", ids[0])), "{why}");
    assert_eq!(rows(&*store, all(&t)).await, ["(1,1)"], "twice mended is once inserted");
}

pub(crate) async fn deliverers_at_once_write_each_record_once(db: impl StoredDatabase) {
    const RECORDS: u64 = 200;
    let store = store_on(&db, NUMBERS).await;
    let t = table(&*store, "t").await;
    // Two that believe to be alone, as when one was taken for dead.
    let tasks: Vec<_> = (0..2)
        .map(|n| {
            let (store, t) = (if n == 0 { store.clone() } else { db.store() }, t.clone());
            tokio::spawn(async move {
                let mut after = 0;
                while after < RECORDS {
                    match store.insert(numbered(&t, "one", after, after + 5)).await {
                        Ok(_) => after += 5,
                        Err(StoreError::Moved { at }) => after = at.map_or(0, |at| at.upto),
                        // Busy, or lost against the other one.
                        Err(StoreError::Unavailable(_)) => {
                            tokio::time::sleep(std::time::Duration::from_millis(5)).await
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a deliverer");
    }
    assert_eq!(rows(&*store, all(&t)).await.len() as u64, RECORDS);
    assert_eq!(store.dead_letter_counts().await.expect("counts"), []);
}

fn column(name: &str, kind: ColumnKind, required: bool, default: Option<ColumnDefault>) -> ColumnSpec {
    ColumnSpec { name: name.into(), kind, required, default }
}

/// The table of the system with the speedometer.
pub(crate) fn speedometer() -> TableSpec {
    let now = || Some(ColumnDefault::Now);
    TableSpec {
        name: TableName::bare("Data"),
        columns: vec![
            column("id", ColumnKind::Id, true, None),
            column("time", ColumnKind::Text(Some(255)), true, None),
            column("speed", ColumnKind::Text(Some(255)), true, None),
            column("createdAt", ColumnKind::Timestamp, true, now()),
            column("updatedAt", ColumnKind::Timestamp, true, now()),
        ],
        key: Vec::new(),
        unique: Vec::new(),
        index: vec![vec!["time".into()]],
    }
}

pub(crate) async fn a_table_is_made_where_it_is_not_there_and_captured_at_once(db: impl StoredDatabase) {
    let store = store_on(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    let mut follower = Follower::new(db.source(100)).await;
    // A source looks at the schema while it reads.
    let followed = tokio::spawn(async move {
        let mut found = follower.until_row_of("Data").await;
        found.push_str(&follower.until_row_of("Data").await);
        found
    });
    let made = store.create(&[speedometer()]).await.expect("made");
    assert!(made[0].contains("CREATE TABLE"), "{made:?}");
    let data = table(&*store, "Data").await;
    assert_eq!(&*data.name.name, "Data");
    let names: Vec<&str> = data.columns.iter().map(|column| &*column.name).collect();
    assert_eq!((names, &data.key[..]), (vec!["id", "time", "speed", "createdAt", "updatedAt"], &[0][..]));
    let point = |speed: &str| vec![(1, string("1718000000123")), (2, string(speed))];
    let long = "9".repeat(256);
    let insert = Insert::new(data.clone(), vec![point("37"), point(&long), point("38")]);
    assert_eq!(write(&*store, insert).await, (2, 0, vec![1]));
    let found = tokio::time::timeout(std::time::Duration::from_secs(20), followed).await.expect("in time");
    let found = found.expect("followed");
    assert!(found.contains(r#""1718000000123","37","20"#) && found.contains(r#""38""#), "{found}");
    assert_eq!(store.create(&[speedometer()]).await.expect("there"), Vec::<String>::new());
}

pub(crate) async fn a_table_that_is_there_is_left_as_it_is(db: impl StoredDatabase) {
    let store = store_on(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER)").await;
    let spec = |name: &str| TableSpec {
        name: TableName::bare("t"),
        columns: vec![column("id", ColumnKind::Integer, true, None), column(name, ColumnKind::Real, false, None)],
        key: vec!["id".into()],
        unique: Vec::new(),
        index: Vec::new(),
    };
    assert_eq!(store.create(&[spec("a")]).await.expect("there"), Vec::<String>::new());
    let Err(StoreError::Refused(why)) = store.create(&[speedometer(), spec("b")]).await else { panic!("made") };
    for part in ["column `b`", "ADD COLUMN", "[[table]]"] {
        assert!(why.contains(part), "{why}");
    }
    assert_eq!(table(&*store, "t").await.columns.len(), 2);
    let broken = TableSpec { columns: Vec::new(), ..spec("a") };
    assert!(
        matches!(store.create(&[broken]).await, Err(StoreError::Refused(why)) if why.contains("at least one column"))
    );
}

pub(crate) async fn a_table_that_is_there_grows_and_is_captured_as_it_is_then(db: impl StoredDatabase) {
    let store = store_on(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    let mut follower = Follower::new(db.source(100)).await;
    let followed = tokio::spawn(async move { follower.until_row_of("Data").await });
    store.create(&[speedometer()]).await.expect("made");
    let data = TableName::bare("Data");
    let added = [
        column("note", ColumnKind::Text(Some(20)), false, None),
        column("gear", ColumnKind::Integer, true, Some(ColumnDefault::Number("3".into()))),
        column("speed", ColumnKind::Real, false, None),
    ];
    let before = table(&*store, "Data").await;
    let old = Insert::new(before, vec![vec![(1, string("1")), (2, string("30"))]]);
    assert_eq!(write(&*store, old).await, (1, 0, vec![]));
    let run = store.add_columns(&data, &added).await.expect("added");
    assert!(run[0].contains("ADD COLUMN") && run[1].contains("ADD COLUMN"), "{run:?}");
    assert_eq!(store.add_columns(&data, &added).await.expect("there"), Vec::<String>::new());
    let grown = table(&*store, "Data").await;
    let names: Vec<&str> = grown.columns.iter().map(|column| &*column.name).collect();
    assert_eq!(names, ["id", "time", "speed", "createdAt", "updatedAt", "note", "gear"]);
    let new = Insert::new(grown.clone(), vec![vec![(1, string("2")), (2, string("40")), (5, string("uphill"))]]);
    assert_eq!(write(&*store, new).await, (1, 0, vec![]));
    let found = rows(&*store, all(&grown)).await;
    assert!(found[0].ends_with(",null,3)") && found[1].ends_with(r#","uphill",3)"#), "{found:?}");
    let followed = tokio::time::timeout(std::time::Duration::from_secs(20), followed).await.expect("in time");
    assert!(followed.expect("followed").contains(r#""30""#));

    for (table, column) in [
        ("nothing", added[0].clone()),
        ("Data", column("late", ColumnKind::Timestamp, true, Some(ColumnDefault::Now))),
        ("Data", column("late", ColumnKind::Integer, true, None)),
    ] {
        let refused = store.add_columns(&TableName::bare(table), &[column]).await.expect_err(table);
        assert!(matches!(refused, StoreError::Refused(_) | StoreError::UnknownTable(_)), "{refused}");
    }
}

pub(crate) async fn every_kind_of_column_can_be_made(db: impl StoredDatabase) {
    use ColumnKind::{Boolean, Bytes, Date, Decimal, Id, Integer, Json, Real, Text, Timestamp, Uuid};
    let store = store_on(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    let text = |text: &str| Some(ColumnDefault::Text(text.into()));
    let number = |number: &str| Some(ColumnDefault::Number(number.into()));
    let kinds = TableSpec {
        name: TableName::bare("Every kind"),
        columns: vec![
            column("id", Id, true, None),
            column("Te'xt", Text(None), false, None),
            column("short", Text(Some(10)), true, text("it's")),
            column("integer", Integer, true, number("-5")),
            column("real", Real, false, number("1.5e3")),
            column("decimal", Decimal(10, 2), false, number("12.50")),
            column("boolean", Boolean, true, Some(ColumnDefault::Boolean(true))),
            column("timestamp", Timestamp, true, Some(ColumnDefault::Now)),
            column("then", Timestamp, false, text("2026-01-02 03:04:05")),
            column("date", Date, false, text("2026-01-02")),
            column("json", Json, false, None),
            column("bytes", Bytes, false, None),
            column("uuid", Uuid, false, text("6ba7b810-9dad-11d1-80b4-00c04fd430c8")),
            column("order", Integer, true, number("3")),
        ],
        key: Vec::new(),
        unique: vec![vec!["short".into(), "order".into()]],
        index: vec![vec!["integer".into()], vec!["date".into(), "order".into()]],
    };
    let keyed = TableSpec {
        name: TableName::bare("keyed"),
        columns: vec![column("b", Text(Some(20)), true, None), column("a", Integer, true, None)],
        key: vec!["b".into(), "a".into()],
        unique: Vec::new(),
        index: Vec::new(),
    };
    store.create(&[kinds, keyed]).await.expect("made");
    let made = table(&*store, "\"Every kind\"").await;
    let one = Insert::new(made.clone(), vec![vec![(1, string("a"))], vec![(1, string("b"))]]);
    assert_eq!(write(&*store, one).await, (1, 0, vec![1]), "the second is not unique");
    let found = rows(&*store, all(&made)).await;
    assert!(found[0].contains(r#","a","it's",-5,1500"#), "{found:?}");
    assert!(found[0].ends_with(r#""6ba7b810-9dad-11d1-80b4-00c04fd430c8",3)"#), "{found:?}");
    assert_eq!(table(&*store, "keyed").await.key, [0, 1]);
}

/// One test for each case of the contract.
macro_rules! delivery_contract {
    ($factory:expr) => {
        delivery_contract!($factory;
            nothing_is_there_before_the_first_delivery a_delivery_whose_answer_was_lost_is_not_written_again
            what_does_not_become_a_row_is_kept dead_letters_are_paged_and_counted
            a_record_whose_key_is_known_is_passed_over a_row_whose_key_is_there_is_refused_ignored_or_updated
            a_conflict_needs_a_unique_key a_mended_record_takes_its_dead_letter_away
            deliverers_at_once_write_each_record_once a_table_is_made_where_it_is_not_there_and_captured_at_once
            a_table_that_is_there_is_left_as_it_is a_table_that_is_there_grows_and_is_captured_as_it_is_then
            every_kind_of_column_can_be_made
        );
    };
    ($factory:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::delivery_contract::$case($factory).await;
            }
        )*
    };
}
pub(crate) use delivery_contract;
