//! Which constraint an error is about: the servers say it in a sentence. The numbers are those of their `mysqld_error.h`.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, ServerError};

use super::super::StoreError;
use super::super::insert::Broken;
use super::super::keys::ANOTHER_KEY;
use super::super::pool::within;
use super::super::refused::{in_words, is_lost, may_pass, refused};
use crate::store::{Violation, ViolationKind, Write};

/// What an error means, of this write or of the commit.
pub(super) fn of(write: Option<usize>, error: Error) -> Broken {
    let Error::Server(answer) = &error else { return Broken::Failed(refused(error)) };
    if is_lost(answer) {
        return Broken::Again(refused(error));
    }
    match kind(answer) {
        Some(kind) if !may_pass(answer) => {
            let (constraint, columns) = about(kind, &answer.message);
            let message = if answer.code == ANOTHER_KEY {
                "another unique key of the table has such a row already".to_owned()
            } else {
                in_words(answer)
            };
            Broken::Failed(StoreError::Violated(Box::new(Violation { write, kind, constraint, columns, message })))
        }
        _ => Broken::Failed(refused(error)),
    }
}

const COLUMNS: &str = "\
SELECT COLUMN_NAME FROM information_schema.STATISTICS \
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? AND INDEX_NAME = ? AND COLUMN_NAME IS NOT NULL ORDER BY SEQ_IN_INDEX";

/// The same, with the columns of the unique key that the server only names. The transaction is over.
pub(super) async fn with_columns(conn: &mut Conn, writes: &[Write], broken: Broken) -> Broken {
    let Broken::Failed(StoreError::Violated(mut violation)) = broken else { return broken };
    let table = violation.write.and_then(|n| writes.get(n)).map(Write::table);
    if let (Some(table), Some(key), ViolationKind::Unique) = (table, &violation.constraint, violation.kind) {
        let asked = async {
            conn.query_drop("ROLLBACK").await?;
            conn.exec::<String, _, _>(COLUMNS, (&*table.name.name, &**key)).await
        };
        // Without them it is known all the same what is wrong.
        let columns = within(asked).await.unwrap_or_default();
        violation.columns = columns.into_iter().map(Into::into).collect();
    }
    Broken::Failed(StoreError::Violated(violation))
}

fn kind(answer: &ServerError) -> Option<ViolationKind> {
    Some(match answer.code {
        1022 | 1062 | 1586 | ANOTHER_KEY => ViolationKind::Unique,
        1216 | 1217 | 1451 | 1452 | 1557 | 1761 | 1762 => ViolationKind::ForeignKey,
        1048 | 1364 | 1263 => ViolationKind::NotNull,
        3819 | 4025 => ViolationKind::Check,
        // Out of range, too long, wrong for its type, not among an enum's, JSON; SIGNAL in a trigger; a column that is computed.
        1264 | 1265 | 1292 | 1366 | 1406 | 1411 | 1416 | 1644 | 1690 | 1906 | 3105 | 3140 | 3141 | 3156 => {
            ViolationKind::Value
        }
        _ if answer.state.starts_with("22") || answer.state == "45000" => ViolationKind::Value,
        _ => return None,
    })
}

/// `Duplicate entry 'x' for key 't.i'`, `Column 'a' cannot be null`, ``CONSTRAINT `c` FOREIGN KEY (`a`, `b`) …``,
/// `Check constraint 'c' is violated`, ``CONSTRAINT `c` failed for `d`.`t` ``.
fn about(kind: ViolationKind, message: &str) -> (Option<Box<str>>, Vec<Box<str>>) {
    match kind {
        ViolationKind::Unique => {
            let key = message.rsplit_once(" for key '").and_then(|(_, key)| key.strip_suffix('\''));
            (key.map(|key| key.rsplit_once('.').map_or(key, |(_, key)| key).into()), Vec::new())
        }
        ViolationKind::ForeignKey => {
            let columns = between(message, "FOREIGN KEY (", ")")
                .map(|columns| columns.split(", ").map(|column| column.trim_matches('`').into()).collect());
            (between(message, "CONSTRAINT `", "`").map(Into::into), columns.unwrap_or_default())
        }
        ViolationKind::NotNull => {
            (None, between(message, "'", "'").map(|column| vec![column.into()]).unwrap_or_default())
        }
        ViolationKind::Check => {
            let name = between(message, "CONSTRAINT `", "`").or_else(|| between(message, "constraint '", "'"));
            // A check of a column itself is called `t.c`.
            (name.map(Into::into), Vec::new())
        }
        ViolationKind::Value => (None, between(message, "column '", "'").map(|c| vec![c.into()]).unwrap_or_default()),
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}
