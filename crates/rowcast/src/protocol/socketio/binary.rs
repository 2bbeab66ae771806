//! A packet and the binary messages that belong to it: its JSON says `{"_placeholder":true,"num":0}` where the first one goes.

use std::mem;

use bytes::Bytes;
use serde_json::Value;

use super::packet::Packet;
use super::{Head, Limits, Malformed};
use crate::protocol::engineio::Eio;

/// A packet that is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// The text of its message.
    pub text: String,
    /// What its placeholders stand for.
    pub attachments: Vec<Bytes>,
}

impl Whole {
    /// Reads it.
    pub fn packet(&self, eio: Eio, limits: &Limits) -> Result<Packet<'_>, Malformed> {
        Packet::decode(&self.text, eio, limits)
    }
}

/// Joins messages to packets. Holds one packet, at most as large as the limits say.
#[derive(Debug)]
pub struct Assembler {
    eio: Eio,
    limits: Limits,
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    whole: Whole,
    wanted: usize,
    bytes: usize,
}

impl Assembler {
    /// For one connection.
    pub fn new(eio: Eio, limits: Limits) -> Self {
        Self { eio, limits, pending: None }
    }

    /// What the packets are read with.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Takes a text message: a packet, unless attachments are to come. A packet without any is not checked here.
    pub fn text(&mut self, text: String) -> Result<Option<Whole>, Malformed> {
        if self.pending.is_some() {
            return Err(Malformed("a text message where an attachment was to come"));
        }
        let whole = Whole { text, attachments: Vec::new() };
        let head = Head::decode(&whole.text)?;
        let (wanted, json) = (head.attachments, head.json);
        if !head.kind.is_binary() {
            return Ok(Some(whole));
        }
        check_placeholders(json, wanted)?;
        Packet::read(head, self.eio, &self.limits)?;
        if wanted == 0 {
            return Ok(Some(whole));
        }
        self.pending = Some(Pending { whole, wanted, bytes: 0 });
        Ok(None)
    }

    /// Takes a binary message: a packet, if it was the last of its attachments.
    pub fn binary(&mut self, data: Bytes) -> Result<Option<Whole>, Malformed> {
        let pending = self.pending.as_mut().ok_or(Malformed("a binary message that belongs to no packet"))?;
        pending.bytes = pending.bytes.saturating_add(data.len());
        if pending.bytes > self.limits.attachment_bytes {
            return Err(Malformed("attachments that are too large"));
        }
        pending.whole.attachments.push(data);
        if pending.whole.attachments.len() < pending.wanted {
            return Ok(None);
        }
        Ok(mem::take(&mut self.pending).map(|pending| pending.whole))
    }
}

/// What stands for an attachment.
pub fn placeholder(num: usize) -> String {
    format!(r#"{{"_placeholder":true,"num":{num}}}"#)
}

/// Refuses JSON that names an attachment which does not come.
pub fn check_placeholders(json: &str, attachments: usize) -> Result<(), Malformed> {
    let value: Value = serde_json::from_str(json).map_err(|_| Malformed("arguments that are no JSON array"))?;
    check(&value, attachments)
}

/// As deep as `serde_json` reads, which is 128.
fn check(value: &Value, attachments: usize) -> Result<(), Malformed> {
    match value {
        Value::Object(object) if object.get("_placeholder") == Some(&Value::Bool(true)) => {
            let num = object.get("num").and_then(Value::as_u64).and_then(|num| usize::try_from(num).ok());
            num.filter(|num| *num < attachments).map(|_| ()).ok_or(Malformed("a placeholder for no attachment"))
        }
        Value::Object(object) => object.values().try_for_each(|value| check(value, attachments)),
        Value::Array(values) => values.iter().try_for_each(|value| check(value, attachments)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn assembler() -> Assembler {
        Assembler::new(Eio::V4, Limits { attachment_bytes: 8, ..Limits::default() })
    }

    const TWO: &str = r#"52-["m",{"_placeholder":true,"num":0},[{"a":{"_placeholder":true,"num":1}}]]"#;

    #[test]
    fn attachments_complete_their_packet() {
        let mut assembler = assembler();
        assert_eq!(assembler.text(TWO.into()), Ok(None));
        assert_eq!(assembler.binary(Bytes::from_static(&[1])), Ok(None));
        let whole = assembler.binary(Bytes::from_static(&[2])).expect("a message").expect("a packet");
        assert_eq!(whole.attachments, [Bytes::from_static(&[1]), Bytes::from_static(&[2])]);
        assert!(matches!(whole.packet(Eio::V4, &Limits::default()), Ok(Packet::Event { .. })));
        assert!(assembler.text(r#"2["m"]"#.into()).expect("a message").is_some());
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        assert!(assembler().binary(Bytes::new()).is_err());
        let mut waiting = assembler();
        waiting.text(TWO.into()).expect("a message");
        assert!(waiting.text(r#"2["m"]"#.into()).is_err());
        let mut large = assembler();
        large.text(TWO.into()).expect("a message");
        assert!(large.binary(Bytes::from_static(&[0; 9])).is_err());
        let wrong = [
            r#"51-["m",{"_placeholder":true,"num":1}]"#,
            r#"51-["m",{"_placeholder":true,"num":-1}]"#,
            r#"51-["m",{"_placeholder":true,"num":0.5}]"#,
            r#"51-["m",{"_placeholder":true,"num":"splice"}]"#,
            r#"51-["m",{"_placeholder":true}]"#,
            r#"51-{"_placeholder":true,"num":0}"#,
            r#"51-{"#,
            r#"511-["m"]"#,
        ];
        for text in wrong {
            assert!(assembler().text(text.into()).is_err(), "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_and_not_followed() {
        let deep = format!(r#"51-["m",{}{}]"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(assembler().text(deep).is_err());
    }

    proptest! {
        #[test]
        fn nothing_that_is_heard_panics(messages in proptest::collection::vec(prop_oneof![
            any::<String>().prop_map(Ok),
            Just(Ok(TWO.to_owned())),
            r#"5[0-3]-\["m",\{"_placeholder":true,"num":[0-3]\}\]"#.prop_map(Ok),
            proptest::collection::vec(any::<u8>(), 0..6).prop_map(Err),
        ], 0..8)) {
            let mut assembler = assembler();
            for message in messages {
                let heard = match message {
                    Ok(text) => assembler.text(text),
                    Err(data) => assembler.binary(data.into()),
                };
                if heard.is_err() {
                    break;
                }
            }
        }
    }
}
