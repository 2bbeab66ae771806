//! The port that a request came in by, where a server has several, and which doors there are on it.

use std::net::SocketAddr;
use std::sync::Arc;

/// The listener that a request came in by.
///
/// A server that has several ports puts this into the extensions of each request, as the binary does for each of its `[[listen]]`
/// sections: `request.extensions().get::<Listener>()`, or `Option<Extension<Listener>>` in a handler. A program that serves the router
/// itself may leave it out: then there is one listener, and whatever is for a listener by name is for nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its `name`; the port's number, as text, where it has none. Several listeners may share a name.
    pub name: Arc<str>,
    /// The address that is bound.
    pub address: SocketAddr,
}

impl Listener {
    /// Whether something that is for the listeners of these names is for this one. No names: it is for every listener.
    pub fn is_one_of<S: AsRef<str>>(&self, names: &[S]) -> bool {
        names.is_empty() || names.iter().any(|name| name.as_ref() == &*self.name)
    }
}

/// Some of the paths that a gateway serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// Everything under `/v1`: WebSocket, Server-Sent Events and HTTP.
    Native,
    /// Socket.IO and Engine.IO.
    SocketIo,
    /// pgws, pg_eventserv and postgres-websockets.
    DropIns,
    /// InfluxDB's line protocol.
    Influx,
}

impl Door {
    /// Every door.
    pub const ALL: [Self; 4] = [Self::Native, Self::SocketIo, Self::DropIns, Self::Influx];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_no_listener_is_for_every_listener() {
        let listener = Listener { name: "9000".into(), address: SocketAddr::from(([127, 0, 0, 1], 9000)) };
        assert!(listener.is_one_of::<&str>(&[]));
        assert!(listener.is_one_of(&["4000", "9000"]));
        assert!(!listener.is_one_of(&["4000"]));
    }
}
