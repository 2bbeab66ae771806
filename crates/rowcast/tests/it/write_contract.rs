//! What every store promises of changes of several tables, as cases that are run against each kind of database.
//!
//! `write_contract!(factory)` makes a test of each case; the factory gives a fresh [`StoredDatabase`].

use std::sync::Arc;

use rowcast::event::{Table, Value};
use rowcast::filter::{Binding, Chosen, Filter, Predicate};
use rowcast::store::{Conflict, Set, Store, StoreError, Violation, ViolationKind, Write, Written};
use serde_json::Map;

use crate::source_contract::{Follower, row_text};
use crate::store_contract::{StoredDatabase, all, arrives, int, rows, store_on, string, table};

/// A filter of the table's rows, which may read other tables.
pub(crate) async fn rows_where(store: &dyn Store, of: &Table, text: &str) -> Option<Arc<Predicate>> {
    let (filter, claims) = (Filter::parse_rule(text).expect(text), Map::new());
    let mut chosen = Vec::new();
    for select in filter.selects() {
        let read = store.table(select.table()).await.expect("a table");
        let selection = Arc::new(select.bind(&read, store.dialect(), &claims).expect("bound"));
        chosen.push(Chosen { selection, values: Arc::new([]) });
    }
    let binding = Binding { table: of, dialect: store.dialect(), claims: &claims, readable: None, chosen: &chosen };
    Some(Arc::new(filter.bind_with(binding).expect(text)))
}

pub(crate) fn cells(values: &[Value]) -> Vec<(usize, Value)> {
    values.iter().cloned().enumerate().collect()
}

pub(crate) fn returned(written: &Written, n: usize) -> Vec<String> {
    written.returned[n].as_ref().expect("rows").iter().map(row_text).collect()
}

async fn written(store: &dyn Store, writes: Vec<Write>) -> Written {
    store.write(writes).await.expect("written")
}

#[track_caller]
fn is_unmet(outcome: Result<Written, StoreError>, write: usize, rows: u64) {
    match outcome {
        Err(StoreError::Unmet { write: n, rows: found }) => assert_eq!((n, found), (write, rows)),
        other => panic!("{other:?}"),
    }
}

fn violation(outcome: Result<Written, StoreError>) -> Violation {
    match outcome {
        Err(StoreError::Violated(violation)) => *violation,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn changes_of_several_tables_stand_together(db: impl StoredDatabase) {
    let store = store_on(
        &db,
        "CREATE TABLE a (id INTEGER PRIMARY KEY, n INTEGER); CREATE TABLE b (id INTEGER PRIMARY KEY, n INTEGER);
         INSERT INTO b (id, n) VALUES (1, 1), (2, 2), (3, 3)",
    )
    .await;
    let mut follower = Follower::new(db.source(100)).await;
    let (a, b) = (table(&*store, "a").await, table(&*store, "b").await);
    let done = written(
        &*store,
        vec![
            Write::insert(a.clone(), cells(&[int(1), int(10)])),
            Write::update(b.clone(), rows_where(&*store, &b, "n >= 2").await, vec![(1, Set::Value(int(7)))]),
            Write::delete(b.clone(), rows_where(&*store, &b, "id = 1").await),
            Write::require(a.clone(), rows_where(&*store, &a, "n = 10").await).expecting(1..=1),
        ],
    )
    .await;
    assert_eq!(done.rows, [1, 2, 1, 1]);
    assert_eq!(returned(&done, 0), ["(1,10)"]);
    let mut changed = returned(&done, 1);
    changed.sort_unstable();
    assert_eq!(changed, ["(2,7)", "(3,7)"]);
    assert!(done.returned[2].is_none() && done.returned[3].is_none());
    let told = follower.changes(4).await;
    assert_eq!(told.iter().map(|change| change.last).collect::<Vec<_>>(), [false, false, false, true]);
    assert!(told.iter().all(|change| change.tx == told[0].tx), "one transaction");
    arrives(&*store, &mut follower, &done.place).await;
    assert_eq!(rows(&*store, all(&b)).await, ["(2,7)", "(3,7)"]);
}

pub(crate) async fn of_what_fails_nothing_stands(db: impl StoredDatabase) {
    let store = store_on(
        &db,
        "CREATE TABLE a (id INTEGER PRIMARY KEY, n INTEGER); CREATE TABLE b (id INTEGER PRIMARY KEY, n INTEGER);
         INSERT INTO b (id, n) VALUES (1, 1), (2, 2), (3, 3)",
    )
    .await;
    let (a, b) = (table(&*store, "a").await, table(&*store, "b").await);
    let first = || {
        vec![
            Write::insert(a.clone(), cells(&[int(1), int(10)])),
            Write::update(b.clone(), None, vec![(1, Set::Add(int(1)))]),
        ]
    };
    let and = |last: Write| first().into_iter().chain([last]).collect::<Vec<_>>();
    let violated = store.write(and(Write::insert(b.clone(), cells(&[int(2), int(2)])))).await;
    assert_eq!(violation(violated).write, Some(2));
    let none = rows_where(&*store, &b, "id > 7").await;
    is_unmet(store.write(and(Write::delete(b.clone(), none.clone()).expecting(1..=1))).await, 2, 0);
    is_unmet(store.write(and(Write::delete(b.clone(), None).expecting(0..=2))).await, 2, 3);
    is_unmet(store.write(and(Write::require(b.clone(), none.clone()))).await, 2, 0);
    is_unmet(store.write(and(Write::require(b.clone(), None).expecting(0..=0))).await, 2, 1);
    let set = || vec![(1, Set::Value(int(0)))];
    is_unmet(store.write(and(Write::update(b.clone(), none, set()).expecting(1..=9))).await, 2, 0);
    is_unmet(store.write(and(Write::update(b.clone(), None, set()).expecting(1..=1))).await, 2, 2);
    let small = rows_where(&*store, &b, "n < 4").await.expect("a check");
    let checked = store.write(and(Write::update(b.clone(), None, vec![(1, Set::Add(int(1)))]).checked(small))).await;
    assert!(matches!(checked, Err(StoreError::Forbidden { write: 2 })), "{checked:?}");
    assert!(rows(&*store, all(&a)).await.is_empty());
    assert_eq!(rows(&*store, all(&b)).await, ["(1,1)", "(2,2)", "(3,3)"]);
    assert_eq!(written(&*store, Vec::new()).await.rows, Vec::<u64>::new());
}

pub(crate) async fn a_check_is_of_the_rows_as_they_stand_then(db: impl StoredDatabase) {
    let store = store_on(
        &db,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER DEFAULT 5, b INTEGER);
         CREATE TABLE allowed (a INTEGER PRIMARY KEY); INSERT INTO allowed (a) VALUES (1), (5)",
    )
    .await;
    let t = table(&*store, "t").await;
    let check = rows_where(&*store, &t, "a IN (SELECT a FROM allowed)").await.expect("a check");
    let insert = |cells| Write::insert(t.clone(), cells).checked(check.clone());
    assert_eq!(returned(&written(&*store, vec![insert(vec![(0, int(1))])]).await, 0), ["(1,5,null)"]);
    let forbidden = |outcome: Result<Written, StoreError>| {
        assert!(matches!(outcome, Err(StoreError::Forbidden { write: 0 })), "{outcome:?}");
    };
    forbidden(store.write(vec![insert(vec![(0, int(2)), (1, int(2))])]).await);
    // What is unknown is not allowed.
    forbidden(store.write(vec![insert(vec![(0, int(2)), (1, Value::Null)])]).await);
    let one = rows_where(&*store, &t, "id = 1").await;
    let set = |value| Write::update(t.clone(), one.clone(), vec![(1, Set::Value(value))]).checked(check.clone());
    assert_eq!(returned(&written(&*store, vec![set(int(1))]).await, 0), ["(1,1,null)"]);
    forbidden(store.write(vec![set(int(2))]).await);
    forbidden(store.write(vec![set(Value::Null)]).await);
    // What an earlier one of the same transaction has done counts.
    let more = table(&*store, "allowed").await;
    let both = vec![Write::insert(more, cells(&[int(9)])), set(int(9))];
    assert_eq!(written(&*store, both).await.rows, [1, 1]);
    assert_eq!(rows(&*store, all(&t)).await, ["(1,9,null)"]);
}

/// Two writers, again and again; what must never stand is looked for.
async fn never_both(
    db: &impl StoredDatabase,
    store: &Arc<dyn Store>,
    one: Vec<Write>,
    other: Vec<Write>,
    rounds: usize,
) {
    let both = rows_where(&**store, &*table(&**store, "message").await, "id IN (SELECT id FROM gone)").await;
    let message = table(&**store, "message").await;
    let (mut first, mut second) = (0, 0);
    for round in 0..rounds {
        db.writer()
            .run("DELETE FROM message; DELETE FROM gone; DELETE FROM member; INSERT INTO member (id, n) VALUES (1, 0), (2, 0)")
            .await;
        let write = |store: Arc<dyn Store>, writes: Vec<Write>| tokio::spawn(async move { store.write(writes).await });
        let tasks = if round % 2 == 0 {
            [write(store.clone(), one.clone()), write(store.clone(), other.clone())]
        } else {
            let [a, b] = [write(store.clone(), other.clone()), write(store.clone(), one.clone())];
            [b, a]
        };
        let [one, other] = tasks;
        match one.await.expect("a writer") {
            Ok(_) => first += 1,
            Err(StoreError::Unmet { .. } | StoreError::Forbidden { .. }) => second += 1,
            Err(error) => panic!("{error}"),
        }
        other.await.expect("a writer").expect("the other one writes in any case");
        let standing = rows(&**store, rowcast::store::Select { filter: both.clone(), ..all(&message) }).await;
        assert!(standing.is_empty(), "a message of who is gone, in round {round}");
    }
    assert_eq!(first + second, rounds);
}

const TALK: &str =
    "CREATE TABLE member (id INTEGER PRIMARY KEY, n INTEGER); CREATE TABLE gone (id INTEGER PRIMARY KEY);
    CREATE TABLE message (id INTEGER PRIMARY KEY)";

pub(crate) async fn what_is_required_holds_at_the_commit(db: impl StoredDatabase) {
    let store = store_on(&db, TALK).await;
    let [member, gone, message] =
        [table(&*store, "member").await, table(&*store, "gone").await, table(&*store, "message").await];
    let first = rows_where(&*store, &member, "id = 1").await;
    let of_first = rows_where(&*store, &message, "id = 1").await;
    let one = vec![
        Write::require(member.clone(), first.clone()).expecting(1..=1),
        Write::insert(message.clone(), cells(&[int(1)])),
    ];
    let other =
        vec![Write::delete(member, first), Write::delete(message, of_first), Write::insert(gone, cells(&[int(1)]))];
    never_both(&db, &store, one, other, 40).await;
}

pub(crate) async fn what_a_check_reads_of_other_tables_holds_at_the_commit(db: impl StoredDatabase) {
    let store = store_on(&db, TALK).await;
    let [member, gone, message] =
        [table(&*store, "member").await, table(&*store, "gone").await, table(&*store, "message").await];
    let first = rows_where(&*store, &member, "id = 1").await;
    let of_first = rows_where(&*store, &message, "id = 1").await;
    let check = rows_where(&*store, &message, "id IN (SELECT id FROM member WHERE n = 0)").await.expect("a check");
    let one = vec![Write::insert(message.clone(), cells(&[int(1)])).checked(check)];
    let other = vec![
        // Not gone, only no longer one who counts.
        Write::update(member, first, vec![(1, Set::Value(int(1)))]),
        Write::delete(message, of_first),
        Write::insert(gone, cells(&[int(1)])),
    ];
    never_both(&db, &store, one, other, 40).await;
}

pub(crate) async fn what_must_not_be_there_does_not_come_before_the_commit(db: impl StoredDatabase) {
    let store = store_on(&db, TALK).await;
    let [gone, message] = [table(&*store, "gone").await, table(&*store, "message").await];
    let first = rows_where(&*store, &gone, "id = 1").await;
    let of_first = rows_where(&*store, &message, "id = 1").await;
    let one =
        vec![Write::require(gone.clone(), first).expecting(0..=0), Write::insert(message.clone(), cells(&[int(1)]))];
    let other = vec![Write::insert(gone, cells(&[int(1)])), Write::delete(message, of_first)];
    never_both(&db, &store, one, other, 40).await;
}

pub(crate) async fn of_many_who_require_that_there_is_none_one_makes_it(db: impl StoredDatabase) {
    let store = store_on(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER)").await;
    let t = table(&*store, "t").await;
    let none = rows_where(&*store, &t, "a = 1").await;
    let tasks: Vec<_> = (0..4)
        .map(|n| {
            let (store, t, none) = (store.clone(), t.clone(), none.clone());
            tokio::spawn(async move {
                let insert = Write::insert(t.clone(), cells(&[int(n), int(1)]));
                store.write(vec![Write::require(t, none).expecting(0..=0), insert]).await
            })
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        match task.await.expect("a writer") {
            Ok(_) => made += 1,
            Err(error) => assert!(matches!(error, StoreError::Unmet { write: 0, rows: 1 }), "{error}"),
        }
    }
    assert_eq!((made, rows(&*store, all(&t)).await.len()), (1, 1));
}

pub(crate) async fn what_is_added_at_once_is_all_there(db: impl StoredDatabase) {
    let store = store_on(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, x DOUBLE PRECISION); INSERT INTO t VALUES (1, 0, 0), (2, NULL, 0);
         CREATE TABLE allowed (id INTEGER PRIMARY KEY); INSERT INTO allowed VALUES (1)").await;
    let t = table(&*store, "t").await;
    let one = rows_where(&*store, &t, "id IN (SELECT id FROM allowed)").await;
    let tasks: Vec<_> = (0..30)
        .map(|_| {
            let (store, t, one) = (store.clone(), t.clone(), one.clone());
            let set = vec![(1, Set::Add(int(1))), (2, Set::Add(Value::Real(0.5)))];
            tokio::spawn(async move { store.write(vec![Write::update(t, one, set).expecting(1..=1)]).await })
        })
        .collect();
    for task in tasks {
        task.await.expect("a writer").expect("written");
    }
    assert_eq!(rows(&*store, all(&t)).await, ["(1,30,15.0)", "(2,null,0.0)"]);
    let done = written(&*store, vec![Write::update(t.clone(), None, vec![(1, Set::Add(int(-1)))])]).await;
    assert_eq!(done.rows, [2]);
    assert_eq!(rows(&*store, all(&t)).await, ["(1,29,15.0)", "(2,null,0.0)"], "NULL stays NULL");
}

pub(crate) async fn the_greatest_never_goes_backwards(db: impl StoredDatabase) {
    let store = store_on(
        &db,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, s VARCHAR(20)); INSERT INTO t VALUES (1, NULL, NULL)",
    )
    .await;
    let t = table(&*store, "t").await;
    let tasks: Vec<_> = [3, 11, 7, 30, 2, 29, 30, 1]
        .into_iter()
        .map(|n| {
            let (store, t) = (store.clone(), t.clone());
            let set = vec![(1, Set::Greatest(int(n))), (2, Set::Greatest(string(&format!("{n:02}"))))];
            tokio::spawn(async move { store.write(vec![Write::update(t, None, set).expecting(1..=1)]).await })
        })
        .collect();
    for task in tasks {
        // A row that stays as it is has been found all the same.
        assert_eq!(task.await.expect("a writer").expect("written").rows, [1]);
    }
    assert_eq!(rows(&*store, all(&t)).await, [r#"(1,30,"30")"#]);
    let done = written(&*store, vec![Write::update(t, None, vec![(1, Set::Greatest(int(4)))])]).await;
    assert_eq!(returned(&done, 0), [r#"(1,30,"30")"#]);
}

pub(crate) async fn writers_in_each_others_way_all_write(db: impl StoredDatabase) {
    let store =
        store_on(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO t VALUES (1, 0), (2, 0)").await;
    let t = table(&*store, "t").await;
    let add = |filter| Write::update(t.clone(), filter, vec![(1, Set::Add(int(1)))]).expecting(1..=1);
    let (one, two) = (add(rows_where(&*store, &t, "id = 1").await), add(rows_where(&*store, &t, "id = 2").await));
    for _ in 0..10 {
        let (there, back) = (vec![one.clone(), two.clone()], vec![two.clone(), one.clone()]);
        let (a, b) = tokio::join!(store.write(there), store.write(back));
        a.expect("written");
        b.expect("written");
    }
    assert_eq!(rows(&*store, all(&t)).await, ["(1,20)", "(2,20)"]);
}

pub(crate) async fn whoever_has_a_row_alone_writes_before_the_others_and_keeps_what_was_returned(
    db: impl StoredDatabase,
) {
    let store = db.store();
    db.source(100).setup().await.expect("set up");
    store.create(&[made()]).await.expect("made");
    db.writer().run("CREATE TABLE room (id INTEGER PRIMARY KEY, last INTEGER); INSERT INTO room VALUES (1, 0)").await;
    let (line, room) = (table(&*store, "made").await, table(&*store, "room").await);
    let one = rows_where(&*store, &room, "id = 1").await;
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let (store, line, room, one) = (store.clone(), line.clone(), room.clone(), one.clone());
            tokio::spawn(async move {
                let last = vec![(1, Set::Returned { write: 1, column: 0 })];
                let alone = Write::require(room.clone(), one.clone()).expecting(1..=1).alone();
                let insert = Write::insert(line, vec![(1, string(&format!("line {n}")))]);
                store.write(vec![alone, insert, Write::update(room, one, last).expecting(1..=1)]).await
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a writer").expect("written");
    }
    let lines = rows(&*store, all(&line)).await;
    assert_eq!(lines.len(), 20);
    let last = lines.last().and_then(|line| line.split(',').next()).expect("an id");
    assert_eq!(rows(&*store, all(&room)).await, [format!("(1,{})", &last[1..])], "the last one has written last");
    // Nothing was returned before it, or nothing like it.
    for (write, column) in [(0, 0), (1, 0), (2, 0), (1, 9)] {
        let insert = Write::insert(line.clone(), vec![(1, string("x"))]);
        let set = vec![(1, Set::Returned { write, column })];
        let require = Write::require(room.clone(), None);
        let writes = match write {
            1 if column == 0 => {
                vec![require, Write::delete(line.clone(), None), Write::update(room.clone(), None, set)]
            }
            _ => vec![require, insert, Write::update(room.clone(), None, set)],
        };
        assert!(matches!(store.write(writes).await, Err(StoreError::Refused(_))), "{write} {column}");
    }
    assert_eq!(rows(&*store, all(&line)).await.len(), 20);
}

pub(crate) async fn rows_come_back_with_what_the_database_gave_them(db: impl StoredDatabase) {
    let store = db.store();
    db.source(100).setup().await.expect("set up");
    store.create(&[made()]).await.expect("made");
    let t = table(&*store, "made").await;
    let insert = |name: &str| Write::insert(t.clone(), vec![(1, string(name))]);
    let done = written(&*store, vec![insert("a"), insert("b")]).await;
    assert_eq!(done.rows, [1, 1]);
    assert_eq!(
        (returned(&done, 0), returned(&done, 1)),
        (vec![r#"(1,"a",5)"#.into()], vec![r#"(2,"b",5)"#.to_owned()])
    );

    let ignore = |name: &str| insert(name).on_conflict(Conflict::Ignore(vec![1])).expecting(0..=1);
    let done = written(&*store, vec![ignore("a"), ignore("c")]).await;
    assert_eq!(done.rows, [0, 1]);
    assert!(done.returned[0].as_ref().is_some_and(Vec::is_empty));
    assert!(returned(&done, 1)[0].ends_with(r#""c",5)"#));
    is_unmet(store.write(vec![ignore("a").expecting(1..=1)]).await, 0, 0);

    let replace = |name: &str, n| {
        let cells = vec![(1, string(name)), (2, int(n))];
        Write::insert(t.clone(), cells).on_conflict(Conflict::Update(vec![1]))
    };
    let done = written(&*store, vec![replace("a", 8), replace("a", 8), replace("d", 9)]).await;
    assert_eq!(done.rows, [1, 1, 1]);
    assert_eq!(returned(&done, 0), [r#"(1,"a",8)"#]);
    assert_eq!(returned(&done, 1), [r#"(1,"a",8)"#], "as it was");
    assert!(returned(&done, 2)[0].ends_with(r#""d",9)"#));
    let refused = store.write(vec![insert("x").on_conflict(Conflict::Ignore(vec![2]))]).await;
    assert!(matches!(&refused, Err(StoreError::Refused(why)) if why.contains("no unique key on (n)")), "{refused:?}");
}

/// A table with a number that counts by itself, a unique name and a default.
fn made() -> rowcast::store::TableSpec {
    use rowcast::store::{ColumnDefault, ColumnKind, ColumnSpec};
    let column = |name: &str, kind, default| ColumnSpec { name: name.into(), kind, required: true, default };
    rowcast::store::TableSpec {
        name: "made".parse().expect("a name"),
        columns: vec![
            column("id", ColumnKind::Id, None),
            column("name", ColumnKind::Text(Some(20)), None),
            column("n", ColumnKind::Integer, Some(ColumnDefault::Number("5".into()))),
        ],
        key: Vec::new(),
        unique: vec![vec!["name".into()]],
        index: Vec::new(),
    }
}

pub(crate) async fn a_constraint_is_told_with_its_kind(db: impl StoredDatabase) {
    let store = store_on(
        &db,
        "CREATE TABLE parent (id INTEGER PRIMARY KEY);
         CREATE TABLE t (id INTEGER PRIMARY KEY, mail VARCHAR(50), name VARCHAR(5) NOT NULL, a INTEGER, parent INTEGER,
           CONSTRAINT t_mail UNIQUE (mail), CONSTRAINT t_small CHECK (a < 10),
           CONSTRAINT t_parent FOREIGN KEY (parent) REFERENCES parent (id));
         INSERT INTO parent (id) VALUES (1); INSERT INTO t (id, mail, name, a, parent) VALUES (1, 'a@b', 'a', 1, 1)",
    )
    .await;
    let (t, parent) = (table(&*store, "t").await, table(&*store, "parent").await);
    let before = Write::insert(parent.clone(), cells(&[int(2)]));
    let told = async |write: Write| {
        let violation = violation(store.write(vec![before.clone(), write]).await);
        assert_eq!(violation.write, Some(1));
        assert!(!violation.message.is_empty());
        let columns: Vec<String> = violation.columns.iter().map(|column| (**column).to_owned()).collect();
        (violation.kind, violation.constraint.map(String::from), columns)
    };
    let row = |id: i64, mail: &str, name: Value, a: i64, parent: i64| {
        Write::insert(t.clone(), cells(&[int(id), string(mail), name, int(a), int(parent)]))
    };
    let (kind, constraint, columns) = told(row(2, "a@b", string("b"), 1, 1)).await;
    assert_eq!((kind, &columns[..]), (ViolationKind::Unique, &["mail".to_owned()][..]));
    assert!(constraint.is_none_or(|name| name == "t_mail"), "where the database says it");
    let (kind, _, columns) = told(row(1, "c@d", string("b"), 1, 1)).await;
    assert_eq!((kind, &columns[..]), (ViolationKind::Unique, &["id".to_owned()][..]));
    let (kind, _, columns) = told(row(2, "c@d", Value::Null, 1, 1)).await;
    assert_eq!((kind, &columns[..]), (ViolationKind::NotNull, &["name".to_owned()][..]));
    let left_out = Write::insert(t.clone(), vec![(0, int(2))]);
    assert_eq!(told(left_out).await.0, ViolationKind::NotNull);
    let (kind, constraint, _) = told(row(2, "c@d", string("b"), 11, 1)).await;
    assert_eq!((kind, constraint.as_deref()), (ViolationKind::Check, Some("t_small")));
    assert_eq!(told(row(2, "c@d", string("b"), 1, 77)).await.0, ViolationKind::ForeignKey);
    let one = rows_where(&*store, &parent, "id = 1").await;
    assert_eq!(told(Write::delete(parent.clone(), one)).await.0, ViolationKind::ForeignKey);
    let set = |column, value| Write::update(t.clone(), None, vec![(column, Set::Value(value))]);
    assert_eq!(told(set(3, int(10))).await.0, ViolationKind::Check);
    assert_eq!(told(set(2, Value::Null)).await.0, ViolationKind::NotNull);
    assert_eq!(told(set(4, int(5))).await.0, ViolationKind::ForeignKey);
    assert_eq!(rows(&*store, all(&parent)).await, ["(1)"], "of what fails, nothing stands");
}

pub(crate) async fn a_key_may_be_another_afterwards(db: impl StoredDatabase) {
    let store = store_on(
        &db,
        "CREATE TABLE t (a INTEGER NOT NULL, b VARCHAR(9) NOT NULL, n INTEGER, PRIMARY KEY (a, b));
         INSERT INTO t (a, b, n) VALUES (1, 'x', 1), (1, 'y', 2), (2, 'x', 3)",
    )
    .await;
    let t = table(&*store, "t").await;
    let one = rows_where(&*store, &t, "a = 1").await;
    let done = written(&*store, vec![Write::update(t.clone(), one, vec![(0, Set::Value(int(5)))])]).await;
    let mut moved = returned(&done, 0);
    moved.sort_unstable();
    assert_eq!(moved, [r#"(5,"x",1)"#, r#"(5,"y",2)"#]);
    let two = rows_where(&*store, &t, "a = 2").await;
    let taken = store.write(vec![Write::update(t.clone(), two, vec![(0, Set::Value(int(5)))])]).await;
    assert_eq!(violation(taken).kind, ViolationKind::Unique);
    assert_eq!(rows(&*store, all(&t)).await, [r#"(2,"x",3)"#, r#"(5,"x",1)"#, r#"(5,"y",2)"#]);
}

pub(crate) async fn what_cannot_be_done_is_refused_before_it_begins(db: impl StoredDatabase) {
    let store = store_on(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER)").await;
    let t = table(&*store, "t").await;
    let update = |set| vec![Write::insert(t.clone(), cells(&[int(1)])), Write::update(t.clone(), None, set)];
    for (writes, why) in [
        (update(Vec::new()), "sets no column"),
        (update(vec![(7, Set::Value(int(1)))]), "no such column"),
        (update(vec![(1, Set::Value(int(1))), (1, Set::Value(int(2)))]), "`a` is set twice"),
        (update(vec![(1, Set::Add(string("1")))]), "what is added to `a` is no number"),
        (update(vec![(0, Set::Add(int(1)))]), "`id` is of the key"),
        (vec![Write::insert(t.clone(), vec![(9, int(1))])], "no such column"),
    ] {
        let refused = store.write(writes).await;
        assert!(matches!(&refused, Err(StoreError::Refused(problem)) if problem.contains(why)), "{refused:?}");
    }
    db.writer().run("ALTER TABLE t ADD COLUMN b INTEGER").await;
    let altered = store.write(vec![Write::insert(t.clone(), cells(&[int(1)]))]).await;
    assert!(matches!(altered, Err(StoreError::Altered(_))), "{altered:?}");
}

/// One test for each case of the contract.
macro_rules! write_contract {
    ($factory:expr) => {
        write_contract!($factory;
            changes_of_several_tables_stand_together of_what_fails_nothing_stands
            a_check_is_of_the_rows_as_they_stand_then what_is_required_holds_at_the_commit
            what_a_check_reads_of_other_tables_holds_at_the_commit
            what_must_not_be_there_does_not_come_before_the_commit of_many_who_require_that_there_is_none_one_makes_it
            what_is_added_at_once_is_all_there the_greatest_never_goes_backwards writers_in_each_others_way_all_write
            rows_come_back_with_what_the_database_gave_them a_constraint_is_told_with_its_kind
            a_key_may_be_another_afterwards what_cannot_be_done_is_refused_before_it_begins
            whoever_has_a_row_alone_writes_before_the_others_and_keeps_what_was_returned
        );
    };
    ($factory:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::write_contract::$case($factory).await;
            }
        )*
    };
}
pub(crate) use write_contract;
