//! What rules read of other tables: the values that a selection finds, at an exact place in the log's order.
//!
//! Read once for all subscriptions of a client, and of all clients of whom the same is asked. When one of the rows changes, the
//! values are over from that transaction on, and are read anew.

use std::sync::{Arc, Weak};

use ahash::AHashMap;
use parking_lot::Mutex;
use serde_json::Value as Json;

use super::node::Node;
use super::snapshot::Begun;
use crate::event::{Body, Channel, Event, Offset, Position};
use crate::filter::{Chosen, Selection};
use crate::hub::{Watch, read_piece, seen};
use crate::protocol::{Code, Problem};
use crate::store::Select;

/// Values are read so often until the log holds still for as long as that takes.
const TRIES: u32 = 8;
/// More values than this are too many for a rule.
const VALUES_MAX: usize = 100_000;
/// Events that are read of the log at once.
const EVENTS_MAX: usize = 4096;
const BYTES_MAX: usize = 1 << 20;

/// The values that a selection finds, for as long as they hold.
#[derive(Debug)]
pub(super) struct Set {
    watch: Arc<Watch>,
    values: Arc<[Json]>,
    /// They hold from this position on.
    from: Mutex<Position>,
}

/// The sets that somebody uses, and those that are being read.
#[derive(Debug, Default)]
pub(super) struct Sets(Mutex<AHashMap<Arc<Selection>, Slot>>);

/// Where a set is, or is being read by whoever holds it.
type Slot = Arc<tokio::sync::Mutex<Weak<Set>>>;

/// Why there are no values for a position.
#[derive(Debug)]
pub(super) enum NotChosen {
    /// They have changed since.
    Changed,
    /// They cannot be read.
    Failed(Problem),
}

impl Set {
    /// Where the transaction begins that ends it.
    pub(super) fn until(&self) -> Option<Position> {
        self.watch.until()
    }

    /// As a rule is bound with it.
    pub(super) fn chosen(&self) -> Chosen {
        Chosen { selection: self.watch.selection.clone(), values: self.values.clone() }
    }

    pub(super) fn selection(&self) -> &Arc<Selection> {
        &self.watch.selection
    }

    /// Whether all of another's values are among its own. Both are in order.
    pub(super) fn contains(&self, other: &Self) -> bool {
        let mut own = self.values.iter();
        other.values.iter().all(|value| own.any(|own| own == value))
    }

    /// Whether its values hold at a position, as far as is known.
    fn holds_at(&self, position: Position) -> bool {
        *self.from.lock() <= position && self.until().is_none_or(|until| until > position)
    }

    /// Whether its values hold at a position, as far back as the log tells.
    pub(super) async fn covers(&self, node: &Node, position: Position) -> bool {
        if self.until().is_some_and(|until| until <= position) {
            return false;
        }
        let from = *self.from.lock();
        from <= position || self.reaches_back(node, position).await
    }

    /// Whether nothing that it reads has changed since an earlier position.
    async fn reaches_back(&self, node: &Node, position: Position) -> bool {
        let from = *self.from.lock();
        if !is_unchanged(node, &self.watch.selection, position, from).await {
            return false;
        }
        let mut from = self.from.lock();
        *from = position.min(*from);
        true
    }
}

/// Whether nothing that a selection reads has changed after a position, and up to another one.
async fn is_unchanged(node: &Node, selection: &Selection, after: Position, until: Position) -> bool {
    let mut cursor = after;
    while cursor < until {
        let Ok(piece) = read_piece(&*node.log, cursor, EVENTS_MAX, BYTES_MAX).await else { return false };
        let Some(last) = piece.events.last() else { return false };
        let mut between = piece.events.iter().take_while(|event| event.position <= until);
        if between.any(|event| concerns(selection, event)) {
            return false;
        }
        cursor = last.position;
    }
    true
}

/// Whether an event may change what a selection finds.
fn concerns(selection: &Selection, event: &Event) -> bool {
    match &event.change.body {
        Body::Row(change) if change.table.name == selection.table.name => {
            *change.table != *selection.table || seen(selection.predicate.as_deref(), change).is_some()
        }
        Body::Reset { channel: Channel::Table(name), .. } => *name == selection.table.name,
        Body::Row(_) | Body::Reset { .. } | Body::Message(_) => false,
    }
}

impl Sets {
    fn place(&self, selection: &Arc<Selection>) -> Slot {
        let mut sets = self.0.lock();
        if sets.len() > 64 && sets.len() == sets.capacity() {
            // Whoever reads at the moment has a hold of its place.
            sets.retain(|_, set| Arc::strong_count(set) > 1 || set.try_lock().is_ok_and(|set| set.strong_count() > 0));
        }
        sets.entry(selection.clone()).or_default().clone()
    }

    /// The values as of a position; as they are now, where none is given.
    pub(super) async fn find(
        &self,
        node: &Node,
        selection: Arc<Selection>,
        at: Option<Position>,
    ) -> Result<Arc<Set>, NotChosen> {
        let place = self.place(&selection);
        let mut place = place.lock().await;
        if let Some(set) = place.upgrade() {
            match at {
                Some(position) if set.holds_at(position) => return Ok(set),
                None if set.until().is_none() => return Ok(set),
                _ => {}
            }
            if set.until().is_none()
                && let Some(position) = at
            {
                return if set.reaches_back(node, position).await { Ok(set) } else { Err(NotChosen::Changed) };
            }
        }
        for tried in 0..TRIES {
            let Some(set) = read(node, &selection).await.map_err(NotChosen::Failed)? else {
                // What the log has, the database shows in a moment.
                tokio::time::sleep(std::time::Duration::from_millis(1 << tried)).await;
                continue;
            };
            let set = Arc::new(set);
            *place = Arc::downgrade(&set);
            let Some(position) = at else { return Ok(set) };
            if set.holds_at(position) || position < *set.from.lock() && set.reaches_back(node, position).await {
                return Ok(set);
            }
            return Err(NotChosen::Changed);
        }
        let message = "what a rule reads changes faster than it can be read";
        Err(NotChosen::Failed(Problem::new(Code::Unavailable, message).hint("try again in a moment")))
    }
}

/// Reads the values; `None` where the log went on too fast to say which position they stand for.
async fn read(node: &Node, selection: &Arc<Selection>) -> Result<Option<Set>, Problem> {
    let (watch, watched) = node.hub.watch(selection.clone());
    let select = Select {
        table: selection.table.clone(),
        filter: selection.predicate.clone(),
        order_by: Vec::new(),
        limit: Some(VALUES_MAX as u64 + 1),
        offset: 0,
        role: None,
    };
    let _permit = node.snapshot_permit().await?;
    let mut begun = match Begun::begin(node, &select, 0, |_| ()).await {
        Ok(begun) => begun,
        Err(unsettled) => return Err(unsettled.into()),
    };
    let mut values = Vec::new();
    while let Some(chunk) = begun.snapshot.rows.recv().await {
        let chunk = chunk.map_err(super::store_problem)?;
        values.extend(chunk.iter().map(|row| selection.value(row)));
        if values.len() > VALUES_MAX {
            let message = format!("a rule reads more than {VALUES_MAX} values of `{}`", selection.table.name);
            tracing::warn!("{message}");
            return Err(Problem::new(Code::Internal, "a rule cannot be decided").hint("tell who runs this server"));
        }
    }
    let settled = begun.settle(node).await.map_err(Problem::from)?;
    // A transaction stands in PostgreSQL's log a moment before it can be seen: one that was dispatched before the watch began, and is not
    // contained, nobody would hear of.
    if !settled.is_clean() || !is_unchanged(node, selection, settled.position, watched).await {
        return Ok(None);
    }
    values.sort_by_cached_key(Json::to_string);
    values.dedup();
    let watch = watch.begin(settled.position);
    Ok(Some(Set { watch, values: values.into(), from: Mutex::new(settled.position) }))
}

/// Just before a position.
pub(super) fn before(position: Position) -> Position {
    Position { offset: Offset(position.offset.0.saturating_sub(1)), ..position }
}

/// Selections of which only matters that they change: what they find is the database's to know.
#[derive(Debug, Default)]
pub(super) struct Watched(Mutex<AHashMap<Arc<Selection>, Weak<Set>>>);

impl Watched {
    /// Hears of changes after a position; after now, where none is given.
    pub(super) async fn find(
        &self,
        node: &Node,
        selection: Arc<Selection>,
        at: Option<Position>,
    ) -> Result<Arc<Set>, NotChosen> {
        let set = self.place(node, selection);
        match at {
            Some(position) if !set.covers(node, position).await => Err(NotChosen::Changed),
            _ => Ok(set),
        }
    }

    fn place(&self, node: &Node, selection: Arc<Selection>) -> Arc<Set> {
        let mut sets = self.0.lock();
        if sets.len() > 64 && sets.len() == sets.capacity() {
            sets.retain(|_, set| set.strong_count() > 0);
        }
        let place = sets.entry(selection.clone()).or_default();
        if let Some(set) = place.upgrade().filter(|set| set.until().is_none()) {
            return set;
        }
        let (watch, from) = node.hub.watch(selection);
        let watch = watch.begin(from);
        let set = Arc::new(Set { watch, values: Arc::new([]), from: Mutex::new(from) });
        *place = Arc::downgrade(&set);
        set
    }
}
