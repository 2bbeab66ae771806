//! What a client asked to follow, and where that begins.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::auth::Identity;
use crate::event::{Channel, Position, Table};
use crate::filter::Filter;
use crate::protocol::SnapshotWish;
use crate::protocol::deliver::Deliver;
use crate::protocol::encode::Wire;
use crate::session::bound::Bound;
use crate::session::events::EventName;
use crate::session::rights::Rights;

/// What the client asked for.
#[derive(Debug)]
pub(in crate::session) struct Wish {
    pub(in crate::session) id: String,
    /// Who asks.
    pub(in crate::session) identity: Mutex<Arc<Identity>>,
    /// What the client was shown last, so that it is known whether it can go on with that.
    pub(in crate::session) shown: Mutex<Option<Bound>>,
    /// What decides about it at the moment, so that the next one who asks for the same finds it.
    pub(in crate::session) rights: Mutex<Arc<Rights>>,
    /// Up to where everything was told, where it reads the log for itself for good.
    pub(in crate::session) told: Mutex<Option<Position>>,
    /// `id` as JSON.
    pub(in crate::session) id_json: Arc<str>,
    pub(in crate::session) channel: Channel,
    pub(in crate::session) filter: Option<Filter>,
    pub(in crate::session) columns: Option<Vec<String>>,
    pub(in crate::session) snapshot: SnapshotWish,
    pub(in crate::session) old: bool,
    /// How it is told until the hub carries it, and then.
    pub(in crate::session) wire: Wire,
    pub(in crate::session) live: Wire,
    pub(in crate::session) deliver: Deliver,
    /// Changes of the channel, a table, are told as this; on an event stream within a `message`, if so.
    pub(in crate::session) event: Option<(Arc<EventName>, bool)>,
    /// The table as it was when it was last looked up, so that going on does not depend on the database.
    pub(in crate::session) known: Mutex<Option<Arc<Table>>>,
}

impl Wish {
    /// Of a channel that has no rows.
    pub(in crate::session) fn plain(id: String, identity: &Arc<Identity>, channel: Channel, wire: Wire) -> Self {
        Self {
            id_json: serde_json::to_string(&id).expect("a string is always JSON").into(),
            id,
            identity: Mutex::new(identity.clone()),
            shown: Mutex::default(),
            rights: Mutex::new(Rights::everything()),
            told: Mutex::default(),
            channel,
            filter: None,
            columns: None,
            snapshot: SnapshotWish::Simple(false),
            old: false,
            wire,
            live: wire,
            deliver: Deliver::Strict,
            event: None,
            known: Mutex::default(),
        }
    }

    /// Whether it begins with rows.
    pub(in crate::session) fn reads_rows(&self) -> bool {
        matches!(self.channel, Channel::Table(_)) && self.snapshot.wanted()
    }
}

/// Where to begin.
#[derive(Debug, Clone, Copy)]
pub(in crate::session) enum Start {
    /// With a snapshot, or at the head where none is wanted.
    Fresh,
    /// After a position that the client gave.
    Since(Position),
    /// After a position that the client has reached on this connection: nothing is said about it.
    Quietly(Position),
    /// What was begun is of no use any more: the client is told to forget it.
    Anew,
}
