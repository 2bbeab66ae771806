//! Becoming a user of the database, as a replication connection.

use std::collections::HashMap;

use bytes::BytesMut;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256};
use postgres_protocol::message::backend::{AuthenticationSaslBody, Message};
use postgres_protocol::message::frontend;
use tokio_postgres::fallible_iterator::FallibleIterator;

use super::super::ConnectError;
use super::super::address::{Binding, Parameters, Place};
use super::super::connect::{PINS, Refusal, Said, broken_off, no_password, not_bound, password, refused};
use super::WireError;
use super::pipe::{Heard, Pipe};

/// What the server tells about itself: its process for this connection, and its parameters.
pub(super) struct Server {
    pub(super) process: i32,
    pub(super) parameters: HashMap<String, String>,
}

/// Why we are not let in.
pub(super) enum Failure {
    Wire(WireError),
    Other(ConnectError),
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Wire(WireError::io(error))
    }
}

/// Logs in.
pub(super) async fn login(
    pipe: &mut Pipe,
    place: &Place,
    parameters: &Parameters,
    application: &str,
) -> Result<Server, Refusal> {
    let entered = async {
        pipe.send(&startup(parameters, application)?).await?;
        authenticate(pipe, place, parameters).await?;
        ready(pipe).await
    };
    entered.await.map_err(|failure| match failure {
        Failure::Other(error) => Refusal { error, code: None },
        Failure::Wire(error) => refusal(place, parameters, error),
    })
}

pub(super) fn refusal(place: &Place, parameters: &Parameters, error: WireError) -> Refusal {
    match &error.code {
        Some(code) => {
            let said = Said { code, message: &error.message, hint: error.hint.as_deref() };
            let mut refusal = refused(place, parameters, &said);
            refusal.error.cause = Some(error.into());
            refusal
        }
        None if error.cause.is_some() => Refusal { error: broken_off(place, error.into()), code: None },
        None => {
            let message = format!("logging in to {place} failed: {error}");
            Refusal { error: ConnectError { message, retry: false, cause: Some(error.into()) }, code: None }
        }
    }
}

fn startup(parameters: &Parameters, application: &str) -> Result<BytesMut, Failure> {
    let Parameters { user, database, options, .. } = parameters;
    let mut all = vec![
        ("user", user.as_str()),
        ("database", database),
        ("replication", "database"),
        ("application_name", application),
        ("client_encoding", "UTF8"),
        // A role's own limits are meant for queries; the stream is one that never ends.
        ("statement_timeout", "0"),
    ];
    all.extend(options.as_deref().map(|options| ("options", options)));
    all.extend(PINS);
    let mut bytes = BytesMut::new();
    frontend::startup_message(all, &mut bytes)?;
    Ok(bytes)
}

async fn authenticate(pipe: &mut Pipe, place: &Place, parameters: &Parameters) -> Result<(), Failure> {
    let secret = || password(place, parameters).0.ok_or_else(|| Failure::Other(no_password(place, parameters)));
    let mut bytes = BytesMut::new();
    match pipe.hear().await? {
        Heard::Message(Message::AuthenticationOk) => return unbound(place, parameters),
        Heard::Message(Message::AuthenticationCleartextPassword) => {
            unbound(place, parameters)?;
            frontend::password_message(secret()?.as_bytes(), &mut bytes)?;
            pipe.send(&bytes).await?;
        }
        Heard::Message(Message::AuthenticationMd5Password(body)) => {
            unbound(place, parameters)?;
            let hash = md5_hash(parameters.user.as_bytes(), secret()?.as_bytes(), body.salt());
            frontend::password_message(hash.as_bytes(), &mut bytes)?;
            pipe.send(&bytes).await?;
        }
        Heard::Message(Message::AuthenticationSasl(body)) => scram(pipe, place, &body, &secret()?, parameters).await?,
        _ => {
            return Err(Failure::Other(ConnectError::wrong(format!(
                "{place} asks for a way to log in that is not supported here (GSSAPI, SSPI): use `scram-sha-256`, `md5`, \
                 `password`, `cert` or `trust` in its pg_hba.conf"
            ))));
        }
    }
    match pipe.hear().await? {
        Heard::Message(Message::AuthenticationOk) => Ok(()),
        _ => Err(unexpected()),
    }
}

/// Logging in without a bound password exchange.
fn unbound(place: &Place, parameters: &Parameters) -> Result<(), Failure> {
    match parameters.binding {
        Binding::Require => Err(Failure::Other(not_bound(place))),
        Binding::Disable | Binding::Prefer => Ok(()),
    }
}

async fn scram(
    pipe: &mut Pipe,
    place: &Place,
    body: &AuthenticationSaslBody,
    secret: &str,
    parameters: &Parameters,
) -> Result<(), Failure> {
    let mut offered = body.mechanisms();
    let (mut plain, mut plus) = (false, false);
    while let Some(name) = offered.next()? {
        plain |= name == SCRAM_SHA_256;
        plus |= name == SCRAM_SHA_256_PLUS;
    }
    let own = pipe.stream.binding().filter(|_| parameters.binding != Binding::Disable).map(<[u8]>::to_vec);
    let (binding, name) = match own {
        Some(end_point) if plus => (ChannelBinding::tls_server_end_point(end_point), SCRAM_SHA_256_PLUS),
        // The server is told that we could, so that nobody in between can take its offer away unnoticed.
        Some(_) if plain => (ChannelBinding::unrequested(), SCRAM_SHA_256),
        None if plain => (ChannelBinding::unsupported(), SCRAM_SHA_256),
        _ => return Err(unexpected()),
    };
    if name != SCRAM_SHA_256_PLUS {
        unbound(place, parameters)?;
    }
    let mut exchange = ScramSha256::new(secret.as_bytes(), binding);
    let mut bytes = BytesMut::new();
    frontend::sasl_initial_response(name, exchange.message(), &mut bytes)?;
    pipe.send(&bytes).await?;
    let Heard::Message(Message::AuthenticationSaslContinue(body)) = pipe.hear().await? else {
        return Err(unexpected());
    };
    exchange.update(body.data())?;
    bytes.clear();
    frontend::sasl_response(exchange.message(), &mut bytes)?;
    pipe.send(&bytes).await?;
    let Heard::Message(Message::AuthenticationSaslFinal(body)) = pipe.hear().await? else { return Err(unexpected()) };
    Ok(exchange.finish(body.data())?)
}

async fn ready(pipe: &mut Pipe) -> Result<Server, Failure> {
    let mut server = Server { process: 0, parameters: HashMap::new() };
    loop {
        match pipe.hear().await? {
            Heard::Message(Message::ReadyForQuery(_)) => return Ok(server),
            Heard::Message(Message::BackendKeyData(body)) => server.process = body.process_id(),
            Heard::Message(Message::ParameterStatus(body)) => {
                server.parameters.insert(body.name()?.to_owned(), body.value()?.to_owned());
            }
            _ => return Err(unexpected()),
        }
    }
}

fn unexpected() -> Failure {
    Failure::Wire(WireError::broken("the server's answer is not part of PostgreSQL's protocol as it is known here"))
}
