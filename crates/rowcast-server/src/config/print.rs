//! What holds, as TOML that means the same when it is read, with where each value comes from.

use std::fmt::Write;

use toml_edit::Value;

use super::layers::Layers;
use super::mistake::Origin;
use super::without_password;

impl Layers {
    /// The effective configuration. Passwords in URLs, and secrets, are hidden.
    pub(crate) fn print(&self) -> String {
        let mut out = String::new();
        let (top, sections): (Vec<_>, Vec<_>) = self.settings.iter().partition(|(key, _)| !key.contains('.'));
        for (key, setting) in top {
            line(&mut out, key, &setting.value, &setting.origin);
        }
        let mut current = "";
        for (key, setting) in sections {
            let (section, name) = key.split_once('.').expect("a key of a section has a dot");
            if section != current {
                let _ = write!(out, "\n[{section}]\n");
                current = section;
            }
            line(&mut out, name, &setting.value, &setting.origin);
        }
        for (list, entry) in self.lists.iter().flat_map(|(list, entries)| entries.iter().map(move |e| (list, e))) {
            let _ = write!(out, "\n[[{list}]]\n");
            for (name, setting) in &entry.settings {
                line(&mut out, name, &setting.value, &setting.origin);
            }
        }
        out
    }
}

/// Keys whose texts nobody should read. What only names a secret (`${NAME}`) is shown.
const SECRETS: [&str; 9] = ["headers", "body", "send", "auth", "password", "password_hash", "secret", "private", "jwk"];

fn hidden(value: &Value) -> Value {
    match value {
        Value::String(text) if !text.value().contains("${") && !text.value().is_empty() => Value::from("***"),
        Value::Array(items) => Value::Array(items.iter().map(hidden).collect()),
        Value::InlineTable(table) => {
            Value::InlineTable(table.iter().map(|(name, value)| (name, hidden(value))).collect())
        }
        other => other.clone(),
    }
}

fn line(out: &mut String, key: &str, value: &Value, origin: &Origin) {
    let value = match value.as_str() {
        _ if SECRETS.contains(&key) => hidden(value),
        Some(text) if key.ends_with("secret") && !text.is_empty() => Value::from("***"),
        Some(text) => Value::from(without_password(text)),
        None => value.clone(),
    };
    let value = value.decorated("", "").to_string().replace('\n', " ");
    let _ = match origin {
        Origin::Default => writeln!(out, "{key} = {value}"),
        origin => writeln!(out, "{key} = {value}  # {origin}"),
    };
}
