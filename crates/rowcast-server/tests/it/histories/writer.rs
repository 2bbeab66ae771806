//! The writer of a history: another program, as far as the server knows, that writes to its table what it likes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rusqlite::{Connection, params};
use serde_json::Value;
use tokio::runtime::Handle;

use super::ledger::{Change, Ledger, Rows, Tx};
use super::model::{MARKER, Row, Shape, TEXTS, group, quoted};
use super::world::{Story, World};

/// Rows of a large transaction: more than the hub takes in one go.
const LARGE: std::ops::Range<i64> = 2_600..4_500;
/// Ids of the rows that come and go all the time are below; those of large transactions begin here.
const LARGE_IDS: i64 = 1_000;

pub(crate) struct Writer {
    world: Arc<World>,
    story: Arc<Story>,
    connection: Connection,
    random: StdRng,
    rows: Rows,
    altered: bool,
    next_v: i64,
    ledger: Ledger,
}

impl Writer {
    pub(crate) fn new(world: Arc<World>, story: Arc<Story>, random: StdRng) -> Result<Self> {
        let connection = Connection::open(world.server.database())?;
        connection.busy_timeout(Duration::from_secs(60))?;
        connection.execute_batch("PRAGMA synchronous=NORMAL")?;
        let ledger = Ledger { shape: story.shape, txs: Vec::new() };
        Ok(Self { world, story, connection, random, rows: Rows::new(), altered: false, next_v: 0, ledger })
    }

    /// Writes `steps` transactions and, when `clients` says so, the marker. Blocks.
    pub(crate) fn run(mut self, steps: u32, clients: impl FnOnce() -> Result<()>) -> Result<Ledger> {
        for _ in 0..steps {
            // Now and then it writes while the server is away; else all would be written by the time it is back.
            if self.random.random_bool(0.9) {
                Handle::current().block_on(self.world.server.up())?;
            }
            self.step()?;
            // Only a pace: nothing waits for it.
            std::thread::sleep(Duration::from_millis(self.random.random_range(0..12)));
        }
        clients()?;
        let marker = Row { id: MARKER, a: Some(7), b: Some("x".into()), v: self.v(), c: self.c(), rowid: 0 };
        self.transaction(|writer, changes| writer.insert(marker, changes))?;
        Ok(self.ledger)
    }

    fn step(&mut self) -> Result<()> {
        let large = self.story.large && self.random.random_ratio(1, 25);
        if large {
            return self.transaction(Self::large);
        }
        if self.story.shifting && self.random.random_ratio(1, 40) {
            return self.shift();
        }
        match self.random.random_range(0..20) {
            0..=1 => self.over_http(),
            2 => self.rolled_back(),
            3..=9 => self.transaction(Self::one),
            _ => self.transaction(Self::several),
        }
    }

    /// One transaction, with the lock taken first; what it did goes into the ledger once it is committed.
    fn transaction(&mut self, body: impl FnOnce(&mut Self, &mut Vec<Change>) -> Result<()>) -> Result<()> {
        let world = self.world.clone();
        let _turn = world.turn();
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let mut changes = Vec::new();
        body(self, &mut changes)?;
        self.connection.execute_batch("COMMIT")?;
        self.committed(Tx::Rows(changes));
        Ok(())
    }

    fn committed(&mut self, tx: Tx) {
        match &tx {
            Tx::Rows(changes) if changes.is_empty() => return,
            // The rows have been kept up to date on the way.
            Tx::Rows(_) => {}
            other => other.apply(&mut self.rows, &mut self.altered),
        }
        self.ledger.txs.push(tx);
        self.story.committed(self.ledger.txs.len());
        self.world.committed();
    }

    fn rolled_back(&mut self) -> Result<()> {
        let world = self.world.clone();
        let _turn = world.turn();
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let mut changes = Vec::new();
        self.several(&mut changes)?;
        self.connection.execute_batch("ROLLBACK")?;
        self.undo(&mut changes, 0);
        Ok(())
    }

    fn undo(&mut self, changes: &mut Vec<Change>, until: usize) {
        for change in changes.drain(until..).rev() {
            change.undo(&mut self.rows);
        }
    }

    fn several(&mut self, changes: &mut Vec<Change>) -> Result<()> {
        for _ in 0..self.random.random_range(1..7) {
            if self.random.random_ratio(1, 6) {
                self.savepoint(changes)?;
            } else {
                self.one(changes)?;
            }
        }
        Ok(())
    }

    fn savepoint(&mut self, changes: &mut Vec<Change>) -> Result<()> {
        let before = changes.len();
        self.connection.execute_batch("SAVEPOINT s")?;
        for _ in 0..self.random.random_range(1..4) {
            self.one(changes)?;
        }
        if self.random.random_bool(0.5) {
            self.connection.execute_batch("ROLLBACK TO s")?;
            self.undo(changes, before);
        }
        self.connection.execute_batch("RELEASE s")?;
        Ok(())
    }

    /// One statement.
    fn one(&mut self, changes: &mut Vec<Change>) -> Result<()> {
        let keyed = self.story.shape != Shape::Keyless;
        let ordered = matches!(self.story.shape, Shape::Rowid | Shape::Clustered);
        match self.random.random_range(0..24) {
            0..=6 => self.insert_free(changes),
            7..=12 => self.update_one(changes),
            13..=15 => self.delete_one(changes),
            16..=17 if keyed => self.replace(changes),
            18 if keyed => self.upsert(changes),
            19..=20 => self.move_key(changes),
            21 if keyed => self.move_key_over_another(changes),
            22 if ordered => self.update_many(changes),
            23 if ordered => self.delete_many(changes),
            _ => self.update_one(changes),
        }
    }

    fn v(&mut self) -> i64 {
        self.next_v += 1;
        self.next_v
    }

    fn c(&mut self) -> Option<String> {
        self.altered.then(|| "new".to_owned())
    }

    fn a_row(&mut self, id: i64) -> Row {
        let a = self.random.random_bool(0.85).then(|| self.random.random_range(0..10));
        let b = TEXTS.choose(&mut self.random).copied().flatten().map(str::to_owned);
        Row { id, a, b, v: self.v(), c: self.c(), rowid: 0 }
    }

    fn free_id(&mut self) -> i64 {
        let first = self.random.random_range(1..16);
        (first..).find(|id| !self.rows.contains_key(id)).expect("there are more numbers than rows")
    }

    fn some_row(&mut self) -> Option<Row> {
        let ids: Vec<i64> = self.rows.keys().copied().collect();
        ids.choose(&mut self.random).map(|id| self.rows[id].clone())
    }

    fn record(&mut self, old: Option<Row>, new: Option<Row>, changes: &mut Vec<Change>) {
        let change = Change { old, new };
        change.apply(&mut self.rows);
        changes.push(change);
    }

    fn put(&self, verb: &str, row: &Row, end: &str) -> Result<usize> {
        let table = quoted(&self.story.table);
        let (group_name, group_value) = match self.story.shape {
            Shape::Composite => ("g, ", "?6, "),
            _ => ("", ""),
        };
        let (c_name, c_value) = if self.altered { (", c", ", ?5") } else { ("", "") };
        let sql = format!(
            "{verb} INTO {table} ({group_name}id, a, b, v{c_name}) VALUES ({group_value}?1, ?2, ?3, ?4{c_value}) {end}"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let values = [
            Some(rusqlite::types::Value::from(row.id)),
            Some(row.a.into()),
            Some(row.b.clone().into()),
            Some(row.v.into()),
            self.altered.then(|| row.c.clone().into()),
            (self.story.shape == Shape::Composite).then(|| group(row.id).into()),
        ];
        for (n, value) in values.into_iter().enumerate() {
            if let Some(value) = value {
                statement.raw_bind_parameter(n + 1, value)?;
            }
        }
        Ok(statement.raw_execute()?)
    }

    fn set(&self, verb: &str, id: i64, row: &Row) -> Result<()> {
        let group = if self.story.shape == Shape::Composite { ", g = 'g' || (?1 % 3)" } else { "" };
        let sql =
            format!("{verb} {} SET id = ?1, a = ?2, b = ?3, v = ?4{group} WHERE id = ?5", quoted(&self.story.table));
        let changed = self.connection.prepare_cached(&sql)?.execute(params![row.id, row.a, row.b, row.v, id])?;
        ensure!(changed == 1, "the model knows row {id}, the table has {changed} of it");
        Ok(())
    }

    fn insert(&mut self, mut row: Row, changes: &mut Vec<Change>) -> Result<()> {
        self.put("INSERT", &row, "")?;
        row.rowid = self.connection.last_insert_rowid();
        self.record(None, Some(row), changes);
        Ok(())
    }

    fn insert_free(&mut self, changes: &mut Vec<Change>) -> Result<()> {
        let id = self.free_id();
        let row = self.a_row(id);
        self.insert(row, changes)
    }

    fn update_one(&mut self, changes: &mut Vec<Change>) -> Result<()> {
        let Some(old) = self.some_row() else { return self.insert_free(changes) };
        let new = Row { c: old.c.clone(), rowid: old.rowid, ..self.a_row(old.id) };
        self.set("UPDATE", old.id, &new)?;
        self.record(Some(old), Some(new), changes);
        Ok(())
    }

    fn delete_one(&mut self, changes: &mut Vec<Change>) -> Result<()> {
        let Some(old) = self.some_row() else { return self.insert_free(changes) };
        let sql = format!("DELETE FROM {} WHERE id = ?1", quoted(&self.story.table));
        self.connection.prepare_cached(&sql)?.execute([old.id])?;
        self.record(Some(old), None, changes);
        Ok(())
    }

    fn replace(&mut self, changes: &mut Vec<Change>) -> Result<()> {
        let id = self.random.random_range(1..16);
        let row = self.a_row(id);
        self.put("INSERT OR REPLACE", &row, "")?;
        self.record(self.rows.get(&id).cloned(), Some(row), changes);
        Ok(())
    }

    fn upsert(&mut self, changes: &mut Vec<Change>) -> Result<()> {
        let id = self.random.random_range(1..16);
        let mut row = self.a_row(id);
        let key = self.story.shape.key().join(", ");
        self.put("INSERT", &row, &format!("ON CONFLICT ({key}) DO UPDATE SET a = excluded.a, v = excluded.v"))?;
        let old = self.rows.get(&id).cloned();
        if let Some(old) = &old {
            (row.b, row.c) = (old.b.clone(), old.c.clone());
        }
        self.record(old, Some(row), changes);
        Ok(())
    }

    fn move_key(&mut self, changes: &mut Vec<Change>) -> Result<()> {
        let Some(old) = self.some_row() else { return self.insert_free(changes) };
        let id = self.free_id();
        let new = Row { c: old.c.clone(), rowid: old.rowid, ..self.a_row(id) };
        self.set("UPDATE", old.id, &new)?;
        self.record(Some(old), Some(new), changes);
        Ok(())
    }

    /// The row that had the key before is gone without a word of its own.
    fn move_key_over_another(&mut self, changes: &mut Vec<Change>) -> Result<()> {
        let (Some(old), Some(other)) = (self.some_row(), self.some_row()) else { return self.insert_free(changes) };
        let new = Row { c: old.c.clone(), rowid: old.rowid, ..self.a_row(other.id) };
        self.set("UPDATE OR REPLACE", old.id, &new)?;
        if other.id != old.id {
            self.record(Some(other), None, changes);
        }
        self.record(Some(old), Some(new), changes);
        Ok(())
    }

    /// Rows are visited in the order of the key.
    fn update_many(&mut self, changes: &mut Vec<Change>) -> Result<()> {
        let limit = self.random.random_range(0..10);
        let first = self.next_v + 1;
        let sql = format!(
            "UPDATE {} SET a = a + 1, v = ?1 + id WHERE a <= ?2 AND id < {LARGE_IDS}",
            quoted(&self.story.table)
        );
        self.connection.prepare_cached(&sql)?.execute([first, limit])?;
        let small = self.rows.range(..LARGE_IDS).map(|(_, row)| row);
        let found: Vec<Row> = small.filter(|row| row.a.is_some_and(|a| a <= limit)).cloned().collect();
        for old in found {
            let new = Row { a: old.a.map(|a| a + 1), v: first + old.id, ..old.clone() };
            self.next_v = self.next_v.max(new.v);
            self.record(Some(old), Some(new), changes);
        }
        Ok(())
    }

    fn delete_many(&mut self, changes: &mut Vec<Change>) -> Result<()> {
        let a = self.random.random_range(0..10);
        let sql = format!("DELETE FROM {} WHERE a = ?1 AND id < {LARGE_IDS}", quoted(&self.story.table));
        self.connection.prepare_cached(&sql)?.execute([a])?;
        let small = self.rows.range(..LARGE_IDS).map(|(_, row)| row);
        let found: Vec<Row> = small.filter(|row| row.a == Some(a)).cloned().collect();
        for old in found {
            self.record(Some(old), None, changes);
        }
        Ok(())
    }

    /// Thousands of rows at once: inserted, and next time deleted.
    fn large(&mut self, changes: &mut Vec<Change>) -> Result<()> {
        self.one(changes)?;
        let there: Vec<i64> = self.rows.range(LARGE_IDS..MARKER).map(|(id, _)| *id).collect();
        if there.is_empty() {
            let last = LARGE_IDS + self.random.random_range(LARGE);
            for id in LARGE_IDS..last {
                let row = self.a_row(id);
                self.insert(row, changes)?;
            }
        }
        let sql = format!("DELETE FROM {} WHERE id = ?1", quoted(&self.story.table));
        for id in there {
            self.connection.prepare_cached(&sql)?.execute([id])?;
            let old = self.rows.get(&id).cloned();
            self.record(old, None, changes);
        }
        self.one(changes)
    }

    fn shift(&mut self) -> Result<()> {
        let table = quoted(&self.story.table);
        let world = self.world.clone();
        let _turn = world.turn();
        if !self.altered && self.random.random_bool(0.6) {
            self.connection.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN c TEXT DEFAULT 'd'"))?;
            self.committed(Tx::Altered);
        } else {
            self.connection.execute_batch(&format!("DROP TABLE {table}"))?;
            self.committed(Tx::Dropped);
            self.connection.execute_batch(&format!("CREATE TABLE {table} {}", self.story.shape.definition()))?;
            self.committed(Tx::Created);
        }
        Ok(())
    }

    /// Through the server instead: one request, one transaction.
    fn over_http(&mut self) -> Result<()> {
        let ids: Vec<i64> =
            (16..).filter(|id| !self.rows.contains_key(id)).take(self.random.random_range(1..5)).collect();
        let rows: Vec<Row> = ids.into_iter().map(|id| self.a_row(id)).collect();
        let columns = self.story.shape.columns(self.altered);
        let columns: Vec<_> = columns.into_iter().filter(|column| *column != "rowid").collect();
        let body: Vec<Value> = rows.iter().map(|row| row.json(&columns).into()).collect();
        let first = rows[0].v;
        if !Handle::current().block_on(self.story.post(&self.world, Value::Array(body)))? {
            // The server was killed before it could answer. It is back: what it has done is done.
            let sql = format!("SELECT count(*) FROM {} WHERE v = ?1", quoted(&self.story.table));
            let found: i64 = self.connection.query_row(&sql, [first], |row| row.get(0))?;
            if found == 0 {
                return Ok(());
            }
        }
        let mut changes = Vec::new();
        for mut row in rows {
            if self.story.shape == Shape::Keyless {
                let sql = format!("SELECT rowid FROM {} WHERE v = ?1", quoted(&self.story.table));
                row.rowid = self.connection.query_row(&sql, [row.v], |row| row.get(0))?;
            }
            self.record(None, Some(row), &mut changes);
        }
        self.committed(Tx::Rows(changes));
        Ok(())
    }
}

impl Story {
    /// Inserts rows by HTTP. `false` when the server went away and came back, and nobody knows what it has done.
    async fn post(&self, world: &World, rows: Value) -> Result<bool> {
        loop {
            let start = world.server.up().await?;
            let url = reqwest::Url::parse(&world.server.url("/v1/tables/"))?.join(&encoded(&self.table))?;
            let count = rows.as_array().map_or(0, Vec::len);
            let sent = world.server.http().post(url).json(&rows).send().await;
            let answer = match sent {
                Ok(answer) => (answer.status(), answer.text().await),
                Err(error) if error.is_connect() && world.server.up().await? == start => continue,
                Err(_) => {
                    world.next_start(start).await?;
                    return Ok(false);
                }
            };
            let (status, Ok(text)) = answer else {
                world.next_start(start).await?;
                return Ok(false);
            };
            if status.as_u16() == 404 && self.shifting {
                // The table was made a moment ago, and the server has not seen it yet.
                bail!("unknown table, though it is there: {text}");
            }
            let report: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
            if status.is_server_error() {
                // It is stopping: ask the table.
                return Ok(false);
            }
            ensure!(status.is_success() && report["count"] == count, "{status} {text}");
            return Ok(true);
        }
    }
}

/// A name as a part of a path.
fn encoded(name: &str) -> String {
    let name = if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') { name.to_owned() } else { quoted(name) };
    name.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
