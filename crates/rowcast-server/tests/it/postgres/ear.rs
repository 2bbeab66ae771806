//! A client that comes and goes, and writes down what it hears; and what that has to be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::world::{MARKER, Truth, World};
use crate::client::Message;
use crate::client::message::{Change, JsonRow, Op, Position};
use crate::client::{Heard as Next, WebSocket};

const ITEMS: usize = 0;
const TEAM: usize = 1;
const ENTRIES: usize = 2;
const ROOM: usize = 3;
const JOBS: usize = 4;

pub(crate) struct Ear {
    world: Arc<World>,
    random: StdRng,
    subscriptions: [Subscription; 5],
}

/// One subscription, over all its connections.
#[derive(Default)]
struct Subscription {
    at: Option<Position>,
    live: bool,
    /// Rows of a snapshot that is not complete.
    coming: Vec<JsonRow>,
    /// id → (version, team)
    items: BTreeMap<i64, (i64, i64)>,
    /// (writer, n) in the order in which they were heard.
    heard: Vec<(i64, i64)>,
    /// The transaction whose end is still to come.
    open: Option<u64>,
    gaps: u32,
    done: bool,
}

/// What an ear has heard, when all is over.
pub(crate) struct Heard {
    pub(crate) changes: usize,
    subscriptions: [Subscription; 5],
}

impl Ear {
    /// Hears from the beginning.
    pub(crate) async fn open(world: Arc<World>, random: StdRng) -> Self {
        let mut ear = Self { world, random, subscriptions: Default::default() };
        let mut socket = WebSocket::open(&ear.world.server).await.expect("connected");
        ear.subscribe(&mut socket).await.expect("subscribed");
        while ear.subscriptions.iter().any(|subscription| !subscription.live) {
            let message = socket.next().await.expect("a message");
            ear.take(message).expect("what it should be");
        }
        ear
    }

    /// Until every subscription has heard its marker.
    pub(crate) async fn listen(mut self) -> Heard {
        let mut changes = 0;
        while !self.is_done() {
            if let Err(error) = self.connection(&mut changes).await {
                panic!("{error:?}\n{}", self.describe());
            }
        }
        Heard { changes, subscriptions: self.subscriptions }
    }

    /// NOTIFY promises less: it is not waited for.
    fn is_done(&self) -> bool {
        self.subscriptions[..JOBS].iter().all(|subscription| subscription.done)
    }

    fn describe(&self) -> String {
        let shown = self.subscriptions.iter().map(|s| {
            format!(
                "live {}, at {:?}, {} items, {} entries, done {}",
                s.live,
                s.at,
                s.items.len(),
                s.heard.len(),
                s.done
            )
        });
        format!("{}\n{}", shown.collect::<Vec<_>>().join("\n"), self.world.server.stderr())
    }

    /// One connection, for as long as it lasts or is wanted.
    async fn connection(&mut self, changes: &mut usize) -> Result<()> {
        self.world.server.up().await?;
        let Ok(mut socket) = WebSocket::open(&self.world.server).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            return Ok(());
        };
        if self.subscribe(&mut socket).await.is_err() {
            return Ok(());
        }
        let mut deadline = World::deadline();
        let mut quiet = self.world.quiet.subscribe();
        let patience = Duration::from_millis(self.random.random_range(50..4_000));
        let leaves = tokio::time::sleep(patience);
        tokio::pin!(leaves);
        while !self.is_done() {
            tokio::select! {
                next = socket.hear() => match next? {
                    Next::Message(message) => {
                        *changes += usize::from(matches!(message, Message::Change(_)));
                        self.take(message)?;
                    }
                    Next::Closed(_) => return Ok(()),
                },
                () = &mut leaves, if !*self.world.quiet.borrow() => return Ok(()),
                Ok(()) = quiet.changed() => deadline = World::deadline(),
                () = tokio::time::sleep_until(deadline), if *self.world.quiet.borrow() => bail!("not caught up in time"),
            }
        }
        Ok(())
    }

    async fn subscribe(&mut self, socket: &mut WebSocket) -> Result<()> {
        let entries = "table:\"Entries \"\"é\"\"\"";
        let channels =
            ["table:items", "table:public.items", entries, "room:history", "notify:jobs"].into_iter().enumerate();
        for (number, channel) in channels {
            let subscription = &mut self.subscriptions[number];
            subscription.live = false;
            subscription.coming.clear();
            let mut message = json!({ "type": "subscribe", "id": number.to_string(), "channel": channel });
            if number < ROOM {
                message["snapshot"] = json!(true);
            }
            if number == TEAM {
                message["where"] = json!("team = 1");
            }
            if let Some(at) = subscription.at {
                message["since"] = json!(at.to_string());
            }
            socket.say(message).await?;
        }
        Ok(())
    }

    fn take(&mut self, message: Message) -> Result<()> {
        let index = |id: Option<String>| -> Result<usize> { Ok(id.context("an id")?.parse()?) };
        match message {
            Message::Snapshot(snapshot) => {
                let index = index(snapshot.id)?;
                self.subscriptions[index].coming.extend(snapshot.rows);
            }
            Message::Subscribed(subscribed) => {
                let index = index(subscribed.id)?;
                self.subscriptions[index].subscribed(index, subscribed.position, subscribed.resumed)?;
            }
            Message::Change(change) => {
                let index = index(change.id.clone())?;
                let subscription = &mut self.subscriptions[index];
                subscription.change(index, &change).with_context(|| format!("subscription {index}: {change:?}"))?;
            }
            Message::Commit(commit) => {
                let subscription = &mut self.subscriptions[index(commit.id)?];
                subscription.forward(commit.position)?;
                subscription.open = None;
            }
            Message::Told(told) => {
                let index = index(told.id)?;
                let position = told.position.context("a stored message has a position")?;
                self.subscriptions[index].forward(position)?;
                self.subscriptions[index].told(&told.data)?;
            }
            Message::Gap(gap) => {
                let text = format!("{gap:?}");
                let index = index(gap.id)?;
                ensure!(index == JOBS, "a gap where nothing may be missed: {text}");
                self.subscriptions[index].gaps += 1;
                self.subscriptions[index].live = false;
            }
            Message::Position(at) => {
                for subscription in self.subscriptions.iter_mut().filter(|subscription| subscription.live) {
                    subscription.at = Some(at.position);
                }
            }
            Message::Close(_) | Message::Pong(_) => {}
            Message::Error(problem) if problem.code == "unavailable" => {}
            other => bail!("unexpected: {other:?}"),
        }
        Ok(())
    }
}

impl Subscription {
    fn subscribed(&mut self, index: usize, position: Position, resumed: bool) -> Result<()> {
        ensure!(!resumed || self.at == Some(position), "resumed elsewhere: {position}");
        self.live = true;
        self.at = Some(position);
        if !resumed {
            self.open = None;
            let rows = std::mem::take(&mut self.coming);
            match index {
                ITEMS | TEAM => self.items = rows.iter().map(item).collect::<Result<_>>()?,
                ENTRIES => self.heard = rows.iter().map(entry).collect::<Result<_>>()?,
                _ => {}
            }
        }
        Ok(())
    }

    fn forward(&mut self, position: Position) -> Result<()> {
        ensure!(self.at.is_none_or(|at| position > at), "{position} after {:?}", self.at);
        self.at = Some(position);
        Ok(())
    }

    fn change(&mut self, index: usize, change: &Change) -> Result<()> {
        self.forward(change.position)?;
        ensure!(self.open.is_none_or(|open| open == change.tx), "transaction {:?} has not ended", self.open);
        self.open = (!change.last).then_some(change.tx);
        if index == ENTRIES {
            ensure!(change.op == Op::Insert, "entries are only inserted");
            let entry = entry(&change.row)?;
            self.done |= entry == (MARKER, 2);
            self.heard.push(entry);
            return Ok(());
        }
        let id = integer(&change.row, "id")?;
        if change.op == Op::Delete {
            let had = self.items.remove(&id);
            ensure!(had.is_some(), "a row is deleted that was not there");
            return Ok(());
        }
        let (_, (v, team)) = item(&change.row)?;
        let before = self.items.insert(id, (v, team));
        self.done |= id == MARKER;
        match (change.op, change.cause, before) {
            // Into the filter by an update: its versions before were not heard.
            (Op::Insert, Some(Op::Update), None) => ensure!(index == TEAM, "an insert by an update without a filter"),
            (Op::Insert, None, None) => ensure!(v == 1, "a new row has version 1"),
            (Op::Update, _, Some((last, _))) => ensure!(v == last + 1, "version {v} after {last}"),
            other => bail!("not what can follow: {other:?}"),
        }
        Ok(())
    }

    fn told(&mut self, data: &Value) -> Result<()> {
        let entry = match data {
            Value::Array(two) => (two[0].as_i64().context("a writer")?, two[1].as_i64().context("a number")?),
            other => {
                let payload = other["payload"].as_str().context("a payload")?;
                let (writer, n) = payload.split_once(':').context("writer:n")?;
                (writer.parse()?, n.parse()?)
            }
        };
        self.done |= entry == (MARKER, 1);
        self.heard.push(entry);
        Ok(())
    }
}

impl Heard {
    /// Panics where what was heard is not what there is.
    pub(crate) fn judge(self, truth: &Truth) {
        let [items, team, entries, room, jobs] = self.subscriptions;
        assert_eq!(items.items, truth.items, "items");
        let of_team = truth.items.iter().filter(|(_, (_, team))| *team == 1).map(|(id, item)| (*id, *item)).collect();
        assert_eq!(team.items, of_team, "items of the team");
        let each_once = |heard: &[(i64, i64)], what: &str| {
            let set: BTreeSet<_> = heard.iter().copied().collect();
            assert_eq!(set.len(), heard.len(), "{what} heard twice");
            set
        };
        let expected: BTreeSet<_> = truth.entries.iter().copied().collect();
        assert_eq!(each_once(&entries.heard, "entries"), expected, "entries");
        let messages: BTreeSet<_> = expected.iter().copied().filter(|entry| *entry != (MARKER, 2)).collect();
        assert_eq!(each_once(&room.heard, "messages"), messages, "messages");
        let notified = each_once(&jobs.heard, "notifications");
        assert!(notified.is_subset(&expected), "a notification of what was not committed");
        let missed = expected.iter().filter(|(writer, _)| *writer != MARKER).count() - notified.len();
        assert!(missed == 0 || jobs.gaps > 0, "{missed} notifications were missed, and no gap said so");
        for heard in [&room.heard, &jobs.heard] {
            let mut last = BTreeMap::new();
            for (writer, n) in heard {
                assert!(
                    last.insert(*writer, *n).is_none_or(|before| before < *n),
                    "writer {writer} out of order at {n}"
                );
            }
        }
    }
}

fn integer(row: &JsonRow, name: &str) -> Result<i64> {
    row.get(name).and_then(Value::as_i64).with_context(|| format!("{name} is an integer"))
}

fn item(row: &JsonRow) -> Result<(i64, (i64, i64))> {
    Ok((integer(row, "id")?, (integer(row, "v")?, integer(row, "team")?)))
}

fn entry(row: &JsonRow) -> Result<(i64, i64)> {
    Ok((integer(row, "writer")?, integer(row, "n")?))
}
