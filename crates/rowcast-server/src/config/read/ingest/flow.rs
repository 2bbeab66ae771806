//! What becomes of the records of an `[[ingest]]` on their way to the table.

use std::time::Duration;

use rowcast::ingest::coerce::Extra;
use rowcast::ingest::once::{OnConflict, Once, RecordKey};
use rowcast::ingest::shape::{Column, Computed, Limits, Schema, Shape, TimeUnit};
use toml_edit::{InlineTable, Value};

use super::super::super::units::{self, Unclear};
use super::super::{sentence, shown};
use super::Keys;

/// The keys that say what becomes of records.
pub(in crate::config) const KEYS: &[&str] =
    &["key", "conflict", "conflict_columns", "rename", "columns", "computed", "schema", "extra", "spool_bytes"];

/// The least that a spool can be told to hold.
const SPOOL_BYTES_MIN: u64 = 64 << 10;

/// A way from a source to a table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flow {
    pub(crate) shape: Shape,
    pub(crate) once: Once,
    pub(crate) spool_bytes: Option<u64>,
}

impl Keys<'_, '_> {
    pub(super) fn flow(&mut self) -> Option<Flow> {
        let key = self.record_key();
        let conflict = self.conflict();
        let rename = self.texts_by_name("rename", |text| Ok(text.to_owned()));
        let columns = self.column_rules();
        let computed = self.texts_by_name("computed", |text| Computed::parse(text).map_err(sentence));
        let schema = self.schema();
        let extra = self.text_or("extra", Extra::Ignore, |text| match text {
            "ignore" => Ok(Extra::Ignore),
            "refuse" => Ok(Extra::Refuse),
            _ => Err(unclear(text, r#"write "ignore" or "refuse""#)),
        });
        let spool_bytes = self.spool_bytes();
        let shape = Shape { schema: schema?, rename: rename?, columns: columns?, computed: computed?, extra: extra? };
        Some(Flow { shape, once: Once { key: key?, conflict: conflict? }, spool_bytes: spool_bytes? })
    }

    fn record_key(&mut self) -> Option<RecordKey> {
        let fix = r#"write the names of fields, ["device", "seq"], or "content" or "position""#;
        match self.value("key") {
            None => Some(RecordKey::None),
            Some(Value::Array(_)) => match self.field_names("key") {
                Some(names) if names.is_empty() => {
                    self.wrong("key", "names no field", fix);
                    None
                }
                names => names.map(RecordKey::Fields),
            },
            Some(_) => self.text("key", |text| match text {
                "none" => Ok(RecordKey::None),
                "content" => Ok(RecordKey::Content),
                "position" => Ok(RecordKey::Position),
                _ => Err(unclear(text, fix)),
            }),
        }
    }

    fn conflict(&mut self) -> Option<OnConflict> {
        let columns = if self.has("conflict_columns") { self.field_names("conflict_columns")? } else { Vec::new() };
        if self.has("conflict_columns") && !self.has("conflict") {
            self.wrong(
                "conflict_columns",
                "there is no `conflict` that they are for",
                r#"write conflict = "ignore" or "update""#,
            );
            return None;
        }
        self.text_or("conflict", OnConflict::Refuse, |text| match text {
            "refuse" => Ok(OnConflict::Refuse),
            "ignore" => Ok(OnConflict::Ignore(columns)),
            "update" => Ok(OnConflict::Update(columns)),
            _ => Err(unclear(text, r#"write "refuse", "ignore" or "update""#)),
        })
    }

    fn schema(&mut self) -> Option<Option<Schema>> {
        let value = self.value("schema");
        match value {
            None => return Some(None),
            Some(Value::InlineTable(table)) => {
                let schema = Schema::parse(&json(&Value::InlineTable(table.clone())).to_string());
                return schema.map(Some).map_err(|error| self.wrong("schema", error.to_string(), "")).ok();
            }
            Some(_) => {}
        }
        let schema = self.text("schema", |text| {
            if text.trim_start().starts_with('{') {
                return Schema::parse(text).map_err(sentence);
            }
            let json = std::fs::read_to_string(text).map_err(|error| Unclear {
                what: format!("{text} cannot be read: {error}"),
                fix: "name a file, or write the schema itself".into(),
            })?;
            Schema::parse(&json).map_err(|error| Unclear { what: format!("{text}: {error}"), fix: String::new() })
        });
        schema.map(Some)
    }

    fn spool_bytes(&mut self) -> Option<Option<u64>> {
        let Some(value) = self.value("spool_bytes") else { return Some(None) };
        let read = match value.as_integer() {
            Some(number) => units::bytes(&number.to_string()),
            None => units::bytes(value.as_str().unwrap_or(&shown(value))),
        };
        match read {
            Ok(bytes) if bytes >= SPOOL_BYTES_MIN => return Some(Some(bytes)),
            Ok(_) => self.wrong("spool_bytes", format!("{} is too little", shown(value)), "at least 64KiB"),
            Err(unclear) => self.wrong("spool_bytes", unclear.what, unclear.fix),
        }
        None
    }

    /// A list of texts.
    fn field_names(&mut self, name: &str) -> Option<Vec<String>> {
        let value = self.value(name)?;
        let names = value
            .as_array()
            .and_then(|array| array.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>());
        if names.is_none() {
            self.wrong(name, format!("expected a list of texts, got {}", shown(value)), r#"write ["…", "…"]"#);
        }
        names
    }

    fn section(&mut self, name: &str) -> Option<Option<InlineTable>> {
        match self.value(name) {
            None => Some(None),
            Some(Value::InlineTable(table)) => Some(Some(table.clone())),
            Some(value) => {
                self.wrong(name, format!("expected a section, got {}", shown(value)), format!("write [ingest.{name}]"));
                None
            }
        }
    }

    /// A section whose values are texts.
    fn texts_by_name<T>(&mut self, name: &str, read: impl Fn(&str) -> Result<T, Unclear>) -> Option<Vec<(String, T)>> {
        let Some(table) = self.section(name)? else { return Some(Vec::new()) };
        let mut all = Some(Vec::new());
        for (column, value) in &table {
            let key = format!("{name}.{column}");
            let read = match value.as_str() {
                Some(text) => read(text),
                None => Err(Unclear { what: format!("expected text, got {}", shown(value)), fix: String::new() }),
            };
            match read {
                Ok(read) => {
                    if let Some(all) = &mut all {
                        all.push((column.to_owned(), read));
                    }
                }
                Err(unclear) => {
                    self.wrong(&key, unclear.what, unclear.fix);
                    all = None;
                }
            }
        }
        all
    }

    /// What `[ingest.columns.NAME]` ask of columns.
    fn column_rules(&mut self) -> Option<Vec<(String, Column)>> {
        let Some(table) = self.section("columns")? else { return Some(Vec::new()) };
        let mut all = Some(Vec::new());
        for (column, value) in &table {
            let key = format!("columns.{column}");
            let Some(rules) = value.as_inline_table() else {
                self.wrong(&key, format!("expected a section, got {}", shown(value)), format!("write [ingest.{key}]"));
                all = None;
                continue;
            };
            let Some(limits) = self.limits(&key, rules) else {
                all = None;
                continue;
            };
            match Column::new(limits) {
                Ok(made) => {
                    if let Some(all) = &mut all {
                        all.push((column.to_owned(), made));
                    }
                }
                Err(error) => {
                    self.wrong(&key, error.to_string(), "");
                    all = None;
                }
            }
        }
        all
    }

    fn limits(&mut self, key: &str, rules: &InlineTable) -> Option<Limits> {
        let mut limits = Limits::default();
        let mut well = true;
        for (name, value) in rules {
            if let Err(unclear) = limit(&mut limits, name, value) {
                self.wrong(&format!("{key}.{name}"), unclear.what, unclear.fix);
                well = false;
            }
        }
        well.then_some(limits)
    }
}

/// The names of what can be asked of a column.
const RULES: &str = "there are required, min, max, matches, one_of, length_max, max_age, max_future and unit";

fn limit(limits: &mut Limits, name: &str, value: &Value) -> Result<(), Unclear> {
    let expected = |what: &str| Unclear { what: format!("expected {what}, got {}", shown(value)), fix: String::new() };
    let number = || value.as_float().or_else(|| value.as_integer().map(|n| n as f64));
    let duration =
        || -> Result<Option<Duration>, Unclear> { units::duration(value.as_str().unwrap_or(&shown(value))).map(Some) };
    match name {
        "required" => limits.required = value.as_bool().ok_or_else(|| expected("true or false"))?,
        "min" => limits.min = Some(number().ok_or_else(|| expected("a number"))?),
        "max" => limits.max = Some(number().ok_or_else(|| expected("a number"))?),
        "matches" => {
            limits.matches = Some(value.as_str().ok_or_else(|| expected("a regular expression as text"))?.to_owned());
        }
        "one_of" => {
            let texts = value.as_array().and_then(|array| array.iter().map(plain).collect::<Option<Vec<_>>>());
            limits.one_of =
                texts.filter(|texts| !texts.is_empty()).ok_or_else(|| expected("a list of texts or numbers"))?;
        }
        "length_max" => {
            let length = value.as_integer().and_then(|n| usize::try_from(n).ok());
            limits.length_max = Some(length.ok_or_else(|| expected("a number of characters"))?);
        }
        "max_age" => limits.max_age = duration()?,
        "max_future" => limits.max_future = duration()?,
        "unit" => {
            limits.unit = Some(match value.as_str() {
                Some("ms") => TimeUnit::Milliseconds,
                Some("s") => TimeUnit::Seconds,
                Some("iso") => TimeUnit::Iso,
                _ => return Err(expected(r#""ms", "s" or "iso""#)),
            });
        }
        _ => return Err(Unclear { what: "there is no such rule".into(), fix: RULES.into() }),
    }
    Ok(())
}

/// A text, or a number as text.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.value().clone()),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => Some(shown(value)),
        _ => None,
    }
}

/// A value of TOML as JSON.
fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::String(text) => text.value().as_str().into(),
        Value::Integer(n) => (*n.value()).into(),
        Value::Float(x) => (*x.value()).into(),
        Value::Boolean(b) => (*b.value()).into(),
        Value::Datetime(time) => time.value().to_string().into(),
        Value::Array(items) => items.iter().map(json).collect(),
        Value::InlineTable(table) => {
            serde_json::Value::Object(table.iter().map(|(name, value)| (name.to_owned(), json(value))).collect())
        }
    }
}

fn unclear(text: &str, fix: &str) -> Unclear {
    Unclear { what: format!("{text:?} is not one of the choices"), fix: fix.into() }
}
