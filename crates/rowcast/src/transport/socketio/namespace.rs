//! A namespace, as a program sees it.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::data::{Arguments, WrongData};
use super::handler::{Ack, Connecting, Happened, Reason, Refused};
use super::socket::Socket;
use super::space::{Space, Target};
use super::to::To;

/// A namespace. Cheap to clone.
#[derive(Clone)]
pub struct Namespace(pub(super) Arc<Space>);

impl Namespace {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.path
    }

    /// What is done with an event. Its data is read as the type that the handler takes: one argument as itself, several as a tuple.
    ///
    /// Handlers of one client begin in the order of its events, and may be at work at the same time. A handler goes on when its
    /// client leaves.
    pub fn on<T, F, D>(&self, event: &str, handler: F) -> &Self
    where
        T: DeserializeOwned + Send + 'static,
        F: Fn(Socket, T, Ack) -> D + Send + Sync + 'static,
        D: Future<Output = ()> + Send + 'static,
    {
        let handler = move |socket: Socket, happened: &Happened| {
            let data = happened.data()?;
            Some(Box::pin(handler(socket, data, happened.ack.clone())) as _)
        };
        self.0.change_handlers(|all| all.events.entry(event.into()).or_default().push(Arc::new(handler)));
        self
    }

    /// What is done with events that have no handler of their own: with their name, and their arguments as they came.
    pub fn on_any<F, D>(&self, handler: F) -> &Self
    where
        F: Fn(Socket, String, Arguments, Ack) -> D + Send + Sync + 'static,
        D: Future<Output = ()> + Send + 'static,
    {
        let handler = move |socket: Socket, happened: &Happened| {
            let (name, arguments) = (happened.name.clone(), happened.arguments.clone());
            Some(Box::pin(handler(socket, name, arguments, happened.ack.clone())) as _)
        };
        self.0.change_handlers(|all| all.any = Some(Arc::new(handler)));
        self
    }

    /// Looks at clients before they are let in, in the order in which middleware was added. Not asked about a client that has come
    /// back from a broken connection: it is who it was.
    pub fn middleware<F, D>(&self, middleware: F) -> &Self
    where
        F: Fn(Connecting) -> D + Send + Sync + 'static,
        D: Future<Output = Result<(), Refused>> + Send + 'static,
    {
        self.0.change_handlers(|all| {
            all.middleware.push(Arc::new(move |connecting| Box::pin(middleware(connecting))));
        });
        self
    }

    /// What is done when a client has been let in, before any of its events.
    pub fn on_connect<F, D>(&self, handler: F) -> &Self
    where
        F: Fn(Socket) -> D + Send + Sync + 'static,
        D: Future<Output = ()> + Send + 'static,
    {
        self.0.change_handlers(|all| all.connect.push(Arc::new(move |socket| Box::pin(handler(socket)))));
        self
    }

    /// What is done when a client has gone.
    pub fn on_disconnect<F, D>(&self, handler: F) -> &Self
    where
        F: Fn(Socket, Reason) -> D + Send + Sync + 'static,
        D: Future<Output = ()> + Send + 'static,
    {
        self.0.change_handlers(|all| {
            all.disconnect.push(Arc::new(move |socket, reason| Box::pin(handler(socket, reason))));
        });
        self
    }

    /// Sends an event to all sockets, with one argument; `()` is none. Returns how many they are.
    pub fn emit<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<usize, WrongData> {
        self.all().emit(event, data)
    }

    /// All sockets.
    pub fn all(&self) -> To {
        To::new(&self.0, Target::default())
    }

    /// The sockets in a room; or one socket, by its id.
    pub fn to(&self, room: impl Into<Arc<str>>) -> To {
        self.all().to(room)
    }

    /// The sockets of a user.
    pub fn user(&self, id: impl Into<Arc<str>>) -> To {
        self.all().user(id)
    }

    /// All sockets but those in a room.
    pub fn except(&self, room: impl Into<Arc<str>>) -> To {
        self.all().except(room)
    }

    /// The sockets that are connected.
    pub fn sockets(&self) -> Vec<Socket> {
        self.all().sockets()
    }

    /// One of them.
    pub fn socket(&self, id: &str) -> Option<Socket> {
        self.0.find(id)
    }

    /// How many are connected.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
