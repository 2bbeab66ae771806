//! Puts the triggers and Rowcast's own tables into a database, keeps them in step with its schema, and removes them.
//!
//! Each build of a table's triggers is a generation. Outbox rows name theirs, so what a row's values mean is known from
//! when it was written, not from today's catalog.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rusqlite::Connection;

use super::triggers;
use crate::event::{Column, Table};
use crate::sqlite::SqliteSettings;
use crate::sqlite::catalog::{self, Described};
use crate::sqlite::delivered;
use crate::sqlite::file::Outcome;
use crate::sqlite::name::{is_internal, quote};
pub(crate) use crate::sqlite::outbox::is_current;
use crate::sqlite::outbox::{self, op};

/// Changes whenever databases of the older number can no longer be gone on with.
const FORMAT: i64 = 1;

/// What [`install`] did.
#[derive(Debug, Default)]
pub(crate) struct Installed {
    /// What was run to change the database.
    pub(crate) sql: Vec<String>,
    /// The tables that are captured now.
    pub(crate) tables: Vec<String>,
    /// Why a table is not captured.
    pub(crate) problem: Option<String>,
}

/// Makes capture fit the schema as it is now, in one transaction.
pub(crate) fn install(connection: &Connection, settings: &SqliteSettings) -> Outcome<Installed> {
    in_transaction(connection, |connection| {
        let mut work = Work { connection, installed: Installed::default(), replaced_stale: false };
        work.own_tables()?;
        let catalog = catalog::read(connection, settings)?;
        work.fit(&catalog)?;
        work.note_schema()?;
        Ok(work.installed)
    })
}

/// Removes everything whose name is Rowcast's, in one transaction.
pub(crate) fn remove(connection: &Connection) -> Outcome<Vec<String>> {
    in_transaction(connection, |connection| {
        let mut work = Work { connection, installed: Installed::default(), replaced_stale: false };
        work.remove_all(&[])?;
        Ok(work.installed.sql)
    })
}

/// The tables that are captured, by the generation of their triggers, newest first.
pub(crate) fn captured(connection: &Connection) -> rusqlite::Result<Vec<(i64, Table)>> {
    let sql =
        r#"SELECT "gen", "name", "columns", "key" FROM "_rowcast_tables" WHERE NOT "retired" ORDER BY "gen" DESC"#;
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_map([], |row| Ok((row.get(0)?, table_of(row)?)))?.collect()
}

/// The table that a generation's outbox rows are of.
pub(crate) fn generation(connection: &Connection, generation: i64) -> rusqlite::Result<Table> {
    let sql = r#"SELECT "gen", "name", "columns", "key" FROM "_rowcast_tables" WHERE "gen" = ?1"#;
    connection.prepare_cached(sql)?.query_row([generation], table_of)
}

/// Forgets generations that no outbox row can name any more.
pub(crate) fn forget_retired(connection: &Connection) -> rusqlite::Result<()> {
    let sql = r#"DELETE FROM "_rowcast_tables" WHERE "retired" AND "gen" NOT IN (SELECT "gen" FROM "_rowcast_outbox")"#;
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

fn table_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Table> {
    let (name, columns, key): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
    let wrong = |index, error| rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, error);
    let columns: Vec<(Box<str>, Box<str>)> = serde_json::from_str(&columns).map_err(|e| wrong(2, Box::new(e)))?;
    let key = serde_json::from_str(&key).map_err(|e| wrong(3, Box::new(e)))?;
    let columns = columns.into_iter().map(|(name, declared)| Column { name, declared }).collect();
    Ok(Table { name: crate::event::TableName::bare(&name), columns, key })
}

fn columns_json(table: &Table) -> String {
    let columns: Vec<(&str, &str)> = table.columns.iter().map(|c| (&*c.name, &*c.declared)).collect();
    serde_json::to_string(&columns).expect("texts are always JSON")
}

fn key_json(table: &Table) -> String {
    serde_json::to_string(&table.key).expect("numbers are always JSON")
}

fn in_transaction<T>(connection: &Connection, work: impl FnOnce(&Connection) -> Outcome<T>) -> Outcome<T> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let outcome = work(connection).and_then(|done| Ok(connection.execute_batch("COMMIT").map(|()| done)?));
    if outcome.is_err() && !connection.is_autocommit() {
        // What it says would hide why the transaction failed.
        let _ = connection.execute_batch("ROLLBACK");
    }
    outcome
}

/// A trigger that is there, in the order of their making.
struct Trigger {
    order: i64,
    table: String,
    sql: String,
}

struct Work<'a> {
    connection: &'a Connection,
    installed: Installed,
    /// What was set aside by triggers that are no more.
    replaced_stale: bool,
}

impl Work<'_> {
    fn run(&mut self, sql: String) -> rusqlite::Result<()> {
        self.connection.execute_batch(&sql)?;
        self.installed.sql.push(sql);
        Ok(())
    }

    /// Makes Rowcast's own tables; where they are not all there as they should be, anew.
    fn own_tables(&mut self) -> rusqlite::Result<()> {
        let wanted = outbox::tables();
        let mut found = 0;
        for (name, sql) in &wanted {
            let there = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?1 AND sql = ?2";
            found +=
                usize::from(self.connection.query_row(there, [name, sql.as_str()], |row| row.get::<_, i64>(0))? > 0);
        }
        let complete = found == wanted.len() && outbox::meta(self.connection, "format")? == Some(FORMAT);
        if complete && outbox::id(self.connection)?.is_some() {
            return Ok(());
        }
        // What the store remembers of ingested records is no part of capture.
        self.remove_all(&delivered::TABLES)?;
        for (_, sql) in wanted {
            self.run(sql)?;
        }
        let (id, marker) = (outbox::new_id(), hex(&rand::random::<[u8; 16]>()));
        self.run(format!(
            r#"INSERT INTO "_rowcast_meta"("key", "value") VALUES ('format', {FORMAT}), ('id', '{id}'), ('marker', {marker})"#
        ))
    }

    fn remove_all(&mut self, but: &[&str]) -> rusqlite::Result<()> {
        for kind in ["trigger", "view", "table"] {
            let sql = format!(
                "SELECT name FROM sqlite_master WHERE type = '{kind}' AND lower(substr(name, 1, 9)) = '_rowcast_'"
            );
            let names: Vec<String> =
                self.connection.prepare(&sql)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            for name in names.iter().filter(|name| !but.contains(&&***name)) {
                let lost = self.lost_with(name)?;
                self.run(format!("{lost}DROP {} {}", kind.to_ascii_uppercase(), quote(name)))?;
            }
        }
        Ok(())
    }

    /// A comment that says what of the user's goes with a table.
    fn lost_with(&self, name: &str) -> rusqlite::Result<String> {
        let count = if name == delivered::DEAD_LETTERS { delivered::dead_letters(self.connection)? } else { 0 };
        Ok(match count {
            0 => String::new(),
            1 => "-- A dead letter, a record that did not become a row, is lost with it.\n".to_owned(),
            count => format!("-- {count} dead letters, records that did not become rows, are lost with it.\n"),
        })
    }

    fn fit(&mut self, catalog: &catalog::Catalog) -> Outcome<()> {
        let marker = hex(&outbox::gone_marker(self.connection)?);
        // Somebody else has changed something; VACUUM, for one, gives rows without a key new rowids.
        let moved = !is_current(self.connection)?;
        let mut active: BTreeMap<String, (i64, Table)> = BTreeMap::new();
        for (generation, table) in captured(self.connection)? {
            active.insert(table.name.name.to_ascii_lowercase(), (generation, table));
        }
        let mut triggers = self.triggers()?;
        for (name, described) in catalog {
            let current = active.remove(name);
            if let Some((generation, table)) = &current
                && is_intact(*generation, table, described, &marker, &mut triggers)
            {
                self.installed.tables.push(described.table.name.name.to_string());
                if moved && described.has_rowid_column() {
                    self.reset(*generation, "the schema was changed, and the table has no key that outlives a VACUUM")?;
                }
                continue;
            }
            self.capture(described, current, &marker, &mut triggers)?;
        }
        for (generation, _) in active.into_values() {
            self.drop_triggers(generation, &mut triggers)?;
            self.retire(generation)?;
            self.reset(generation, "the table was dropped or renamed, or is no longer captured")?;
        }
        self.drop_strays(triggers)?;
        if self.replaced_stale {
            self.connection.execute_batch(r#"DELETE FROM "_rowcast_replaced""#)?;
        }
        Ok(())
    }

    fn triggers(&self) -> rusqlite::Result<HashMap<String, Trigger>> {
        let sql = "SELECT name, rowid, lower(tbl_name), sql FROM sqlite_master WHERE type = 'trigger'";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| {
            Ok((row.get(0)?, Trigger { order: row.get(1)?, table: row.get(2)?, sql: row.get(3)? }))
        })?;
        rows.collect()
    }

    /// Builds a new generation of a table's triggers in place of the one that is there, if any.
    fn capture(
        &mut self,
        described: &Described,
        current: Option<(i64, Table)>,
        marker: &str,
        triggers: &mut HashMap<String, Trigger>,
    ) -> Outcome<()> {
        let name = described.table.name.name.to_string();
        let reason = match &current {
            None => "the table is new, or was made again",
            Some((generation, _)) if !has_triggers(*generation, triggers) => {
                "the table was made again, or its triggers were removed"
            }
            Some((_, table)) if table.columns != described.table.columns || table.key != described.table.key => {
                "the table was altered"
            }
            Some(_) => "the table's indexes or triggers were changed",
        };
        if let Some((generation, _)) = current {
            self.drop_triggers(generation, triggers)?;
            self.retire(generation)?;
        }
        let generation = self.new_generation(&described.table)?;
        if let Some(error) = self.make_triggers(generation, described, marker)? {
            self.retire(generation)?;
            self.installed.problem = Some(format!(
                "table `{name}` is not captured, because a trigger on it would make writes fail: {error}"
            ));
        } else {
            self.installed.tables.push(name);
        }
        self.reset(generation, reason)
    }

    /// Makes the triggers, unless the table could not be written to with them. Then it returns why.
    fn make_triggers(
        &mut self,
        generation: i64,
        described: &Described,
        marker: &str,
    ) -> rusqlite::Result<Option<rusqlite::Error>> {
        let probes = probes(described);
        let sound: Vec<bool> = probes.iter().map(|sql| self.connection.prepare(sql).is_ok()).collect();
        self.connection.execute_batch(r#"SAVEPOINT "_rowcast_triggers""#)?;
        let before = self.installed.sql.len();
        let mut refused = None;
        for sql in triggers::definitions(generation, described, marker) {
            refused = refused.or(self.run(sql).err());
        }
        for (sql, sound) in probes.iter().zip(sound) {
            if sound {
                refused = refused.or(self.connection.prepare(sql).err());
            }
        }
        if refused.is_some() {
            self.connection.execute_batch(r#"ROLLBACK TO "_rowcast_triggers""#)?;
            self.installed.sql.truncate(before);
        }
        self.connection.execute_batch(r#"RELEASE "_rowcast_triggers""#)?;
        Ok(refused)
    }

    fn new_generation(&mut self, table: &Table) -> rusqlite::Result<i64> {
        self.replaced_stale = true;
        let sql = r#"INSERT INTO "_rowcast_tables"("name", "columns", "key") VALUES (?1, ?2, ?3)"#;
        self.connection.execute(sql, (&*table.name.name, columns_json(table), key_json(table)))?;
        Ok(self.connection.last_insert_rowid())
    }

    fn retire(&mut self, generation: i64) -> rusqlite::Result<()> {
        let sql = r#"UPDATE "_rowcast_tables" SET "retired" = 1 WHERE "gen" = ?1"#;
        self.connection.execute(sql, [generation]).map(drop)
    }

    fn reset(&mut self, generation: i64, reason: &str) -> Outcome<()> {
        let sql = r#"INSERT INTO "_rowcast_outbox"("gen", "op", "v0") VALUES (?1, ?2, ?3)"#;
        self.connection.execute(sql, (generation, op::RESET, reason))?;
        Ok(())
    }

    fn drop_triggers(&mut self, generation: i64, triggers: &mut HashMap<String, Trigger>) -> rusqlite::Result<()> {
        let prefix = prefix_of(generation);
        let mut names: Vec<String> = triggers.keys().filter(|name| name.starts_with(&prefix)).cloned().collect();
        names.sort_unstable();
        for name in names {
            triggers.remove(&name);
            self.run(format!("DROP TRIGGER {}", quote(&name)))?;
        }
        Ok(())
    }

    /// Triggers with our name that belong to no generation that is in use.
    fn drop_strays(&mut self, triggers: HashMap<String, Trigger>) -> rusqlite::Result<()> {
        for name in triggers.into_keys().filter(|name| is_internal(name)) {
            self.run(format!("DROP TRIGGER {}", quote(&name)))?;
        }
        Ok(())
    }

    fn note_schema(&mut self) -> Outcome<()> {
        Ok(outbox::note_schema(self.connection)?)
    }
}

/// Bytes as SQL.
fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("x'{digits}'")
}

/// Statements that compile a table's triggers.
fn probes(described: &Described) -> Vec<String> {
    let table = quote(&described.table.name.name);
    let mut probes = vec![format!("INSERT INTO {table} DEFAULT VALUES"), format!("DELETE FROM {table}")];
    let settable = (0..described.table.columns.len()).filter(|n| !described.generated.contains(n));
    let sets: Vec<String> =
        settable.map(|n| described.column_sql(n)).map(|column| format!("{column} = {column}")).collect();
    probes.push(format!("UPDATE {table} SET {}", sets.join(",")));
    probes
}

fn prefix_of(generation: i64) -> String {
    format!("{}{generation}_", crate::sqlite::name::PREFIX)
}

fn has_triggers(generation: i64, triggers: &HashMap<String, Trigger>) -> bool {
    let prefix = prefix_of(generation);
    triggers.keys().any(|name| name.starts_with(&prefix))
}

/// Whether a table's triggers are what would be made now. Takes those that are out of `triggers`.
fn is_intact(
    generation: i64,
    table: &Table,
    described: &Arc<Described>,
    marker: &str,
    triggers: &mut HashMap<String, Trigger>,
) -> bool {
    if *table != *described.table {
        return false;
    }
    let wanted = triggers::definitions(generation, described, marker);
    let prefix = prefix_of(generation);
    let ours: Vec<&Trigger> =
        triggers.iter().filter(|(name, _)| name.starts_with(&prefix)).map(|(_, trigger)| trigger).collect();
    let same = ours.len() == wanted.len() && ours.iter().all(|trigger| wanted.contains(&trigger.sql));
    // The user's trigger that was made after ours runs before ours: a change that it makes would be read before its cause.
    let first = ours.iter().map(|trigger| trigger.order).min().unwrap_or(0);
    let on_table = described.table.name.name.to_ascii_lowercase();
    let overtaken =
        triggers.iter().any(|(name, trigger)| !is_internal(name) && trigger.table == on_table && trigger.order > first);
    if !same || overtaken {
        return false;
    }
    triggers.retain(|name, _| !name.starts_with(&prefix));
    true
}
