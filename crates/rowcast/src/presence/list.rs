//! Who is present, as JSON: whole lists and what changes in them, in pieces that a queue has room for.

use bytes::Bytes;

use super::people::{News, Seen};
use crate::event::json::{write_document, write_text};

/// About as much is told at once.
const PIECE_BYTES: usize = 32 << 10;

/// A whole list as the bodies of `presence` messages: everything after their `id`.
pub(super) fn bodies<'p>(users: impl Iterator<Item = (&'p str, &'p Seen)>) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    let mut piece = Vec::new();
    for (name, seen) in users {
        if piece.len() >= PIECE_BYTES {
            pieces.push(std::mem::take(&mut piece));
        }
        write_user(name, seen, true, &mut piece);
    }
    pieces.push(piece);
    let last = pieces.len() - 1;
    let body = |(at, piece): (usize, Vec<u8>)| {
        let full: &[u8] = if at == 0 { b"\"full\":true," } else { b"\"full\":false," };
        let more: &[u8] = if at < last { b"\"more\":true," } else { b"" };
        [full, more, b"\"users\":[", &piece, b"]}"].concat().into()
    };
    pieces.into_iter().enumerate().map(body).collect()
}

/// A whole list as one document: `{"users":[…]}`.
pub(super) fn document(users: impl Iterator<Item = (impl AsRef<str>, Seen)>) -> Bytes {
    let mut list = Vec::new();
    users.for_each(|(name, seen)| write_user(name.as_ref(), &seen, true, &mut list));
    [b"{\"users\":[", &list[..], b"]}"].concat().into()
}

/// What changes, as the bodies of `presence` messages; each can be applied by itself.
#[derive(Debug, Default)]
pub(super) struct Changes {
    done: Vec<Bytes>,
    joins: Vec<u8>,
    updates: Vec<u8>,
    leaves: Vec<u8>,
}

impl Changes {
    pub(super) fn add(&mut self, name: &str, news: News<'_>) {
        match news {
            News::Join(seen) => write_user(name, seen, true, &mut self.joins),
            News::Update(seen) => write_user(name, seen, false, &mut self.updates),
            News::Leave => {
                next(&mut self.leaves);
                write_text(name, &mut self.leaves);
            }
        }
        if self.joins.len() + self.updates.len() + self.leaves.len() >= PIECE_BYTES {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let mut body = b"\"full\":false".to_vec();
        let lists: [(&[u8], _); 3] =
            [(b"joins", &mut self.joins), (b"updates", &mut self.updates), (b"leaves", &mut self.leaves)];
        let empty = body.len();
        for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            for part in [b",\"", name, b"\":[", list, b"]"] {
                body.extend_from_slice(part);
            }
            list.clear();
        }
        if body.len() > empty {
            body.push(b'}');
            self.done.push(body.into());
        }
    }

    pub(super) fn bodies(mut self) -> Vec<Bytes> {
        self.cut();
        self.done
    }
}

fn next(list: &mut Vec<u8>) {
    if !list.is_empty() {
        list.push(b',');
    }
}

fn write_user(name: &str, seen: &Seen, with_since: bool, out: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    next(out);
    out.extend_from_slice(b"{\"user\":");
    write_text(name, out);
    out.extend_from_slice(b",\"state\":");
    write_document(seen.state.as_deref().unwrap_or("{}"), out);
    out.extend_from_slice(b",\"connections\":");
    out.extend_from_slice(digits.format(seen.connections).as_bytes());
    if with_since {
        out.extend_from_slice(b",\"since\":");
        out.extend_from_slice(digits.format(seen.since).as_bytes());
    }
    out.push(b'}');
}
