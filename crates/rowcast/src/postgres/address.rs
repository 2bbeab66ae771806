//! How a PostgreSQL server is reached.

use std::fmt;
use std::str::FromStr;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio_postgres::{AsyncMessage, Client, NoTls};

/// What a server says of itself on a connection: notices and notifications. Ends with the connection.
pub type Messages = BoxStream<'static, Result<AsyncMessage, tokio_postgres::Error>>;

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
        let (client, mut messages) = self.open(application).await?;
        tokio::spawn(async move { while let Some(Ok(_)) = messages.next().await {} });
        Ok(client)
    }

    /// Another connection, whose notices and notifications the caller reads. It works only while they are read.
    pub async fn open(&self, application: &str) -> Result<(Client, Messages), ConnectError> {
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
        Ok((client, stream::poll_fn(move |context| connection.poll_message(context)).boxed()))
    }
}

impl FromStr for Address {
    type Err = ConnectError;

    fn from_str(text: &str) -> Result<Self, ConnectError> {
        let wrong = |error: tokio_postgres::Error| ConnectError {
            message: error.to_string(),
            retry: false,
            cause: Some(error.into()),
        };
        Ok(Self { config: text.parse().map_err(wrong)? })
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
