//! Answers: what the client waits for, and how the session's answer to it is known.

use bytes::Bytes;

use super::Native;
use crate::hub::Closing;
use crate::protocol::ServerMessage;
use crate::protocol::engineio::Eio;
use crate::protocol::socketio::ROOT;
use crate::transport::socketio::data::Arguments;
use crate::transport::socketio::packet;

/// An answer that the client waits for.
pub(super) struct Owed {
    pub(super) what: About,
    pub(super) id: u64,
}

/// How the session's answer is known.
#[derive(PartialEq, Eq)]
pub(super) enum About {
    /// By the subscription.
    Subscription(String),
    /// By our own reference, instead of which the client's goes out.
    Request(String, Option<String>),
}

impl Native {
    /// Gives a request a reference of our own, so that its answer is known.
    pub(super) fn refer(&mut self, reference: &mut Option<String>, id: Option<u64>) {
        let Some(id) = id else { return };
        let own = format!("\u{1}{}", self.next_reference);
        self.next_reference += 1;
        let theirs = reference.replace(own.clone());
        self.owed.push(Owed { what: About::Request(own, theirs), id });
    }

    pub(super) fn settle(&mut self, about: &About, told: &ServerMessage, out: &mut Vec<Bytes>) {
        if let Some(n) = self.owed.iter().position(|owed| owed.what == *about) {
            answer(self.owed.swap_remove(n).id, told, out);
        }
    }
}

/// Why the connection ends, as an event.
pub(in crate::transport::socketio) fn close(closing: &Closing) -> Vec<Bytes> {
    let Closing { reason, message, retry_ms } = closing.clone();
    let told = ServerMessage::Close { reason: reason.into(), message, retry_ms };
    let arguments = Arguments { json: told.to_json(), count: 1, attachments: Vec::new() };
    packet::event(Eio::V4, ROOT, None, told.kind(), &arguments, None).to_vec()
}

/// Everything up to here has been told; what the client is to give back for it.
pub(super) fn word(position: &str, offset: &str) -> Vec<Bytes> {
    let told = ServerMessage::Position { position: position.to_owned() };
    let arguments = Arguments { json: told.to_json(), count: 1, attachments: Vec::new() };
    packet::event(Eio::V4, ROOT, None, told.kind(), &arguments, Some(&format!("\"{offset}\""))).to_vec()
}

/// Answers, or tells it as an event where no answer is wanted.
pub(super) fn tell(id: Option<u64>, told: &ServerMessage, out: &mut Vec<Bytes>) {
    let Some(id) = id else {
        let arguments = Arguments { json: told.to_json(), count: 1, attachments: Vec::new() };
        return out.extend(packet::event(Eio::V4, ROOT, None, told.kind(), &arguments, None).iter().cloned());
    };
    answer(id, told, out);
}

pub(super) fn answer(id: u64, told: &ServerMessage, out: &mut Vec<Bytes>) {
    let arguments = Arguments { json: told.to_json(), count: 1, attachments: Vec::new() };
    out.extend(packet::ack(Eio::V4, ROOT, id, &arguments).iter().cloned());
}
