//! Mail: sent by SMTP, or printed to the log where there is no server for it.

use axum::http::Uri;
use lettre::message::Mailbox;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
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
        let no_url = || ChatError("the URL is not one of a mail server: it begins with smtp:// or smtps://".into());
        let mut server = Server::from_url(&self.url).map_err(|_: Error| no_url())?;
        if let Some(ca) = &self.ca {
            let url: Uri = self.url.parse().map_err(|_| no_url())?;
            let parameters = trusting(ca, url.host().ok_or_else(no_url)?)?;
            server = server.tls(match (url.scheme_str(), url.query().unwrap_or_default()) {
                (Some("smtps"), _) => Tls::Wrapper(parameters),
                (_, query) if query.split('&').any(|pair| pair == "tls=required") => Tls::Required(parameters),
                (_, query) if query.split('&').any(|pair| pair == "tls=opportunistic") => {
                    Tls::Opportunistic(parameters)
                }
                _ => {
                    let fix = "write smtps://…, or smtp://…?tls=required";
                    return Err(ChatError(format!(
                        "`ca` is of use with TLS only, which the URL does not ask for: {fix}"
                    )));
                }
            });
        }
        Ok((server.build(), from))
    }
}

/// Only what these authorities have signed, for a server of this name.
fn trusting(ca: &str, host: &str) -> Result<TlsParameters, ChatError> {
    if !ca.contains("-----BEGIN CERTIFICATE-----") {
        return Err(ChatError("there is no certificate in `ca`: it begins with -----BEGIN CERTIFICATE-----".into()));
    }
    let wrong = |error: Error| ChatError(format!("`ca` cannot be used: {error}"));
    let authorities = Certificate::from_pem(ca.as_bytes()).map_err(wrong)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let parameters = TlsParameters::builder(host.to_owned()).certificate_store(CertificateStore::None);
    parameters.add_root_certificate(authorities).build().map_err(wrong)
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
            let said = error.to_string();
            let fix = match said.contains("UnknownIssuer") {
                true => "; if its certificate is signed by an authority of your own, name that in chat.smtp.ca",
                false => "",
            };
            tracing::error!("a mail cannot be sent: {said}{fix}");
            problems::unavailable("the mail cannot be sent at the moment")
        })
    }
}
