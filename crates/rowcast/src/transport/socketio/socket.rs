//! One client in one namespace, as a program sees it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::Extensions;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::data::{Arguments, WrongData};
use super::identify::IdentityCell;
use super::outbox::{Item, Outbox};
use super::packet;
use super::space::{Room, Space, Target};
use super::to::To;
use crate::auth::Identity;
use crate::transport::engineio::Handshake;

/// One client in one namespace. Cheap to clone; nothing happens when the client is gone.
#[derive(Clone)]
pub struct Socket(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) sid: Arc<str>,
    /// Under which it can be taken up again; `None` where it cannot.
    pub(super) pid: Option<Arc<str>>,
    pub(super) space: Arc<Space>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) handshake: Arc<Handshake>,
    pub(super) whose: IdentityCell,
    pub(super) auth: Option<Box<RawValue>>,
    pub(super) user: Mutex<Option<Arc<str>>>,
    pub(super) extensions: Mutex<Extensions>,
    pub(super) connected: AtomicBool,
    pub(super) recovered: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AckError {
    /// It did not come in time.
    #[error("the client did not answer in time")]
    Timeout,
    /// The client has gone, or has left the namespace.
    #[error("the client has gone")]
    Disconnected,
    /// The client owes too many answers.
    #[error("the client owes too many answers")]
    Full,
    /// What was to be sent cannot be written, or what came is not what was expected.
    #[error(transparent)]
    Data(#[from] WrongData),
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Socket({} in {})", self.id(), self.namespace())
    }
}

impl Socket {
    /// Its id; a room of this name reaches it alone.
    pub fn id(&self) -> &str {
        &self.0.sid
    }

    /// The namespace's name.
    pub fn namespace(&self) -> &str {
        &self.0.space.path
    }

    /// The request that it began with.
    pub fn handshake(&self) -> &Handshake {
        &self.0.handshake
    }

    /// What it sent when it connected; see [`Connecting::auth`](super::Connecting::auth).
    pub fn auth<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.0.auth.as_ref()?.get()).ok()
    }

    /// The same, as JSON.
    pub fn auth_json(&self) -> Option<&RawValue> {
        self.0.auth.as_deref()
    }

    /// Whose it is, as its token says at the moment.
    pub fn identity(&self) -> Arc<Identity> {
        self.0.whose.lock().clone()
    }

    /// Who it is, as said by [`set_user`](Self::set_user) or by middleware.
    pub fn user(&self) -> Option<Arc<str>> {
        self.0.user.lock().clone()
    }

    /// Says who it is: [`Namespace::user`](super::Namespace::user) finds it.
    pub fn set_user(&self, id: impl Into<Arc<str>>) {
        let id = id.into();
        let before = self.0.user.lock().replace(id.clone());
        if let Some(before) = before {
            self.0.space.leave_room(&self.0.sid, &Room::User(before));
        }
        self.0.space.join_room(&self.0.sid, Room::User(id));
    }

    /// Whether it has come back from a broken connection, with all that it missed.
    pub fn recovered(&self) -> bool {
        self.0.recovered
    }

    /// Whether it is connected.
    pub fn is_connected(&self) -> bool {
        self.0.connected.load(Ordering::Acquire)
    }

    /// Keeps something of the program's with it.
    pub fn insert<T: Clone + Send + Sync + 'static>(&self, value: T) {
        self.0.extensions.lock().insert(value);
    }

    /// What was kept.
    pub fn get<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        self.0.extensions.lock().get().cloned()
    }

    /// Sends it an event with one argument; `()` is none.
    pub fn emit<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<(), WrongData> {
        self.emit_arguments(event, &Arguments::one(data)?);
        Ok(())
    }

    /// Sends it an event with several arguments, or with those that came.
    pub fn emit_arguments(&self, event: &str, arguments: &Arguments) {
        self.0.space.send(&Target::socket(&self.0.sid), event, arguments, false);
    }

    /// Sends it an event, and waits for its answer.
    pub async fn emit_with_ack<T: DeserializeOwned>(
        &self,
        event: &str,
        data: &(impl Serialize + ?Sized),
        within: Duration,
    ) -> Result<T, AckError> {
        let arguments = Arguments::one(data)?;
        Ok(self.ask(event, &arguments, within).await?.to()?)
    }

    /// The same with several arguments, or with those that came.
    pub async fn ask(&self, event: &str, arguments: &Arguments, within: Duration) -> Result<Arguments, AckError> {
        if !self.is_connected() {
            return Err(AckError::Disconnected);
        }
        let namespace = &self.0.space.path;
        let (number, answer) = self.0.outbox.want(namespace).ok_or(AckError::Full)?;
        if !self.0.outbox.push(&packet::event(self.0.handshake.eio(), namespace, Some(number), event, arguments, None))
        {
            return Err(AckError::Disconnected);
        }
        match timeout(within, answer).await {
            Ok(answered) => answered.map_err(|_| AckError::Disconnected),
            Err(_) => {
                self.0.outbox.unwant(number);
                Err(AckError::Timeout)
            }
        }
    }

    /// Puts it into a room.
    pub fn join(&self, room: impl Into<Arc<str>>) {
        self.0.space.join_room(&self.0.sid, Room::Named(room.into()));
    }

    /// Takes it out of a room.
    pub fn leave(&self, room: impl Into<Arc<str>>) {
        self.0.space.leave_room(&self.0.sid, &Room::Named(room.into()));
    }

    /// The rooms that it is in.
    pub fn rooms(&self) -> Vec<Arc<str>> {
        self.0.space.rooms_of(&self.0.sid)
    }

    /// The others in a room.
    pub fn to(&self, room: impl Into<Arc<str>>) -> To {
        self.broadcast().to(room)
    }

    /// All others in its namespace.
    pub fn broadcast(&self) -> To {
        To::new(&self.0.space, Target { but: Some(self.0.sid.clone()), ..Target::default() })
    }

    /// Itself, for an event that may be lost: when it is behind, or away, it is not told.
    pub fn volatile(&self) -> To {
        To::new(&self.0.space, Target::socket(&self.0.sid)).volatile()
    }

    /// Puts it out of the namespace; with `close`, out of all of them, and closes its connection. What it was told before, it hears.
    /// A client of npm's takes that for the last word, and does not come back by itself.
    pub fn disconnect(&self, close: bool) {
        self.0.outbox.ask(if close { Item::Close } else { Item::Leave(self.0.space.path.clone()) });
    }

    /// Closes the connection below all its namespaces, as a fault of the network would: the client comes back by itself.
    pub fn cut(&self) {
        self.0.outbox.ask(Item::Cut);
    }
}
