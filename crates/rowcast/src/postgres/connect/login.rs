//! What a server is told when it lets us in, and what is asked of it then.

use tokio_postgres::config::{self, SslMode, SslNegotiation};
use tokio_postgres::{Client, Connection};

use super::super::address::passfile::{self, Login};
use super::super::address::{Binding, Host, Parameters, Place, Wanted};
use super::dial::{Line, Refusal};
use super::error::{ConnectError, lost};
use super::stream::{Ready, Stream};

/// Settings that every connection has, so that values look the same on every way.
pub(crate) const PINS: &[(&str, &str)] = &[
    ("timezone", "UTC"),
    ("datestyle", "ISO"),
    ("intervalstyle", "postgres"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
];

/// Asks what [`suits`] needs to know.
pub(crate) const SESSION_STATE: &str =
    "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')";

/// Becomes a user of the database.
pub(super) async fn client(
    line: Line,
    parameters: &Parameters,
    application: &str,
    pinned: bool,
) -> Result<(Client, Connection<Stream, Stream>), Refusal> {
    let mut config = config::Config::new();
    config.user(&parameters.user).dbname(&parameters.database).application_name(application);
    if pinned {
        let own = parameters.options.clone().unwrap_or_default();
        config.options(PINS.iter().fold(own, |all, (name, value)| format!("{all} -c {name}={value}")));
    }
    if let Some(password) = password(&line.place, parameters).0 {
        config.password(password);
    }
    config.channel_binding(match parameters.binding {
        Binding::Disable => config::ChannelBinding::Disable,
        Binding::Prefer => config::ChannelBinding::Prefer,
        Binding::Require => config::ChannelBinding::Require,
    });
    // The stream is as encrypted as it should be; this makes tokio-postgres take it as it is.
    config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
    let entered = config.connect_raw(line.stream, Ready).await;
    entered.map_err(|error| lost(&line.place, parameters, error))
}

/// The password for a place, and why the password file could not be used.
pub(crate) fn password(place: &Place, parameters: &Parameters) -> (Option<String>, Option<String>) {
    if parameters.password.is_some() {
        return (parameters.password.clone(), None);
    }
    let Some(path) = &parameters.passfile else { return (None, None) };
    let host = match &place.host {
        Host::Name(name) => name.clone(),
        Host::Folder(folder) if folder.as_os_str() == "/var/run/postgresql" => "localhost".into(),
        Host::Folder(folder) => folder.display().to_string(),
        Host::Own => "localhost".into(),
    };
    let login = Login { host: &host, port: place.port, database: &parameters.database, user: &parameters.user };
    match passfile::password(path, &login) {
        Ok(password) => (password, None),
        Err(reason) => (None, Some(reason)),
    }
}

/// Whether a server that said `(in recovery, read only)` is one that is wanted.
pub(crate) fn suits(wanted: Wanted, said: Option<(bool, bool)>, place: &Place) -> Result<(), Refusal> {
    let fits = said.is_some_and(|(recovers, read_only)| match wanted {
        Wanted::Any | Wanted::PreferStandby => true,
        Wanted::ReadWrite => !recovers && !read_only,
        Wanted::ReadOnly => recovers || read_only,
        Wanted::Primary => !recovers,
        Wanted::Standby => recovers,
    });
    if fits {
        return Ok(());
    }
    let name = match wanted {
        Wanted::ReadWrite => "read-write",
        Wanted::ReadOnly => "read-only",
        Wanted::Primary => "primary",
        Wanted::Standby => "standby",
        Wanted::Any | Wanted::PreferStandby => "any",
    };
    let message = format!("{place} is not what `target_session_attrs={name}` asks for");
    Err(Refusal { error: ConnectError { message, retry: true, cause: None }, code: None })
}
