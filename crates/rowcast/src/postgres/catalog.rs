//! What tables a database holds, as far as they can be followed: permanent ones, not views, partitions or foreign tables, and
//! none of PostgreSQL's or Rowcast's own. A partitioned table stands for its partitions.
//!
//! Generated columns are left out: the stream of changes has none of them.

use std::sync::Arc;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};

use super::Types;
use crate::event::{Column, Table, TableName};

/// A table with what reading and writing it needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Described {
    /// The server's number of the table.
    pub(crate) oid: u32,
    /// What everybody else sees, by its full name.
    pub(crate) table: Arc<Table>,
    /// Its rows are those of its partitions.
    pub(crate) partitioned: bool,
    /// One for each column of the table.
    pub(crate) columns: Box<[Detail]>,
}

/// What is known of a column beyond its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Detail {
    /// The type's number, a domain's own.
    pub(crate) oid: u32,
    /// The type's modifier: the length of a varchar.
    pub(crate) typmod: i32,
    /// The type as a cast names it, without modifier, so that nothing is cut off.
    pub(crate) cast: Box<str>,
    /// The number of the type that a domain stands on; `oid` for other types.
    pub(crate) base: u32,
    /// The letter of `pg_type.typcategory`: `N` for numbers, `D` for dates and times, `S` for texts.
    pub(crate) category: char,
    pub(crate) not_null: bool,
    /// Its order is that of a collation other than that of bytes.
    pub(crate) collated: bool,
    /// A B-tree over the whole table begins with it.
    pub(crate) indexed: bool,
}

/// One row for each column, ordered by table and place in it. `true` stands where a condition on `n` and `c` goes.
const DESCRIBE: &str = "\
SELECT c.oid, n.nspname::text, c.relname::text, c.relkind = 'p' AS partitioned,
  a.attname::text, a.atttypid, a.atttypmod, pg_catalog.format_type(a.atttypid, -1), t.typcategory::text, a.attnotnull,
  CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE a.atttypid END,
  coalesce(pg_catalog.array_position(k.indkey::int2[], a.attnum), -1) AS at, k.indnkeyatts,
  a.attcollation <> 0 AND coalesce(CASE o.collprovider WHEN 'd' THEN d.collation ELSE o.collcollate END, '')
    NOT IN ('C', 'POSIX', 'C.UTF-8', 'C.utf8'),
  EXISTS (SELECT FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class xc ON xc.oid = x.indexrelid
    JOIN pg_catalog.pg_am m ON m.oid = xc.relam
    WHERE x.indrelid = c.oid AND x.indkey[0] = a.attnum AND x.indisvalid AND x.indpred IS NULL AND m.amname = 'btree')
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN (SELECT CASE coalesce(pg_catalog.to_jsonb(d) ->> 'datlocprovider', 'c') WHEN 'c' THEN d.datcollate END AS collation
  FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()) d
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_collation o ON o.oid = a.attcollation
LEFT JOIN LATERAL (SELECT i.indkey, i.indnkeyatts FROM pg_catalog.pg_index i
  WHERE i.indrelid = c.oid AND i.indisvalid
    AND CASE c.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END) k ON true
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p'
  AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'rowcast') AND (true)
ORDER BY n.nspname, c.relname, a.attnum";

/// Every table.
pub(crate) async fn tables(client: &Client, types: &Types) -> Result<Vec<Arc<Described>>, Error> {
    read(client, types, client.query_typed(DESCRIBE, &[]).await?).await
}

/// The table of this very name.
pub(crate) async fn exact(client: &Client, types: &Types, name: &TableName) -> Result<Option<Arc<Described>>, Error> {
    let condition = "n.nspname = $1::text::name AND c.relname = $2::text::name";
    Ok(query(client, types, condition, name).await?.pop())
}

/// The tables of these very names, in their order: one question costs little more for several than for one.
pub(crate) async fn exact_all(
    client: &Client,
    types: &Types,
    names: &[&TableName],
) -> Result<Vec<Option<Arc<Described>>>, Error> {
    let condition = "n.nspname = ANY ($1::text[]::name[]) AND c.relname = ANY ($2::text[]::name[])";
    let schemas: Vec<&str> = names.iter().map(|name| &*name.schema).collect();
    let tables: Vec<&str> = names.iter().map(|name| &*name.name).collect();
    let params: Params<'_> = &[(&schemas, Type::TEXT_ARRAY), (&tables, Type::TEXT_ARRAY)];
    let found = query_with(client, types, condition, params).await?;
    // Of two schemas with tables of both names, more are found than were asked for.
    let of = |name: &&TableName| found.iter().find(|described| described.table.name == **name).cloned();
    Ok(names.iter().map(of).collect())
}

/// The table that a name stands for: as it is written, else in any case where only one is meant. A name without schema is
/// looked for along the search path.
pub(crate) async fn find(client: &Client, types: &Types, name: &TableName) -> Result<Option<Arc<Described>>, Error> {
    const BARE: &str = "$1::text = '' AND n.nspname = ANY (pg_catalog.current_schemas(false))";
    let path = async || -> Result<Vec<String>, Error> {
        let row = client.query_typed("SELECT pg_catalog.current_schemas(false)::text[]", &[]).await?;
        Ok(row.first().map(|row| row.get(0)).unwrap_or_default())
    };
    if !name.schema.is_empty() {
        if let Some(found) = exact(client, types, name).await? {
            return Ok(Some(found));
        }
        let condition = "pg_catalog.lower(n.nspname::text) = pg_catalog.lower($1) \
                         AND pg_catalog.lower(c.relname::text) = pg_catalog.lower($2)";
        return Ok(only(query(client, types, condition, name).await?));
    }
    let found = query(client, types, &format!("{BARE} AND c.relname = $2::text::name"), name).await?;
    if !found.is_empty() {
        let path = path().await?;
        let place =
            |described: &Arc<Described>| path.iter().position(|schema| **schema == *described.table.name.schema);
        return Ok(found.into_iter().min_by_key(place));
    }
    let condition = format!("{BARE} AND pg_catalog.lower(c.relname::text) = pg_catalog.lower($2)");
    Ok(only(query(client, types, &condition, name).await?))
}

fn only(mut found: Vec<Arc<Described>>) -> Option<Arc<Described>> {
    if found.len() == 1 { found.pop() } else { None }
}

async fn query(
    client: &Client,
    types: &Types,
    condition: &str,
    name: &TableName,
) -> Result<Vec<Arc<Described>>, Error> {
    let (schema, table) = (&*name.schema, &*name.name);
    query_with(client, types, condition, &[(&schema, Type::TEXT), (&table, Type::TEXT)]).await
}

type Params<'p> = &'p [(&'p (dyn ToSql + Sync), Type)];

async fn query_with(
    client: &Client,
    types: &Types,
    condition: &str,
    params: Params<'_>,
) -> Result<Vec<Arc<Described>>, Error> {
    let sql = DESCRIBE.replace("(true)", &format!("({condition})"));
    read(client, types, client.query_typed(&sql, params).await?).await
}

async fn read(client: &Client, types: &Types, rows: Vec<Row>) -> Result<Vec<Arc<Described>>, Error> {
    let modified: Vec<(u32, i32)> =
        rows.iter().filter_map(|row| Some((row.get::<_, Option<u32>>(5)?, row.get(6)))).collect();
    types.learn(client, &modified).await?;
    let tables = rows.chunk_by(|a, b| a.get::<_, u32>(0) == b.get::<_, u32>(0));
    Ok(tables.map(|rows| Arc::new(describe(types, rows))).collect())
}

/// One table from the rows of its columns, or from the only row of a table that has none.
fn describe(types: &Types, rows: &[Row]) -> Described {
    let first = &rows[0];
    let rows: Vec<&Row> = rows.iter().filter(|row| row.get::<_, Option<&str>>(4).is_some()).collect();
    let details: Box<[Detail]> = rows.iter().map(|row| detail(row)).collect();
    let named = rows.iter().zip(&details);
    let columns = named
        .map(|(row, detail)| Column {
            name: row.get::<_, &str>(4).into(),
            declared: types.declared(detail.oid, detail.typmod),
        })
        .collect();
    let place = |n: usize| rows[n].get::<_, i32>(11);
    let width = first.get::<_, Option<i16>>(12).map_or(0, i32::from);
    // Columns that an index only carries along stand behind those of the key.
    let mut key: Vec<usize> = (0..rows.len()).filter(|n| (0..width).contains(&place(*n))).collect();
    key.sort_by_key(|n| place(*n));
    // One that is generated is in the key and not among the columns: what is left would not tell rows apart.
    if key.len() != usize::try_from(width).unwrap_or(0) {
        key.clear();
    }
    let name = TableName { schema: first.get::<_, &str>(1).into(), name: first.get::<_, &str>(2).into() };
    let table = Arc::new(Table { name, columns, key });
    Described { oid: first.get(0), table, partitioned: first.get(3), columns: details }
}

fn detail(row: &Row) -> Detail {
    Detail {
        oid: row.get(5),
        typmod: row.get(6),
        cast: row.get::<_, &str>(7).into(),
        category: row.get::<_, &str>(8).chars().next().unwrap_or('U'),
        not_null: row.get(9),
        base: row.get(10),
        collated: row.get(13),
        indexed: row.get(14),
    }
}
