//! The stream straight into a table, in large inserts.
//!
//! SQLite is written to as by any other program: Rowcast's own way in needs the outbox that `setup` makes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rowcast::event::{Table, TableName, Value};
use rowcast::ingest::coerce::{Cells, Coerce, Extra};
use rowcast::ingest::decode::{Field, Fields};
use rowcast::store::{ColumnKind, ColumnSpec, Insert, Store, StoreError, TableSpec};

use rusqlite::types::Value as Bound;
use rusqlite::{Connection, params_from_iter};

use super::Supply;
use super::record::What;
use crate::config::{Config, DatabaseUrl};
use crate::database;

/// Records of one insert, at most.
const MOST: u64 = 5_000;
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);
/// How often it is said how fast it goes.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// Inserts records as they become due, waits for a database that is away, and says the rate that was reached.
pub(super) async fn run(mut supply: Supply, config: &Config, name: &TableName, create: bool) -> anyhow::Result<()> {
    let store = database::store(config)?;
    if create {
        store.create(&[spec(&supply, name)]).await.with_context(|| format!("the table `{name}` cannot be made"))?;
    }
    let table = store.table(name).await?;
    let coerce = Coerce::new(Arc::clone(&table), store.dialect(), Extra::Refuse);
    let mut way = Way::open(config, Arc::clone(&store), table)?;
    let (begun, mut said, mut stored) = (Instant::now(), Instant::now(), 0);
    while let Some(due) = supply.next(MOST).await {
        let rows: Result<Vec<_>, _> = due.clone().map(|n| coerce.row(fields(&supply, n))).collect();
        let rows = rows.context("the records do not fit the table; choose other --fields")?;
        let Some(count) = way.until_taken(&supply, rows).await? else { break };
        stored += count;
        supply.tally.emitted(&due.map(|n| (n, None)).collect::<Vec<_>>());
        if said.elapsed() >= SAY_EVERY {
            said = Instant::now();
            crate::say(&format!("{stored} rows, {:.0}/s\n", stored as f64 / begun.elapsed().as_secs_f64()));
        }
    }
    crate::say(&format!("{stored} rows stand, {:.0}/s\n", stored as f64 / begun.elapsed().as_secs_f64().max(0.001)));
    Ok(())
}

fn fields(supply: &Supply, n: u64) -> Fields {
    let field = |what: What, value: String| match what {
        What::Seq => Field::Number(value.into()),
        _ => Field::Text(value.into()),
    };
    let values = supply.records.values(n, supply.pace.time_ms(n));
    Fields(values.map(|(name, value)| (name.name.as_str().into(), field(name.what, value))).collect())
}

/// A table for the fields that are sent: the original's, with what is asked for beside.
fn spec(supply: &Supply, name: &TableName) -> TableSpec {
    let column =
        |name: &str, kind: ColumnKind, required: bool| ColumnSpec { name: name.into(), kind, required, default: None };
    let kind = |what: What| match what {
        What::Seq => ColumnKind::Integer,
        What::Time if supply.records.numbers => ColumnKind::Integer,
        What::Speed if supply.records.numbers => ColumnKind::Real,
        _ => ColumnKind::Text(Some(255)),
    };
    let fields = supply.records.fields.iter().map(|field| column(&field.name, kind(field.what), true));
    let columns = std::iter::once(column("id", ColumnKind::Id, true)).chain(fields).collect();
    TableSpec { name: name.clone(), columns, key: Vec::new(), unique: Vec::new(), index: Vec::new() }
}

/// How rows are written.
enum Way {
    Store(Arc<dyn Store>, Arc<Table>),
    Sqlite(Connection, Arc<Table>),
}

impl Way {
    fn open(config: &Config, store: Arc<dyn Store>, table: Arc<Table>) -> anyhow::Result<Self> {
        let DatabaseUrl::Sqlite(path) = database::named(config)? else { return Ok(Self::Store(store, table)) };
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(60))?;
        Ok(Self::Sqlite(connection, table))
    }

    /// Returns how many rows stand; `None`: stopped meanwhile.
    async fn until_taken(&mut self, supply: &Supply, rows: Vec<Cells>) -> anyhow::Result<Option<u64>> {
        let (store, table) = match self {
            Self::Sqlite(connection, table) => {
                return tokio::task::block_in_place(|| Ok(Some(insert_sqlite(connection, table, &rows)?)));
            }
            Self::Store(store, table) => (store, table),
        };
        let insert = Insert::new(Arc::clone(table), rows);
        let mut told = false;
        loop {
            match store.insert(insert.clone()).await {
                Ok(inserted) => {
                    if let Some((_, reason)) = inserted.rejected.first() {
                        eprintln!("{} rows were refused, the first one because: {reason}", inserted.rejected.len());
                    }
                    return Ok(Some(inserted.count));
                }
                // Nothing of it stands.
                Err(StoreError::Unavailable(why)) => {
                    if !std::mem::replace(&mut told, true) {
                        eprintln!("the database does not answer and is tried again: {why}");
                    }
                }
                Err(error) => return Err(error.into()),
            }
            if supply.stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
                return Ok(None);
            }
        }
    }
}

/// All rows set the same columns.
fn insert_sqlite(connection: &mut Connection, table: &Table, rows: &[Cells]) -> anyhow::Result<u64> {
    let Some(first) = rows.first() else { return Ok(0) };
    let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let columns: Vec<String> = first.iter().map(|(index, _)| quote(&table.columns[*index].name)).collect();
    let (name, marks) = (quote(&table.name.name), vec!["?"; columns.len()].join(", "));
    let transaction = connection.transaction()?;
    {
        let mut insert =
            transaction.prepare_cached(&format!("INSERT INTO {name} ({}) VALUES ({marks})", columns.join(", ")))?;
        for row in rows {
            let bound: Result<Vec<Bound>, _> = row.iter().map(|(_, value)| bound(value)).collect();
            insert.execute(params_from_iter(bound?))?;
        }
    }
    transaction.commit()?;
    Ok(rows.len() as u64)
}

fn bound(value: &Value) -> anyhow::Result<Bound> {
    Ok(match value {
        Value::Null => Bound::Null,
        Value::Int(number) => Bound::Integer(*number),
        Value::Real(number) => Bound::Real(*number),
        Value::Text(text) | Value::Number(text) => Bound::Text(text.to_string()),
        other => bail!("no record has a value such as {other:?}"),
    })
}
