//! Mail: sent by SMTP, or printed to the log where there is no server for it.

use lettre::message::Mailbox;
use lettre::transport::smtp::Error;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use rowcast::protocol::Problem;

use crate::settings::Smtp;
use crate::{ChatError, problems};

type Server = AsyncSmtpTransport<Tokio1Executor>;

/// Sends mail.
pub(crate) struct Mail(Option<(Server, Mailbox)>);

impl Smtp {
    /// Whether mail could be sent so, as far as that can be told without trying.
    pub fn check(&self) -> Result<(), ChatError> {
        self.open().map(drop)
    }

    fn open(&self) -> Result<(Server, Mailbox), ChatError> {
        let from: Mailbox = self.from.parse().map_err(|_| {
            let fix = "write for example `Chat <chat@example.com>`";
            ChatError(format!("`from` is not an address ({:?}): {fix}", self.from))
        })?;
        // The library's own sentence may have the password in it.
        let server = Server::from_url(&self.url).map_err(|_: Error| {
            ChatError("the URL is not one of a mail server: it begins with smtp:// or smtps://".into())
        })?;
        Ok((server.build(), from))
    }
}

impl Mail {
    pub(crate) fn new(smtp: Option<&Smtp>) -> Result<Self, ChatError> {
        smtp.map(Smtp::open).transpose().map(Self)
    }

    /// Sends a text. Where nobody is to know whether there is such an address, do it beside the answer.
    pub(crate) async fn send(&self, to: &str, subject: &str, text: String) -> Result<(), Problem> {
        let Some((server, from)) = &self.0 else {
            tracing::info!(to, subject, "mail is not sent, but printed here (chat.smtp is not set): {text}");
            return Ok(());
        };
        let to: Mailbox = to.parse().map_err(|_| problems::bad("this is not an e-mail address"))?;
        let message = Message::builder().from(from.clone()).to(to).subject(subject).body(text);
        let message = message.map_err(|error| {
            tracing::error!("a mail cannot be written: {error}");
            problems::internal()
        })?;
        server.send(message).await.map(drop).map_err(|error| {
            tracing::error!("a mail cannot be sent: {error}");
            problems::unavailable("the mail cannot be sent at the moment")
        })
    }
}
