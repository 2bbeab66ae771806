//! Socket.IO 5 and 4 above Engine.IO: namespaces, acknowledgements, rooms, and the database's changes as events.
//!
//! [`Io`] is for programs. A gateway that serves it adds, on the root namespace, the native protocol as events (`native`) and what its
//! operator has configured to be pushed (`push`). docs/socketio.md tells users about it.

mod connect;
mod connection;
mod data;
mod handler;
mod identify;
mod io;
mod namespace;
mod native;
mod outbox;
mod packet;
mod push;
mod records;
mod recovery;
mod ring;
mod settings;
mod socket;
mod space;
mod to;

use std::sync::Arc;

use axum::Router;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

pub use self::data::{Arguments, Binary, WrongData};
pub use self::handler::{Ack, Connecting, Reason, Refused};
pub use self::io::Io;
pub use self::namespace::Namespace;
pub use self::settings::{Push, Settings, Shape, What};
pub use self::socket::{AckError, Socket};
pub use self::to::To;
pub use super::engineio::{Cookie, Handshake, Settings as EngineSettings};

use self::connection::Connection;
use super::caller::Arrival;
use super::engineio::{self, Peer};
use super::{Doors, Origins};
use crate::auth::Identity;
use crate::protocol::encode::Wire;
use crate::session::{Limits, Node, Session};

/// The routes of a gateway.
pub(super) fn routes(io: &Io, doors: &Doors) -> Router<Doors> {
    // Not held on to: a client that is being told of the end keeps no database open.
    let (io, node) = (io.clone(), Arc::downgrade(&doors.node));
    let engine = io.settings().engine.clone();
    engineio::routes(&engine, &doors.node.limits, &doors.origins, move |peer| {
        let (io, node) = (io.clone(), node.upgrade());
        match node {
            Some(node) => serve(io, Some(node), peer),
            None => peer.goodbye(1001, "the server stops", None).boxed(),
        }
    })
}

impl Io {
    /// Serves it without a database, for pages of the same host; see [`router_for`](Self::router_for).
    pub fn router(&self) -> Router {
        self.router_for(&Origins::default(), &Limits::default())
    }

    /// Serves it without a database: merge it into a program of your own.
    ///
    /// Serve that with `into_make_service_with_connect_info::<SocketAddr>()` to see clients' addresses.
    pub fn router_for(&self, origins: &Origins, limits: &Limits) -> Router {
        let (io, engine) = (self.clone(), self.settings().engine.clone());
        engineio::routes(&engine, limits, origins, move |peer| serve(io.clone(), None, peer))
    }
}

/// One client, from its first request on. What is idle for hours has no room for how it began.
fn serve(io: Io, node: Option<Arc<Node>>, peer: Peer) -> BoxFuture<'static, ()> {
    let handshake = peer.handshake().clone();
    let wire = Wire::SocketIo { offsets: io.0.recovers(&handshake) };
    let remote = handshake.remote().map_or_else(|| "unknown".to_owned(), |address| address.to_string());
    // Refused ones are told so when they ask for a namespace.
    let identity = match handshake.arrival() {
        Some(Arrival(Ok(identity))) => identity.clone(),
        Some(Arrival(Err(_))) | None => Identity::unknown(),
    };
    match node.map(|node| Session::open(node, wire, "socket.io", remote, identity)).transpose() {
        Ok(session) => Connection::new(io.0, handshake, session).run(peer).boxed(),
        Err(_) => peer.goodbye(1013, "too many connections", None).boxed(),
    }
}
