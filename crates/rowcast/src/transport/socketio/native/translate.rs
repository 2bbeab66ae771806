//! What the session has written, made into what the client is to get.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Native;
use super::answer::{About, Owed, word};
use crate::auth::Standing;
use crate::protocol::engineio::Eio;
use crate::protocol::frame;
use crate::protocol::socketio::ROOT;
use crate::transport::socketio::data::Arguments;
use crate::transport::socketio::packet;
use crate::transport::socketio::push::PUSHED;

/// What is read of a message of the session.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    id: Option<String>,
    r#ref: Option<String>,
}

impl Native {
    /// Makes what the session has written into what the client is to get. What need not change stays the shared bytes that it is.
    pub(super) fn translate(&mut self, chunk: &Bytes, out: &mut Vec<Bytes>) {
        let mut from = 0;
        let mut at = 0;
        for (_, message) in frame::messages(chunk) {
            let end = message.as_ptr() as usize - chunk.as_ptr() as usize + message.len();
            if let Some(instead) = self.instead(&message) {
                if from < at {
                    out.push(chunk.slice(from..at));
                }
                out.extend(instead);
                from = end;
            }
            at = end;
        }
        if from < at {
            out.push(chunk.slice(from..at));
        }
    }

    /// What goes out instead of a message; `None` for one that goes out as it is.
    fn instead(&mut self, message: &Bytes) -> Option<Vec<Bytes>> {
        const LONGEST: usize = "authenticated".len();
        let name = message.get(4..)?;
        let name = &name[..name.iter().take(LONGEST + 1).position(|byte| *byte == b'"')?];
        if !self.is_in {
            return Some(Vec::new());
        }
        match name {
            b"message" => {
                self.pushes.iter().find_map(|pushed| pushed.show(message, self.recovers)).map(|shown| vec![shown])
            }
            b"position" if self.own.is_empty() => Some(Vec::new()),
            b"position" => self.position(message),
            b"subscribed" | b"error" | b"published" | b"inserted" | b"written" | b"authenticated" | b"tracked"
            | b"untracked" | b"pong" | b"gap" | b"skipped" => self.control(message),
            _ => None,
        }
    }

    /// Tells an idle client up to where it has everything.
    fn position(&mut self, message: &Bytes) -> Option<Vec<Bytes>> {
        #[derive(Deserialize)]
        struct Reached {
            position: String,
        }
        let (_, Reached { position }): (String, Reached) = serde_json::from_slice(message.get(2..)?).ok()?;
        Some(word(&position, &self.recovery.as_ref()?.offset(&position)?))
    }

    fn control(&mut self, message: &Bytes) -> Option<Vec<Bytes>> {
        let parts: Vec<&RawValue> = serde_json::from_slice(message.get(2..)?).ok()?;
        let json = parts.get(1)?.get();
        let said: Said<'_> = serde_json::from_str(json).ok()?;
        if let Some(id) = said.id.as_deref().filter(|id| id.starts_with(PUSHED)) {
            if said.kind == "error"
                && let Some(n) = self.pushes.iter().position(|pushed| pushed.id == id)
            {
                // Told by `expiring`, and mended by a newer token: nothing that an operator should look at.
                match self.session.identity().standing {
                    Standing::Unknown => self.try_again(n),
                    _ => self.fail(n, json),
                }
            }
            return Some(Vec::new());
        }
        let about = match (said.r#ref, said.id) {
            (Some(reference), _) => {
                let is_it = |owed: &&Owed| matches!(&owed.what, About::Request(own, _) if *own == reference);
                self.owed.iter().position(|owed| is_it(&owed))?
            }
            (None, Some(id)) if said.kind != "gap" && said.kind != "skipped" => {
                if said.kind == "error" {
                    // One that is about a subscription which goes on is no answer to who asked for it.
                    if self.session.follows(&id) || !self.own.remove(&id) {
                        return None;
                    }
                    if let Some(recovery) = &mut self.recovery {
                        recovery.unfollow(&id);
                    }
                }
                self.owed.iter().position(|owed| owed.what == About::Subscription(id.clone()))?
            }
            _ => return None,
        };
        let Owed { what, id } = self.owed.swap_remove(about);
        let json = match what {
            About::Request(_, theirs) => with_reference(json, theirs)?,
            About::Subscription(_) => json.to_owned(),
        };
        let arguments = Arguments { json, count: 1, attachments: Vec::new() };
        Some(packet::ack(Eio::V4, ROOT, id, &arguments).to_vec())
    }
}

fn with_reference(json: &str, reference: Option<String>) -> Option<String> {
    let mut fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(json).ok()?;
    match reference {
        Some(reference) => fields.insert("ref".into(), serde_json::value::to_raw_value(&reference).ok()?),
        None => fields.remove("ref"),
    };
    serde_json::to_string(&fields).ok()
}
