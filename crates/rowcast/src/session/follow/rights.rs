//! What a subscription may show: tied to its table and to its client's rights, and looked at again when what those read has changed.

use std::sync::Arc;

use super::{AWAY, Gone, Way, store_problem};
use crate::auth::Identity;
use crate::event::{Channel, Position, Table};
use crate::protocol::{Code, GapReason, Problem};
use crate::session::access::{Act, allowed_event, on_channel};
use crate::session::bound::Bound;
use crate::session::read::Gap;
use crate::session::rights::{NoRights, Rights, hidden, rules, to_read};
use crate::session::settle::Settled;
use crate::store::StoreError;

impl Way {
    /// Whether what the rules have read has changed, and what they say of this client has not.
    pub(super) async fn goes_on(&mut self, gap: &Gap) -> bool {
        let (None, Some(upto), None) = (gap.reason, gap.upto, &self.follow.rights.judge) else { return false };
        let before = (self.follow.rights.clone(), self.follow.bound.clone());
        let known = self.bind_to_catalog(Some(upto)).await.is_ok();
        let same = match (&before.1, &self.follow.bound) {
            (Some(before), Some(now)) => before.table == now.table && now.shows_the_same(before),
            (None, None) => true,
            _ => false,
        };
        if !(known && same) {
            (self.follow.rights, self.follow.bound) = before;
        }
        known && same
    }

    /// What may be seen has changed: whether it is only more.
    pub(super) async fn granted(&mut self) -> Option<GapReason> {
        if std::mem::take(&mut self.other) || self.follow.rights.judge.is_some() {
            return None;
        }
        let before = (self.follow.rights.clone(), self.follow.bound.clone()?);
        self.bind_to_catalog(None).await.ok()?;
        let now = self.follow.bound.as_ref()?;
        let grows = now.predicate.as_ref().is_some_and(|predicate| predicate.grows());
        let same = now.table == before.1.table && now.projection.columns == before.1.projection.columns;
        (grows && same && self.follow.rights.have_grown_from(&before.0)).then_some(GapReason::Granted)
    }

    /// Whether the rows of a snapshot are followed by what the rules say from its position on.
    pub(super) async fn fits(&mut self, bound: &Bound, settled: Settled) -> bool {
        if self.follow.rights.sets.is_empty() {
            return true;
        }
        // The database has judged the rows by what it read of other tables in the same moment.
        settled.is_clean()
            && self.covers(settled.position).await
            && self.follow.bound.as_ref().is_some_and(|now| now.table == bound.table)
    }

    /// Whether what the client may see is known from a position on.
    pub(super) async fn covers(&mut self, position: Position) -> bool {
        if self.rights_hold(position).await {
            return true;
        }
        matches!(self.bind_to_catalog(Some(position)).await, Ok(()))
    }

    /// Finds out what the table is, and what may be seen of it as of a position; as of now, where none is given.
    pub(super) async fn bind_to_catalog(&mut self, at: Option<Position>) -> Result<(), NoRights> {
        let identity = self.follow.wish.identity.lock().clone();
        if let Some((event, _)) = &self.follow.wish.event {
            allowed_event(&self.node, &identity, &event.name)?;
        }
        let Channel::Table(name) = &self.follow.wish.channel else {
            let sets = on_channel(&self.node, &identity, &self.follow.wish.channel, Act::Subscribe, at).await?;
            self.follow.rights = match sets.is_empty() {
                true => Rights::everything(),
                false => Arc::new(Rights { sets, ..Rights::default() }),
            };
            return Ok(());
        };
        let table = self.node.database.store.table(name).await.map_err(|error| self.no_table(error, &identity))?;
        let rights = to_read(&self.node, &identity, name, &table, at).await.map_err(|no| self.of_event(no))?;
        let bound = Bound::new(&self.follow.wish, table, &self.node, &rights)?;
        // A wrong order is said before anything is read.
        self.select(&bound, &rights)?;
        *self.follow.wish.known.lock() = Some(bound.table.clone());
        (self.follow.bound, self.follow.rights) = (Some(bound), rights);
        Ok(())
    }

    /// Whether a client may read a table that there is not is not told either.
    pub(super) fn no_table(&self, error: StoreError, identity: &Identity) -> Problem {
        match error {
            StoreError::UnknownTable(name) if rules(&self.node, identity).is_some() => hidden(&name),
            error => store_problem(error),
        }
    }

    /// Whoever may not follow an event does not learn of its table.
    pub(super) fn of_event(&self, no: NoRights) -> NoRights {
        match (no, &self.follow.wish.event) {
            (NoRights::Refused(problem), Some((event, _))) if problem.code == Code::UnknownTable => {
                Problem::new(Code::Forbidden, format!("you may not follow `event:{}`", event.name)).into()
            }
            (no, _) => no,
        }
    }

    /// Whether the rights hold at a position, as far back as they are known.
    pub(super) async fn rights_hold(&mut self, position: Position) -> bool {
        // What has been dispatched has been looked at by those who watch.
        if !self.follow.rights.sets.is_empty() {
            self.node.hub.reached(position).await;
        }
        for set in &self.follow.rights.sets {
            if !set.covers(&self.node, position).await {
                return false;
            }
        }
        true
    }

    /// Binds to the table as it was: what has become of it since stands in the log.
    pub(super) async fn bind_again(&mut self, position: Position) -> Result<Result<(), NoRights>, Gone> {
        loop {
            let known = self.follow.wish.known.lock().clone();
            let bound = match known {
                Some(table) => self.bind_as_known(table, position).await,
                None => self.bind_to_catalog(Some(position)).await,
            };
            match bound {
                Err(NoRights::Refused(problem)) if problem.code == Code::Unavailable => tokio::select! {
                    () = tokio::time::sleep(AWAY) => {}
                    () = self.steps.closed() => return Err(Gone),
                },
                // It was dropped while it was followed, and may be made again: the table is looked at when something is told of it.
                Err(NoRights::Refused(problem)) if problem.code == Code::UnknownTable && self.node.auth.is_none() => {
                    return Ok(Ok(()));
                }
                Ok(()) if !self.shows_the_same() => return Ok(Err(NoRights::Changed)),
                other => return Ok(other),
            }
        }
    }

    pub(super) async fn bind_as_known(&mut self, table: Arc<Table>, position: Position) -> Result<(), NoRights> {
        let identity = self.follow.wish.identity.lock().clone();
        if let Some((event, _)) = &self.follow.wish.event {
            allowed_event(&self.node, &identity, &event.name)?;
        }
        let Channel::Table(asked) = &self.follow.wish.channel else { return Ok(()) };
        let rights = to_read(&self.node, &identity, asked, &table, Some(position)).await;
        let rights = rights.map_err(|no| self.of_event(no))?;
        let bound = Bound::new(&self.follow.wish, table, &self.node, &rights)?;
        (self.follow.bound, self.follow.rights) = (Some(bound), rights);
        Ok(())
    }

    /// Whether the client may go on with what it was shown.
    pub(super) fn shows_the_same(&self) -> bool {
        if self.follow.rights.filter.is_none() {
            return true;
        }
        match (&self.follow.bound, &*self.follow.wish.shown.lock()) {
            (Some(bound), Some(shown)) => bound.table != shown.table || bound.shows_the_same(shown),
            _ => true,
        }
    }
}
