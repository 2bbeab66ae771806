//! A program's packets as frames, written once for everybody who gets the same.

use std::cell::OnceCell;
use std::sync::Arc;

use bytes::Bytes;

use super::data::Arguments;
use super::outbox::Frames;
use crate::protocol::engineio::{BINARY_MESSAGE, Eio};
use crate::protocol::{frame, socketio};

/// One event on its way to any number of clients.
pub(super) struct Parcel<'a> {
    pub(super) namespace: &'a str,
    pub(super) event: &'a str,
    pub(super) arguments: &'a Arguments,
    /// What a client that may recover is told as its position; `None`: it is not to remember this.
    pub(super) offset: Option<String>,
    plain: OnceCell<Frames>,
    old: OnceCell<Frames>,
    placed: OnceCell<Frames>,
}

impl<'a> Parcel<'a> {
    pub(super) fn new(namespace: &'a str, event: &'a str, arguments: &'a Arguments, offset: Option<String>) -> Self {
        Self {
            namespace,
            event,
            arguments,
            offset,
            plain: OnceCell::new(),
            old: OnceCell::new(),
            placed: OnceCell::new(),
        }
    }

    /// For a client that cannot recover.
    pub(super) fn plain(&self, eio: Eio) -> &Frames {
        // Without attachments, both versions are the same.
        match eio == Eio::V4 || self.arguments.attachments.is_empty() {
            true => self.plain.get_or_init(|| self.write(Eio::V4, None)),
            false => self.old.get_or_init(|| self.write(Eio::V3, None)),
        }
    }

    /// For a client that can.
    pub(super) fn placed(&self) -> &Frames {
        match &self.offset {
            // A client takes a text at the end for a position, whatever it is.
            None if !self.arguments.ends_with_text() => self.plain(Eio::V4),
            None => self.placed.get_or_init(|| self.write(Eio::V4, Some("null"))),
            Some(offset) => self.placed.get_or_init(|| self.write(Eio::V4, Some(&format!("\"{offset}\"")))),
        }
    }

    fn write(&self, eio: Eio, last: Option<&str>) -> Frames {
        event(eio, self.namespace, None, self.event, self.arguments, last)
    }
}

/// An event, with the number of the answer that it asks for, and a last argument.
pub(super) fn event(
    eio: Eio,
    namespace: &str,
    id: Option<u64>,
    name: &str,
    arguments: &Arguments,
    last: Option<&str>,
) -> Frames {
    let own = (arguments.count > 0).then_some(arguments.json.as_str());
    let mut text = String::with_capacity(name.len() + arguments.json.len() + 64);
    text.push('4');
    socketio::event(&mut text, namespace, id, arguments.attachments.len(), name, own.into_iter().chain(last));
    frames(eio, text, &arguments.attachments)
}

/// An answer.
pub(super) fn ack(eio: Eio, namespace: &str, id: u64, arguments: &Arguments) -> Frames {
    let own = (arguments.count > 0).then_some(arguments.json.as_str());
    let mut text = String::with_capacity(arguments.json.len() + 32);
    text.push('4');
    socketio::ack(&mut text, namespace, id, arguments.attachments.len(), own);
    frames(eio, text, &arguments.attachments)
}

fn frames(eio: Eio, text: String, attachments: &[Bytes]) -> Frames {
    let text = std::iter::once(frame::text(text.as_bytes()));
    let binary = |data: &Bytes| match eio {
        Eio::V4 => frame::binary(data),
        Eio::V3 => frame::binary(&[&[BINARY_MESSAGE], &data[..]].concat()),
    };
    text.chain(attachments.iter().map(binary)).collect::<Arc<[Bytes]>>()
}
