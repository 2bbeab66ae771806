//! How a subscription begins and ends: what a client wishes, checked, and the task that is sent on its way.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::follow::{Start, Wish, follow};
use super::phase::{Phase, Subscription};
use super::rights::Rights;
use super::{Session, channel, events, watch};
use crate::event::Channel;
use crate::filter::Filter;
use crate::hub::SubscriptionKey;
use crate::protocol::deliver::Deliver;
use crate::protocol::{Code, Problem, SnapshotWish, Subscribe};

impl Session {
    /// Follows a channel from now on.
    pub fn subscribe(&mut self, subscribe: Subscribe) -> Result<(), Problem> {
        let start = match &subscribe.since {
            Some(text) => Start::Since(text.parse()?),
            None => Start::Fresh,
        };
        self.begin(subscribe, start)
    }

    pub(super) fn begin(&mut self, subscribe: Subscribe, start: Start) -> Result<(), Problem> {
        self.is_known()?;
        let limit = self.node.limits.subscriptions;
        if self.subscriptions.len() >= limit {
            let message = format!("this connection has its {limit} subscriptions");
            return Err(Problem::new(Code::TooManySubscriptions, message)
                .hint("unsubscribe from one, or use another connection"));
        }
        if self.subscriptions.values().any(|s| s.wish.id == subscribe.id) {
            return Err(Problem::new(Code::DuplicateId, format!("there is a subscription `{}` already", subscribe.id)));
        }
        if subscribe.channel.starts_with(watch::PRESENCE) {
            return self.begin_watch(subscribe, start);
        }
        let wish = Arc::new(self.wish(subscribe)?);
        let place = self.place()?;
        if let (Some(accounts), Start::Fresh, true) = (self.accounts(), start, wish.reads_rows()) {
            accounts.may_read_rows()?;
        }
        if wish.deliver != Deliver::Strict {
            self.pace.get_or_insert_default();
        }
        let key = self.new_key();
        let phase = self.spawn_follow(key, wish.clone(), start);
        self.subscriptions.insert(key, Subscription { wish, phase, reached: None, _place: place });
        self.count_subscriptions();
        Ok(())
    }

    pub(super) fn new_key(&mut self) -> SubscriptionKey {
        self.next_key += 1;
        SubscriptionKey(self.next_key - 1)
    }

    fn wish(&self, subscribe: Subscribe) -> Result<Wish, Problem> {
        let channel = channel::named(&self.node, &self.identity, &subscribe.channel)?;
        let filter = subscribe.filter.as_deref().filter(|text| !text.trim().is_empty());
        if let Channel::Event(name) = &channel {
            let event = events::find(&self.node.events, name)?;
            if subscribe.columns.is_some() || subscribe.old {
                let message = "the fields of an event are configured: `columns` and `old` are for tables";
                return Err(Problem::new(Code::BadMessage, message));
            }
            return Ok(Wish {
                id_json: serde_json::to_string(&subscribe.id).expect("a string is always JSON").into(),
                id: subscribe.id,
                identity: Mutex::new(self.identity.clone()),
                shown: Mutex::default(),
                rights: Mutex::new(Rights::everything()),
                told: Mutex::default(),
                channel: Channel::Table(event.table.clone()),
                filter: event.filter_with(filter)?,
                columns: None,
                // History only where some is asked for.
                snapshot: match subscribe.snapshot {
                    SnapshotWish::Some(part) => SnapshotWish::Some(part),
                    SnapshotWish::Simple(_) => SnapshotWish::Simple(false),
                },
                old: false,
                wire: if subscribe.placed { self.wire } else { self.wire.unplaced() },
                live: self.wire,
                deliver: subscribe.deliver,
                event: Some((event, subscribe.wrapped)),
                known: Mutex::default(),
            });
        }
        if let (Channel::Room(_) | Channel::Notify(_), true) =
            (&channel, filter.is_some() || subscribe.columns.is_some() || subscribe.deliver != Deliver::Strict)
        {
            let message = "this channel has messages, not rows: `where`, `columns` and `deliver` are for tables";
            return Err(Problem::new(Code::BadMessage, message));
        }
        Ok(Wish {
            id_json: serde_json::to_string(&subscribe.id).expect("a string is always JSON").into(),
            id: subscribe.id,
            identity: Mutex::new(self.identity.clone()),
            shown: Mutex::default(),
            rights: Mutex::new(Rights::everything()),
            told: Mutex::default(),
            channel,
            filter: filter.map(Filter::parse).transpose()?,
            columns: subscribe.columns,
            snapshot: subscribe.snapshot,
            old: subscribe.old,
            wire: if subscribe.placed { self.wire } else { self.wire.unplaced() },
            live: self.wire,
            deliver: subscribe.deliver,
            event: None,
            known: Mutex::default(),
        })
    }

    pub(super) fn spawn_follow(&mut self, key: SubscriptionKey, wish: Arc<Wish>, start: Start) -> Phase {
        self.followed = self.followed.wrapping_add(1);
        let task = follow(self.node.clone(), self.accounts().cloned(), wish, start, key, self.sender());
        Phase::Following(tokio::spawn(task).abort_handle())
    }

    pub(super) fn end(&mut self, key: SubscriptionKey) {
        if let Some(Subscription { phase: Phase::Following(task) | Phase::Asking(task), .. }) =
            self.subscriptions.remove(&key)
        {
            task.abort();
        }
        self.node.hub.leave(self.key, [key]);
        self.connected.queue.forget(key);
        if let Some(pace) = &mut self.pace {
            pace.forget(key);
        }
        self.count_subscriptions();
    }

    pub(super) fn count_subscriptions(&self) {
        self.connected.subscriptions.store(self.subscriptions.len(), Ordering::Relaxed);
    }
}
