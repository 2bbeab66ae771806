//! `[[table]]`: tables that are made where they are not there, column by column in the order of the file.
//!
//! A column is a text, `"text(255) required"`, or a section, `{ type = "text(255)", required = true, default = "none" }`.

use rowcast::event::TableName;
use rowcast::store::{ColumnDefault, ColumnKind, ColumnSpec, TableSpec};
use toml_edit::Value;

use super::super::units::Unclear;
use super::ingest::Keys;
use super::{Reader, sentence, shown};

/// The keys of an entry.
pub(in crate::config) const KEYS: &[&str] = &["name", "columns", "key", "unique", "index"];

/// Every type, as it is written.
const KINDS: [(&str, ColumnKind); 11] = [
    ("id", ColumnKind::Id),
    ("text", ColumnKind::Text(None)),
    ("integer", ColumnKind::Integer),
    ("real", ColumnKind::Real),
    ("decimal", ColumnKind::Decimal(10, 2)),
    ("boolean", ColumnKind::Boolean),
    ("timestamp", ColumnKind::Timestamp),
    ("date", ColumnKind::Date),
    ("json", ColumnKind::Json),
    ("bytes", ColumnKind::Bytes),
    ("uuid", ColumnKind::Uuid),
];

/// What databases call them.
const ALIASES: [(&str, &str); 22] = [
    ("autoincrement", "id"),
    ("bigint", "integer"),
    ("bigserial", "id"),
    ("binary", "bytes"),
    ("blob", "bytes"),
    ("bool", "boolean"),
    ("bytea", "bytes"),
    ("char", "text"),
    ("datetime", "timestamp"),
    ("double", "real"),
    ("double precision", "real"),
    ("float", "real"),
    ("int", "integer"),
    ("int8", "integer"),
    ("jsonb", "json"),
    ("numeric", "decimal"),
    ("serial", "id"),
    ("smallint", "integer"),
    ("string", "text"),
    ("time", "timestamp"),
    ("timestamptz", "timestamp"),
    ("varchar", "text"),
];

impl Reader<'_> {
    pub(super) fn tables(&mut self) -> Vec<TableSpec> {
        let layers = self.layers;
        let mut all: Vec<TableSpec> = Vec::new();
        for (number, entry) in layers.list("table").iter().enumerate() {
            let mut keys = Keys { reader: self, list: "table", number, entry };
            let Some(table) = keys.table() else { continue };
            if all.iter().any(|known| known.name == table.name) {
                keys.wrong(
                    "name",
                    format!("there is another table called `{}`", table.name),
                    "describe each table once",
                );
            } else if let Err(what) = table.check() {
                keys.wrong("columns", what, "");
            }
            all.push(table);
        }
        all
    }
}

impl Keys<'_, '_> {
    fn table(&mut self) -> Option<TableSpec> {
        self.required(&["name", "columns"], "every [[table]] has name and columns");
        let name = self.text("name", |text| text.parse::<TableName>().map_err(sentence));
        let columns = self.columns();
        let key = self.names("key");
        let (unique, index) = (self.lists("unique"), self.lists("index"));
        Some(TableSpec { name: name?, columns: columns?, key: key?, unique: unique?, index: index? })
    }

    fn columns(&mut self) -> Option<Vec<ColumnSpec>> {
        let value = self.value("columns")?;
        let Some(columns) = value.as_inline_table() else {
            self.wrong(
                "columns",
                format!("expected a section, got {}", shown(value)),
                r#"write columns = { id = "id", time = "text(255) required" }"#,
            );
            return None;
        };
        let mut read = Vec::new();
        for (name, value) in columns.iter() {
            match column(name, value) {
                Ok(column) => read.push(column),
                Err(unclear) => {
                    let (origin, key) = (self.origin("columns"), self.key(&format!("columns.{name}")));
                    self.reader.mistakes.push(&origin, &key, unclear.what, unclear.fix);
                }
            }
        }
        (read.len() == columns.len()).then_some(read)
    }

    /// `["a", "b"]`, or `"a"` alone.
    fn names(&mut self, key: &str) -> Option<Vec<String>> {
        let Some(value) = self.value(key) else { return Some(Vec::new()) };
        let read = names(value);
        if read.is_none() {
            self.wrong(key, format!("expected columns, got {}", shown(value)), r#"write for example ["a", "b"]"#);
        }
        read
    }

    /// `[["a", "b"], "c"]`: two of them.
    fn lists(&mut self, key: &str) -> Option<Vec<Vec<String>>> {
        let Some(value) = self.value(key) else { return Some(Vec::new()) };
        let read = value.as_array().and_then(|list| list.iter().map(names).collect());
        if read.is_none() {
            let fix = r#"write for example ["a"] for one over a, [["a", "b"]] for one over both"#;
            self.wrong(key, format!("expected a list of columns, got {}", shown(value)), fix);
        }
        read
    }
}

fn names(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(name) => Some(vec![name.value().clone()]),
        Value::Array(names) => names.iter().map(|name| name.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

fn column(name: &str, value: &Value) -> Result<ColumnSpec, Unclear> {
    match value {
        Value::String(text) => short(name, text.value()),
        Value::InlineTable(table) => {
            let wrong = |key: &str, value: &Value, what| Unclear {
                what: format!("{key} is {}, not {what}", shown(value)),
                fix: String::new(),
            };
            let unknown = table.iter().map(|(key, _)| key).find(|key| !["type", "required", "default"].contains(key));
            if let Some(key) = unknown {
                return unclear(format!("a column has no {key:?}"), "it has type, required and default");
            }
            let Some(written) = table.get("type") else {
                return unclear("its type is missing", r#"write { type = "text(255)", required = true }"#);
            };
            let kind = kind(written.as_str().ok_or_else(|| wrong("type", written, "a text"))?)?;
            let required = match table.get("required") {
                None => false,
                Some(value) => value.as_bool().ok_or_else(|| wrong("required", value, "true or false"))?,
            };
            let default = match table.get("default") {
                None => None,
                Some(value) => Some(default(kind, value).ok_or_else(|| wrong("default", value, "a value"))?),
            };
            Ok(ColumnSpec { name: name.to_owned(), kind, required, default })
        }
        value => unclear(
            format!("expected a type, got {}", shown(value)),
            r#"write for example "integer", "text(255) required" or "timestamp required default now""#,
        ),
    }
}

/// `TYPE [required] [default VALUE]`
fn short(name: &str, text: &str) -> Result<ColumnSpec, Unclear> {
    let (rest, default) = match text.split_once(" default ") {
        Some((rest, default)) => (rest, Some(default.trim())),
        None => (text, None),
    };
    let (written, required) = match rest.trim().strip_suffix(" required") {
        Some(written) => (written.trim(), true),
        None => (rest.trim(), false),
    };
    let kind = kind(written)?;
    let default = default.map(|text| match (kind, text) {
        (ColumnKind::Timestamp, "now") => ColumnDefault::Now,
        (ColumnKind::Boolean, "true" | "false") => ColumnDefault::Boolean(text == "true"),
        (ColumnKind::Integer | ColumnKind::Real | ColumnKind::Decimal(..), number) => {
            ColumnDefault::Number(number.into())
        }
        (_, text) => ColumnDefault::Text(text.into()),
    });
    Ok(ColumnSpec { name: name.to_owned(), kind, required, default })
}

fn default(kind: ColumnKind, value: &Value) -> Option<ColumnDefault> {
    Some(match value {
        Value::String(text) if kind == ColumnKind::Timestamp && text.value() == "now" => ColumnDefault::Now,
        // More digits than a number of TOML has.
        Value::String(text) if matches!(kind, ColumnKind::Decimal(..)) => ColumnDefault::Number(text.value().clone()),
        Value::String(text) => ColumnDefault::Text(text.value().clone()),
        Value::Integer(number) => ColumnDefault::Number(number.value().to_string()),
        Value::Float(number) => ColumnDefault::Number(number.value().to_string()),
        Value::Boolean(truth) => ColumnDefault::Boolean(*truth.value()),
        Value::Datetime(moment) => ColumnDefault::Text(moment.value().to_string()),
        Value::Array(_) | Value::InlineTable(_) => return None,
    })
}

fn kind(text: &str) -> Result<ColumnKind, Unclear> {
    let (name, sizes) = match text.split_once('(') {
        Some((name, rest)) => (name.trim(), rest.strip_suffix(')')),
        None => (text, Some("")),
    };
    let Some(known) = KINDS.into_iter().find(|(known, _)| *known == name).map(|(_, kind)| kind) else {
        return unclear(format!("there is no type {name:?}"), suggestion(name));
    };
    let wrong = |fix: &str| unclear(format!("{text:?} is not a type"), fix);
    let numbers: Option<Vec<u32>> = match sizes {
        None => None,
        Some("") if text.ends_with(')') => None,
        Some("") => Some(Vec::new()),
        Some(sizes) => sizes.split(',').map(|size| size.trim().parse().ok()).collect(),
    };
    match (known, numbers.as_deref()) {
        (ColumnKind::Text(_), Some([length])) => Ok(ColumnKind::Text(Some(*length))),
        (ColumnKind::Decimal(..), Some([digits, scale])) => match (u8::try_from(*digits), u8::try_from(*scale)) {
            (Ok(digits), Ok(scale)) => Ok(ColumnKind::Decimal(digits, scale)),
            _ => wrong("write for example \"decimal(10,2)\""),
        },
        (ColumnKind::Decimal(..), _) => wrong("write for example \"decimal(10,2)\""),
        (ColumnKind::Text(_), None | Some([_, _, ..])) => wrong("write \"text\" or for example \"text(255)\""),
        (known, Some([])) => Ok(known),
        (known, _) => wrong(&format!("write \"{known}\"")),
    }
}

fn suggestion(name: &str) -> String {
    let lower = name.to_lowercase();
    if let Some((_, kind)) = ALIASES.into_iter().find(|(alias, _)| *alias == lower) {
        return format!("did you mean {kind}?");
    }
    let likeness = |kind: &str| strsim::jaro_winkler(&lower, kind);
    let best = KINDS.into_iter().map(|(kind, _)| (likeness(kind), kind)).max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((likeness, kind)) if likeness > 0.8 => format!("did you mean {kind}?"),
        _ => format!("the types are {}", KINDS.map(|(kind, _)| kind).join(", ")),
    }
}

fn unclear<T>(what: impl Into<String>, fix: impl Into<String>) -> Result<T, Unclear> {
    Err(Unclear { what: what.into(), fix: fix.into() })
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{config, mistakes};
    use super::*;
    use crate::config::DEFAULT;

    fn spec(name: &str, kind: ColumnKind, required: bool, default: Option<ColumnDefault>) -> ColumnSpec {
        ColumnSpec { name: name.into(), kind, required, default }
    }

    #[test]
    fn a_table_is_read_column_by_column_in_their_order() {
        let data = &config(
            "[[table]]\nname = 'Data'\nunique = [['time', 'speed'], 'id']\nindex = ['time']\n[table.columns]\nid = 'id'\n\
             time = 'text(255) required'\nspeed = { type = 'text(255)', required = true }\n\
             createdAt = { type = 'timestamp', required = true, default = 'now' }\nupdatedAt = 'timestamp required default now'\n\
             b = 'boolean default false'\na = 'decimal(10, 2) default 12.50'\nnote = 'text default not known'\n",
        )
        .tables[0];
        let text = ColumnKind::Text(Some(255));
        let now = || Some(ColumnDefault::Now);
        assert_eq!(
            data.columns,
            [
                spec("id", ColumnKind::Id, false, None),
                spec("time", text, true, None),
                spec("speed", text, true, None),
                spec("createdAt", ColumnKind::Timestamp, true, now()),
                spec("updatedAt", ColumnKind::Timestamp, true, now()),
                spec("b", ColumnKind::Boolean, false, Some(ColumnDefault::Boolean(false))),
                spec("a", ColumnKind::Decimal(10, 2), false, Some(ColumnDefault::Number("12.50".into()))),
                spec("note", ColumnKind::Text(None), false, Some(ColumnDefault::Text("not known".into()))),
            ]
        );
        assert_eq!(&*data.name.name, "Data");
        assert_eq!(data.unique, [vec!["time".to_owned(), "speed".to_owned()], vec!["id".to_owned()]]);
        assert_eq!((data.index.len(), data.key.len()), (1, 0));
    }

    #[test]
    fn what_is_wrong_with_a_table_is_told_by_line_and_column() {
        mistakes(
            "[[table]]\nname = 'a'\ncolumn = {}\n[[table]]\nname = 'b'\ncolumns = { x = 'varchar(9)', y = 'integr required', \
             z = { type = 'text', size = 3 }, w = 5, v = 'decimal' }\nindex = 'x'\n[[table]]\nname = 'c'\n\
             columns = { id = 'id', n = 'integer default many' }\n[[table]]\nname = 'd'\nkey = 'id'\ncolumns.x = 'integer'\n",
            &[
                "rowcast.toml:2: table[0].columns: this key is missing; every [[table]] has name and columns",
                "rowcast.toml:3: table[0].column: there is no such key; did you mean columns?",
                r#"rowcast.toml:6: table[1].columns.x: there is no type "varchar"; did you mean text?"#,
                r#"rowcast.toml:6: table[1].columns.y: there is no type "integr"; did you mean integer?"#,
                r#"rowcast.toml:6: table[1].columns.z: a column has no "size"; it has type, required and default"#,
                "rowcast.toml:6: table[1].columns.w: expected a type, got 5; write for example \"integer\", \
                 \"text(255) required\" or \"timestamp required default now\"",
                r#"rowcast.toml:6: table[1].columns.v: "decimal" is not a type; write for example "decimal(10,2)""#,
                "rowcast.toml:7: table[1].index: expected a list of columns, got \"x\"; write for example [\"a\"] for one \
                 over a, [[\"a\", \"b\"]] for one over both",
                "rowcast.toml:10: table[2].columns: column `n` of table `c`: its default does not fit a column of type `integer`",
                "rowcast.toml:14: table[3].columns: a key or index of table `d` names `id`, but its columns are `x`",
            ],
        );
    }

    #[test]
    fn the_example_in_the_defaults_is_without_mistakes() {
        let lines = DEFAULT.lines().skip_while(|line| *line != "# [[table]]").take_while(|line| !line.is_empty());
        let example: String = lines
            .map(|line| format!("{}\n", line.trim_start_matches("# ").trim_start_matches("# ")))
            .filter(|line| line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')))
            .collect();
        let readings = &config(&example).tables[0];
        assert_eq!((readings.columns.len(), readings.key.len(), readings.check()), (3, 2, Ok(())));
    }
}
