//! Values of an entry that are more than a text; and texts that name their secrets instead of holding them.

use rowcast::ingest::pull::Secret;
use toml_edit::Value;

use super::super::super::shown;
use super::{Keys, Unclear};

/// A text with `${NAME}` replaced by that environment variable, and `${file:PATH}` by what that file holds.
pub(in crate::config) fn expanded(text: &str) -> Result<String, Unclear> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let Some((name, behind)) = after.split_once('}') else {
            return Err(Unclear { what: "a `${` is not closed".into(), fix: "write ${NAME} or ${file:PATH}".into() });
        };
        out.push_str(&secret(name)?);
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}

fn secret(name: &str) -> Result<String, Unclear> {
    if let Some(path) = name.strip_prefix("file:") {
        let read = std::fs::read_to_string(path);
        let read =
            read.map_err(|error| Unclear { what: format!("{path} cannot be read: {error}"), fix: String::new() })?;
        return Ok(read.trim_end().to_owned());
    }
    std::env::var(name).map_err(|_| Unclear {
        what: format!("the environment has no text called {name}"),
        fix: "set it, or write ${file:PATH}".into(),
    })
}

impl Keys<'_, '_> {
    /// A text that may name secrets. `None` only where something was noted.
    pub(super) fn optional(&mut self, name: &str) -> Option<Option<String>> {
        self.text_or(name, None, |text| expanded(text).map(Some))
    }

    /// A list of texts, empty where the key is not there.
    pub(super) fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        let Some(value) = self.value(name) else { return Some(Vec::new()) };
        let texts = value.as_array().and_then(|items| items.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
        let Some(texts) = texts else {
            self.wrong(name, "expected a list of texts", r#"write ["…", "…"]"#);
            return None;
        };
        let read: Result<Vec<String>, Unclear> = texts.into_iter().map(expanded).collect();
        read.map_err(|unclear| self.wrong(name, unclear.what, unclear.fix)).ok()
    }

    /// As [`texts`](Self::texts), never printed.
    pub(super) fn secrets(&mut self, name: &str) -> Option<Vec<Secret>> {
        self.texts(name).map(|texts| texts.into_iter().map(Secret::from).collect())
    }

    /// Names with texts, none where the key is not there.
    pub(super) fn pairs(&mut self, name: &str) -> Option<Vec<(String, String)>> {
        let Some(value) = self.value(name) else { return Some(Vec::new()) };
        let pairs = value.as_inline_table().and_then(|table| {
            table.iter().map(|(key, value)| Some((key, value.as_str()?))).collect::<Option<Vec<_>>>()
        });
        let Some(pairs) = pairs else {
            self.wrong(name, "expected names with texts", r#"write { name = "…" }"#);
            return None;
        };
        let read: Result<Vec<_>, Unclear> =
            pairs.into_iter().map(|(key, text)| Ok((key.to_owned(), expanded(text)?))).collect();
        read.map_err(|unclear| self.wrong(name, unclear.what, unclear.fix)).ok()
    }

    /// An object, as JSON.
    pub(super) fn json(&mut self, name: &str) -> Option<Option<Secret>> {
        let Some(value) = self.value(name) else { return Some(None) };
        if value.as_inline_table().is_none() {
            self.wrong(name, "expected an object", r#"write { token = "…" }"#);
            return None;
        }
        let json = json(value).map_err(|unclear| self.wrong(name, unclear.what, unclear.fix)).ok()?;
        Some(Some(Secret::from(json.to_string())))
    }

    pub(super) fn number_or(&mut self, name: &str, default: u64, least: u64, most: u64) -> Option<u64> {
        let Some(value) = self.value(name) else { return Some(default) };
        let number = value.as_integer().and_then(|n| u64::try_from(n).ok()).filter(|n| (least..=most).contains(n));
        if number.is_none() {
            self.wrong(name, format!("expected a number, {least} to {most}, got {}", shown(value)), "");
        }
        number
    }

    pub(super) fn yes_or(&mut self, name: &str, default: bool) -> Option<bool> {
        let Some(value) = self.value(name) else { return Some(default) };
        let yes = value.as_bool();
        if yes.is_none() {
            self.wrong(name, format!("expected true or false, got {}", shown(value)), "");
        }
        yes
    }
}

fn json(value: &Value) -> Result<serde_json::Value, Unclear> {
    Ok(match value {
        Value::String(text) => expanded(text.value())?.into(),
        Value::Integer(number) => (*number.value()).into(),
        Value::Float(number) => (*number.value()).into(),
        Value::Boolean(truth) => (*truth.value()).into(),
        Value::Datetime(moment) => moment.value().to_string().into(),
        Value::Array(items) => serde_json::Value::Array(items.iter().map(json).collect::<Result<_, _>>()?),
        Value::InlineTable(table) => serde_json::Value::Object(
            table.iter().map(|(name, value)| Ok((name.to_owned(), json(value)?))).collect::<Result<_, Unclear>>()?,
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_come_from_the_environment_and_from_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        std::fs::write(&path, "abc\n").expect("written");
        assert_eq!(expanded(&format!("Bearer ${{file:{}}}!", path.display())), Ok("Bearer abc!".into()));
        assert_eq!(expanded("a $ b"), Ok("a $ b".into()));
        assert!(expanded("${PATH}").is_ok_and(|path| !path.is_empty()));
        assert!(expanded("${ROWCAST_NO_SUCH_THING}").is_err() && expanded("${x").is_err());
    }
}
