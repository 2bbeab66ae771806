//! Rows that set the same columns as one statement, whose values are parameters.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Params};

use super::super::keys::Target;
use super::super::{kinds, quote, value};
use super::Insert;
use crate::event::Value;
use crate::mysql::Kind;
use crate::mysql::catalog::Described;

/// Rows in one statement, at most.
const ROWS: usize = 1_000;
/// Parameters in one statement, at most: the protocol counts them in 16 bits.
const PARAMETERS: usize = 60_000;
/// Bytes of values in one statement, about: servers take 16 MiB at once unless they were told otherwise.
const BYTES: usize = 2 << 20;
/// A statement with so few parameters is kept by the connection for the next insert; larger ones take much of the
/// server's memory, and are closed.
const SMALL: usize = 100;

/// Rows that set the same columns: their places in [`Insert::rows`].
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) columns: Vec<usize>,
    pub(super) rows: Vec<usize>,
}

impl Batch {
    /// The second half, and then the first: the last one is taken first.
    pub(super) fn halves(mut self) -> [Batch; 2] {
        let second = self.rows.split_off(self.rows.len() / 2);
        [Batch { columns: self.columns.clone(), rows: second }, self]
    }
}

/// Neighbours that set the same columns go together, so that rows are written in their order. And the rows that set a
/// column which is not there, or are larger than what the server takes at once.
pub(super) fn batches(
    described: &Described,
    insert: &Insert,
    packet: usize,
    passed_over: impl Fn(usize) -> bool,
) -> (Vec<Batch>, Vec<(usize, String)>) {
    let (mut batches, mut misplaced): (Vec<Batch>, Vec<(usize, String)>) = (Vec::new(), Vec::new());
    let width = described.table.columns.len();
    // Rows of a table without transactions cannot be undone together.
    let (mut weight, most) = (0, if described.is_transactional() { ROWS } else { 1 });
    for (n, row) in insert.rows.iter().enumerate().filter(|(n, _)| !passed_over(*n)) {
        let set = row.iter().filter(|(_, value)| *value != Value::Unchanged);
        let mut columns: Vec<usize> = set.map(|(column, _)| *column).collect();
        columns.sort_unstable();
        columns.dedup();
        if columns.last().is_some_and(|last| *last >= width) {
            misplaced.push((n, "the table has no such column".to_owned()));
            continue;
        }
        let own: usize = row.iter().map(|(_, value)| value.weight()).sum();
        if own > packet.saturating_sub(4096) {
            misplaced.push((n, format!("the row is larger than the server's max_allowed_packet of {packet} bytes")));
            continue;
        }
        match batches.last_mut() {
            Some(batch)
                if batch.columns == columns
                    && batch.rows.len() < most
                    && (batch.rows.len() + 1) * columns.len() <= PARAMETERS
                    && weight + own <= BYTES.min(packet / 2) =>
            {
                weight += own;
                batch.rows.push(n);
            }
            _ => {
                weight = own;
                batches.push(Batch { columns, rows: vec![n] });
            }
        }
    }
    (batches, misplaced)
}

/// The last large statement, which the next batch most often needs, too.
pub(super) struct Statement<'a> {
    described: &'a Described,
    insert: &'a Insert,
    kinds: Box<[Kind]>,
    target: Option<Target>,
    large: Option<(String, mysql_async::Statement)>,
}

impl<'a> Statement<'a> {
    pub(super) fn new(described: &'a Described, insert: &'a Insert, target: Option<Target>) -> Self {
        Self { described, insert, kinds: kinds(&described.table), target, large: None }
    }

    /// Inserts the rows. Returns how many stand now and did not before, or not like this.
    pub(super) async fn run(&mut self, conn: &mut Conn, batch: &Batch) -> Result<u64, Error> {
        let sql = self.sql(batch);
        let params = self.params(batch);
        let count = params.len();
        let params = if params.is_empty() { Params::Empty } else { Params::Positional(params) };
        if count <= SMALL {
            conn.exec_drop(sql, params).await?;
        } else {
            let statement = self.large(conn, sql).await?;
            conn.exec_drop(statement, params).await?;
        }
        Ok(self.counted(conn, batch))
    }

    async fn large(&mut self, conn: &mut Conn, sql: String) -> Result<mysql_async::Statement, Error> {
        if let Some((known, statement)) = &self.large
            && *known == sql
        {
            return Ok(statement.clone());
        }
        self.close(conn).await?;
        let statement = conn.prep(&sql).await?;
        self.large = Some((sql, statement.clone()));
        Ok(statement)
    }

    /// Frees what the server keeps of it.
    pub(super) async fn close(&mut self, conn: &mut Conn) -> Result<(), Error> {
        match self.large.take() {
            Some((_, statement)) => conn.close(statement).await,
            None => Ok(()),
        }
    }

    fn sql(&self, batch: &Batch) -> String {
        let table = &self.described.table;
        let names: Vec<String> = batch.columns.iter().map(|&n| quote(&table.columns[n].name)).collect();
        let row = format!("({})", vec!["?"; names.len()].join(","));
        let rows = vec![row.as_str(); batch.rows.len()].join(",");
        let conflict = self.target.as_ref().map_or_else(String::new, |target| target.sql(table, &batch.columns));
        format!("INSERT INTO {} ({}) VALUES {rows}{conflict}", quote(&table.name.name), names.join(","))
    }

    fn params(&self, batch: &Batch) -> Vec<mysql_async::Value> {
        let mut params = Vec::with_capacity(batch.columns.len() * batch.rows.len());
        for &row in &batch.rows {
            for &column in &batch.columns {
                // Given twice, the last one counts.
                let given = self.insert.rows[row]
                    .iter()
                    .rev()
                    .find(|(set, value)| *set == column && *value != Value::Unchanged);
                let raw = given.map_or(mysql_async::Value::NULL, |(_, given)| value::write(&self.kinds[column], given));
                params.push(raw);
            }
        }
        params
    }

    /// A row that was inserted counts once, one that was changed twice, one that stayed as it was not at all. How many were
    /// changed, the server's answer says after how many rows there were.
    fn counted(&self, conn: &Conn, batch: &Batch) -> u64 {
        let rows = batch.rows.len() as u64;
        if self.target.is_none() {
            return rows;
        }
        let affected = conn.affected_rows();
        if rows == 1 {
            return affected.min(1);
        }
        let info = conn.info();
        // `Records: 3  Duplicates: 1  Warnings: 0`, in the server's language.
        let mut numbers = info.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse::<u64>().ok());
        let changed = numbers.nth(1).unwrap_or(0);
        affected.saturating_sub(changed).min(rows)
    }
}
