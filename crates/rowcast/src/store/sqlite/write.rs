//! Changes of several tables in one transaction. While it is open nobody else writes, so that what was looked at holds.

use rusqlite::{Connection, params_from_iter};

use super::pool::place;
use super::select::read_row;
use super::statement::{Statement, is_left_out};
use super::{StoreError, find_same, refused};
use crate::event::{Row, Value};
use crate::filter::Predicate;
use crate::sqlite::catalog::{Catalog, Described, Identity};
use crate::sqlite::name::quote;
use crate::sqlite::value::{self, Bound};
use crate::store::write::{first, met};
use crate::store::{Conflict, Set, Violation, ViolationKind, Write, Written};

/// Does everything, in the transaction that the connection has begun, and commits it.
pub(super) fn all(connection: &Connection, catalog: &Catalog, writes: &[Write]) -> Result<Written, StoreError> {
    let (mut rows, mut returned) =
        (Vec::with_capacity(writes.len()), Vec::<Option<Vec<Row>>>::with_capacity(writes.len()));
    for (n, write) in writes.iter().enumerate() {
        let described = find_same(catalog, write.table())?;
        let settled = write.settled(|n: usize| first(&returned, n))?;
        let (count, found) = One { connection, described: &described, n }.write(&settled)?;
        met(n, write, count)?;
        rows.push(count);
        returned.push(found);
    }
    let place = place(connection)?.to_place();
    connection.execute_batch("COMMIT").map_err(|error| violated(None, error))?;
    Ok(Written { rows, returned, place })
}

/// One of the writes.
struct One<'a> {
    connection: &'a Connection,
    described: &'a Described,
    n: usize,
}

type Done = (u64, Option<Vec<Row>>);

impl One<'_> {
    fn write(&self, write: &Write) -> Result<Done, StoreError> {
        match write {
            Write::Insert { cells, conflict, check, .. } => {
                let keys = self.insert(cells, conflict)?;
                self.read_back(&keys, check.as_deref())
            }
            Write::Update { filter, set, check, .. } => {
                self.count(write, filter.as_deref())?;
                let keys = self.update(filter.as_deref(), set)?;
                self.read_back(&keys, check.as_deref())
            }
            Write::Delete { filter, .. } => {
                self.count(write, filter.as_deref())?;
                Ok((self.delete(filter.as_deref())?, None))
            }
            Write::Require { filter, .. } => Ok((self.count(write, filter.as_deref())?, None)),
        }
    }

    fn table(&self) -> String {
        quote(&self.described.table.name.name)
    }

    /// How many rows there are, as far as it matters. Refuses too many before they are touched.
    fn count(&self, write: &Write, filter: Option<&Predicate>) -> Result<u64, StoreError> {
        let mut params = Vec::new();
        let condition = condition(filter, &mut params);
        params.push(Value::Int(i64::try_from(write.looked_at()).unwrap_or(i64::MAX)));
        let sql = format!("SELECT count(*) FROM (SELECT 1 FROM {}{condition} LIMIT ?{})", self.table(), params.len());
        let rows = self.run(&sql, &params, |row| row.get::<_, i64>(0))?;
        let count = rows.first().map_or(0, |count| count.unsigned_abs());
        if count > *write.expect().end() {
            met(self.n, write, count)?;
        }
        Ok(count)
    }

    /// Returns by what the row is found, unless it was passed over.
    fn insert(&self, cells: &[(usize, Value)], conflict: &Conflict) -> Result<Vec<Vec<Value>>, StoreError> {
        let mut statement = Statement::new(self.described, conflict)?;
        let sql = format!("{} RETURNING {}", statement.of(cells), self.identity()?.join(","));
        let values: Vec<Value> =
            cells.iter().map(|(_, value)| value).filter(|value| !is_left_out(value)).cloned().collect();
        self.keys(&sql, &values)
    }

    /// Returns by what the rows are found now.
    fn update(&self, filter: Option<&Predicate>, set: &[(usize, Set)]) -> Result<Vec<Vec<Value>>, StoreError> {
        let mut params = Vec::new();
        let set: Vec<String> = set.iter().map(|(column, to)| self.set(*column, to, &mut params)).collect();
        let condition = condition(filter, &mut params);
        let identity = self.identity()?.join(",");
        self.keys(&format!("UPDATE {} SET {}{condition} RETURNING {identity}", self.table(), set.join(",")), &params)
    }

    fn set(&self, column: usize, to: &Set, params: &mut Vec<Value>) -> String {
        params.push(to.value().clone());
        let (name, n) = (self.described.column_sql(column), params.len());
        match to {
            Set::Value(_) | Set::Returned { .. } => format!("{name} = ?{n}"),
            Set::Add(_) => format!("{name} = {name} + ?{n}"),
            Set::Greatest(_) => {
                format!("{name} = CASE WHEN {name} IS NULL OR {name} < ?{n} THEN ?{n} ELSE {name} END")
            }
        }
    }

    fn delete(&self, filter: Option<&Predicate>) -> Result<u64, StoreError> {
        let mut params = Vec::new();
        let sql = format!("DELETE FROM {}{}", self.table(), condition(filter, &mut params));
        let deleted = self
            .connection
            .prepare_cached(&sql)
            .and_then(|mut delete| delete.execute(params_from_iter(params.iter().map(Bound))));
        deleted.map(|count| count as u64).map_err(|error| violated(Some(self.n), error))
    }

    /// What tells the table's rows apart, as SQL.
    fn identity(&self) -> Result<Vec<String>, StoreError> {
        let names = |columns: &[usize]| columns.iter().map(|&n| self.described.column_sql(n)).collect();
        match &self.described.identity {
            Identity::Rowid(rowid) => Ok(vec![(*rowid).to_owned()]),
            Identity::Key(columns) => Ok(names(columns)),
            Identity::Hidden if !self.described.table.key.is_empty() => Ok(names(&self.described.table.key)),
            Identity::Hidden => Err(StoreError::Refused(format!(
                "table `{}` has no key to tell its rows by",
                self.described.table.name
            ))),
        }
    }

    fn keys(&self, sql: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, StoreError> {
        self.run(sql, params, |row| {
            (0..row.as_ref().column_count()).map(|n| Ok(value::read(row.get_ref(n)?))).collect()
        })
    }

    /// The rows as triggers have left them, each of which has to be as the check says.
    fn read_back(&self, keys: &[Vec<Value>], check: Option<&Predicate>) -> Result<Done, StoreError> {
        let table = &self.described.table;
        let columns: Vec<String> = (0..table.columns.len()).map(|n| self.described.column_sql(n)).collect();
        let identity = self.identity()?;
        let mut params = Vec::new();
        let mut sql = format!("SELECT {},", columns.join(","));
        let first = identity.len();
        // The key's places come first, so that the check's parameters are the same for every row.
        params.resize(first, Value::Null);
        match check {
            None => sql.push('1'),
            Some(check) => {
                check.push_holding_sql(&mut sql, &mut params);
                sql.push_str(" IS TRUE");
            }
        }
        let same: Vec<String> = identity.iter().enumerate().map(|(n, name)| format!("{name} IS ?{}", n + 1)).collect();
        sql.push_str(&format!(" FROM {} WHERE {}", self.table(), same.join(" AND ")));
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            params[..first].clone_from_slice(key);
            let width = columns.len();
            let rows = self.run(&sql, &params, |row| Ok((read_row(row, width)?, row.get::<_, bool>(width)?)))?;
            match rows.into_iter().next() {
                Some((row, true)) => found.push(row),
                // What a trigger has taken away cannot be looked at.
                None if check.is_none() => {}
                Some(_) | None => return Err(StoreError::Forbidden { write: self.n }),
            }
        }
        Ok((keys.len() as u64, Some(found)))
    }

    fn run<T>(
        &self,
        sql: &str,
        params: &[Value],
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let run = || -> rusqlite::Result<Vec<T>> {
            let mut statement = self.connection.prepare_cached(sql)?;
            statement.query_map(params_from_iter(params.iter().map(Bound)), read)?.collect()
        };
        run().map_err(|error| violated(Some(self.n), error))
    }
}

fn condition(filter: Option<&Predicate>, params: &mut Vec<Value>) -> String {
    let mut sql = String::new();
    if let Some(filter) = filter {
        sql.push_str(" WHERE ");
        filter.push_holding_sql(&mut sql, params);
    }
    sql
}

/// What an error means, of this write or of the commit.
fn violated(write: Option<usize>, error: rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{ConstraintViolation, TooBig, TypeMismatch};
    use rusqlite::ffi;
    let Some(code) = error.sqlite_error().copied() else { return refused(error) };
    let kind = match code.extended_code {
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => {
            ViolationKind::Unique
        }
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => ViolationKind::ForeignKey,
        ffi::SQLITE_CONSTRAINT_NOTNULL => ViolationKind::NotNull,
        ffi::SQLITE_CONSTRAINT_CHECK => ViolationKind::Check,
        _ if matches!(code.code, ConstraintViolation | TooBig | TypeMismatch) => ViolationKind::Value,
        _ => return refused(error),
    };
    let message = error.to_string();
    let (constraint, columns) = about(kind, &message);
    StoreError::Violated(Box::new(Violation { write, kind, constraint, columns, message }))
}

/// `UNIQUE constraint failed: t.a, t.b` or `…: index 'i'`, `NOT NULL constraint failed: t.a`, `CHECK constraint failed: name`.
fn about(kind: ViolationKind, message: &str) -> (Option<Box<str>>, Vec<Box<str>>) {
    let Some((_, what)) = message.split_once("constraint failed: ") else { return (None, Vec::new()) };
    let index = what.strip_prefix("index '").and_then(|name| name.strip_suffix('\''));
    match (kind, index) {
        (ViolationKind::Unique | ViolationKind::NotNull, None) => {
            let column = |named: &str| named.rsplit_once('.').map_or(named, |(_, column)| column).into();
            (None, what.split(", ").map(column).collect())
        }
        (ViolationKind::Unique, Some(index)) => (Some(index.into()), Vec::new()),
        (ViolationKind::Check, _) => (Some(what.into()), Vec::new()),
        _ => (None, Vec::new()),
    }
}
