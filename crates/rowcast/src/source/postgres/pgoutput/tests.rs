//! Every message is read as it was written, and no bytes whatever make the reader panic.

use proptest::prelude::*;

use super::*;

/// A message's bytes, put together.
#[derive(Default)]
pub(super) struct Say(Vec<u8>);

impl Say {
    pub(super) fn kind(kind: u8) -> Self {
        Self(vec![kind])
    }

    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn u32(self, n: u32) -> Self {
        self.raw(&n.to_be_bytes())
    }

    pub(super) fn u64(self, n: u64) -> Self {
        self.raw(&n.to_be_bytes())
    }

    pub(super) fn text(self, text: &str) -> Self {
        self.raw(text.as_bytes()).raw(&[0])
    }

    /// `None` is null, `"…"` is unchanged.
    pub(super) fn tuple(self, cells: &[Option<&str>]) -> Self {
        let say = self.raw(&u16::try_from(cells.len()).expect("few").to_be_bytes());
        cells.iter().fold(say, |say, cell| match cell {
            None => say.raw(b"n"),
            Some("…") => say.raw(b"u"),
            Some(text) => say.raw(b"t").u32(u32::try_from(text.len()).expect("short")).raw(text.as_bytes()),
        })
    }

    pub(super) fn bytes(self) -> Bytes {
        self.0.into()
    }

    /// With the number of a streamed transaction after the kind.
    fn streamed(mut self, xid: u32) -> Self {
        self.0.splice(1..1, xid.to_be_bytes());
        self
    }
}

/// One millisecond after 1970's last second of 1999, in PostgreSQL's count.
const TIME: u64 = (-999_000_i64).cast_unsigned();
const TIME_MS: u64 = 946_684_799_001;

fn relation_bytes() -> Say {
    let say = Say::kind(b'R').u32(16_384).text("public").text("größe").raw(b"f\0\x02");
    say.raw(&[1]).text("id").u32(23).u32(u32::MAX).raw(&[0]).text("note").u32(1043).u32(259)
}

fn row(tuple: &[Option<&str>]) -> Tuple {
    match parse(&Say::kind(b'I').u32(0).raw(b"N").tuple(tuple).bytes(), false) {
        Ok(Message::Insert { new, .. }) => new,
        other => panic!("{other:?}"),
    }
}

/// One of each kind, with what it means outside a stream.
fn all() -> Vec<(Say, Message)> {
    let cells = [Some("1"), None, Some("…"), Some("")];
    let (new, key, lsn) = (row(&cells), row(&[Some("7"), None]), Lsn(0x16_B374_D848));
    let (xid, relation, at) = (None, 16_384, 0x16_B374_D848);
    let column = |key, name: &str, oid, typmod| RelationColumn { key, name: name.into(), oid, typmod };
    let columns = vec![column(true, "id", 23, -1), column(false, "note", 1043, 259)];
    let (schema, name) = ("public".into(), "größe".into());
    let table = Relation { id: 16_384, schema, name, identity: Identity::Full, columns };
    let insert = Say::kind(b'I').u32(relation).raw(b"N").tuple(&cells);
    let prefix: Box<str> = "room:lobby".into();
    let content = Content(Bytes::from_static(b"{}"));
    let prepared = |step| Message::Prepared { step, xid: 9, gid: "g".into() };
    let with_key = Say::kind(b'U').u32(relation).raw(b"K").tuple(&[Some("7"), None]).raw(b"N").tuple(&cells);
    let (old, old_key) = (Some(Old::Full(new.clone())), Some(Old::Key(key.clone())));
    let with_old = Say::kind(b'U').u32(relation).raw(b"O").tuple(&cells).raw(b"N").tuple(&cells);
    vec![
        (Say::kind(b'B').u64(at).u64(TIME).u32(9), Message::Begin { commit: lsn, time_ms: TIME_MS, xid: 9 }),
        (
            Say::kind(b'C').raw(&[0]).u64(at).u64(at + 1).u64(TIME),
            Message::Commit { commit: lsn, end: Lsn(at + 1), time_ms: TIME_MS },
        ),
        (Say::kind(b'O').u64(at).text("there"), Message::Origin { commit: lsn, name: "there".into() }),
        (relation_bytes(), Message::Relation { xid, relation: table }),
        (
            Say::kind(b'Y').u32(70_000).text("s").text("mood"),
            Message::Type { xid, oid: 70_000, schema: "s".into(), name: "mood".into() },
        ),
        (insert, Message::Insert { xid, relation, new: new.clone() }),
        (
            Say::kind(b'U').u32(relation).raw(b"N").tuple(&cells),
            Message::Update { xid, relation, old: None, new: new.clone() },
        ),
        (with_key, Message::Update { xid, relation, old: old_key, new: new.clone() }),
        (with_old, Message::Update { xid, relation, old, new }),
        (
            Say::kind(b'D').u32(relation).raw(b"K").tuple(&[Some("7"), None]),
            Message::Delete { xid, relation, old: Old::Key(key) },
        ),
        (
            Say::kind(b'T').u32(2).raw(&[3]).u32(1).u32(2),
            Message::Truncate { xid, relations: vec![1, 2], cascade: true, restart_identity: true },
        ),
        (
            Say::kind(b'M').raw(&[1]).u64(at).text(&prefix).u32(2).raw(b"{}"),
            Message::Message { xid, transactional: true, lsn, prefix, content },
        ),
        (Say::kind(b'S').u32(9).raw(&[1]), Message::StreamStart { xid: 9, first: true }),
        (Say::kind(b'E'), Message::StreamStop),
        (
            Say::kind(b'c').u32(9).raw(&[0]).u64(at).u64(at + 1).u64(TIME),
            Message::StreamCommit { xid: 9, commit: lsn, end: Lsn(at + 1), time_ms: TIME_MS },
        ),
        (Say::kind(b'A').u32(9).u32(10), Message::StreamAbort { xid: 9, subxid: 10 }),
        (Say::kind(b'A').u32(9).u32(10).u64(at).u64(TIME), Message::StreamAbort { xid: 9, subxid: 10 }),
        (Say::kind(b'b').u64(1).u64(2).u64(3).u32(9).text("g"), prepared(Step::Begin)),
        (Say::kind(b'P').raw(&[0]).u64(1).u64(2).u64(3).u32(9).text("g"), prepared(Step::Prepare)),
        (Say::kind(b'K').raw(&[0]).u64(1).u64(2).u64(3).u32(9).text("g"), prepared(Step::Commit)),
        (Say::kind(b'r').raw(&[0]).u64(1).u64(2).u64(3).u64(4).u32(9).text("g"), prepared(Step::Rollback)),
        (Say::kind(b'p').raw(&[0]).u64(1).u64(2).u64(3).u32(9).text("g"), prepared(Step::StreamPrepare)),
    ]
}

fn xid_of(message: &Message) -> Option<u32> {
    match message {
        Message::Relation { xid, .. }
        | Message::Type { xid, .. }
        | Message::Insert { xid, .. }
        | Message::Update { xid, .. }
        | Message::Delete { xid, .. }
        | Message::Truncate { xid, .. }
        | Message::Message { xid, .. } => *xid,
        _ => None,
    }
}

#[test]
fn every_message_is_read() {
    for (say, meant) in all() {
        assert_eq!(parse(&say.bytes(), false), Ok(meant));
    }
}

#[test]
fn in_a_stream_changes_name_their_transaction() {
    for (say, meant) in all() {
        if b"RYIUDTM".contains(&say.0[0]) {
            let read = parse(&say.streamed(77).bytes(), true).expect("a message");
            assert_eq!(xid_of(&read), Some(77));
            assert_eq!(std::mem::discriminant(&read), std::mem::discriminant(&meant));
        } else {
            assert_eq!(parse(&say.bytes(), true), Ok(meant));
        }
    }
}

#[test]
fn cells_are_null_unchanged_or_text() {
    let row = row(&[Some("1"), None, Some("…"), Some("")]);
    let cells: Vec<_> = row.cells().collect();
    assert_eq!(cells, [Cell::Text(b"1"), Cell::Null, Cell::Unchanged, Cell::Text(b"")]);
}

#[test]
fn what_is_cut_off_or_too_long_is_refused() {
    for (say, meant) in all() {
        let whole = say.bytes();
        for end in 0..whole.len() {
            let read = parse(&whole.slice(..end), false);
            let shorter_form = whole[0] == b'A' && end == 9;
            assert!(read.is_err() || shorter_form, "{end} bytes of {meant:?}: {read:?}");
        }
        let longer = Bytes::from([&whole[..], &[0]].concat());
        assert!(parse(&longer, false).is_err(), "{meant:?} and a byte");
    }
}

#[test]
fn rows_and_contents_are_not_printed() {
    let secret = row(&[Some("secret")]);
    let message = Message::Insert { xid: None, relation: 1, new: secret };
    let content = Content(Bytes::from_static(b"secret"));
    assert!(!format!("{message:?} {content:?}").contains("secret"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(kind in prop::sample::select(b"BCORYIUDTMSEcAbPKrp".to_vec()), rest: Vec<u8>, in_stream: bool) {
        let bytes = Bytes::from([&[kind][..], &rest].concat());
        if let Ok(Message::Insert { new, .. }) = parse(&bytes, in_stream) {
            prop_assert_eq!(new.cells().count(), new.len());
        }
    }

    #[test]
    fn no_change_of_a_byte_makes_it_panic(n in 0..22_usize, at: prop::sample::Index, byte: u8, in_stream: bool) {
        let mut bytes = all().swap_remove(n).0.0;
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(Message::Update { new, .. }) = parse(&bytes.into(), in_stream) {
            prop_assert_eq!(new.cells().count(), new.len());
        }
    }
}
