//! One connection that hears notifications, while it asks for something else too.

use std::fmt;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::{AsyncMessage, Client, Notification, SimpleQueryMessage};

use super::probe::REPLICA;
use crate::postgres::{Address, ConnectError};

/// A connection whose notifications are gathered as they come.
pub(super) struct Line {
    client: Client,
    messages: mpsc::Receiver<Result<AsyncMessage, ConnectError>>,
    patience: Duration,
    /// In the order in which they came.
    pub(super) gathered: Vec<Notification>,
}

/// Why a connection is of no use any more.
#[derive(Debug)]
pub(super) enum Broken {
    /// It was closed, by a server or on the way.
    Closed(String),
    /// Nothing is heard on it.
    Silent,
    /// The server refused what was asked.
    Refused(Box<DbError>),
    /// It works, and notifications do not arrive, for this reason.
    Deaf(String),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(reason) => write!(f, "the connection is lost: {reason}"),
            Self::Silent => f.write_str("the connection is dead: nothing is heard on it, and nobody says so"),
            Self::Refused(error) if *error.code() == SqlState::READ_ONLY_SQL_TRANSACTION => f.write_str(REPLICA),
            Self::Refused(error) => write!(f, "the server says: {}", error.message()),
            Self::Deaf(reason) => f.write_str(reason),
        }
    }
}

impl Line {
    /// Connects. Whatever is asked has to be answered within `patience`.
    pub(super) async fn open(address: &Address, application: &str, patience: Duration) -> Result<Self, Broken> {
        let (client, messages) = match tokio::time::timeout(patience, address.connect_with_messages(application)).await
        {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return Err(Broken::Closed(error.to_string())),
            Err(_) => return Err(Broken::Silent),
        };
        Ok(Self { client, messages, patience, gathered: Vec::new() })
    }

    /// Runs statements and returns the first row's texts; what is notified meanwhile is gathered.
    pub(super) async fn ask(&mut self, sql: &str) -> Result<Vec<Option<String>>, Broken> {
        let asked = self.client.simple_query(sql);
        let answered = async {
            tokio::pin!(asked);
            loop {
                tokio::select! {
                    biased;
                    message = self.messages.recv() => keep(message, &mut self.gathered)?,
                    answer = &mut asked => return answer.map_err(Broken::from),
                }
            }
        };
        let answer = tokio::time::timeout(self.patience, answered).await.unwrap_or(Err(Broken::Silent))?;
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect()),
            _ => None,
        });
        Ok(row.unwrap_or_default())
    }

    /// Waits for a notification, and gathers those that came with it. Dropping the future loses nothing.
    pub(super) async fn hear(&mut self, at_most: usize) -> Result<(), Broken> {
        let message = self.messages.recv().await;
        keep(message, &mut self.gathered)?;
        while self.gathered.len() < at_most
            && let Ok(message) = self.messages.try_recv()
        {
            keep(Some(message), &mut self.gathered)?;
        }
        Ok(())
    }
}

fn keep(message: Option<Result<AsyncMessage, ConnectError>>, gathered: &mut Vec<Notification>) -> Result<(), Broken> {
    match message {
        Some(Ok(AsyncMessage::Notification(notification))) => gathered.push(notification),
        Some(Ok(_)) => {}
        // Whatever the server says here, it says goodbye with it.
        Some(Err(error)) => return Err(Broken::Closed(error.to_string())),
        None => return Err(Broken::Closed("the server closed the connection".into())),
    }
    Ok(())
}

impl From<tokio_postgres::Error> for Broken {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(refusal) => Self::Refused(Box::new(refusal.clone())),
            None => Self::Closed(told(&error)),
        }
    }
}

fn told(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(refusal), _) => refusal.message().to_owned(),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}
