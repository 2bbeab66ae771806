//! What the stream says of old rows, names, and transactions that are not committed yet.

use std::collections::BTreeSet;

use rowcast::event::{Op, RowChange};
use rowcast::source::postgres::pgoutput::{Identity, Message, Relations, Step, parse};

use super::{Captured, shown};

/// The column's JSON in the old and in the new row.
fn column(change: &RowChange, name: &str) -> (Option<String>, Option<String>) {
    let of = |row| shown(change, row).map(|row| row[name].clone());
    (of(change.old.as_ref()), of(change.new.as_ref()))
}

const LONG: &str = "repeat('x', 9000)";

/// A table whose `body` is stored apart, with the identity in question; what an update of another column, one of the key and a
/// delete say.
async fn told(identity: &str) -> Vec<RowChange> {
    let captured = Captured::new(&format!(
        "create table t (id int not null, other int, body text);
         alter table t alter body set storage external;
         create unique index by_id on t (id);
         alter table t replica identity {identity};
         insert into t values (1, 1, {LONG})"
    ))
    .await;
    captured.run("update t set other = 2; update t set id = 2; delete from t").await;
    let changes = captured.changes().await;
    captured.end().await;
    assert_eq!(changes.iter().map(|change| change.op).collect::<Vec<_>>(), [Op::Update, Op::Update, Op::Delete]);
    changes
}

#[tokio::test]
async fn by_key_an_old_row_is_told_when_its_key_changes_and_what_is_stored_apart_is_unchanged() {
    let changes = told("using index by_id").await;
    assert_eq!(changes[0].old, None);
    let unchanged = Some("…".to_owned());
    assert_eq!(column(&changes[0], "body"), (None, unchanged.clone()));
    let json = |text: &str| Some(text.to_owned());
    assert_eq!(column(&changes[1], "id"), (json("1"), json("2")));
    assert_eq!(column(&changes[1], "other"), (unchanged.clone(), json("2")));
    assert_eq!(column(&changes[1], "body"), (unchanged.clone(), unchanged.clone()));
    assert_eq!(column(&changes[2], "id"), (json("2"), None));
    assert_eq!(column(&changes[2], "other"), (unchanged, None));
    assert_eq!(changes[2].table.key, [0]);
}

#[tokio::test]
async fn in_full_an_old_row_is_told_whole_and_fills_the_new_one() {
    let changes = told("full").await;
    let long = Some(format!("\"{}\"", "x".repeat(9000)));
    for change in &changes[..2] {
        assert_eq!(column(change, "body"), (long.clone(), long.clone()));
    }
    assert_eq!(column(&changes[0], "other"), (Some("1".to_owned()), Some("2".to_owned())));
    assert_eq!(column(&changes[2], "body"), (long, None));
}

#[tokio::test]
async fn inserts_into_a_table_without_identity_are_told() {
    let captured = Captured::new("create table t (id int, a text); alter table t replica identity nothing").await;
    captured.run("insert into t values (1, null)").await;
    let changes = captured.changes().await;
    assert_eq!(column(&changes[0], "a"), (None, Some("null".to_owned())));
    let peeked = captured.peek("'proto_version', '1', 'publication_names', 'everything'").await;
    let identities = peeked.iter().filter_map(|data| match parse(data, false) {
        Ok(Message::Relation { relation, .. }) => Some(relation.identity),
        _ => None,
    });
    assert_eq!(identities.collect::<Vec<_>>(), [Identity::Nothing]);
    captured.end().await;
}

#[tokio::test]
async fn partitions_are_told_as_their_root_under_any_name() {
    let captured = Captured::new(
        r#"create schema "Größe, ""x""";
           create table "Größe, ""x"""."Ta.ble" ("iD ""q""" int primary key, "naïve 😀" text) partition by range ("iD ""q""");
           create table odd partition of "Größe, ""x"""."Ta.ble" for values from (0) to (10);
           create table even partition of "Größe, ""x"""."Ta.ble" for values from (10) to (20)"#,
    )
    .await;
    captured
        .run(r#"insert into "Größe, ""x"""."Ta.ble" values (1, 'a'), (11, 'b'); update even set "naïve 😀" = 'c'"#)
        .await;
    let changes = captured.changes().await;
    assert_eq!(changes.len(), 3);
    for change in &changes {
        assert_eq!((&*change.table.name.schema, &*change.table.name.name), ("Größe, \"x\"", "Ta.ble"));
        assert_eq!(*change.table.columns[0].name, *"iD \"q\"");
    }
    assert_eq!(column(&changes[2], "naïve 😀").1, Some("\"c\"".to_owned()));
    captured.end().await;
}

#[tokio::test]
async fn names_and_types_are_those_of_the_time_of_the_change() {
    let captured = Captured::new("create table t (id int primary key, a int)").await;
    captured.run("insert into t values (1, 5)").await;
    captured.run("alter table t rename a to b; alter table t alter b type text; insert into t values (2, 'six')").await;
    captured.run("alter table t drop b; alter table t add c bool default true; insert into t values (3)").await;
    let changes = captured.changes().await;
    let names: Vec<&str> = changes.iter().map(|change| &*change.table.columns[1].name).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let values: Vec<String> = changes.iter().map(|change| change.row().values[1].to_json()).collect();
    assert_eq!(values, ["5", "\"six\"", "true"]);
    captured.end().await;
}

#[tokio::test]
async fn a_changed_composite_type_is_learned_anew() {
    let captured = Captured::new("create type pair as (a int); create table t (id int primary key, p pair)").await;
    captured.run("insert into t values (1, '(1)')").await;
    assert_eq!(captured.changes().await[0].row().values[1].to_json(), r#"{"a":1}"#);
    captured.run("alter type pair add attribute b text; insert into t values (2, '(2,x)')").await;
    let changes = captured.changes().await;
    assert_eq!(changes[1].row().values[1].to_json(), r#"{"a":2,"b":"x"}"#);
    captured.end().await;
}

#[tokio::test]
async fn truncates_and_messages_are_told_in_their_place() {
    let captured = Captured::new("create table t (id int primary key); create table u (id int references t)").await;
    captured
        .run(
            "begin; insert into t values (1); select pg_logical_emit_message(true, 'room:lobby', 'hello');
             truncate t, u restart identity cascade; commit;
             select pg_logical_emit_message(false, 'now', '')",
        )
        .await;
    // A commit writes out what the message alone has not.
    captured.run("insert into t values (2)").await;
    let options = "'proto_version', '1', 'publication_names', 'everything', 'messages', 'true'";
    let mut said = Vec::new();
    for data in captured.peek(options).await {
        said.push(match parse(&data, false).expect("a message") {
            Message::Begin { .. } => "begin".to_owned(),
            Message::Commit { .. } => "commit".to_owned(),
            Message::Relation { relation, .. } => format!("relation {}", relation.name),
            Message::Insert { .. } => "insert".to_owned(),
            Message::Truncate { relations, cascade, restart_identity, .. } => {
                format!("truncate {} {cascade} {restart_identity}", relations.len())
            }
            Message::Message { prefix, content, transactional, .. } => {
                format!("message {prefix} {} {transactional}", String::from_utf8_lossy(&content.0))
            }
            other => format!("{other:?}"),
        });
    }
    let said: Vec<&str> = said.iter().map(String::as_str).filter(|said| !said.starts_with("relation")).collect();
    let truncate = "truncate 2 true true";
    let first = ["begin", "insert", "message room:lobby hello true", truncate, "commit"];
    let expected = [&first[..], &["message now  false", "begin", "insert", "commit"]].concat();
    assert_eq!(said, expected);
    captured.end().await;
}

/// A large transaction with a savepoint undone, beside which a small one commits.
#[tokio::test]
async fn a_transaction_in_progress_is_streamed_with_what_is_undone_told_apart() {
    let captured = Captured::new("create table t (id int primary key, a text)").await;
    let other = captured.database.connect().await.expect("connected");
    let fill =
        |from: i32, to: i32| format!("insert into t select n, repeat('x', 100) from generate_series({from}, {to}) n");
    captured.run(&format!("begin; {}; savepoint s; {}; rollback to s", fill(1, 3000), fill(3001, 6000))).await;
    other.batch_execute("insert into t values (0, 'small')").await.expect("inserted");
    captured.run(&format!("alter table t add b int; {}; commit", fill(3001, 3010))).await;
    captured.run("set logical_decoding_work_mem = '64kB'").await;
    let options = "'proto_version', '2', 'streaming', 'on', 'publication_names', 'everything'";

    let (mut relations, mut in_stream) = (Relations::default(), None);
    let (mut streamed, mut committed, mut parts) = (Vec::new(), BTreeSet::new(), 0);
    for data in captured.peek(options).await {
        match parse(&data, in_stream.is_some()).expect("a message") {
            Message::StreamStart { xid, first } => {
                assert_eq!(first, parts == 0);
                parts += 1;
                in_stream = Some(xid);
            }
            Message::StreamStop => in_stream = None,
            Message::StreamAbort { xid, subxid } => {
                assert_ne!(xid, subxid);
                // The server does not describe a table again because the first to do so was undone.
                streamed.retain(|(of, message)| *of != Some(subxid) || matches!(message, Message::Relation { .. }));
            }
            Message::StreamCommit { .. } => {
                for (_, message) in std::mem::take(&mut streamed) {
                    committed.extend(
                        captured.take(&mut relations, message).await.map(|change| change.row().values[0].to_json()),
                    );
                }
            }
            message if in_stream.is_some() => {
                let xid = match &message {
                    Message::Insert { xid, .. } | Message::Relation { xid, .. } => *xid,
                    other => panic!("{other:?} in a stream"),
                };
                assert!(xid.is_some());
                streamed.push((xid, message));
            }
            message => {
                assert!(!matches!(message, Message::Prepared { step: Step::Begin, .. }));
                committed.extend(
                    captured.take(&mut relations, message).await.map(|change| change.row().values[0].to_json()),
                );
            }
        }
    }
    assert!(parts > 3, "{parts} parts");
    assert_eq!(committed, (0..=3010).map(|n| n.to_string()).collect());
    captured.end().await;
}
