//! How the tables looked at places that the log may stand at: kept in a file, because a binlog without names in it can only be
//! read with the names of its own time.

use std::path::PathBuf;
use std::sync::Arc;

use ahash::AHashMap;
use serde_json::{Value as Json, json};

use super::tables::Known;
use crate::event::{Column, Table, TableName};

/// Shapes that are kept, at most.
const KEPT: usize = 32;

/// What the file holds: oldest first.
#[derive(Debug, Default)]
pub(super) struct History {
    path: Option<PathBuf>,
    /// From which place on, as its number; and the tables.
    entries: Vec<(u64, Json)>,
    /// Which binlog the places are of.
    server: String,
}

impl History {
    /// Reads the file, if there is one for this binlog.
    pub(super) fn open(path: Option<PathBuf>, server: String) -> Self {
        let text = path.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        let read: Option<Json> = text.and_then(|text| serde_json::from_str(&text).ok());
        let same = read.filter(|read| read["server"] == *server);
        let entries = same.as_ref().and_then(|read| read["shapes"].as_array()).into_iter().flatten();
        let entries = entries.filter_map(|entry| Some((entry["from"].as_u64()?, entry["tables"].clone()))).collect();
        Self { path, entries, server }
    }

    /// How the tables looked at this place.
    pub(super) fn at(&self, tx: u64) -> Option<AHashMap<Box<str>, Known>> {
        let (_, tables) = self.entries.iter().rev().find(|(from, _)| *from <= tx)?;
        tables
            .as_array()?
            .iter()
            .map(|table| known(table).map(|known| (known.table.name.name.clone(), known)))
            .collect()
    }

    /// From this place on they look like that.
    pub(super) fn note(&mut self, tx: u64, tables: &AHashMap<Box<str>, Known>) {
        let shapes = Json::Array(tables.values().map(json).collect());
        self.entries.retain(|(from, _)| *from < tx);
        self.entries.push((tx, shapes));
        let over = self.entries.len().saturating_sub(KEPT);
        self.entries.drain(..over);
        let Some(path) = &self.path else { return };
        let shapes = self.entries.iter().map(|(from, tables)| json!({ "from": from, "tables": tables }));
        let text = json!({ "server": self.server, "shapes": shapes.collect::<Vec<_>>() }).to_string();
        let beside = path.with_extension("new");
        let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path));
        if let Err(error) = written {
            tracing::warn!(%error, "the tables' history could not be written to {}", path.display());
        }
    }
}

fn json(known: &Known) -> Json {
    let columns = known
        .table
        .columns
        .iter()
        .enumerate()
        .map(|(at, column)| json!([column.name, column.declared, known.charsets[at], known.computed[at]]));
    json!({ "name": known.table.name.name, "key": known.table.key, "columns": columns.collect::<Vec<_>>() })
}

fn known(read: &Json) -> Option<Known> {
    let (mut columns, mut charsets, mut computed) = (Vec::new(), Vec::new(), Vec::new());
    for column in read["columns"].as_array()? {
        columns.push(Column { name: column[0].as_str()?.into(), declared: column[1].as_str()?.into() });
        charsets.push(column[2].as_str().map(Into::into));
        computed.push(column[3].as_bool()?);
    }
    let key = read["key"].as_array()?.iter().map(|at| usize::try_from(at.as_u64()?).ok());
    let key = key.collect::<Option<Vec<_>>>().filter(|key| key.iter().all(|at| *at < columns.len()))?;
    let table = Arc::new(Table { name: TableName::bare(read["name"].as_str()?), columns, key });
    Some(Known { table, charsets, computed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_those_of_their_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("history.json");
        let tables = |name: &str| {
            let columns = vec![Column { name: name.into(), declared: "int".into() }];
            let table = Arc::new(Table { name: TableName::bare("t"), columns, key: vec![0] });
            let known = Known { table, charsets: vec![Some("latin1".into())], computed: vec![false] };
            AHashMap::from_iter([(Box::from("t"), known)])
        };
        let mut history = History::open(Some(path.clone()), "a".into());
        history.note(5, &tables("old"));
        history.note(9, &tables("new"));
        let again = History::open(Some(path.clone()), "a".into());
        assert_eq!(again.at(4), None);
        assert_eq!(again.at(8), Some(tables("old")));
        assert_eq!(again.at(9), Some(tables("new")));
        assert_eq!(History::open(Some(path), "b".into()).at(9), None);
    }
}
