use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value as Json;

use super::super::list::{self, Changes};
use super::*;

/// What a connection of one of a few users does.
#[derive(Debug, Clone)]
enum Act {
    Come {
        connection: u64,
        user: u8,
        state: Option<u8>,
    },
    Set {
        connection: u64,
        state: u8,
    },
    Lose {
        connection: u64,
    },
    /// Also: the grace time of a lost one is over.
    Leave {
        connection: u64,
    },
    Tell,
    Watch,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let connection = 0..12_u64;
    let state = || proptest::option::of(0..3_u8);
    let act = prop_oneof![
        4 => (connection.clone(), 0..4_u8, state()).prop_map(|(connection, user, state)| Act::Come { connection, user, state }),
        3 => (connection.clone(), 0..3_u8).prop_map(|(connection, state)| Act::Set { connection, state }),
        2 => connection.clone().prop_map(|connection| Act::Lose { connection }),
        3 => connection.prop_map(|connection| Act::Leave { connection }),
        3 => Just(Act::Tell),
        1 => Just(Act::Watch),
    ];
    vec(act, 0..120)
}

/// The same as [`People`], without any thought of what was told: who is there by connection, and when each state was set.
#[derive(Default)]
struct Model {
    connections: BTreeMap<u64, There>,
    /// Counts up with each state that is set, and down with each connection that has none.
    order: (i64, i64),
}

#[derive(Clone)]
struct There {
    user: u8,
    state: Option<u8>,
    order: i64,
    is_lost: bool,
}

impl Model {
    fn order(&mut self, state: Option<u8>) -> i64 {
        match state {
            Some(_) => self.order.0 += 1,
            None => self.order.1 -= 1,
        }
        if state.is_some() { self.order.0 } else { self.order.1 }
    }

    fn come(&mut self, connection: u64, user: u8, state: Option<u8>) {
        let mut lost: Vec<_> =
            self.connections.iter().filter(|(_, there)| there.user == user && there.is_lost).collect();
        lost.sort_by_key(|(_, there)| (there.state != state, there.order));
        let mut there = match lost.first().map(|(connection, _)| **connection) {
            Some(lost) => self.connections.remove(&lost).expect("it was there"),
            None => There { user, state, order: self.order(state), is_lost: false },
        };
        there.is_lost = false;
        if state.is_some() && there.state != state {
            (there.state, there.order) = (state, self.order(state));
        }
        self.connections.insert(connection, there);
    }

    fn set(&mut self, connection: u64, state: u8) {
        let order = self.order(Some(state));
        if let Some(there) = self.connections.get_mut(&connection) {
            (there.state, there.order) = (Some(state), order);
        }
    }

    /// Each user's state and number of connections.
    fn users(&self) -> BTreeMap<String, (String, u64)> {
        let mut users: BTreeMap<u8, Vec<&There>> = BTreeMap::new();
        self.connections.values().for_each(|there| users.entry(there.user).or_default().push(there));
        let seen = |(user, mut all): (u8, Vec<&There>)| {
            all.sort_by_key(|there| there.order);
            let state = all.iter().rev().find_map(|there| there.state);
            (name(user).to_string(), (text(state).map_or("{}".into(), |text| text.to_string()), all.len() as u64))
        };
        users.into_iter().map(seen).collect()
    }
}

fn name(user: u8) -> Arc<str> {
    format!("user \"{user}\"").into()
}

fn text(state: Option<u8>) -> Option<Arc<str>> {
    state.map(|state| format!(r#"{{"at":{state}}}"#).into())
}

/// One who takes everything at its word, and finds what cannot be.
#[derive(Default)]
struct Watcher {
    users: BTreeMap<String, (String, u64)>,
    since: BTreeMap<String, u64>,
}

impl Watcher {
    fn hear(&mut self, body: &[u8]) {
        let message: Json = serde_json::from_slice(&[b"{", body].concat()).expect("JSON");
        if message["full"] == true {
            self.users.clear();
        }
        let list = |name: &str| message[name].as_array().cloned().unwrap_or_default();
        let user = |user: &Json| {
            let name = user["user"].as_str().expect("a name").to_owned();
            (name, (user["state"].to_string(), user["connections"].as_u64().expect("a number")))
        };
        for json in list("users").iter().chain(&list("joins")) {
            let (name, seen) = user(json);
            self.since.insert(name.clone(), json["since"].as_u64().expect("a time"));
            assert_eq!(self.users.insert(name, seen), None, "nobody comes twice");
        }
        for (name, seen) in list("updates").iter().map(user) {
            let before = self.users.insert(name, seen.clone());
            assert!(before.is_some_and(|before| before != seen), "who is there has changed");
        }
        for name in list("leaves") {
            assert!(self.users.remove(name.as_str().expect("a name")).is_some(), "who goes was there");
        }
    }
}

fn tell(people: &mut People, watchers: &mut [Watcher]) {
    let mut changes = Changes::default();
    people.tell(|name, news| changes.add(name, news));
    for body in changes.bodies() {
        watchers.iter_mut().for_each(|watcher| watcher.hear(&body));
    }
}

proptest! {
    #[test]
    fn whoever_begins_at_any_moment_sees_exactly_who_is_there(acts in acts()) {
        let (mut people, mut model, mut watchers) = (People::default(), Model::default(), Vec::new());
        // Each connection comes once; the names are of no meaning.
        let mut names: BTreeMap<u64, u64> = BTreeMap::new();
        for (at, act) in acts.into_iter().enumerate() {
            let known = |names: &BTreeMap<u64, u64>, connection: u64| names.get(&connection).copied();
            match act {
                Act::Come { connection, user, state } => {
                    let new = 1000 + at as u64;
                    if let Some(old) = names.insert(connection, new) {
                        // It may be lost and replaced by this one, or still be there.
                        names.insert(100_000 + old, old);
                    }
                    people.come(new, &name(user), text(state), at as u64);
                    model.come(new, user, state);
                }
                Act::Set { connection, state } => if let Some(connection) = known(&names, connection)
                    && let Some(there) = model.connections.get(&connection).cloned().filter(|there| !there.is_lost)
                {
                    people.set(connection, &name(there.user), text(Some(state)));
                    model.set(connection, state);
                },
                Act::Lose { connection } => if let Some(connection) = known(&names, connection)
                    && let Some(there) = model.connections.get_mut(&connection)
                {
                    there.is_lost = true;
                    people.lose(connection, &name(there.user));
                },
                Act::Leave { connection } => if let Some(connection) = known(&names, connection)
                    && let Some(there) = model.connections.remove(&connection)
                {
                    people.leave(connection, &name(there.user));
                },
                Act::Tell => {
                    tell(&mut people, &mut watchers);
                    let users = model.users();
                    prop_assert!(watchers.iter().all(|watcher| watcher.users == users));
                }
                Act::Watch => {
                    let mut watcher = Watcher::default();
                    list::bodies(people.told()).iter().for_each(|body| watcher.hear(body));
                    watchers.push(watcher);
                }
            }
            let present: BTreeMap<_, _> = people.present().map(|(name, seen)| (name.to_owned(), seen.connections)).collect();
            let wanted: BTreeMap<_, _> = model.users().into_iter().map(|(name, (_, count))| (name, count as u32)).collect();
            prop_assert_eq!(present, wanted);
        }
        tell(&mut people, &mut watchers);
        prop_assert!(watchers.iter().all(|watcher| watcher.users == model.users()));
        // All go: nothing is left.
        for (connection, there) in std::mem::take(&mut model.connections) {
            people.leave(connection, &name(there.user));
        }
        tell(&mut people, &mut watchers);
        prop_assert!(people.is_empty() && watchers.iter().all(|watcher| watcher.users.is_empty()));
    }
}

#[test]
fn who_comes_back_in_time_was_never_away() {
    let (mut people, ann) = (People::default(), Arc::<str>::from("ann"));
    let mut watchers = [Watcher::default()];
    people.come(1, &ann, text(Some(1)), 7);
    tell(&mut people, &mut watchers);
    people.lose(1, &ann);
    people.come(2, &ann, text(Some(1)), 8);
    people.leave(1, &ann);
    people.tell(|name, news| panic!("{name}: {news:?}"));
    people.leave(2, &ann);
    tell(&mut people, &mut watchers);
    assert!(watchers[0].users.is_empty());
    assert_eq!(watchers[0].since["ann"], 7);
}

#[test]
fn a_long_list_comes_in_pieces_and_so_do_many_changes() {
    let mut people = People::default();
    let mut watchers = [Watcher::default()];
    for n in 0..2000 {
        people.come(n, &format!("user {n}").into(), text(Some(1)), n);
    }
    let mut changes = Changes::default();
    people.tell(|name, news| changes.add(name, news));
    let bodies = changes.bodies();
    assert!(bodies.len() > 2 && bodies.iter().all(|body| body.len() < 40 << 10));
    bodies.iter().for_each(|body| watchers[0].hear(body));
    let list = list::bodies(people.told());
    let is = |body: &Bytes, text: &str| String::from_utf8_lossy(body).contains(text);
    let count = |text| list.iter().filter(|body| is(body, text)).count();
    assert_eq!((count("\"full\":true"), count("\"more\":true")), (1, list.len() - 1));
    let mut whole = Watcher::default();
    list.iter().for_each(|body| whole.hear(body));
    assert_eq!((whole.users.len(), &whole.users), (2000, &watchers[0].users));
}
