//! The rows that a client has in the end, and those that the database itself selects.

use anyhow::{Result, ensure};
use rusqlite::Connection;
use rusqlite::types::Value as Sql;
use serde_json::{Value, json};

use super::super::client::Watch;
use super::super::model::{FILTERS, Shape, quoted};
use super::super::world::Story;
use crate::client::message::JsonRow;

/// Compares the rows that a client has in the end with what the database itself selects.
pub(crate) fn compare(connection: &Connection, story: &Story, watch: &Watch) -> Result<()> {
    let Some(rows) = &watch.rows else { return Ok(()) };
    if !watch.is_on() {
        return Ok(());
    }
    let filter = FILTERS[watch.filter].sql.unwrap_or("true");
    let all = if story.shape == Shape::Keyless { "rowid, *" } else { "*" };
    let sql = format!("SELECT {all} FROM {} WHERE {filter}", quoted(&story.table));
    let mut statement = connection.prepare(&sql)?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let columns: Vec<String> = match &watch.columns {
        Some(columns) => columns.iter().map(|name| (*name).to_owned()).collect(),
        None => names.clone(),
    };
    let selected = statement.query_map([], |row| {
        let value = |name: &String| Ok((name.clone(), json_of(row.get::<_, Sql>(name.as_str())?)));
        columns.iter().map(value).collect::<rusqlite::Result<JsonRow>>()
    })?;
    let mut selected: Vec<String> =
        selected.map(|row| Ok(Value::Object(row?).to_string())).collect::<rusqlite::Result<_>>()?;
    let mut held: Vec<String> = rows.values().map(|row| Value::Object(row.clone()).to_string()).collect();
    selected.sort_unstable();
    held.sort_unstable();
    ensure!(selected == held, "the client holds {} rows, the database {}", held.len(), selected.len());
    Ok(())
}

fn json_of(value: Sql) -> Value {
    match value {
        Sql::Null => Value::Null,
        Sql::Integer(n) => json!(n),
        Sql::Real(x) => json!(x),
        Sql::Text(text) => json!(text),
        Sql::Blob(bytes) => json!(format!("{bytes:?}")),
    }
}
