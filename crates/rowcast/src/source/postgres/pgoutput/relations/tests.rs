//! What becomes of old and new rows, for each replica identity.

use super::super::tests::Say;
use super::super::{Message, parse};
use super::*;

const ID: u32 = 16_384;

fn column(name: &str, oid: u32, key: bool) -> super::super::RelationColumn {
    super::super::RelationColumn { key, name: name.into(), oid, typmod: -1 }
}

/// `t(a integer, b text, c text)` whose identity is `a`, or everything.
fn relation(identity: Identity) -> Relation {
    let all = identity == Identity::Full;
    let columns = vec![column("a", 23, identity != Identity::Nothing), column("b", 25, all), column("c", 25, all)];
    Relation { id: ID, schema: "public".into(), name: "t".into(), identity, columns }
}

fn relations(identity: Identity) -> Relations {
    let mut relations = Relations::default();
    assert_eq!(relations.describe(&relation(identity), &Types::new(), &["a".into()]), None);
    relations
}

fn change(relations: &Relations, say: Say) -> RowChange {
    match parse(&say.bytes(), false).expect("a message") {
        Message::Insert { relation, new, .. } => relations.insert(relation, &new),
        Message::Update { relation, old, new, .. } => relations.update(relation, old.as_ref(), &new),
        Message::Delete { relation, old, .. } => relations.delete(relation, &old),
        other => panic!("{other:?}"),
    }
    .expect("a change")
}

fn say(kind: u8) -> Say {
    Say::kind(kind).u32(ID)
}

fn row(a: i64, b: &str, c: &str) -> Option<Row> {
    let text = |text: &str| if text == "…" { Value::Unchanged } else { Value::Text(text.into()) };
    Some(vec![Value::Int(a), text(b), text(c)].into())
}

#[test]
fn an_old_row_that_is_only_a_key_is_left_out_while_the_key_stays() {
    let relations = relations(Identity::Default);
    let new = [Some("1"), Some("x"), Some("…")];
    let update = change(&relations, say(b'U').raw(b"N").tuple(&new));
    assert_eq!((update.old, update.new), (None, row(1, "x", "…")));
    // A key stored apart is sent although it stays.
    let update = change(&relations, say(b'U').raw(b"K").tuple(&[Some("1"), None, None]).raw(b"N").tuple(&new));
    assert_eq!(update.old, None);
}

#[test]
fn a_row_whose_key_changes_leaves_its_old_key() {
    let relations = relations(Identity::Default);
    let old = [Some("1"), None, None];
    let update =
        change(&relations, say(b'U').raw(b"K").tuple(&old).raw(b"N").tuple(&[Some("2"), Some("x"), Some("…")]));
    assert_eq!((update.old, update.new), (row(1, "…", "…"), row(2, "x", "…")));
}

#[test]
fn a_key_that_is_not_sent_again_comes_from_the_old_row() {
    let relations = relations(Identity::Index);
    let old = [Some("1"), None, None];
    let update =
        change(&relations, say(b'U').raw(b"K").tuple(&old).raw(b"N").tuple(&[Some("…"), Some("x"), Some("y")]));
    assert_eq!((update.old, update.new), (None, row(1, "x", "y")));
}

#[test]
fn columns_that_are_not_sent_again_come_from_a_full_old_row() {
    let relations = relations(Identity::Full);
    let old = [Some("1"), Some("x"), Some("long")];
    let update = change(&relations, say(b'U').raw(b"O").tuple(&old).raw(b"N").tuple(&[Some("1"), None, Some("…")]));
    assert_eq!(update.old, row(1, "x", "long"));
    let new = Row::from(vec![Value::Int(1), Value::Null, Value::Text("long".into())]);
    assert_eq!(update.new, Some(new));
}

#[test]
fn a_deleted_row_is_what_its_identity_says() {
    let by_key = change(&relations(Identity::Default), say(b'D').raw(b"K").tuple(&[Some("1"), None, None]));
    assert_eq!((by_key.op, by_key.old, by_key.new), (Op::Delete, row(1, "…", "…"), None));
    let full = change(&relations(Identity::Full), say(b'D').raw(b"O").tuple(&[Some("1"), Some("x"), Some("y")]));
    assert_eq!(full.old, row(1, "x", "y"));
}

#[test]
fn the_key_is_the_streams_where_it_says_one_and_the_catalogs_elsewhere() {
    let key = |identity, key: &[&str]| {
        let names: Vec<Box<str>> = key.iter().map(|name| (*name).into()).collect();
        let mut relations = Relations::default();
        relations.describe(&relation(identity), &Types::new(), &names);
        relations.get(ID).expect("described").table.key.clone()
    };
    assert_eq!(key(Identity::Default, &["b"]), [0], "the catalog has moved on");
    assert_eq!(key(Identity::Full, &["c", "a"]), [2, 0]);
    assert!(key(Identity::Full, &["gone"]).is_empty());
    assert_eq!(key(Identity::Nothing, &["a"]), [0]);
}

#[test]
fn a_table_that_stays_as_it_is_keeps_its_arc() {
    let mut relations = relations(Identity::Default);
    let first = relations.get(ID).expect("described").table.clone();
    assert_eq!(relations.describe(&relation(Identity::Default), &Types::new(), &["a".into()]), None);
    assert!(Arc::ptr_eq(&first, &relations.get(ID).expect("described").table));
    let mut altered = relation(Identity::Default);
    altered.columns[1].name = "renamed".into();
    assert_eq!(relations.describe(&altered, &Types::new(), &["a".into()]), Some(first));
}

#[test]
fn a_row_of_another_shape_is_refused() {
    let relations = relations(Identity::Default);
    let Ok(Message::Insert { new, .. }) = parse(&say(b'I').raw(b"N").tuple(&[None]).bytes(), false) else { panic!() };
    assert_eq!(
        relations.insert(ID, &new),
        Err(Malformed("a row of public.t has 1 columns, and the table 3".to_owned()))
    );
    assert!(relations.insert(1, &new).is_err());
}
