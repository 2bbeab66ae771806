//! Socket.IO as a program has it: its namespaces, its settings, and how it is served.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::RwLock;
use serde::Serialize;

use super::data::WrongData;
use super::namespace::Namespace;
use super::push::Pushed;
use super::records::Records;
use super::ring::{Ring, RingLimits};
use super::settings::Settings;
use super::socket::Socket;
use super::space::Space;
use super::to::To;
use crate::protocol::engineio::Eio;
use crate::protocol::socketio::{Limits, ROOT};
use crate::transport::engineio::Handshake;

/// A Socket.IO server: `io` in Socket.IO's own documentation. Cheap to clone.
///
/// Give it to a [`Gateway`](crate::gateway::Builder::socketio), or serve it alone with [`router`](Self::router).
///
/// ```
/// use rowcast::socketio::{Ack, Io, Settings, Socket};
///
/// let io = Io::new(Settings::default());
/// io.namespace("/chat").on("message", async |socket: Socket, text: String, ack: Ack| {
///     let _ = socket.to("everybody").emit("message", &text);
///     let _ = ack.send("ok");
/// });
/// let app: axum::Router = io.router();
/// ```
#[derive(Clone)]
pub struct Io(pub(crate) Arc<Shared>);

/// What all connections share.
pub(crate) struct Shared {
    pub(super) settings: Settings,
    pub(super) limits: Limits,
    pub(super) pushes: Arc<[Pushed]>,
    spaces: RwLock<BTreeMap<Box<str>, Arc<Space>>>,
    /// Tells this process's packets from those of another.
    nonce: Arc<str>,
    /// The clients that follow the database and may come back; in a gateway.
    pub(super) records: OnceLock<Arc<Records>>,
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Io").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

impl Io {
    /// With the root namespace only.
    pub fn new(settings: Settings) -> Self {
        let nonce = id::<6>().into();
        let limits = Limits {
            attachments: settings.attachments,
            attachment_bytes: settings.engine.max_payload,
            ..Limits::default()
        };
        let pushes = settings.pushes.iter().cloned().map(Pushed::new).collect();
        let io = Self(Arc::new(Shared {
            settings,
            limits,
            pushes,
            spaces: RwLock::default(),
            nonce,
            records: OnceLock::new(),
        }));
        io.namespace(ROOT);
        io
    }

    /// A namespace, `/chat`; made if it is not there. Clients are let into those that are there only.
    pub fn namespace(&self, path: &str) -> Namespace {
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let mut spaces = self.0.spaces.write();
        let space = spaces.entry(path.as_str().into()).or_insert_with(|| Space::new(&path, self.0.ring()));
        Namespace(space.clone())
    }

    /// The root namespace, which clients are in that ask for none.
    pub fn root(&self) -> Namespace {
        self.namespace(ROOT)
    }

    /// Sends an event to all sockets of the root namespace.
    pub fn emit<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<usize, WrongData> {
        self.root().emit(event, data)
    }

    /// The sockets of the root namespace that are in a room; or one of them, by its id.
    pub fn to(&self, room: impl Into<Arc<str>>) -> To {
        self.root().to(room)
    }

    /// A user's sockets in the root namespace.
    pub fn user(&self, id: impl Into<Arc<str>>) -> To {
        self.root().user(id)
    }

    /// The sockets of the root namespace.
    pub fn sockets(&self) -> Vec<Socket> {
        self.root().sockets()
    }

    /// How it was made.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }
}

impl Shared {
    pub(super) fn space(&self, path: &str) -> Option<Arc<Space>> {
        self.spaces.read().get(path).cloned()
    }

    /// Keeps the clients of the gateway in its log's folder, or in memory.
    pub(crate) fn keep_records(&self, folder: Option<&Path>) -> std::io::Result<()> {
        let Some(window) = self.settings.recovery else { return Ok(()) };
        let most = self.settings.recovery_connections;
        let records = match folder {
            Some(folder) => Records::open(folder, window, most)?,
            None => Records::memory(window, most),
        };
        // The first gateway that serves it has it.
        let _ = self.records.set(Arc::new(records));
        Ok(())
    }

    /// Whether a client can take up a connection that broke.
    pub(super) fn recovers(&self, handshake: &Handshake) -> bool {
        self.settings.recovery.is_some() && handshake.eio() == Eio::V4
    }

    fn ring(&self) -> Ring {
        Ring::new(self.settings.recovery.map(|window| RingLimits {
            window,
            bytes: self.settings.recovery_bytes,
            connections: self.settings.recovery_connections,
            nonce: self.nonce.clone(),
        }))
    }
}

/// A text that nobody guesses.
pub(super) fn id<const BYTES: usize>() -> String {
    let bytes: [u8; BYTES] = std::array::from_fn(|_| rand::random());
    URL_SAFE_NO_PAD.encode(bytes)
}
