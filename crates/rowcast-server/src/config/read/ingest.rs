//! The entries of `[[ingest]]`: which source is read, into which table.
//!
//! Where the records come from is read by `feed`, what becomes of them on their way by `flow`.

pub(in crate::config) mod feed;
pub(in crate::config) mod flow;

use std::collections::BTreeSet;
use std::time::Duration;

use rowcast::event::TableName;
use toml_edit::Value;

use super::super::layers::Entry;
use super::super::mistake::Origin;
use super::super::units::{self, Unclear};
use super::{Reader, plain_name, sentence, shown};
pub(crate) use feed::Feed;
pub(crate) use flow::Flow;

/// The keys of an entry beside those of its feed and its flow.
pub(in crate::config) const KEYS: &[&str] = &["name", "table"];

/// One source, and the table that its records become rows of.
#[derive(Debug, Clone)]
pub(crate) struct Ingest {
    pub(crate) name: String,
    pub(crate) table: TableName,
    pub(crate) feed: Feed,
    pub(crate) flow: Flow,
}

impl Reader<'_> {
    pub(super) fn ingest(&mut self) -> Vec<Ingest> {
        let layers = self.layers;
        let mut names = BTreeSet::new();
        let mut all = Vec::new();
        for (number, entry) in layers.list("ingest").iter().enumerate() {
            let mut keys = Keys { reader: self, list: "ingest", number, entry };
            let Some(ingest) = keys.ingest() else { continue };
            if !names.insert(ingest.name.clone()) {
                let what = format!("there is another ingest called {:?}", ingest.name);
                let key = keys.key("name");
                self.mistakes.push(&entry.origin, &key, what, "give each its own name");
            }
            all.push(ingest);
        }
        all
    }
}

/// The keys of one entry of a list of sections, read one by one.
pub(super) struct Keys<'r, 'a> {
    pub(super) reader: &'r mut Reader<'a>,
    pub(super) list: &'static str,
    pub(super) number: usize,
    pub(super) entry: &'a Entry,
}

impl<'a> Keys<'_, 'a> {
    fn ingest(&mut self) -> Option<Ingest> {
        self.required(&["name", "url", "table"], "every [[ingest]] has name, url and table");
        // All are read before any is missed, so that every mistake is told.
        let name = self.text("name", plain_name);
        let table = self.text("table", |text| text.parse::<TableName>().map_err(sentence));
        let (feed, flow) = (self.feed(), self.flow());
        Some(Ingest { name: name?, table: table?, feed: feed?, flow: flow? })
    }

    /// The key's full name.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}[{}].{name}", self.list, self.number)
    }

    /// Whether the entry has the key.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entry.settings.contains_key(name)
    }

    /// Notes those that are not there.
    pub(super) fn required(&mut self, names: &[&str], fix: &str) {
        for name in names.iter().filter(|name| !self.has(name)).collect::<Vec<_>>() {
            let (origin, key) = (self.entry.origin.clone(), self.key(name));
            self.reader.mistakes.push(&origin, &key, "this key is missing", fix);
        }
    }

    /// Notes what is wrong with a key.
    pub(super) fn wrong(&mut self, name: &str, what: impl Into<String>, fix: impl Into<String>) {
        let (origin, key) = (self.origin(name), self.key(name));
        self.reader.mistakes.push(&origin, &key, what, fix);
    }

    /// Where the key was set; where the entry begins if it was not.
    pub(super) fn origin(&self, name: &str) -> Origin {
        let name = name.split('.').next().unwrap_or(name);
        self.entry.settings.get(name).map_or_else(|| self.entry.origin.clone(), |setting| setting.origin.clone())
    }

    pub(super) fn value(&self, name: &str) -> Option<&'a Value> {
        self.entry.settings.get(name).map(|setting| &setting.value)
    }

    /// What `read` makes of the key's text. `None` where it is not there, or was noted.
    pub(super) fn text<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, Unclear>) -> Option<T> {
        let value = self.value(name)?;
        let Some(text) = value.as_str() else {
            self.wrong(name, format!("expected text, got {}", shown(value)), "");
            return None;
        };
        read(text).map_err(|unclear| self.wrong(name, unclear.what, unclear.fix)).ok()
    }

    /// As [`text`](Self::text); a default where the key is not there. `None` only where it was noted.
    pub(super) fn text_or<T>(
        &mut self,
        name: &str,
        default: T,
        read: impl FnOnce(&str) -> Result<T, Unclear>,
    ) -> Option<T> {
        if self.has(name) { self.text(name, read) } else { Some(default) }
    }

    pub(super) fn duration_or(&mut self, name: &str, default: Duration) -> Option<Duration> {
        self.text_or(name, default, units::duration)
    }
}
