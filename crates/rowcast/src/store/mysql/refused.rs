//! What an error of MySQL or MariaDB means to who asked. The numbers are those of the servers' `mysqld_error.h`.

use mysql_async::{DriverError, Error, ServerError};

use super::StoreError;

/// What a statement's error means.
pub(super) fn refused(error: Error) -> StoreError {
    match &error {
        Error::Server(answer) if may_pass(answer) || is_lost(answer) => StoreError::Unavailable(in_words(answer)),
        Error::Server(answer) => StoreError::Refused(in_words(answer)),
        Error::Io(_) | Error::Driver(DriverError::ConnectionClosed) => {
            StoreError::Unavailable(format!("the connection has ended: {error}"))
        }
        // What we say ourselves: somebody else holds the outbox, or it is not there yet.
        Error::Other(error) => StoreError::Unavailable(error.to_string()),
        _ => StoreError::Refused(error.to_string()),
    }
}

/// Whether something that the statement names is no longer there, or not as it was.
pub(super) fn is_altered(error: &Error) -> bool {
    // Unknown column, no such table, unknown database, the definition has changed, a table that was dropped meanwhile, a
    // prepared statement that fits no more.
    matches!(error, Error::Server(answer) if [1054, 1146, 1049, 1412, 1051, 1615, 1932].contains(&answer.code))
}

/// Whether the transaction lost against another one: at once, it may win.
pub(super) fn is_lost(answer: &ServerError) -> bool {
    // A deadlock, a lock that was waited for too long, a row that was changed since it was read.
    [1213, 1205, 1020].contains(&answer.code)
}

/// Whether the same may work later: what is wrong is the server's state, not the statement.
pub(super) fn may_pass(answer: &ServerError) -> bool {
    const STATE: &[u16] = &[
        // Disk full, memory, connections, shut down, table full, interrupted, killed, statement timed out.
        1021, 1037, 1038, 1040, 1041, 1053, 1077, 1079, 1114, 1129, 1152, 1158, 1159, 1160, 1161, 1180, 1181, 1203,
        1226, 1317, 1927, 1969, 3024, 4031,
        // Read-only, being a replica or being moved; a group of servers without a majority; the binlog cannot be written.
        1290, 1598, 1792, 1836, 3100, 3101, 3796, 1026, 1030, 1047,
    ];
    STATE.contains(&answer.code)
}

/// The server's own words, without the number of a row that nobody else counts like this.
pub(super) fn in_words(answer: &ServerError) -> String {
    let message = answer.message.as_str();
    match message.rsplit_once(" at row ") {
        Some((before, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => before.to_owned(),
        _ => message.to_owned(),
    }
}
