//! Why a server cannot be used, in sentences that say what to do.

use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::super::address::{Parameters, Place};
use super::super::tls::alert;
use super::dial::{Refusal, seconds};
use super::login::password;

/// An address that cannot be understood, or a server that cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ConnectError {
    /// What is wrong and what to do.
    pub message: String,
    /// Whether it may work when tried again.
    pub retry: bool,
    /// The cause.
    #[source]
    pub cause: Option<Box<dyn Error + Send + Sync>>,
}

impl ConnectError {
    /// Something that a person has to mend.
    pub(crate) fn wrong(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry: false, cause: None }
    }

    pub(super) fn late(place: &Place, after: Duration) -> Self {
        let after = seconds(after);
        let message = format!(
            "{place} did not answer within {after}: is the host up, and does a firewall let us through? \
             (`connect_timeout` sets how long is waited)"
        );
        Self { message, retry: true, cause: None }
    }

    /// Why a connection that was open is not any more.
    pub(crate) fn ended(cause: tokio_postgres::Error) -> Self {
        let message = match cause.as_db_error() {
            Some(error) => format!("the connection to the database ended: {}", error.message()),
            None => format!("the connection to the database was lost: {}", innermost(&cause)),
        };
        Self { message, retry: true, cause: Some(cause.into()) }
    }

    /// One error for all the servers that were tried.
    pub(super) fn all(mut failed: Vec<Self>) -> Self {
        failed.dedup_by(|one, other| one.message == other.message);
        if failed.len() == 1 {
            return failed.remove(0);
        }
        let messages: Vec<&str> = failed.iter().map(|error| error.message.as_str()).collect();
        let message = format!("no server of the address can be used. {}", messages.join(" · "));
        Self { message, retry: failed.iter().any(|error| error.retry), cause: None }
    }
}

/// What a server said when it refused us.
pub(crate) struct Said<'a> {
    /// The SQLSTATE.
    pub(crate) code: &'a str,
    pub(crate) message: &'a str,
    pub(crate) hint: Option<&'a str>,
}

/// A connection could not be opened.
pub(super) fn unreachable(place: &Place, cause: io::Error) -> ConnectError {
    let message = match cause.kind() {
        io::ErrorKind::ConnectionRefused => format!(
            "nothing listens at {place}: is PostgreSQL running there, and does its `listen_addresses` let others in?"
        ),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            format!("there is no way to {place}: is this machine in the right network?")
        }
        _ => format!("{place} cannot be reached: {cause}"),
    };
    ConnectError { message, retry: true, cause: Some(cause.into()) }
}

/// A unix socket could not be opened.
#[cfg(unix)]
pub(super) fn no_socket(path: &Path, cause: io::Error) -> ConnectError {
    let path = path.display();
    let message = match cause.kind() {
        io::ErrorKind::NotFound => {
            format!(
                "there is no socket {path}: is PostgreSQL running, and is its `unix_socket_directories` this folder?"
            )
        }
        io::ErrorKind::ConnectionRefused => format!("nobody listens at the socket {path}: is PostgreSQL running?"),
        io::ErrorKind::PermissionDenied => {
            format!("the socket {path} may not be used by this user: see PostgreSQL's `unix_socket_permissions`")
        }
        _ => format!("the socket {path} cannot be opened: {cause}"),
    };
    ConnectError { message, retry: cause.kind() != io::ErrorKind::PermissionDenied, cause: Some(cause.into()) }
}

/// A login with tokio-postgres failed.
pub(crate) fn lost(place: &Place, parameters: &Parameters, cause: tokio_postgres::Error) -> Refusal {
    if let Some(error) = cause.as_db_error() {
        let said = Said { code: error.code().code(), message: error.message(), hint: error.hint() };
        let mut refusal = refused(place, parameters, &said);
        refusal.error.cause = Some(cause.into());
        return refusal;
    }
    let reason = innermost(&cause);
    let error = match reason.as_str() {
        "password missing" => no_password(place, parameters),
        "server did not use channel binding" => not_bound(place),
        _ if cause.is_closed() || io_of(&cause).is_some() => broken_off(place, cause.into()),
        _ => ConnectError {
            message: format!("logging in to {place} failed: {reason}"),
            retry: false,
            cause: Some(cause.into()),
        },
    };
    Refusal { error, code: None }
}

/// The line broke before we were let in.
pub(crate) fn broken_off(place: &Place, cause: Box<dyn Error + Send + Sync>) -> ConnectError {
    let io = io_of(&*cause);
    // With TLS 1.3 the server judges our certificate after the handshake.
    if let Some(message) = io.and_then(|io| alert(place, io)) {
        return ConnectError { message, retry: false, cause: Some(cause) };
    }
    let reason = match io {
        Some(io) if io.kind() != io::ErrorKind::UnexpectedEof => format!(": {io}"),
        _ => String::new(),
    };
    ConnectError {
        message: format!("{place} closed the connection while we logged in{reason}"),
        retry: true,
        cause: Some(cause),
    }
}

/// The password exchange cannot be bound to the encryption.
pub(crate) fn not_bound(place: &Place) -> ConnectError {
    ConnectError::wrong(format!(
        "{place} cannot bind the password to the encryption, as `channel_binding=require` asks: that needs TLS and a \
         `scram-sha-256` password"
    ))
}

/// The server asks for a password, and there is none.
pub(crate) fn no_password(place: &Place, parameters: &Parameters) -> ConnectError {
    let user = &parameters.user;
    let file = password(place, parameters).1.map(|reason| format!(" ({reason})")).unwrap_or_default();
    ConnectError::wrong(format!(
        "{place} asks for a password for `{user}`, and there is none: write it into the address \
         (postgres://{user}:PASSWORD@…), the variable PGPASSWORD or the file ~/.pgpass{file}"
    ))
}

/// The server refused us.
pub(crate) fn refused(place: &Place, parameters: &Parameters, said: &Said<'_>) -> Refusal {
    let Parameters { user, database, .. } = parameters;
    let Said { code, message, hint } = said;
    let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
    let pooler = message.contains("startup parameter: replication");
    let retry = !pooler && matches!(code.get(..2), Some("08" | "53" | "57" | "58"));
    let advice = match *code {
        _ if pooler => format!(
            "{place} is a pooler that does not pass replication on: give the address of the database itself, or let changes be \
             captured by triggers"
        ),
        "28P01" => {
            format!("the password for `{user}` was refused by {place}: is it the right one, and does the user exist?")
        }
        "28000" if message.contains("pg_hba.conf") => format!(
            "{place} lets `{user}` not into the database `{database}` from here: {message}. Add a line to its pg_hba.conf, \
             or try another `sslmode`"
        ),
        "28000" => format!("{place} does not let us in: {message}{hint}"),
        "3D000" => format!("{place} has no database `{database}`: create it, or is its name misspelt?"),
        "42501" => format!(
            "{place} does not let `{user}` do this: {message}{hint}. For replication: ALTER ROLE \"{user}\" REPLICATION"
        ),
        "53300" => format!(
            "{place} has no connection left for us: {message}. Raise its `max_connections` (or \
             `max_wal_senders`), or close others"
        ),
        "57P03" => format!("{place} is not ready yet: {message}"),
        _ => format!("{place} does not let us in: {message}{hint} (SQLSTATE {code})"),
    };
    let error = ConnectError { message: advice, retry, cause: None };
    Refusal { error, code: Some((*code).to_owned()) }
}

/// The last cause, which says most.
pub(crate) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut inner = error;
    while let Some(cause) = inner.source() {
        inner = cause;
    }
    inner.to_string()
}

fn io_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    error.downcast_ref().or_else(|| io_of(error.source()?))
}
