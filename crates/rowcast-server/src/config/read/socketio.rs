//! `[socketio]`, and `[[push]]`: what its clients get without asking.

use std::time::Duration;

use rowcast::event::Channel;
use rowcast::socketio::{Cookie, EngineSettings, Push, Settings, Shape, What};
use toml_edit::Value;

use super::super::layers::Entry;
use super::{HOUR, Reader, sentence, shown};

/// The keys of a `[[push]]`.
pub(crate) const KEYS: &[&str] = &["channel", "event", "shape", "data", "after", "listen"];

const SHAPES: [(&str, Shape); 3] =
    [("plain", Shape::Plain), ("json", Shape::Json), ("notification", Shape::Notification)];

impl<'a> Reader<'a> {
    /// `None`: it is not served.
    pub(super) fn socketio(&mut self) -> Option<Settings> {
        let second = Duration::from_secs(1);
        let transports: Vec<String> = self.list("socketio.transports");
        if let Some(other) = transports.iter().find(|name| !["polling", "websocket"].contains(&name.as_str())) {
            let what = format!("{other:?} is no transport");
            self.wrong("socketio.transports", what, r#"write "polling", "websocket" or both"#);
        }
        let cookie = self.text("socketio.cookie");
        let attributes = self.text("socketio.cookie_attributes");
        let engine = EngineSettings {
            path: self.text("socketio.path"),
            ping_interval: self.duration("socketio.ping_interval", second / 100, HOUR),
            ping_timeout: self.duration("socketio.ping_timeout", second / 100, HOUR),
            upgrade_timeout: self.duration("socketio.upgrade_timeout", second / 100, HOUR),
            max_payload: self.bytes("socketio.max_payload", 1_000, 1 << 30) as usize,
            polling: transports.iter().any(|name| name == "polling"),
            websocket: transports.iter().any(|name| name == "websocket"),
            eio3: self.yes("socketio.eio3"),
            cookie: (!cookie.is_empty()).then_some(Cookie { name: cookie, attributes }),
            ..EngineSettings::default()
        };
        if let Err(what) = engine.check()
            && !self.is_wrong("socketio.max_payload")
        {
            self.wrong("socketio.path", what, "");
        }
        let recovery = self.duration("socketio.recovery", Duration::ZERO, HOUR * 24);
        let settings = Settings {
            engine,
            connect_timeout: self.duration("socketio.connect_timeout", second / 100, HOUR),
            recovery: (!recovery.is_zero()).then_some(recovery),
            pushes: self.pushes(),
            ..Settings::default()
        };
        if let Err(what) = settings.check() {
            self.wrong("socketio.enabled", what, "");
        }
        self.yes("socketio.enabled").then_some(settings)
    }

    fn pushes(&mut self) -> Vec<Push> {
        let layers = self.layers;
        let entries = layers.list("push").iter().enumerate();
        entries.filter_map(|(number, entry)| One { number, entry, reader: self }.read()).collect()
    }
}

/// One entry on its way.
struct One<'r, 'l> {
    number: usize,
    entry: &'l Entry,
    reader: &'r mut Reader<'l>,
}

impl<'l> One<'_, 'l> {
    fn read(&mut self) -> Option<Push> {
        let (channel, event) = (self.text("channel"), self.text("event"));
        let (shape, after) = (self.text("shape"), self.text("after"));
        let listeners = self.texts("listen").unwrap_or_default();
        let data = self.entry.settings.get("data").map(|setting| json(&setting.value));
        let what = match (channel, data) {
            (Some(_), Some(_)) => return self.nothing("data", "a push is of a channel, or of data, not of both"),
            (None, None) => {
                return self.nothing("channel", "this key is missing; or write `data`, for what is said once");
            }
            (None, Some(data)) => What::Data(data),
            (Some(text), None) => match Channel::of_client(&text, "") {
                Ok(channel) => What::Channel(channel, self.shape(shape)?),
                Err(error) => return self.nothing("channel", &sentence(error).what),
            },
        };
        let event = match (&what, event) {
            (_, Some(event)) => event,
            (What::Channel(Channel::Event(name), _), None) => name.to_string(),
            (_, None) => return self.nothing("event", "this key is missing: the name that clients hear it under"),
        };
        let push = Push { event, what, after, listeners };
        match push.check() {
            Ok(()) => Some(push),
            Err(what) => self.nothing("event", &what),
        }
    }

    fn shape(&mut self, word: Option<String>) -> Option<Shape> {
        let Some(word) = word else { return Some(Shape::Plain) };
        match SHAPES.iter().find(|(name, _)| *name == word) {
            Some((_, shape)) => Some(*shape),
            None => self.nothing::<Shape>("shape", &format!("{word:?} is no shape; write plain, json or notification")),
        }
    }

    fn nothing<T>(&mut self, name: &str, what: &str) -> Option<T> {
        let origin = self.entry.settings.get(name).map_or(&self.entry.origin, |setting| &setting.origin);
        self.reader.mistakes.push(origin, &format!("push[{}].{name}", self.number), what, "");
        None
    }

    fn text(&mut self, name: &str) -> Option<String> {
        let value = &self.entry.settings.get(name)?.value;
        match value.as_str() {
            Some(text) => Some(text.to_owned()),
            None => self.nothing(name, &format!("expected text, got {}", shown(value))),
        }
    }

    /// A text, or a list of them.
    fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        let value = &self.entry.settings.get(name)?.value;
        let texts = match value {
            Value::String(text) => Some(vec![text.value().clone()]),
            Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            _ => None,
        };
        if texts.is_none() {
            return self.nothing(name, &format!("expected a list of texts, got {}", shown(value)));
        }
        texts
    }
}

/// TOML as JSON; a date is text.
pub(super) fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::String(text) => text.value().as_str().into(),
        Value::Integer(number) => (*number.value()).into(),
        Value::Float(number) => (*number.value()).into(),
        Value::Boolean(yes) => (*yes.value()).into(),
        Value::Datetime(time) => time.value().to_string().into(),
        Value::Array(items) => items.iter().map(json).collect(),
        Value::InlineTable(fields) => {
            fields.iter().map(|(name, value)| (name.to_owned(), json(value))).collect::<serde_json::Map<_, _>>().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{config, mistakes};
    use super::*;

    #[test]
    fn it_is_served_as_socket_ios_own_server_serves_it() {
        let settings = config("").socketio.expect("served");
        let engine = &settings.engine;
        assert_eq!((engine.path.as_str(), engine.max_payload), ("/socket.io/", 1_000_000));
        assert_eq!((engine.ping_interval.as_secs(), engine.ping_timeout.as_secs()), (25, 20));
        assert_eq!((settings.connect_timeout.as_secs(), settings.recovery), (45, Some(Duration::from_secs(120))));
        assert!(config("[socketio]\nenabled = false\n").socketio.is_none());
        let off = config("[socketio]\nrecovery = '0s'\ntransports = ['websocket']\ncookie = 'io'\n");
        let settings = off.socketio.expect("served");
        assert!(settings.recovery.is_none() && !settings.engine.polling && settings.engine.cookie.is_some());
    }

    #[test]
    fn pushes_are_of_channels_or_of_data() {
        let text = "[[push]]\nevent = 'connected'\ndata = { connected = true }\n[[push]]\nchannel = 'notify:addedrecord'\n\
                    event = 'update'\nshape = 'notification'\nafter = 'ready for data'\nlisten = ['9000']\n[[push]]\nchannel = 'event:newData'\n";
        let pushes = config(text).socketio.expect("served").pushes;
        assert_eq!(pushes[0].what, What::Data(serde_json::json!({ "connected": true })));
        let Push { event, after, listeners, .. } = &pushes[1];
        assert_eq!(
            (event.as_str(), after.as_deref(), &**listeners),
            ("update", Some("ready for data"), &["9000".to_owned()][..])
        );
        assert_eq!(pushes[2].event, "newData");
        mistakes(
            "[[push]]\nchannel = 'table:t'\nevent = 'x'\n",
            &[
                "rowcast.toml:3: push[0].event: rows of a table are pushed under an event's name: write an [[event]], and push `event:NAME`",
            ],
        );
        mistakes(
            "[[push]]\nevent = 'x'\n",
            &["rowcast.toml:2: push[0].channel: this key is missing; or write `data`, for what is said once"],
        );
    }
}
