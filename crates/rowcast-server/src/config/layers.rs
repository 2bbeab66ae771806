//! The layers of a configuration, one over the other, each value with where it was set.
//!
//! The default file is the list of all keys: what it does not have is not known.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml_edit::{Document, Item, TableLike, Value};

use super::DEFAULT;
use super::mistake::{Mistakes, Origin};
use super::read::{auth, ingest, listen, rule, socketio, table};

/// What flags set, by key.
pub(crate) type Flags = Vec<(&'static str, &'static str, Vec<String>)>;

/// The lists of sections, `[[name]]`, and the keys of each entry.
pub(super) const LISTS: [(&str, &[&[&str]]); 7] = [
    ("auth.key", &[auth::KEY_KEYS]),
    ("auth.user", &[auth::USER_KEYS]),
    ("rule", &[rule::KEYS]),
    ("ingest", &[ingest::KEYS, ingest::feed::KEYS, ingest::flow::KEYS]),
    ("table", &[table::KEYS]),
    ("push", &[socketio::KEYS]),
    ("event", &[&["name", "table", "on", "fields", "as_text", "where"]]),
];

/// What begins the name of every environment variable that sets a key.
const PREFIX: &str = "ROWCAST__";

/// One value and where it was set.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// One entry of a list of sections. A key of it may hold a section itself.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) origin: Origin,
    pub(super) settings: BTreeMap<String, Setting>,
}

/// All layers, merged.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layers {
    /// By dotted key. Has every key of the defaults.
    pub(super) settings: BTreeMap<String, Setting>,
    /// By the list's name, in order.
    pub(super) lists: BTreeMap<&'static str, Vec<Entry>>,
    /// What was wrong while reading; values that make no sense come on top.
    pub(super) mistakes: Mistakes,
}

impl Layers {
    /// The entries of a list of sections.
    pub(super) fn list(&self, name: &str) -> &[Entry] {
        self.lists.get(name).map_or(&[], Vec::as_slice)
    }

    /// The defaults alone.
    pub(crate) fn defaults() -> Self {
        let mut layers = Self::default();
        let document = Document::parse(DEFAULT).expect("the default configuration is TOML");
        layers.merge_defaults(document.as_table(), "");
        layers
    }

    /// Lays a file over what is there. A file that cannot be read is a mistake, too.
    pub(crate) fn file(&mut self, path: &Path) {
        let shown: Arc<str> = path.display().to_string().into();
        match std::fs::read_to_string(path) {
            Ok(text) => self.text(&shown, &text),
            Err(error) => {
                let origin = Origin::Flag("--config");
                self.mistakes.push(&origin, "", format!("{shown} cannot be read: {error}"), "");
            }
        }
    }

    /// Lays a file's text over what is there.
    pub(crate) fn text(&mut self, path: &Arc<str>, text: &str) {
        let at = |span: Option<Range<usize>>| {
            let start = span.map_or(0, |span| span.start).min(text.len());
            Origin::File {
                path: Arc::clone(path),
                line: 1 + text.as_bytes()[..start].iter().filter(|b| **b == b'\n').count(),
            }
        };
        match Document::parse(text) {
            Ok(document) => self.merge_table(document.as_table(), "", &at),
            Err(error) => {
                let what = error.message().trim().replace('\n', ", ");
                self.mistakes.push(&at(error.span()), "", format!("this is not TOML: {what}"), "");
            }
        }
    }

    /// Lays environment variables over what is there; those that do not begin with `ROWCAST__` are not looked at.
    pub(crate) fn environment(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        for (name, text) in variables {
            let Some(path) = name.strip_prefix(PREFIX) else { continue };
            let key = path.to_ascii_lowercase().replace("__", ".");
            let origin = Origin::Environment(name);
            if let Some(list) = list_of(&key) {
                self.list_from_environment(list, &text, &origin);
            } else if self.knows(&key, &origin) {
                let value =
                    self.settings.get(&key).map_or_else(|| text.as_str().into(), |default| like(&default.value, &text));
                self.set(key, value, origin);
            }
        }
    }

    /// Lays flags over what is there.
    pub(crate) fn flags(&mut self, flags: Flags) {
        for (flag, key, values) in flags {
            let value = match self.settings.get(key) {
                Some(Setting { value: Value::Array(_), .. }) => Value::Array(values.into_iter().collect()),
                _ => values.into_iter().next_back().unwrap_or_default().into(),
            };
            self.set(key.to_owned(), value, Origin::Flag(flag));
        }
    }

    /// Lays one value over what is there, as a command means it.
    pub(crate) fn say(&mut self, command: &'static str, key: &str, value: impl Into<Value>) {
        self.set(key.to_owned(), value.into(), Origin::Flag(command));
    }

    fn set(&mut self, key: String, value: Value, origin: Origin) {
        self.settings.insert(key, Setting { value, origin });
    }

    fn merge_defaults(&mut self, table: &dyn TableLike, prefix: &str) {
        for (name, item) in table.iter() {
            let key = format!("{prefix}{name}");
            match item {
                Item::Value(value) => self.set(key, value.clone(), Origin::Default),
                item => {
                    let section = item.as_table_like().expect("the default configuration has values and sections");
                    self.merge_defaults(section, &format!("{key}."));
                }
            }
        }
    }

    fn merge_table(&mut self, table: &dyn TableLike, prefix: &str, at: &dyn Fn(Option<Range<usize>>) -> Origin) {
        for (name, item) in table.iter() {
            let key = format!("{prefix}{name}");
            let origin = at(table.key(name).and_then(|key| key.span()).or_else(|| item.span()));
            if let Some(list) = list_of(&key) {
                self.merge_list(list, item, &origin, at);
            } else if let (listen::KEY, Item::ArrayOfTables(sections)) = (key.as_str(), item) {
                // Sections of a list that may be one of plain texts, too.
                let sections = sections.iter().map(|section| Value::InlineTable(section.clone().into_inline_table()));
                self.set(key, Value::Array(sections.collect()), origin);
            } else if self.is_section(&key) {
                match item.as_table_like() {
                    Some(section) => self.merge_table(section, &format!("{key}."), at),
                    None => {
                        self.mistakes.push(&origin, &key, "this is a section, not a value", format!("write [{key}]"))
                    }
                }
            } else if item.is_table() && !self.settings.contains_key(&key) {
                let sections =
                    self.settings.keys().filter_map(|known| known.split_once('.')).map(|(section, _)| section);
                let fix = did_you_mean(&key, sections.chain(LISTS.map(|(name, _)| name)));
                self.mistakes.push(&origin, &key, "there is no such section", fix);
            } else if self.knows(&key, &origin) {
                // Where names are the operator's own, a section is the same as an inline table.
                let is_table = |known: &Setting| matches!(known.value, Value::InlineTable(_));
                let written = match self.settings.get(&key).is_some_and(is_table) {
                    true => item.clone().into_value().ok(),
                    false => item.as_value().cloned(),
                };
                match written {
                    Some(value) => self.set(key, value, origin),
                    None => {
                        self.mistakes.push(&origin, &key, "this is a value, not a section", format!("write {key} = …"))
                    }
                }
            }
        }
    }

    fn merge_list(&mut self, list: List, item: &Item, origin: &Origin, at: &dyn Fn(Option<Range<usize>>) -> Origin) {
        let (list, keys) = (list.0, list.1.concat());
        let entries: Option<Vec<&dyn TableLike>> = match item {
            Item::ArrayOfTables(entries) => Some(entries.iter().map(|entry| entry as &dyn TableLike).collect()),
            Item::Value(Value::Array(entries)) => {
                entries.iter().map(|entry| entry.as_inline_table().map(|entry| entry as &dyn TableLike)).collect()
            }
            _ => None,
        };
        let Some(entries) = entries else {
            let fix = format!("write [[{list}]] before each");
            return self.mistakes.push(origin, list, "this is a list of sections", fix);
        };
        for (number, entry) in entries.into_iter().enumerate() {
            let begin = entry.iter().next().and_then(|(name, _)| entry.key(name)).and_then(|key| key.span());
            let mut settings = BTreeMap::new();
            for (name, item) in entry.iter() {
                let origin = at(entry.key(name).and_then(|key| key.span()));
                let key = format!("{list}[{number}].{name}");
                // A section within an entry is the same as an inline table.
                let value = item.clone().into_value().ok();
                if !keys.contains(&name) {
                    let fix = did_you_mean(name, keys.iter().copied());
                    self.mistakes.push(&origin, &key, "there is no such key", fix);
                } else if let Some(value) = value {
                    settings.insert(name.to_owned(), Setting { value, origin });
                }
            }
            let origin = begin.map_or_else(|| origin.clone(), |span| at(Some(span)));
            self.lists.entry(list).or_default().push(Entry { origin, settings });
        }
    }

    /// `ROWCAST__INGEST` holds the whole list, as TOML.
    fn list_from_environment(&mut self, list: List, text: &str, origin: &Origin) {
        let name = list.0;
        let toml = format!("list = {text}");
        match Document::parse(toml.as_str()) {
            Ok(document) => {
                self.lists.remove(name);
                let always = |_| origin.clone();
                document.as_table().iter().for_each(|(_, item)| self.merge_list(list, item, origin, &always));
            }
            Err(error) => self.mistakes.push(
                origin,
                name,
                format!("this is not TOML: {}", error.message().trim().replace('\n', ", ")),
                r#"write [{ name = "a", … }]"#,
            ),
        }
    }

    fn is_section(&self, key: &str) -> bool {
        self.settings.keys().any(|known| known.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')))
    }

    fn knows(&mut self, key: &str, origin: &Origin) -> bool {
        let known = self.settings.contains_key(key);
        if !known {
            let fix = did_you_mean(key, self.settings.keys().map(String::as_str).chain(LISTS.map(|(name, _)| name)));
            self.mistakes.push(origin, key, "there is no such key", fix);
        }
        known
    }
}

type List = (&'static str, &'static [&'static [&'static str]]);

fn list_of(key: &str) -> Option<List> {
    LISTS.into_iter().find(|(name, _)| *name == key)
}

/// A variable's text as the type that its key has; as text where it is none of it, to be told later.
fn like(default: &Value, text: &str) -> Value {
    let text = text.trim();
    let read = match default {
        Value::Integer(_) => text.replace('_', "").parse::<i64>().ok().map(Value::from),
        Value::Boolean(_) => text.parse::<bool>().ok().map(Value::from),
        Value::InlineTable(_) => text.parse::<Value>().ok(),
        Value::Array(_) if text.starts_with('[') => text.parse::<Value>().ok(),
        Value::Array(_) => Some(text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect::<Value>()),
        _ => None,
    };
    read.unwrap_or_else(|| text.into())
}

/// Names the key that was probably meant: one that sounds alike, or the same name in its right section.
pub(super) fn did_you_mean<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> String {
    let leaf = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let likeness = |other: &str| {
        let whole = strsim::jaro_winkler(key, other);
        if leaf(other) == leaf(key) { whole.max(0.95) } else { whole }
    };
    let best = known.map(|other| (likeness(other), other)).max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((likeness, near)) if likeness > 0.8 => format!("did you mean {near}?"),
        _ => "`rowcast config --default` lists all keys".into(),
    }
}
