//! Connections for queries, made with tokio-postgres.
//!
//! Leaves finding a server to `dial`, and connections for replication to `wire`.

mod dial;
mod error;
mod login;
mod stream;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::timeout_at;
use tokio_postgres::{AsyncMessage, Client, Connection, SimpleQueryMessage};

pub(super) use dial::{Dial, Refusal};
pub use error::ConnectError;
pub(super) use error::{Said, broken_off, innermost, lost, no_password, not_bound, refused};
pub(super) use login::{PINS, SESSION_STATE, password, suits};
pub(super) use stream::Stream;

use super::Address;
use super::address::Wanted;

/// Notifications and notices that wait for whoever takes them. While so many wait, nothing more is read from the
/// connection, answers to its queries included.
const MESSAGES_MAX: usize = 1024;

impl Address {
    /// Another connection, which calls itself `application`.
    pub async fn connect(&self, application: &str) -> Result<Client, ConnectError> {
        let drive = |connection: Connection<Stream, Stream>| {
            tokio::spawn(connection);
        };
        Ok(self.client(application, drive).await?.0)
    }

    /// Another connection, and what the server says on it unasked: notifications and notices.
    ///
    /// The last message is an error that says why the connection ended; none follows when the client was dropped.
    pub async fn connect_with_messages(
        &self,
        application: &str,
    ) -> Result<(Client, mpsc::Receiver<Result<AsyncMessage, ConnectError>>), ConnectError> {
        let drive = |connection| {
            let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
            tokio::spawn(forward(connection, sender));
            receiver
        };
        self.client(application, drive).await
    }

    /// Tries the servers of the address until one lets us in; `drive` makes its connection run.
    async fn client<T>(
        &self,
        application: &str,
        drive: impl Fn(Connection<Stream, Stream>) -> T,
    ) -> Result<(Client, T), ConnectError> {
        let mut dial = Dial::new(&self.parameters);
        let mut pinned = true;
        loop {
            let line = dial.next().await?;
            let (deadline, place, wanted) = (line.deadline, line.place.clone(), line.wanted);
            let entered = async {
                let (client, connection) = login::client(line, &self.parameters, application, pinned).await?;
                let driven = drive(connection);
                if !pinned {
                    let sql: String = PINS.iter().map(|(name, value)| format!("SET {name} = '{value}';")).collect();
                    client.batch_execute(&sql).await.map_err(|error| lost(&place, &self.parameters, error))?;
                }
                if wanted != Wanted::Any {
                    let rows = client.simple_query(SESSION_STATE).await;
                    let rows = rows.map_err(|error| lost(&place, &self.parameters, error))?;
                    let said = rows.iter().find_map(|message| match message {
                        SimpleQueryMessage::Row(row) => Some((row.get(0) == Some("t"), row.get(1) == Some("on"))),
                        _ => None,
                    });
                    suits(wanted, said, &place)?;
                }
                Ok::<_, Refusal>((client, driven))
            };
            match timeout_at(deadline, entered).await {
                Ok(Ok(entered)) => return Ok(entered),
                // Poolers know only some of the parameters that can be set while connecting.
                Ok(Err(refusal)) if pinned && refusal.of_options() => {
                    pinned = false;
                    dial.again();
                }
                Ok(Err(refusal)) => dial.refused(refusal),
                Err(_) => dial.refused(Refusal::late(&place, &self.parameters)),
            }
        }
    }
}

/// Runs a connection and hands on what it says, until it ends or nobody listens.
async fn forward(mut connection: Connection<Stream, Stream>, sender: mpsc::Sender<Result<AsyncMessage, ConnectError>>) {
    let mut messages = futures_util::stream::poll_fn(move |context| connection.poll_message(context));
    while let Some(message) = messages.next().await {
        let ended = message.is_err();
        if sender.send(message.map_err(ConnectError::ended)).await.is_err() || ended {
            break;
        }
    }
}
