//! Which tables are captured, how they look, and whether that is news.

use std::sync::Arc;

use ahash::AHashMap;
use tokio_postgres::{Client, Row};

use crate::event::{Column, Table, TableName};
use crate::postgres::{PostgresSettings, Types};

/// What the publications hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Captured {
    /// Those that are there.
    pub(super) publications: Vec<String>,
    /// Their tables by name, with the number that each has in the stream.
    pub(super) tables: Vec<(u32, Arc<Table>)>,
}

/// One row for each column, as the stream describes it: none of those that are generated.
const PUBLISHED: &str = "
    SELECT c.oid, n.nspname::text, c.relname::text, a.attname::text, a.atttypid, a.atttypmod,
           CASE WHEN k.at < i.indnkeyatts THEN k.at END
      FROM (SELECT DISTINCT schemaname, tablename FROM pg_publication_tables WHERE pubname = ANY ($1)) p
      JOIN pg_namespace n ON n.nspname = p.schemaname
      JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
      LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
      LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisvalid
           AND CASE c.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END
     CROSS JOIN LATERAL (SELECT array_position(i.indkey::int2[], a.attnum) AS at) k
     ORDER BY n.nspname, c.relname, a.attnum";

/// Asks the catalog.
pub(super) async fn captured(
    client: &Client,
    types: &Types,
    settings: &PostgresSettings,
) -> Result<Captured, tokio_postgres::Error> {
    let names = [settings.publication.clone(), format!("{}_inserts", settings.publication)];
    let sql = "SELECT pubname::text FROM pg_publication WHERE pubname = ANY ($1) ORDER BY 1";
    let publications = client.query(sql, &[&&names[..]]).await?.iter().map(|row| row.get(0)).collect();
    let rows = client.query(PUBLISHED, &[&&names[..]]).await?;
    let used: Vec<(u32, i32)> =
        rows.iter().filter_map(|row| Some((row.get::<_, Option<u32>>(4)?, row.get(5)))).collect();
    types.learn(client, &used).await?;
    let tables = rows.chunk_by(|a, b| a.get::<_, u32>(0) == b.get::<_, u32>(0));
    Ok(Captured { publications, tables: tables.map(|rows| (rows[0].get(0), Arc::new(table(rows, types)))).collect() })
}

/// One table from the rows of its columns, or from the only row of one that has none.
fn table(rows: &[Row], types: &Types) -> Table {
    let columns: Vec<&Row> = rows.iter().filter(|row| row.get::<_, Option<&str>>(3).is_some()).collect();
    let place = |column: &usize| columns[*column].get::<_, Option<i32>>(6);
    let mut key: Vec<usize> = (0..columns.len()).filter(|column| place(column).is_some()).collect();
    key.sort_by_key(place);
    let column =
        |row: &&Row| Column { name: row.get::<_, &str>(3).into(), declared: types.declared(row.get(4), row.get(5)) };
    Table {
        name: TableName { schema: rows[0].get::<_, &str>(1).into(), name: rows[0].get::<_, &str>(2).into() },
        columns: columns.iter().map(column).collect(),
        key,
    }
}

/// How each table was described last, by the stream or by the catalog.
#[derive(Debug, Default)]
pub(super) struct Known {
    tables: AHashMap<TableName, (u32, Arc<Table>)>,
    /// Whether all are known that there are.
    complete: bool,
}

impl Known {
    /// All that are captured at the place where the stream begins.
    pub(super) fn all(captured: &Captured) -> Self {
        let tables = captured.tables.iter().map(|(number, table)| (table.name.clone(), (*number, table.clone())));
        Self { tables: tables.collect(), complete: true }
    }

    /// The columns of the primary key of the table with this number, as far as it is known.
    pub(super) fn key(&self, number: u32) -> Vec<Box<str>> {
        let found = self.tables.values().find(|(known, _)| *known == number);
        let names = |table: &Table| table.key.iter().map(|column| table.columns[*column].name.clone()).collect();
        found.map_or_else(Vec::new, |(_, table)| names(table))
    }

    /// The stream has a row of this table, which it has described anew. Returns why it has to be loaded again, if so.
    pub(super) fn stream_has(&mut self, number: u32, table: &Arc<Table>) -> Option<String> {
        match self.tables.insert(table.name.clone(), (number, table.clone())) {
            Some((before, _)) if before != number => Some("the table was made again".to_owned()),
            Some((_, before)) if before != *table => Some(difference(&before, table)),
            None if self.complete => Some("the table is new".to_owned()),
            _ => None,
        }
    }

    /// The stream has reached the moment at which the catalog was read. Returns which tables have to be loaded again, and why.
    pub(super) fn catalog_has(&mut self, captured: &Captured) -> Vec<(TableName, String)> {
        let mut again = Vec::new();
        for (number, table) in &captured.tables {
            if let Some(reason) = self.stream_has(*number, table) {
                again.push((table.name.clone(), reason));
            }
        }
        self.tables.retain(|name, _| {
            let there = captured.tables.iter().any(|(_, table)| table.name == *name);
            if !there {
                again.push((name.clone(), "the table was dropped or renamed, or is no longer captured".to_owned()));
            }
            there
        });
        self.complete = true;
        again
    }
}

fn difference(before: &Table, after: &Table) -> String {
    let names = |table: &Table| table.columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
    let (old, new) = (names(before), names(after));
    let added: Vec<&str> = new.iter().filter(|name| !old.contains(name)).map(|name| &**name).collect();
    let gone: Vec<&str> = old.iter().filter(|name| !new.contains(name)).map(|name| &**name).collect();
    match (&added[..], &gone[..]) {
        ([], []) if old == new && before.key != after.key => "the table's key was changed".to_owned(),
        ([], []) => "columns of the table were changed".to_owned(),
        (added, []) => format!("the table has new columns: {}", added.join(", ")),
        ([], gone) => format!("the table lost columns: {}", gone.join(", ")),
        (added, gone) => format!("the table has columns {} instead of {}", added.join(", "), gone.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, columns: &[&str]) -> Arc<Table> {
        let columns = columns.iter().map(|name| Column { name: (*name).into(), declared: "text".into() }).collect();
        Arc::new(Table { name: TableName::bare(name), columns, key: vec![0] })
    }

    fn captured(tables: Vec<(u32, Arc<Table>)>) -> Captured {
        Captured { publications: Vec::new(), tables }
    }

    #[test]
    fn what_the_stream_has_said_is_no_news_in_the_catalog() {
        let mut known = Known::all(&captured(vec![(1, table("t", &["a"]))]));
        assert_eq!(known.stream_has(1, &table("t", &["a"])), None);
        assert_eq!(known.stream_has(1, &table("t", &["a", "b"])).as_deref(), Some("the table has new columns: b"));
        assert_eq!(known.catalog_has(&captured(vec![(1, table("t", &["a", "b"]))])), []);
    }

    #[test]
    fn what_the_catalog_has_said_is_no_news_in_the_stream() {
        let mut known = Known::all(&captured(vec![(1, table("t", &["a"])), (2, table("u", &["a"]))]));
        let found = known.catalog_has(&captured(vec![(3, table("t", &["a"])), (4, table("v", &["a"]))]));
        let names: Vec<String> = found.iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names, ["t", "v", "u"]);
        assert_eq!(known.stream_has(3, &table("t", &["a"])), None);
        assert_eq!(known.stream_has(4, &table("v", &["a"])), None);
    }

    #[test]
    fn before_the_present_is_reached_a_table_is_no_news() {
        let mut known = Known::default();
        assert_eq!(known.stream_has(1, &table("t", &["a"])), None);
        let now = captured(vec![(1, table("t", &["b"])), (2, table("u", &["a"]))]);
        let found = known.catalog_has(&now);
        assert_eq!(found, [(TableName::bare("t"), "the table has columns b instead of a".to_owned())]);
    }
}
