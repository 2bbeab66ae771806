//! What an error of PostgreSQL means to who asked.

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

use super::StoreError;
use crate::event::TableName;

/// A statement's error, where a table that is not as it was cannot be the reason.
pub(super) fn refused(error: Error) -> StoreError {
    match error.as_db_error() {
        Some(answer) if may_pass(answer) => StoreError::Unavailable(in_words(answer)),
        Some(answer) => StoreError::Refused(in_words(answer)),
        None if is_of_connection(&error) => StoreError::Unavailable(format!("the connection has ended: {error}")),
        None => StoreError::Refused(error.to_string()),
    }
}

/// A statement's error on this table, which was there when the question was asked.
pub(super) fn refused_on(table: &TableName, error: Error) -> StoreError {
    if is_altered(&error) { StoreError::Altered(table.clone()) } else { refused(error) }
}

/// Whether something that the statement names is no longer there.
pub(super) fn is_altered(error: &Error) -> bool {
    let codes = [
        &SqlState::UNDEFINED_TABLE,
        &SqlState::UNDEFINED_COLUMN,
        &SqlState::UNDEFINED_OBJECT,
        &SqlState::INVALID_SCHEMA_NAME,
        &SqlState::WRONG_OBJECT_TYPE,
    ];
    error.code().is_some_and(|code| codes.contains(&code))
}

/// The server's own words, as far as they concern everybody: its detail shows rows.
pub(super) fn in_words(answer: &DbError) -> String {
    answer.message().to_owned()
}

/// Whether the same may work in a moment: classes and codes of the manual's appendix A.
pub(super) fn may_pass(answer: &DbError) -> bool {
    let code = answer.code().code();
    // Connection, rollback by the server, resources, operator's intervention, system error.
    let class = ["08", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class));
    // A lock is held; a server that only reads; a transaction that the server gave up; a statement that a pooler lost.
    class || ["55P03", "25006", "25P03", "25P04", "26000"].contains(&code)
}

fn is_of_connection(error: &Error) -> bool {
    use std::error::Error as _;
    error.is_closed() || error.source().is_some_and(|cause| cause.is::<std::io::Error>())
}
