//! The users of one channel: who is there, what was told of them, and what is still to be told. Pure.

use std::sync::Arc;

use ahash::AHashMap;

/// Names a connection for as long as the process lives.
pub(super) type Connection = u64;

/// A user as others see him.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// A JSON object; `None`: nobody has set one.
    pub(super) state: Option<Arc<str>>,
    pub(super) connections: u32,
    /// Milliseconds since 1970.
    pub(super) since: u64,
}

/// What is to be told of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News<'p> {
    Join(&'p Seen),
    Update(&'p Seen),
    Leave,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct People {
    // In boxes, because a table keeps room for more than it holds.
    users: AHashMap<Arc<str>, Box<User>>,
    /// Those of whom there may be something to tell, each once.
    changed: Vec<Arc<str>>,
}

#[derive(Debug, Default)]
struct User {
    /// The one that has set its state last comes last.
    connections: Vec<One>,
    since: u64,
    told: Option<Seen>,
    is_changed: bool,
}

#[derive(Debug)]
struct One {
    connection: Connection,
    state: Option<Arc<str>>,
    /// It broke, and may be replaced by another one.
    is_lost: bool,
}

impl User {
    fn seen(&self) -> Option<Seen> {
        let state = self.connections.iter().rev().find_map(|one| one.state.clone());
        let connections = u32::try_from(self.connections.len()).unwrap_or(u32::MAX);
        (connections > 0).then_some(Seen { state, connections, since: self.since })
    }

    /// Where the lost connection is that a new one stands for: one with the same state, if there is one.
    fn lost(&self, state: Option<&Arc<str>>) -> Option<usize> {
        let lost = |one: &One| one.is_lost;
        let same = self.connections.iter().position(|one| lost(one) && one.state.as_ref() == state);
        same.or_else(|| self.connections.iter().position(lost))
    }
}

impl People {
    /// A connection of a user comes. It takes the place of one that was lost, if there is one.
    pub(super) fn come(&mut self, connection: Connection, name: &Arc<str>, state: Option<Arc<str>>, now_ms: u64) {
        let user = self.users.entry(name.clone()).or_default();
        if user.connections.is_empty() && user.told.is_none() {
            user.since = now_ms;
        }
        match user.lost(state.as_ref()) {
            Some(at) => {
                let one = &mut user.connections[at];
                (one.connection, one.is_lost) = (connection, false);
                if state.is_some() && one.state != state {
                    return self.set(connection, name, state);
                }
            }
            None => {
                if user.connections.is_empty() {
                    user.connections.reserve_exact(1);
                }
                // Without a state it hides nobody's.
                let at = if state.is_some() { user.connections.len() } else { 0 };
                user.connections.insert(at, One { connection, state, is_lost: false });
            }
        }
        self.note(name);
    }

    /// A connection sets its state; without one, nothing changes.
    pub(super) fn set(&mut self, connection: Connection, name: &Arc<str>, state: Option<Arc<str>>) {
        let Some(user) = self.users.get_mut(name).filter(|_| state.is_some()) else { return };
        if let Some(at) = user.connections.iter().position(|one| one.connection == connection) {
            let mut one = user.connections.remove(at);
            one.state = state;
            user.connections.push(one);
        }
        self.note(name);
    }

    /// A connection broke: it counts until somebody says that it has [left](Self::leave).
    pub(super) fn lose(&mut self, connection: Connection, name: &str) {
        if let Some(user) = self.users.get_mut(name) {
            let one = user.connections.iter_mut().find(|one| one.connection == connection);
            one.into_iter().for_each(|one| one.is_lost = true);
        }
    }

    /// A connection is gone. Nothing happens where another has taken its place.
    pub(super) fn leave(&mut self, connection: Connection, name: &Arc<str>) {
        if let Some(user) = self.users.get_mut(name) {
            user.connections.retain(|one| one.connection != connection);
        }
        self.note(name);
    }

    fn note(&mut self, name: &Arc<str>) {
        let Some(user) = self.users.get_mut(name) else { return };
        if !std::mem::replace(&mut user.is_changed, true) {
            self.changed.push(name.clone());
        }
    }

    /// Tells what has changed since it was told last: each user at most once.
    pub(super) fn tell(&mut self, mut hear: impl FnMut(&str, News<'_>)) {
        for name in std::mem::take(&mut self.changed) {
            let Some(user) = self.users.get_mut(&name) else { continue };
            user.is_changed = false;
            let seen = user.seen();
            match (&user.told, &seen) {
                (None, Some(seen)) => hear(&name, News::Join(seen)),
                (Some(told), Some(seen)) if told != seen => hear(&name, News::Update(seen)),
                (Some(_), None) => hear(&name, News::Leave),
                _ => {}
            }
            match seen {
                None => drop(self.users.remove(&name)),
                seen => user.told = seen,
            }
        }
        if self.users.len() < self.users.capacity() / 8 {
            let few = self.users.len() * 2;
            self.users.shrink_to(few);
        }
    }

    pub(super) fn has_news(&self) -> bool {
        !self.changed.is_empty()
    }

    /// What was told so far, as one who comes now has to know it.
    pub(super) fn told(&self) -> impl Iterator<Item = (&str, &Seen)> {
        self.users.iter().filter_map(|(name, user)| Some((&**name, user.told.as_ref()?)))
    }

    /// Who is there, told or not.
    pub(super) fn present(&self) -> impl Iterator<Item = (&str, Seen)> {
        self.users.iter().filter_map(|(name, user)| Some((&**name, user.seen()?)))
    }

    pub(super) fn count(&self) -> usize {
        self.users.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

#[cfg(test)]
mod tests;
