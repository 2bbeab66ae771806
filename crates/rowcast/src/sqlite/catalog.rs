//! What tables a database holds, as far as they can be followed: ordinary ones, not views, virtual or internal tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::Connection;

use super::SqliteSettings;
use super::name::{is_internal, quote};
use crate::event::{Column, Table, TableName};

/// A table with what triggers have to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Described {
    /// What everybody else sees. A table without a primary key has its rowid as first column, and as key.
    pub(crate) table: Arc<Table>,
    /// What tells its rows apart.
    pub(crate) identity: Identity,
    /// What else must be unique.
    pub(crate) uniques: Vec<Unique>,
    /// Columns whose value SQLite computes: indexes into the table's columns.
    pub(crate) generated: Vec<usize>,
    /// The columns of the declared primary key, which cannot be dropped: indexes into the table's columns.
    pub(crate) fixed: Vec<usize>,
}

/// What tells the rows of a table apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The rowid, by a name that no column has taken.
    Rowid(&'static str),
    /// The primary key of a WITHOUT ROWID table: indexes into the table's columns.
    Key(Vec<usize>),
    /// A rowid table whose columns have taken all three names of the rowid.
    Hidden,
}

/// A unique index over plain columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unique {
    /// Indexes into the table's columns, each with the index's collation.
    pub(crate) columns: Vec<(usize, String)>,
    /// The WHERE clause of a partial index, as it was written.
    pub(crate) filter: Option<String>,
}

impl Described {
    /// Whether the table's first column is its rowid, which no statement of the user's mentions.
    pub(crate) fn has_rowid_column(&self) -> bool {
        matches!(self.identity, Identity::Rowid(_)) && self.fixed.is_empty() && !self.table.key.is_empty()
    }

    /// A column's name as SQL. The rowid stays bare: SQLite takes a quoted one for a text in some places.
    pub(crate) fn column_sql(&self, index: usize) -> String {
        let name = &self.table.columns[index].name;
        if index == 0 && self.has_rowid_column() { name.to_string() } else { quote(name) }
    }
}

/// Tables, by their names in lower case.
pub(crate) type Catalog = BTreeMap<String, Arc<Described>>;

/// Every table that can be followed, as the connection's transaction sees it.
pub(crate) fn read(connection: &Connection, settings: &SqliteSettings) -> rusqlite::Result<Catalog> {
    tables(connection, |name| settings.wants(name))
}

/// The same with the program's own tables.
pub(crate) fn read_all(connection: &Connection, settings: &SqliteSettings) -> rusqlite::Result<Catalog> {
    tables(connection, |name| settings.knows(name))
}

fn tables(connection: &Connection, is_wanted: impl Fn(&str) -> bool) -> rusqlite::Result<Catalog> {
    let mut catalog = Catalog::new();
    let mut tables =
        connection.prepare_cached("SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table'")?;
    let mut rows = tables.query([])?;
    while let Some(row) = rows.next()? {
        let (name, without_rowid): (String, bool) = (row.get(0)?, row.get(1)?);
        if !is_internal(&name) && is_wanted(&name) {
            let described = describe(connection, &name, without_rowid)?;
            catalog.insert(name.to_ascii_lowercase(), Arc::new(described));
        }
    }
    Ok(catalog)
}

/// A number that changes with every change of the schema.
pub(crate) fn schema_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA schema_version")?.query_row([], |row| row.get(0))
}

/// What `pragma_table_xinfo` says of a column.
struct Found {
    column: Column,
    /// From 1, in key order; 0 for a column outside of the key.
    key: u16,
    generated: bool,
}

fn describe(connection: &Connection, name: &str, without_rowid: bool) -> rusqlite::Result<Described> {
    let found = columns(connection, name)?;
    let taken = |rowid: &&str| found.iter().any(|f| f.column.name.eq_ignore_ascii_case(rowid));
    let rowid = ["rowid", "_rowid_", "oid"].into_iter().find(|rowid| !taken(rowid));
    let mut key: Vec<usize> = (0..found.len()).filter(|&n| found[n].key > 0).collect();
    key.sort_by_key(|&n| found[n].key);

    let mut generated: Vec<usize> = (0..found.len()).filter(|&n| found[n].generated).collect();
    let mut columns: Vec<Column> = found.into_iter().map(|f| f.column).collect();
    let mut fixed = key.clone();
    let mut shift = 0;
    if let (true, Some(rowid)) = (key.is_empty(), rowid) {
        columns.insert(0, Column { name: rowid.into(), declared: "INTEGER".into() });
        (key, fixed) = (vec![0], Vec::new());
        generated.iter_mut().for_each(|n| *n += 1);
        shift = 1;
    }
    let identity = match (without_rowid, rowid) {
        (true, _) => Identity::Key(key.clone()),
        (false, Some(rowid)) => Identity::Rowid(rowid),
        (false, None) => Identity::Hidden,
    };
    let uniques = uniques(connection, name, shift)?;
    let table = Arc::new(Table { name: TableName::bare(name), columns, key });
    Ok(Described { table, identity, uniques, generated, fixed })
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Found>> {
    // `hidden` is 2 or 3 for generated columns.
    let sql = "SELECT name, type, pk, hidden FROM pragma_table_xinfo(?1) WHERE hidden <> 1 ORDER BY cid";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([table], |row| {
        let (name, declared): (String, String) = (row.get(0)?, row.get(1)?);
        let column = Column { name: name.into(), declared: declared.into() };
        Ok(Found { column, key: row.get(2)?, generated: row.get::<_, i64>(3)? > 0 })
    })?;
    rows.collect()
}

/// The unique indexes of a table whose columns stand `shift` places further on than SQLite numbers them.
fn uniques(connection: &Connection, table: &str, shift: usize) -> rusqlite::Result<Vec<Unique>> {
    let sql = "SELECT i.name, i.partial, m.sql FROM pragma_index_list(?1) i \
               LEFT JOIN sqlite_master m ON m.type = 'index' AND m.name = i.name WHERE i.\"unique\" = 1 ORDER BY i.name";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([table])?;
    let mut uniques = Vec::new();
    while let Some(row) = rows.next()? {
        let (index, partial, sql): (String, bool, Option<String>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let filter = if partial { sql.as_deref().and_then(where_clause) } else { None };
        if partial && filter.is_none() {
            continue;
        }
        if let Some(columns) = index_columns(connection, &index, shift)? {
            uniques.push(Unique { columns, filter });
        }
    }
    Ok(uniques)
}

/// `None` where the index is over an expression.
fn index_columns(connection: &Connection, index: &str, shift: usize) -> rusqlite::Result<Option<Vec<(usize, String)>>> {
    let sql = "SELECT x.cid, x.coll FROM pragma_index_xinfo(?1) x WHERE x.key = 1 ORDER BY x.seqno";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map([index], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
    let mut columns = Vec::new();
    for column in found {
        let (cid, collation) = column?;
        match usize::try_from(cid) {
            Ok(cid) => columns.push((cid + shift, collation)),
            Err(_) => return Ok(None),
        }
    }
    Ok(Some(columns))
}

/// What follows WHERE at the end of a `CREATE INDEX` statement.
fn where_clause(sql: &str) -> Option<String> {
    let bytes = sql.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    while at < bytes.len() {
        match bytes[at] {
            b'(' => depth += 1,
            b')' => depth = depth.checked_sub(1)?,
            quote @ (b'"' | b'\'' | b'`') => at = closing(bytes, at, quote)?,
            b'[' => at = closing(bytes, at, b']')?,
            b'-' if bytes[at..].starts_with(b"--") => at += sql[at..].find('\n')?,
            b'/' if bytes[at..].starts_with(b"/*") => at += 3 + sql[at + 2..].find("*/")?,
            byte if byte.is_ascii_alphabetic() || byte == b'_' || !byte.is_ascii() => {
                let word = sql[at..].find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'));
                let end = word.map_or(sql.len(), |length| at + length);
                if depth == 0 && sql[at..end].eq_ignore_ascii_case("where") {
                    return Some(sql[end..].trim().to_owned());
                }
                at = end - 1;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where the quote that opens at `open` ends; a doubled one does not end it, it begins again at once.
fn closing(bytes: &[u8], open: usize, quote: u8) -> Option<usize> {
    memchr::memchr(quote, &bytes[open + 1..]).map(|length| open + 1 + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(sql: &str) -> Catalog {
        let connection = Connection::open_in_memory().expect("a database");
        connection.execute_batch(sql).expect(sql);
        read(&connection, &SqliteSettings::default()).expect("a catalog")
    }

    fn names(described: &Described) -> Vec<&str> {
        described.table.columns.iter().map(|column| &*column.name).collect()
    }

    #[test]
    fn only_ordinary_tables_are_listed() {
        let catalog = catalog(
            "CREATE TABLE a(x INTEGER PRIMARY KEY AUTOINCREMENT); CREATE VIEW v AS SELECT 1; CREATE TABLE _rowcast_x(a);
             CREATE VIRTUAL TABLE f USING fts5(x); CREATE TEMP TABLE t(a)",
        );
        assert_eq!(catalog.keys().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn a_table_without_a_key_has_its_rowid() {
        let catalog = catalog("CREATE TABLE a(x); CREATE TABLE b(rowid, x); CREATE TABLE c(rowid, oid, _rowid_)");
        assert_eq!(names(&catalog["a"]), ["rowid", "x"]);
        assert_eq!(catalog["a"].table.key, [0]);
        assert_eq!(names(&catalog["b"]), ["_rowid_", "rowid", "x"]);
        assert_eq!(names(&catalog["c"]), ["rowid", "oid", "_rowid_"]);
        assert!(catalog["c"].table.key.is_empty());
    }

    #[test]
    fn keys_are_in_key_order() {
        let catalog = catalog("CREATE TABLE a(x, y, z, PRIMARY KEY (z, x)) WITHOUT ROWID");
        assert_eq!(catalog["a"].table.key, [2, 0]);
        assert_eq!(catalog["a"].identity, Identity::Key(vec![2, 0]));
    }

    #[test]
    fn generated_columns_are_columns() {
        let catalog = catalog("CREATE TABLE a(x, y AS (x + 1), z AS (x + 2) STORED)");
        assert_eq!(names(&catalog["a"]), ["rowid", "x", "y", "z"]);
        assert_eq!(catalog["a"].generated, [2, 3]);
    }

    #[test]
    fn unique_indexes_are_known_with_collation_and_filter() {
        let catalog = catalog(
            "CREATE TABLE a(x UNIQUE COLLATE NOCASE, y);
             CREATE UNIQUE INDEX i ON a(y DESC, x) WHERE y > 'where' AND (x IS NULL); CREATE UNIQUE INDEX e ON a(x || y)",
        );
        let (nocase, binary) = (|| "NOCASE".to_owned(), || "BINARY".to_owned());
        assert_eq!(
            catalog["a"].uniques,
            [
                Unique {
                    columns: vec![(2, binary()), (1, nocase())],
                    filter: Some("y > 'where' AND (x IS NULL)".into())
                },
                Unique { columns: vec![(1, nocase())], filter: None },
            ]
        );
    }

    #[test]
    fn a_filter_is_found_behind_quotes_and_comments() {
        let clause = |sql| where_clause(sql).expect(sql);
        assert_eq!(
            clause("CREATE UNIQUE INDEX \"where\" ON [where x]('where', `a``where`) /* where ( */ WhErE a > 1"),
            "a > 1"
        );
        assert_eq!(clause("CREATE UNIQUE INDEX i ON t(a) -- where (\n where b"), "b");
        assert_eq!(where_clause("CREATE UNIQUE INDEX i ON t(lower(\"where\"))"), None);
    }
}
