//! Sends notifications, for clients that may speak.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

use crate::postgres::Address;

/// How long connecting and sending may take, each.
const WAIT: Duration = Duration::from_secs(5);

/// Why a notification was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NotSaid {
    /// For people. Never the payload.
    pub message: String,
    /// Whether it may work when tried again.
    pub retry: bool,
}

/// One connection for sending, made when it is needed.
pub(super) struct Voice {
    address: Address,
    client: Mutex<Option<Arc<Client>>>,
}

impl std::fmt::Debug for Voice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Voice({})", self.address)
    }
}

impl Voice {
    pub(super) fn new(address: Address) -> Self {
        Self { address, client: Mutex::default() }
    }

    pub(super) async fn say(&self, channel: &str, payload: &str) -> Result<(), NotSaid> {
        let client = self.client().await?;
        // Not prepared by name: a transaction pooler may be in between.
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&channel, Type::TEXT), (&payload, Type::TEXT)];
        let said = client.query_typed("select pg_notify($1, $2)", &parameters);
        match timeout(WAIT, said).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(refusal(&error)),
            Err(_) => {
                *self.client.lock() = None;
                Err(away("the database does not answer".into()))
            }
        }
    }

    async fn client(&self) -> Result<Arc<Client>, NotSaid> {
        if let Some(client) = self.client.lock().as_ref().filter(|client| !client.is_closed()) {
            return Ok(client.clone());
        }
        let client = match timeout(WAIT, self.address.connect("rowcast-say")).await {
            Ok(Ok(client)) => Arc::new(client),
            Ok(Err(error)) => return Err(away(error.to_string())),
            Err(_) => return Err(away("the database does not answer".into())),
        };
        // Whoever came at the same time has made another; the last one stays.
        *self.client.lock() = Some(client.clone());
        Ok(client)
    }
}

fn away(message: String) -> NotSaid {
    NotSaid { message, retry: true }
}

fn refusal(error: &tokio_postgres::Error) -> NotSaid {
    match error.as_db_error() {
        Some(refused) if *refused.code() == SqlState::INVALID_PARAMETER_VALUE => {
            NotSaid { message: format!("{}: NOTIFY takes less than 8000 bytes", refused.message()), retry: false }
        }
        Some(refused) => away(refused.message().to_owned()),
        None => away(error.to_string()),
    }
}
