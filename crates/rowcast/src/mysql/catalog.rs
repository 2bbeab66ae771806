//! What tables a database holds, as far as they can be followed: base tables, not views, sequences or temporary ones, and none
//! of Rowcast's own.
//!
//! Everything is asked of the connection's own database. Leaves a type's normal form to `declared`.

mod declared;

use std::collections::HashMap;
use std::sync::Arc;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Row};

pub(crate) use declared::normal;

use super::address::Server;
use super::install::quote;
use crate::event::{Column, Table, TableName};

/// What the names of Rowcast's own tables begin with.
pub(crate) const OWN: &str = "_rowcast_";

/// A table with what reading and writing it needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Described {
    /// What everybody else sees. Its schema is empty: one database is one source.
    pub(crate) table: Arc<Table>,
    /// `InnoDB`, or another that keeps no transactions.
    pub(crate) engine: Box<str>,
    /// One for each column of the table.
    pub(crate) columns: Box<[Detail]>,
}

impl Described {
    /// Whether what was written to it can be undone.
    pub(crate) fn is_transactional(&self) -> bool {
        matches!(&*self.engine.to_ascii_lowercase(), "innodb" | "rocksdb" | "ndbcluster" | "tokudb")
    }
}

/// What is known of a column beyond its name and type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Detail {
    pub(crate) not_null: bool,
    /// It gets its next number when none is given.
    pub(crate) auto_increment: bool,
    /// It is computed, and cannot be written.
    pub(crate) generated: bool,
    /// `SELECT *` does not show it.
    pub(crate) invisible: bool,
    /// Has no default, so that a row without it is refused (unless it is null or counts by itself).
    pub(crate) no_default: bool,
    /// The character set of a text.
    pub(crate) charset: Option<Box<str>>,
    /// The collation of a text.
    pub(crate) collation: Option<Box<str>>,
    /// An index begins with it.
    pub(crate) indexed: bool,
}

// One table of the catalog in each question: MariaDB has been seen to crash over joins of them with a subquery.
const TABLES: &str = "\
SELECT TABLE_NAME, ENGINE FROM information_schema.TABLES \
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')";

/// One row for each column, ordered by table and place in it. The database is the connection's.
const COLUMNS: &str = "\
SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, EXTRA, COLUMN_DEFAULT IS NULL, CHARACTER_SET_NAME, COLLATION_NAME \
FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME, ORDINAL_POSITION";

/// MariaDB's `json` is a longtext with a check; MySQL has no such check.
const CHECKS: &str = "\
SELECT TABLE_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE()";

/// One row for each column of each unique index, and for the first column of each other.
const KEYS: &str = "\
SELECT TABLE_NAME, INDEX_NAME, NON_UNIQUE, SEQ_IN_INDEX, COLUMN_NAME, NULLABLE, SUB_PART, INDEX_TYPE \
FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() AND (NON_UNIQUE = 0 OR SEQ_IN_INDEX = 1) \
ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX";

/// Every table of the connection's database.
pub(crate) async fn describe(conn: &mut Conn) -> Result<Vec<Arc<Described>>, Error> {
    let engines: Vec<(String, Option<String>)> = conn.query(TABLES).await?;
    let engines: HashMap<String, Option<String>> = engines.into_iter().collect();
    let columns: Vec<Row> = conn.query(COLUMNS).await?;
    let checks: Vec<(String, String)> =
        if Server::of(conn).await?.is_mariadb() { conn.query(CHECKS).await? } else { Vec::new() };
    let parts: Vec<IndexPart> = conn.query_map(KEYS, IndexPart::of).await?;
    let mut keys: HashMap<&str, Vec<&IndexPart>> = HashMap::new();
    for part in &parts {
        keys.entry(&*part.table).or_default().push(part);
    }
    let mut tables = Vec::new();
    for rows in columns.chunk_by(|a, b| text(a, 0) == text(b, 0)) {
        let name = text(&rows[0], 0);
        let Some(engine) = engines.get(&name).filter(|_| !name.starts_with(OWN)) else { continue };
        let is_json = |column: &str| {
            let clause = format!("json_valid({})", quote(column));
            checks.iter().any(|(table, check)| *table == name && *check == clause)
        };
        let own = keys.get(&*name).map(Vec::as_slice).unwrap_or_default();
        tables.push(Arc::new(described(&name, engine.as_deref().unwrap_or_default(), rows, is_json, own)));
    }
    Ok(tables)
}

/// Every table, as everybody else sees it.
pub async fn tables(conn: &mut Conn) -> Result<Vec<Arc<Table>>, Error> {
    Ok(describe(conn).await?.iter().map(|described| described.table.clone()).collect())
}

/// The table that a name stands for: as it is written, else in any case where only one is meant. It may say the database,
/// which must be the one that was named to Rowcast.
pub(crate) fn find(tables: &[Arc<Described>], database: &str, name: &TableName) -> Option<Arc<Described>> {
    if !name.schema.is_empty() && !name.schema.eq_ignore_ascii_case(database) {
        return None;
    }
    let exact = tables.iter().find(|described| described.table.name.name == name.name);
    if let Some(exact) = exact {
        return Some(exact.clone());
    }
    let wanted = name.name.to_lowercase();
    let mut found = tables.iter().filter(|described| described.table.name.name.to_lowercase() == wanted);
    match (found.next(), found.next()) {
        (Some(only), None) => Some(only.clone()),
        _ => None,
    }
}

/// A column of an index.
struct IndexPart {
    table: Box<str>,
    index: Box<str>,
    unique: bool,
    place: u64,
    /// `None` for an expression.
    column: Option<Box<str>>,
    nullable: bool,
    prefix: bool,
    btree: bool,
}

impl IndexPart {
    fn of(row: Row) -> Self {
        let number = |at: usize| text(&row, at).parse::<u64>().unwrap_or(0);
        Self {
            table: text(&row, 0).into(),
            index: text(&row, 1).into(),
            unique: number(2) == 0,
            place: number(3),
            column: optional(&row, 4).map(Into::into),
            nullable: text(&row, 5) == "YES",
            prefix: optional(&row, 6).is_some(),
            btree: text(&row, 7) == "BTREE",
        }
    }
}

/// One table from the rows of its columns.
fn described(
    name: &str,
    engine: &str,
    rows: &[Row],
    is_json: impl Fn(&str) -> bool,
    parts: &[&IndexPart],
) -> Described {
    let columns: Vec<Column> = rows
        .iter()
        .map(|row| {
            let (name, declared) = (text(row, 1), normal(&text(row, 2)));
            let json = declared == "longtext" && is_json(&name);
            Column { name: name.into(), declared: if json { "json".into() } else { declared.into() } }
        })
        .collect();
    let details = rows.iter().zip(&columns).map(|(row, column)| {
        let extra = text(row, 4).to_uppercase();
        let generated = extra.contains("VIRTUAL") || extra.contains("STORED") || extra.contains("PERSISTENT");
        Detail {
            not_null: text(row, 3) == "NO",
            auto_increment: extra.contains("AUTO_INCREMENT"),
            generated,
            invisible: extra.contains("INVISIBLE"),
            no_default: text(row, 5) == "1" && !generated && !extra.contains("DEFAULT_GENERATED"),
            charset: optional(row, 6).map(Into::into),
            collation: optional(row, 7).map(Into::into),
            indexed: parts.iter().any(|part| {
                part.place == 1 && part.btree && !part.prefix && part.column.as_deref() == Some(&*column.name)
            }),
        }
    });
    let details = details.collect();
    let key = key(&columns, parts);
    let table = Arc::new(Table { name: TableName::bare(name), columns, key });
    Described { table, engine: engine.into(), columns: details }
}

/// The primary key, else the unique index over NOT NULL columns that has the fewest of them.
fn key(columns: &[Column], parts: &[&IndexPart]) -> Vec<usize> {
    let indexes = parts.chunk_by(|a, b| a.index == b.index).filter(|index| index[0].unique);
    let usable = indexes.filter(|index| {
        *index[0].index == *"PRIMARY"
            || index.iter().all(|part| !part.nullable && !part.prefix && part.column.is_some())
    });
    let best = usable.min_by_key(|index| (*index[0].index != *"PRIMARY", index.len(), index[0].index.clone()));
    let places = best.into_iter().flatten().map(|part| {
        let name = part.column.as_deref()?;
        columns.iter().position(|column| &*column.name == name)
    });
    places.collect::<Option<Vec<_>>>().unwrap_or_default()
}

fn text(row: &Row, at: usize) -> String {
    optional(row, at).unwrap_or_default()
}

/// The servers differ in whether these are texts, bytes or numbers.
fn optional(row: &Row, at: usize) -> Option<String> {
    match row.as_ref(at)? {
        mysql_async::Value::NULL => None,
        mysql_async::Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        mysql_async::Value::Int(number) => Some(number.to_string()),
        mysql_async::Value::UInt(number) => Some(number.to_string()),
        other => Some(other.as_sql(true)),
    }
}
