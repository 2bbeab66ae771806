//! How a PostgreSQL server is reached.

use std::fmt;
use std::str::FromStr;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, NoTls};

use super::Environment;

/// Notifications and notices that wait for whoever takes them. While so many wait, nothing more is read from the
/// connection, answers to its queries included.
const MESSAGES_MAX: usize = 1024;

/// Where a database is, and as whom it is used. Its `Debug` and `Display` show no password.
#[derive(Clone)]
pub struct Address {
    config: tokio_postgres::Config,
}

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
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Address {
    /// Another connection, which calls itself `application`.
    pub async fn connect(&self, application: &str) -> Result<Client, ConnectError> {
        let mut config = self.config.clone();
        config.application_name(application);
        config.options(
            "-c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=1 -c bytea_output=hex",
        );
        let failed = |error: tokio_postgres::Error| ConnectError {
            message: error.to_string(),
            retry: true,
            cause: Some(error.into()),
        };
        let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Another connection, and what the server says on it unasked: notifications and notices.
    ///
    /// The last message is an error that says why the connection ended; none follows when the client was dropped.
    pub async fn connect_with_messages(
        &self,
        application: &str,
    ) -> Result<(Client, mpsc::Receiver<Result<AsyncMessage, ConnectError>>), ConnectError> {
        let mut config = self.config.clone();
        config.application_name(application);
        config.options(
            "-c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=1 -c bytea_output=hex",
        );
        let failed = |error: tokio_postgres::Error| ConnectError {
            message: error.to_string(),
            retry: true,
            cause: Some(error.into()),
        };
        let (client, mut connection) = config.connect(NoTls).await.map_err(failed)?;
        let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
        tokio::spawn(async move {
            let mut messages = futures_util::stream::poll_fn(move |context| connection.poll_message(context));
            while let Some(message) = messages.next().await {
                let ended = message.is_err();
                if sender.send(message.map_err(failed)).await.is_err() || ended {
                    break;
                }
            }
        });
        Ok((client, receiver))
    }

    /// Reads a URL or a `key=value` text, and takes from `environment` what it leaves open.
    pub fn parse(text: &str, environment: &Environment) -> Result<Self, ConnectError> {
        let wrong = |error: tokio_postgres::Error| ConnectError {
            message: error.to_string(),
            retry: false,
            cause: Some(error.into()),
        };
        let mut config: tokio_postgres::Config = text.parse().map_err(wrong)?;
        if let (None, Some(password)) = (config.get_password(), environment.variables.get("PGPASSWORD")) {
            config.password(password);
        }
        Ok(Self { config })
    }
}

impl FromStr for Address {
    type Err = ConnectError;

    fn from_str(text: &str) -> Result<Self, ConnectError> {
        Self::parse(text, &Environment::default())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.config.get_dbname().unwrap_or("postgres"))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}
