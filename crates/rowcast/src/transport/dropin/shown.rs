//! What a drop-in's clients see of a notification: made once, shared by all of them.

use std::borrow::Cow;
use std::sync::Arc;

use ahash::AHashMap;
use bytes::Bytes;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::protocol::frame::text;
use crate::protocol::{Code, Problem};

/// Bytes of frames that are remembered, twice. Clients of the same speed ask for the same frame within moments.
const CACHE_BYTES: usize = 1 << 20;

/// One notification.
pub(crate) struct Notified<'a> {
    pub(crate) channel: &'a str,
    pub(crate) payload: &'a str,
    /// Where the log has it.
    pub(crate) position: &'a str,
}

/// One notification, as clients see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Who sees it, where not everybody does.
    pub(crate) audience: Option<Arc<str>>,
    /// As the door makes it: the text. As [`Rendering::read`] gives it: framed, for all who see it.
    pub(crate) frame: Bytes,
}

/// Makes the session's frames into those of a drop-in.
pub(crate) struct Rendering {
    /// `None` for what nobody is to see.
    render: Render,
    cache: Mutex<Cache>,
}

type Render = Box<dyn Fn(&Notified<'_>) -> Option<Shown> + Send + Sync>;

/// What one of the session's frames is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// A subscription is in force.
    Subscribed,
    /// Something was notified.
    Shown(Shown),
    /// Something was missed.
    Gap,
    /// A subscription has ended; why.
    Failed(Problem),
    /// Nothing that a drop-in's client knows a word for.
    Nothing,
}

impl Rendering {
    pub(crate) fn new(render: impl Fn(&Notified<'_>) -> Option<Shown> + Send + Sync + 'static) -> Self {
        Self { render: Box::new(render), cache: Mutex::default() }
    }

    /// What a frame of a session with the wire format `Text` says.
    pub(crate) fn read(&self, frame: &Bytes) -> Told {
        if let Some(shown) = self.cache.lock().find(frame) {
            return shown.map_or(Told::Nothing, Told::Shown);
        }
        let Ok(native) = serde_json::from_slice::<Native>(frame) else { return Told::Nothing };
        match &*native.kind {
            "message" => {
                let shown = self.render(&native).map(|shown| Shown { frame: text(&shown.frame), ..shown });
                self.cache.lock().keep(frame.clone(), shown.clone());
                shown.map_or(Told::Nothing, Told::Shown)
            }
            "subscribed" => Told::Subscribed,
            "gap" => Told::Gap,
            "error" => {
                Told::Failed(Problem::new(native.code.unwrap_or(Code::Internal), native.message.unwrap_or_default()))
            }
            _ => Told::Nothing,
        }
    }

    fn render(&self, native: &Native<'_>) -> Option<Shown> {
        let data = native.data?.get();
        // A durable message to the channel is any JSON; a notification is text in an object.
        let payload = serde_json::from_str(data).map_or(Cow::Borrowed(data), |Payload { payload }| payload);
        let (channel, position) = (native.id.as_deref()?, native.position.as_deref()?);
        (self.render)(&Notified { channel, payload: &payload, position })
    }
}

/// What is read of a server message. Subscriptions are named after their NOTIFY channel.
#[derive(Deserialize)]
struct Native<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    position: Option<Cow<'a, str>>,
    #[serde(borrow)]
    message: Option<Cow<'a, str>>,
    code: Option<Code>,
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

/// Frames by the memory in which the hub has them: whoever has the same subscription gets the very same bytes.
#[derive(Default)]
struct Cache {
    young: Generation,
    old: Generation,
    bytes: usize,
}

/// The frame itself is kept, so that its memory is not given to another one.
type Generation = AHashMap<(usize, usize), (Bytes, Option<Shown>)>;

impl Cache {
    fn find(&self, frame: &Bytes) -> Option<Option<Shown>> {
        let key = key(frame);
        self.young.get(&key).or_else(|| self.old.get(&key)).map(|(_, shown)| shown.clone())
    }

    fn keep(&mut self, frame: Bytes, shown: Option<Shown>) {
        self.bytes += frame.len() + shown.as_ref().map_or(0, |shown| shown.frame.len());
        if self.bytes > CACHE_BYTES {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        self.young.insert(key(&frame), (frame, shown));
    }
}

fn key(frame: &Bytes) -> (usize, usize) {
    (frame.as_ptr() as usize, frame.len())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn message(payload: &str) -> Bytes {
        let data = serde_json::json!({ "payload": payload, "process_id": 7 });
        let frame = serde_json::json!({ "type": "message", "id": "news", "event": "notify", "data": data, "position": "1-2", "time": 3 });
        frame.to_string().into()
    }

    #[test]
    fn a_frame_is_made_once_for_all() {
        let made = Arc::new(AtomicUsize::new(0));
        let count = made.clone();
        let rendering = Rendering::new(move |notified| {
            count.fetch_add(1, Ordering::Relaxed);
            assert_eq!((notified.channel, notified.position), ("news", "1-2"));
            Some(Shown { audience: None, frame: notified.payload.to_owned().into() })
        });
        let frame = message("a \"b\" ü");
        for _ in 0..3 {
            let Told::Shown(shown) = rendering.read(&frame) else { panic!("it is shown") };
            assert_eq!(shown.frame, text("a \"b\" ü".as_bytes()));
        }
        assert_eq!(made.load(Ordering::Relaxed), 1);
        for i in 0..1000 {
            rendering.read(&message(&format!("{i} {}", "x".repeat(5000))));
        }
        let cache = rendering.cache.lock();
        assert!(cache.young.len() + cache.old.len() < 500, "old frames are forgotten");
    }

    #[test]
    fn what_a_session_says_besides_is_told_apart() {
        let rendering = Rendering::new(|_| None);
        let read = |text: &'static str| rendering.read(&Bytes::from_static(text.as_bytes()));
        assert_eq!(read(r#"{"type":"subscribed","id":"a\"b","position":"1-2","resumed":false}"#), Told::Subscribed);
        assert_eq!(read(r#"{"type":"gap","id":"a","reason":"source","message":"m"}"#), Told::Gap);
        assert_eq!(
            read(r#"{"type":"error","id":"a","code":"internal","message":"no"}"#),
            Told::Failed(Problem::new(Code::Internal, "no"))
        );
        assert_eq!(read(r#"{"type":"position","position":"1-2"}"#), Told::Nothing);
        assert_eq!(rendering.read(&message("x")), Told::Nothing);
    }
}
