//! What a program does when something happens: its handlers, without their types.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::Extensions;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::data::{Arguments, WrongData};
use super::outbox::Outbox;
use super::packet;
use super::socket::Socket;
use crate::auth::Identity;
use crate::protocol::engineio::Eio;
use crate::transport::engineio::Handshake;

/// A handler at work.
pub(super) type Doing = BoxFuture<'static, ()>;

pub(super) type OnEvent = Arc<dyn Fn(Socket, &Happened) -> Option<Doing> + Send + Sync>;
pub(super) type OnConnect = Arc<dyn Fn(Socket) -> Doing + Send + Sync>;
pub(super) type OnDisconnect = Arc<dyn Fn(Socket, Reason) -> Doing + Send + Sync>;
pub(super) type Middleware = Arc<dyn Fn(Connecting) -> BoxFuture<'static, Result<(), Refused>> + Send + Sync>;

/// What a program wants to hear of in a namespace.
#[derive(Clone, Default)]
pub(super) struct Handlers {
    pub(super) middleware: Vec<Middleware>,
    pub(super) connect: Vec<OnConnect>,
    pub(super) disconnect: Vec<OnDisconnect>,
    pub(super) events: BTreeMap<Box<str>, Vec<OnEvent>>,
    /// For events that have no handler of their own.
    pub(super) any: Option<OnEvent>,
}

impl Handlers {
    pub(super) fn is_empty(&self) -> bool {
        let Self { middleware, connect, disconnect, events, any } = self;
        middleware.is_empty() && connect.is_empty() && disconnect.is_empty() && events.is_empty() && any.is_none()
    }
}

/// An event that came.
#[derive(Debug)]
pub(super) struct Happened {
    pub(super) name: String,
    pub(super) arguments: Arguments,
    pub(super) ack: Ack,
}

impl Happened {
    /// The data as the type that a handler takes; a client that sends anything else is told so, if it asks.
    pub(super) fn data<T: DeserializeOwned>(&self) -> Option<T> {
        match self.arguments.to() {
            Ok(data) => Some(data),
            Err(error) => {
                tracing::debug!(event = self.name, "an event's data is not what its handler takes");
                let error = serde_json::json!({ "error": { "code": "bad_message", "message": error.to_string() } });
                let _ = self.ack.send(&error);
                None
            }
        }
    }
}

/// Answers an event, where the client asked for an answer. Nothing happens where it did not, and the second time.
#[derive(Debug, Clone)]
pub struct Ack(Option<Arc<Wanted>>);

#[derive(Debug)]
struct Wanted {
    outbox: Arc<Outbox>,
    namespace: Arc<str>,
    eio: Eio,
    number: u64,
    sent: AtomicBool,
}

impl Ack {
    pub(super) fn new(outbox: &Arc<Outbox>, namespace: &Arc<str>, eio: Eio, number: Option<u64>) -> Self {
        Self(number.map(|number| {
            let (outbox, namespace) = (outbox.clone(), namespace.clone());
            Arc::new(Wanted { outbox, namespace, eio, number, sent: AtomicBool::new(false) })
        }))
    }

    /// Whether the client asked.
    pub fn is_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// Answers with one argument; `()` is none.
    pub fn send<T: Serialize + ?Sized>(&self, data: &T) -> Result<(), WrongData> {
        if self.is_wanted() {
            self.send_arguments(&Arguments::one(data)?);
        }
        Ok(())
    }

    /// Answers with several.
    pub fn send_arguments(&self, arguments: &Arguments) {
        if let Some(wanted) = &self.0
            && !wanted.sent.swap(true, Ordering::Relaxed)
        {
            wanted.outbox.push(&packet::ack(wanted.eio, &wanted.namespace, wanted.number, arguments));
        }
    }
}

/// A client that asks for a namespace. Middleware looks at it, and says who it is.
#[derive(Debug, Clone)]
pub struct Connecting(pub(super) Arc<Asking>);

pub(super) struct Asking {
    pub(super) namespace: Arc<str>,
    pub(super) handshake: Arc<Handshake>,
    pub(super) auth: Option<Box<RawValue>>,
    pub(super) user: Mutex<Option<Arc<str>>>,
    pub(super) extensions: Mutex<Extensions>,
    pub(super) identity: Arc<Identity>,
}

impl fmt::Debug for Asking {
    /// Without what may hold a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl Connecting {
    /// The namespace that it asks for.
    pub fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// Its first request.
    pub fn handshake(&self) -> &Handshake {
        &self.0.handshake
    }

    /// Whose it is, as its token says. Trusted where the gateway asks for none.
    pub fn identity(&self) -> &Arc<Identity> {
        &self.0.identity
    }

    /// What it sent with its wish: `auth` of a client of 3.x and 4.x. Clients of 1.x and 2.x have only the query.
    pub fn auth<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.0.auth.as_ref()?.get()).ok()
    }

    /// Says who it is: [`Namespace::user`](super::Namespace::user) finds it.
    pub fn set_user(&self, id: impl Into<Arc<str>>) {
        *self.0.user.lock() = Some(id.into());
    }

    /// Keeps something for the handlers: [`Socket::get`] finds it.
    pub fn insert<T: Clone + Send + Sync + 'static>(&self, value: T) {
        self.0.extensions.lock().insert(value);
    }
}

/// Why a client does not get into a namespace. It is told both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refused {
    /// A sentence.
    pub message: String,
    /// JSON, where a program wants to say more.
    pub data: Option<serde_json::Value>,
}

impl Refused {
    /// With a sentence.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), data: None }
    }

    /// And with data.
    pub fn with(mut self, data: serde_json::Value) -> Self {
        self.data = Some(data);
        self
    }
}

/// Why a socket is no longer connected. Its text is what Socket.IO's own server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The client left the namespace.
    Client,
    /// The program put it out.
    Server,
    /// The connection ended.
    Transport,
    /// The client said what it may not, or did not read.
    Forced,
    /// No answer to pings.
    PingTimeout,
    /// The server stops.
    Shutdown,
}

impl Reason {
    /// In Socket.IO's words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client namespace disconnect",
            Self::Server => "server namespace disconnect",
            Self::Transport => "transport close",
            Self::Forced => "forced close",
            Self::PingTimeout => "ping timeout",
            Self::Shutdown => "server shutting down",
        }
    }

    /// Nobody wanted it to end.
    pub(super) fn is_mishap(self) -> bool {
        !matches!(self, Self::Client | Self::Server)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
