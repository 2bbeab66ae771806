//! The triggers that copy every change of a table into the outbox, as SQL.
//!
//! They run inside other programs, with whatever version of SQLite those have, so they call no function. Three things are
//! less plain than they look:
//!
//! - `(SELECT NEW."a") … FROM (SELECT x'…' AS "a") AS "new"`: SQLite looks for `NEW."a"` in the row first and in the FROM
//!   clause next. Were the column read plainly, a trigger that reads it would make the user's `ALTER TABLE … DROP COLUMN "a"` fail.
//! - A row that `REPLACE` removes fires no delete trigger. It is copied aside by a BEFORE trigger when it is in the way,
//!   and reported by an AFTER trigger when it is gone.
//! - SQLite fires the trigger that was made last first. What must come first in the outbox is made last.

use crate::sqlite::catalog::{Described, Identity, Unique};
use crate::sqlite::name::quote;
use crate::sqlite::outbox::{KEY_WIDTH, WIDTH, key_columns, op, trigger, value_columns};

/// The statements that make the triggers of a table, in the order to run them in.
///
/// `marker` is what is written for a column that has been dropped since, as SQL.
pub(crate) fn definitions(generation: i64, described: &Described, marker: &str) -> Vec<String> {
    let writer = Writer { generation, described, marker, table: quote(&described.table.name.name) };
    let mut triggers = vec![writer.insert(), writer.update(), writer.delete()];
    if let Some(key) = writer.key() {
        triggers.extend([
            writer.before_insert(&key),
            writer.before_update(&key),
            writer.replaced_by_insert(&key),
            writer.replaced_by_update(&key),
        ]);
    }
    triggers
}

struct Writer<'a> {
    generation: i64,
    described: &'a Described,
    marker: &'a str,
    table: String,
}

/// The columns that tell rows apart, as SQL names.
struct Key(Vec<String>);

impl Key {
    /// `left."a" = right."a" AND …`
    fn same(&self, left: &str, right: &str) -> String {
        let terms: Vec<String> = self.0.iter().map(|column| format!("{left}.{column} = {right}.{column}")).collect();
        terms.join(" AND ")
    }

    /// As `same`, with a row of `_rowcast_replaced` on the right. Its columns have no collation, so they stand on the right.
    fn same_as_replaced(&self, left: &str) -> String {
        let terms: Vec<String> =
            self.0.iter().enumerate().map(|(n, column)| format!("{left}.{column} = r.\"k{n}\"")).collect();
        terms.join(" AND ")
    }
}

impl Writer<'_> {
    fn insert(&self) -> String {
        self.trigger("insert", "AFTER INSERT", "", &self.image("NEW", op::INSERT))
    }

    fn update(&self) -> String {
        let body = [self.image("OLD", op::OLD), self.image("NEW", op::UPDATE)].concat();
        self.trigger("update", "AFTER UPDATE", "", &body)
    }

    fn delete(&self) -> String {
        let mut body = self.image("OLD", op::DELETE);
        if let Some(key) = self.key() {
            let (generation, terms) = (self.generation, key_terms(&key, "OLD"));
            body.push(format!(r#"DELETE FROM "_rowcast_replaced" WHERE "gen" = {generation} AND {terms}"#));
        }
        self.trigger("delete", "AFTER DELETE", "", &body)
    }

    fn before_insert(&self, key: &Key) -> String {
        let conflicts = self.conflicts(key, None);
        self.trigger("before_insert", "BEFORE INSERT", &self.guard(&conflicts), &self.set_aside(key, &conflicts))
    }

    fn before_update(&self, key: &Key) -> String {
        let conflicts = self.conflicts(key, Some("OLD"));
        let when = format!("BEFORE UPDATE{}", self.of_unique_columns());
        self.trigger("before_update", &when, &self.guard(&conflicts), &self.set_aside(key, &conflicts))
    }

    fn replaced_by_insert(&self, key: &Key) -> String {
        self.trigger("replaced_by_insert", "AFTER INSERT", &self.any_replaced(), &self.report(key, ""))
    }

    fn replaced_by_update(&self, key: &Key) -> String {
        let when = format!("AFTER UPDATE{}", self.of_unique_columns());
        // An UPSERT sets aside the very row that it goes on to update.
        let other = format!(" AND NOT ({})", key.same_as_replaced("OLD"));
        self.trigger("replaced_by_update", &when, &self.any_replaced(), &self.report(key, &other))
    }

    fn trigger(&self, what: &str, when: &str, guard: &str, body: &[String]) -> String {
        let (name, table, body) = (trigger(self.generation, what), &self.table, body.join("; "));
        format!("CREATE TRIGGER {name} {when} ON {table} FOR EACH ROW {guard}BEGIN {body}; END")
    }

    /// `None` where a replaced row could not be recognised.
    fn key(&self) -> Option<Key> {
        let key = match &self.described.identity {
            Identity::Rowid(name) => vec![(*name).to_owned()],
            Identity::Key(columns) => columns.iter().map(|&n| self.described.column_sql(n)).collect(),
            Identity::Hidden => return None,
        };
        (key.len() <= KEY_WIDTH).then_some(Key(key))
    }

    /// Whether the user may drop this column.
    fn is_loose(&self, column: usize) -> bool {
        !(self.described.fixed.contains(&column) || column == 0 && self.described.has_rowid_column())
    }

    /// A FROM clause in which the loose ones of the columns are found when the table no longer has them.
    fn fallback(&self, columns: impl Iterator<Item = usize>, row: &str) -> Option<String> {
        let gone: Vec<String> = columns
            .filter(|&n| self.is_loose(n))
            .map(|n| format!("{} AS {}", self.marker, self.described.column_sql(n)))
            .collect();
        (!gone.is_empty()).then(|| format!("(SELECT {}) AS \"{}\"", gone.join(","), row.to_ascii_lowercase()))
    }

    /// Copies the row into the outbox: `WIDTH` values in each statement.
    fn image(&self, row: &str, last: &str) -> Vec<String> {
        self.parts(last)
            .map(|(columns, op)| {
                let values: Vec<String> = columns.clone().map(|n| self.value(row, n)).collect();
                let from = self.fallback(columns.clone(), row).map_or_else(String::new, |from| format!(" FROM {from}"));
                format!(
                    r#"INSERT INTO "_rowcast_outbox"("gen","op",{}) SELECT {},'{op}',{}{from}"#,
                    value_columns(columns.len()),
                    self.generation,
                    values.join(",")
                )
            })
            .collect()
    }

    fn value(&self, row: &str, column: usize) -> String {
        let name = self.described.column_sql(column);
        if self.is_loose(column) { format!("(SELECT {row}.{name})") } else { format!("{row}.{name}") }
    }

    /// The table's columns in parts of `WIDTH`, each with the operation that its outbox row has.
    fn parts<'a>(&self, last: &'a str) -> impl Iterator<Item = (std::ops::Range<usize>, &'a str)> {
        let count = self.described.table.columns.len();
        (0..count).step_by(WIDTH).map(move |from| {
            let to = (from + WIDTH).min(count);
            (from..to, if to == count { last } else { op::MORE })
        })
    }

    /// For each thing that must be unique, the condition on a row of the table that stands in the way of NEW.
    fn conflicts(&self, key: &Key, but: Option<&str>) -> Vec<String> {
        let mut conflicts: Vec<String> = self.described.uniques.iter().map(|unique| self.conflict(unique)).collect();
        if let Identity::Rowid(rowid) = self.described.identity {
            conflicts.insert(0, format!("{rowid} = NEW.{rowid}"));
        }
        if let Some(row) = but {
            let other = format!(" AND NOT ({})", key.same("\"_rowcast_t\"", row));
            conflicts.iter_mut().for_each(|conflict| conflict.push_str(&other));
        }
        conflicts
    }

    fn conflict(&self, unique: &Unique) -> String {
        let mut terms: Vec<String> = unique
            .columns
            .iter()
            .map(|(n, collation)| {
                let name = self.described.column_sql(*n);
                format!("{name} = NEW.{name} COLLATE {}", quote(collation))
            })
            .collect();
        // A comment may end the clause; the line break ends the comment.
        terms.extend(unique.filter.as_ref().map(|filter| format!("({filter}\n)")));
        terms.join(" AND ")
    }

    /// One look into each index: true when a row is in the way.
    fn guard(&self, conflicts: &[String]) -> String {
        let table = &self.table;
        let looks: Vec<String> = conflicts
            .iter()
            .map(|conflict| format!(r#"EXISTS (SELECT 1 FROM {table} AS "_rowcast_t" WHERE {conflict})"#))
            .collect();
        let looks = looks.join(" OR ");
        match self.fallback(self.unique_columns().into_iter(), "new") {
            Some(fallback) => format!("WHEN EXISTS (SELECT 1 FROM {fallback} WHERE {looks}) "),
            None => format!("WHEN {looks} "),
        }
    }

    /// Columns that stand in a unique index or in its filter.
    fn unique_columns(&self) -> Vec<usize> {
        let uniques = &self.described.uniques;
        if uniques.iter().any(|unique| unique.filter.is_some()) {
            return (0..self.described.table.columns.len()).collect();
        }
        let mut columns: Vec<usize> =
            uniques.iter().flat_map(|unique| unique.columns.iter().map(|(n, _)| *n)).collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// `OF` the columns that an update must set to be in anybody's way; nothing where that cannot be told.
    fn of_unique_columns(&self) -> String {
        let columns = self.unique_columns();
        let unknown = self.described.uniques.iter().any(|unique| unique.filter.is_some())
            || columns.iter().any(|n| self.described.generated.contains(n));
        if unknown {
            return String::new();
        }
        let mut names: Vec<String> = columns.iter().map(|&n| self.described.column_sql(n)).collect();
        if let Identity::Rowid(_) = self.described.identity {
            names.extend(self.described.fixed.iter().map(|&n| self.described.column_sql(n)));
            names.extend(["rowid", "_rowid_", "oid"].map(str::to_owned));
        }
        names.dedup();
        format!(" OF {}", names.join(","))
    }

    /// Copies the rows that are in the way, as what they are now.
    ///
    /// Each value is looked up by itself: a join with what stands in for dropped columns, or an `IN`, would have SQLite
    /// make a temporary table each time, which costs more than all the rest.
    fn set_aside(&self, key: &Key, conflicts: &[String]) -> Vec<String> {
        let mut body = vec![format!(r#"DELETE FROM "_rowcast_replaced" WHERE "gen" = {}"#, self.generation)];
        let mut others = String::new();
        for conflict in conflicts {
            body.extend(self.set_one_aside(key, &format!("{conflict}{others}")));
            others.push_str(&format!(" AND ({conflict}) IS NOT 1"));
        }
        body
    }

    /// Copies the row, if any, that fulfils a condition which no two rows do.
    fn set_one_aside(&self, key: &Key, condition: &str) -> Vec<String> {
        let of_row = |what: &str| format!(r#"(SELECT {what} FROM {} AS "_rowcast_t" WHERE {condition})"#, self.table);
        let fallback = self.fallback(0..self.described.table.columns.len(), "new");
        let from = fallback.map_or_else(String::new, |fallback| format!(" FROM {fallback}"));
        let keys: Vec<String> = key.0.iter().map(|column| of_row(column)).collect();
        self.parts(op::REPLACED)
            .map(|(columns, op)| {
                let values: Vec<String> = columns.clone().map(|n| of_row(&self.described.column_sql(n))).collect();
                format!(
                    r#"INSERT INTO "_rowcast_replaced"("gen","op",{},{}) SELECT {},'{op}',{},{}{from} WHERE EXISTS {}"#,
                    key_columns(key.0.len()),
                    value_columns(columns.len()),
                    self.generation,
                    keys.join(","),
                    values.join(","),
                    of_row("1"),
                )
            })
            .collect()
    }

    fn any_replaced(&self) -> String {
        format!(r#"WHEN EXISTS (SELECT 1 FROM "_rowcast_replaced" WHERE "gen" = {}) "#, self.generation)
    }

    /// Moves what was set aside and is gone (or has become NEW) into the outbox.
    fn report(&self, key: &Key, but: &str) -> Vec<String> {
        let (generation, table) = (self.generation, &self.table);
        let values = value_columns(WIDTH.min(self.described.table.columns.len()));
        let (is_new, exists) = (key.same_as_replaced("NEW"), key.same_as_replaced("\"_rowcast_t\""));
        vec![
            format!(
                r#"INSERT INTO "_rowcast_outbox"("gen","op",{values}) SELECT "gen","op",{values} FROM "_rowcast_replaced" AS r WHERE "gen" = {generation} AND (({is_new}) OR NOT EXISTS (SELECT 1 FROM {table} AS "_rowcast_t" WHERE {exists})){but} ORDER BY "id""#
            ),
            format!(r#"DELETE FROM "_rowcast_replaced" WHERE "gen" = {generation}"#),
        ]
    }
}

fn key_terms(key: &Key, row: &str) -> String {
    let terms: Vec<String> = key.0.iter().enumerate().map(|(n, column)| format!("{row}.{column} = \"k{n}\"")).collect();
    terms.join(" AND ")
}
