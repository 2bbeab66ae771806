//! The statements of one write, and the rows that they answer with.

use mysql_async::{Params, Value as Raw};

use super::super::keys::Target;
use super::super::{StoreError, kinds, quote, value};
use crate::event::{Row, Table, Value};
use crate::filter::{Dialect, Predicate};
use crate::mysql::Kind;
use crate::mysql::catalog::Described;
use crate::store::{Set, Write};

/// Rows in one statement, at most, and parameters of their keys.
const ROWS: usize = 500;
const PARAMETERS: usize = 2_000;

/// The rows of one table.
pub(super) struct Rows<'a> {
    described: &'a Described,
    kinds: Box<[Kind]>,
}

/// An insert, and what it gives to which column.
pub(super) struct Insertion {
    pub(super) sql: String,
    pub(super) params: Params,
    pub(super) given: Vec<(usize, Raw)>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(described: &'a Described) -> Self {
        Self { described, kinds: kinds(&described.table) }
    }

    pub(super) fn table(&self) -> &'a Table {
        &self.described.table
    }

    /// How many keys go into one statement.
    pub(super) fn at_once(&self) -> usize {
        (PARAMETERS / self.table().key.len().max(1)).clamp(1, ROWS)
    }

    pub(super) fn without_key(&self, why: &str) -> StoreError {
        StoreError::Refused(format!("table `{}` has no key that its rows are found by: {why}", self.table().name))
    }

    pub(super) fn insert(&self, cells: &[(usize, Value)], target: Option<&Target>) -> Insertion {
        let mut given: Vec<(usize, Raw)> = Vec::with_capacity(cells.len());
        for (column, value) in cells.iter().filter(|(_, value)| *value != Value::Unchanged) {
            let raw = value::write(&self.kinds[*column], value);
            // Given twice, the last one counts.
            match given.iter_mut().find(|(known, _)| known == column) {
                Some((_, known)) => *known = raw,
                None => given.push((*column, raw)),
            }
        }
        let columns: Vec<usize> = given.iter().map(|(column, _)| *column).collect();
        let names: Vec<String> = columns.iter().map(|&column| self.name(column)).collect();
        let marks = vec!["?"; columns.len()].join(",");
        let conflict = target.map_or_else(String::new, |target| target.sql(self.table(), &columns));
        let sql = format!("INSERT INTO {} ({}) VALUES ({marks}){conflict}", self.quoted(), names.join(","));
        Insertion { sql, params: positional(given.iter().map(|(_, raw)| raw.clone()).collect()), given }
    }

    /// The values of these columns of a row that was inserted, if they are known.
    pub(super) fn key_of(&self, key: &[usize], given: &[(usize, Raw)], counted: Option<u64>) -> Option<Vec<Raw>> {
        let of = |column: usize| {
            let value = given.iter().find(|(known, _)| *known == column).map(|(_, raw)| raw);
            match value {
                Some(value) if *value != Raw::NULL => Some(value.clone()),
                _ if self.described.columns[column].auto_increment => counted.map(Raw::UInt),
                _ => None,
            }
        };
        let values: Option<Vec<Raw>> = key.iter().map(|&column| of(column)).collect();
        values.filter(|values| !values.is_empty())
    }

    /// The keys of a filter's rows.
    pub(super) fn keys(&self, filter: Option<&Predicate>, write: &Write) -> Result<(String, Params), StoreError> {
        if self.table().key.is_empty() {
            return Err(self.without_key("give it a primary key"));
        }
        let names: Vec<String> = self.table().key.iter().map(|&column| self.name(column)).collect();
        Ok(self.select(&names.join(","), filter, write, " FOR UPDATE"))
    }

    /// As many of a filter's rows as matter.
    pub(super) fn look(&self, filter: Option<&Predicate>, write: &Write, alone: bool) -> (String, Params) {
        self.select("1", filter, write, if alone { " FOR UPDATE" } else { Dialect::Mysql.hold() })
    }

    fn select(&self, what: &str, filter: Option<&Predicate>, write: &Write, hold: &str) -> (String, Params) {
        let mut params = Vec::new();
        let condition = condition(filter, &mut params);
        // All of them, where there may be any number.
        let limit = match write {
            Write::Require { .. } => format!(" LIMIT {}", write.looked_at()),
            _ if *write.expect().end() == u64::MAX => String::new(),
            _ => format!(" LIMIT {}", write.looked_at()),
        };
        (
            format!("SELECT {what} FROM {}{condition}{limit}{hold}", self.quoted()),
            positional(value::parameters(&params)),
        )
    }

    pub(super) fn delete(&self, filter: Option<&Predicate>) -> (String, Params) {
        let mut params = Vec::new();
        let condition = condition(filter, &mut params);
        (format!("DELETE FROM {}{condition}", self.quoted()), positional(value::parameters(&params)))
    }

    pub(super) fn update(&self, set: &[(usize, Set)], keys: &[Vec<Raw>]) -> (String, Params) {
        let mut params = Vec::new();
        let set: Vec<String> = set.iter().map(|(column, to)| self.set(*column, to, &mut params)).collect();
        let condition = self.among(&self.table().key, keys, &mut params);
        (format!("UPDATE {} SET {} WHERE {condition}", self.quoted(), set.join(",")), positional(params))
    }

    /// The key of an updated row.
    pub(super) fn moved(&self, mut key: Vec<Raw>, set: &[(usize, Set)]) -> Vec<Raw> {
        for (value, column) in key.iter_mut().zip(&self.table().key) {
            if let Some((_, Set::Value(to))) = set.iter().find(|(set, _)| set == column) {
                *value = value::write(&self.kinds[*column], to);
            }
        }
        key
    }

    /// The rows of these keys, each with whether it is as it has to be.
    pub(super) fn read_back(&self, key: &[usize], keys: &[Vec<Raw>], check: Option<&Predicate>) -> (String, Params) {
        let (mut sql, mut allowed) = (String::from("SELECT "), Vec::new());
        let names: Vec<String> = (0..self.table().columns.len()).map(|column| self.name(column)).collect();
        sql.push_str(&names.join(","));
        match check {
            None => sql.push_str(",1"),
            Some(check) => {
                sql.push(',');
                check.push_holding_sql(&mut sql, &mut allowed);
                sql.push_str(" IS TRUE");
            }
        }
        let mut params = value::parameters(&allowed);
        let condition = self.among(key, keys, &mut params);
        sql.push_str(&format!(" FROM {} WHERE {condition}", self.quoted()));
        (sql, positional(params))
    }

    pub(super) fn read(&self, row: mysql_async::Row) -> (Row, bool) {
        let mut raw = row.unwrap();
        let allowed = matches!(raw.pop(), Some(Raw::Int(1) | Raw::UInt(1)));
        let values = self.kinds.iter().zip(raw).map(|(kind, raw)| value::read(kind, raw));
        (Row::from(values.collect::<Vec<Value>>()), allowed)
    }

    fn set(&self, column: usize, to: &Set, params: &mut Vec<Raw>) -> String {
        let (name, raw) = (self.name(column), value::write(&self.kinds[column], to.value()));
        match to {
            Set::Value(_) | Set::Returned { .. } => {
                params.push(raw);
                format!("{name} = ?")
            }
            Set::Add(_) => {
                params.push(raw);
                format!("{name} = {name} + ?")
            }
            Set::Greatest(_) => {
                params.extend([raw.clone(), raw]);
                format!("{name} = CASE WHEN {name} IS NULL OR {name} < ? THEN ? ELSE {name} END")
            }
        }
    }

    fn among(&self, key: &[usize], keys: &[Vec<Raw>], params: &mut Vec<Raw>) -> String {
        let same: Vec<String> = key.iter().map(|&column| format!("{} = ?", self.name(column))).collect();
        let one = format!("({})", same.join(" AND "));
        params.extend(keys.iter().flatten().cloned());
        vec![one.as_str(); keys.len()].join(" OR ")
    }

    fn name(&self, column: usize) -> String {
        quote(&self.table().columns[column].name)
    }

    fn quoted(&self) -> String {
        quote(&self.table().name.name)
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

fn positional(params: Vec<Raw>) -> Params {
    if params.is_empty() { Params::Empty } else { Params::Positional(params) }
}
