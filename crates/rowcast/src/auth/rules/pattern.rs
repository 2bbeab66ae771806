//! Which channels a rule is about: `room:{room}`, `notify:orders`, `event:*`.

use regex::Regex;

use super::Taken;
use crate::event::{Column, Table, TableName};

/// `{name}` takes one or more characters other than `:` and `/`, `*` any characters; everything else stands for itself.
#[derive(Debug)]
pub struct Pattern {
    regex: Regex,
    names: Vec<String>,
}

/// A pattern that is none, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(pub String);

impl Pattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let kinds = ["room:", "notify:", "event:"];
        if !kinds.iter().any(|kind| text.starts_with(kind)) {
            return Err(PatternError(format!(
                "{text:?} is no pattern of channels: rooms, NOTIFY and events have rules of this kind"
            )));
        }
        let (mut regex, mut names, mut rest) = (String::from("^"), Vec::new(), text);
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            match c {
                '*' => regex.push_str("(?s:.*)"),
                '{' => {
                    let (name, after) = rest.split_once('}').ok_or_else(|| PatternError("`{` is not closed".into()))?;
                    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
                    if name.is_empty() || !name.chars().all(plain) {
                        return Err(PatternError(format!("`{{{name}}}` is no name: write letters, digits and `_`")));
                    }
                    if names.iter().any(|known| known == name) {
                        return Err(PatternError(format!("`{{{name}}}` stands there twice")));
                    }
                    names.push(name.to_owned());
                    regex.push_str("([^:/]+)");
                    rest = after;
                }
                c => regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
            }
        }
        regex.push('$');
        let regex = Regex::new(&regex).map_err(|error| PatternError(error.to_string()))?;
        Ok(Self { regex, names })
    }

    /// What the names take of a channel; `None` where it is another one.
    pub(super) fn take(&self, channel: &str) -> Option<Taken> {
        let captures = self.regex.captures(channel)?;
        let values = captures.iter().skip(1).map(|found| found.map_or("", |found| found.as_str()).to_owned()).collect();
        Some(Taken { values, ..self.empty() })
    }

    /// The names alone.
    pub(super) fn empty(&self) -> Taken {
        let column = |name: &String| Column { name: name.as_str().into(), declared: "TEXT".into() };
        let columns = self.names.iter().map(column).collect();
        Taken { table: Table { name: TableName::bare(""), columns, key: Vec::new() }, values: Vec::new() }
    }
}
