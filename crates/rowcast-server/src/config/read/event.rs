//! `[[event]]`: changes of a table under an application's own event name.

use std::collections::BTreeSet;

use rowcast::event::{Op, TableName};
use rowcast::gateway::EventName;
use toml_edit::Value;

use super::super::layers::Entry;
use super::{Reader, sentence, shown};

const OPS: [Op; 3] = [Op::Insert, Op::Update, Op::Delete];

impl Reader<'_> {
    pub(super) fn events(&mut self) -> Vec<EventName> {
        let layers = self.layers;
        let mut names = BTreeSet::new();
        let mut all = Vec::new();
        for (number, entry) in layers.list("event").iter().enumerate() {
            let mut one = One { number, entry, reader: self };
            let Some(event) = one.read() else { continue };
            if !names.insert(event.name.clone()) {
                one.wrong("name", format!("there is another event called {:?}", event.name), "give each its own name");
            }
            all.push(event);
        }
        all
    }
}

/// One entry on its way.
struct One<'r, 'l> {
    number: usize,
    entry: &'l Entry,
    reader: &'r mut Reader<'l>,
}

impl<'l> One<'_, 'l> {
    fn read(&mut self) -> Option<EventName> {
        for required in ["name", "table"] {
            if !self.entry.settings.contains_key(required) {
                self.wrong(required, "this key is missing", "every [[event]] has name and table");
            }
        }
        let (name, table) = (self.text("name"), self.text("table"));
        let (on, fields) = (self.texts("on"), self.texts("fields"));
        let (as_text, filter) = (self.yes("as_text"), self.text("where"));
        let table = match table?.parse::<TableName>() {
            Ok(table) => table,
            Err(error) => {
                self.wrong("table", sentence(error).what, "");
                return None;
            }
        };
        let on = match on {
            Some(words) => words.iter().filter_map(|word| self.op(word)).collect(),
            None => vec![Op::Insert],
        };
        let event = EventName {
            fields: fields.unwrap_or_default(),
            as_text: as_text.unwrap_or(false),
            on,
            filter,
            ..EventName::new(name?, table)
        };
        match event.check() {
            Ok(()) => Some(event),
            Err(what) => {
                self.wrong("name", what, "");
                None
            }
        }
    }

    fn op(&mut self, word: &str) -> Option<Op> {
        let found = OPS.into_iter().find(|op| op.as_str() == word);
        if found.is_none() {
            self.wrong("on", format!("{word:?} is no change"), r#"write "insert", "update" or "delete""#);
        }
        found
    }

    fn text(&mut self, name: &str) -> Option<String> {
        self.read_as(name, "text", |value| value.as_str().map(str::to_owned))
    }

    fn yes(&mut self, name: &str) -> Option<bool> {
        self.read_as(name, "true or false", Value::as_bool)
    }

    /// A text, or a list of them.
    fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        self.read_as(name, "a list of texts", |value| match value {
            Value::String(text) => Some(vec![text.value().clone()]),
            Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            _ => None,
        })
    }

    fn read_as<T>(&mut self, name: &str, expected: &str, read: impl FnOnce(&'l Value) -> Option<T>) -> Option<T> {
        let value = &self.entry.settings.get(name)?.value;
        let found = read(value);
        if found.is_none() {
            self.wrong(name, format!("expected {expected}, got {}", shown(value)), "");
        }
        found
    }

    fn wrong(&mut self, name: &str, what: impl Into<String>, fix: &str) {
        let origin = self.entry.settings.get(name).map_or(&self.entry.origin, |setting| &setting.origin);
        self.reader.mistakes.push(origin, &format!("event[{}].{name}", self.number), what, fix);
    }
}
