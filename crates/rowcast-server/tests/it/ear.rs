//! A client that comes and goes, and writes down what it hears; and what that has to be.
//!
//! Follows a world of two tables: `items`, whose rows have a version that grows by one with each update, and entries, of which each
//! transaction inserts one. Which database that is, and what happens to it, the [`Stage`] knows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::client::Message;
use crate::client::message::{Change, JsonRow, Op, Position, Reason};
use crate::client::{Heard as Next, WebSocket};
use crate::server::{DEADLINE, Server};

/// The row that tells everybody that nothing comes after it.
pub(crate) const MARKER: i64 = -1;

/// What is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of `items`.
    Items,
    /// Those of team 1.
    Team,
    /// The entries.
    Entries,
    /// A message for each entry.
    Room,
    /// A notification for each entry, which may be missed if that is said.
    Jobs,
}

/// A database, a Rowcast on it, and what happens to them.
pub(crate) trait Stage: Send + Sync + 'static {
    fn server(&self) -> &Server;

    /// True when nothing breaks any more.
    fn quiet(&self) -> &watch::Sender<bool>;

    /// What is followed, and the channel of each.
    fn channels(&self) -> Vec<(Part, String)>;

    /// Whether it was made impossible to hear everything.
    fn may_miss(&self, part: Part, reason: Reason) -> bool;
}

/// What is in the tables when all is over.
pub(crate) struct Truth {
    /// id → (version, team)
    pub(crate) items: BTreeMap<i64, (i64, i64)>,
    /// (writer, n), each once.
    pub(crate) entries: Vec<(i64, i64)>,
}

pub(crate) struct Ear<S> {
    stage: Arc<S>,
    random: StdRng,
    subscriptions: Vec<Subscription>,
    /// A subscription was refused because the database was away: it is asked for again, on another connection.
    refused: bool,
}

/// One subscription, over all its connections.
struct Subscription {
    part: Part,
    channel: String,
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
    subscriptions: Vec<Subscription>,
}

impl<S: Stage> Ear<S> {
    /// Hears from the beginning.
    pub(crate) async fn open(stage: Arc<S>, random: StdRng) -> Self {
        let subscriptions =
            stage.channels().into_iter().map(|(part, channel)| Subscription::new(part, channel)).collect();
        let mut ear = Self { stage, random, subscriptions, refused: false };
        let mut socket = WebSocket::open(ear.stage.server()).await.expect("connected");
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
        self.subscriptions.iter().all(|subscription| subscription.done || subscription.part == Part::Jobs)
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
        format!("{}\n{}", shown.collect::<Vec<_>>().join("\n"), self.stage.server().stderr())
    }

    /// One connection, for as long as it lasts or is wanted.
    async fn connection(&mut self, changes: &mut usize) -> Result<()> {
        self.stage.server().up().await?;
        let Ok(mut socket) = WebSocket::open(self.stage.server()).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            return Ok(());
        };
        if self.subscribe(&mut socket).await.is_err() {
            return Ok(());
        }
        let mut deadline = Instant::now() + DEADLINE;
        let mut quiet = self.stage.quiet().subscribe();
        let patience = Duration::from_millis(self.random.random_range(50..4_000));
        let leaves = tokio::time::sleep(patience);
        tokio::pin!(leaves);
        while !self.is_done() {
            tokio::select! {
                next = socket.hear() => match next? {
                    Next::Message(message) => {
                        *changes += usize::from(matches!(message, Message::Change(_)));
                        self.take(message)?;
                        if std::mem::take(&mut self.refused) {
                            tokio::time::sleep(Duration::from_millis(50)).await;
                            return Ok(());
                        }
                    }
                    Next::Closed(_) => return Ok(()),
                },
                () = &mut leaves, if !*self.stage.quiet().borrow() => return Ok(()),
                Ok(()) = quiet.changed() => deadline = Instant::now() + DEADLINE,
                () = tokio::time::sleep_until(deadline), if *self.stage.quiet().borrow() => bail!("not caught up in time"),
            }
        }
        Ok(())
    }

    async fn subscribe(&mut self, socket: &mut WebSocket) -> Result<()> {
        for (number, subscription) in self.subscriptions.iter_mut().enumerate() {
            subscription.live = false;
            subscription.coming.clear();
            let mut message = json!({ "type": "subscribe", "id": number.to_string(), "channel": subscription.channel });
            if matches!(subscription.part, Part::Items | Part::Team | Part::Entries) {
                message["snapshot"] = json!(true);
            }
            if subscription.part == Part::Team {
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
                self.subscriptions[index].subscribed(subscribed.position, subscribed.resumed)?;
            }
            Message::Change(change) => {
                let index = index(change.id.clone())?;
                let subscription = &mut self.subscriptions[index];
                subscription.change(&change).with_context(|| format!("subscription {index}: {change:?}"))?;
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
                let subscription = &mut self.subscriptions[index(gap.id)?];
                let excused = self.stage.may_miss(subscription.part, gap.reason);
                ensure!(excused, "a gap where nothing may be missed: {text}");
                subscription.gaps += 1;
                subscription.live = false;
                subscription.open = None;
            }
            Message::Position(at) => {
                for subscription in self.subscriptions.iter_mut().filter(|subscription| subscription.live) {
                    subscription.at = Some(at.position);
                }
            }
            Message::Close(_) | Message::Pong(_) => {}
            Message::Error(problem) if problem.code == "unavailable" => self.refused = true,
            other => bail!("unexpected: {other:?}"),
        }
        Ok(())
    }
}

impl Subscription {
    fn new(part: Part, channel: String) -> Self {
        Self {
            part,
            channel,
            at: None,
            live: false,
            coming: Vec::new(),
            items: BTreeMap::new(),
            heard: Vec::new(),
            open: None,
            gaps: 0,
            done: false,
        }
    }

    fn subscribed(&mut self, position: Position, resumed: bool) -> Result<()> {
        ensure!(!resumed || self.at == Some(position), "resumed elsewhere: {position}");
        self.live = true;
        self.at = Some(position);
        if !resumed {
            self.open = None;
            let rows = std::mem::take(&mut self.coming);
            match self.part {
                Part::Items | Part::Team => self.items = rows.iter().map(item).collect::<Result<_>>()?,
                Part::Entries => self.heard = rows.iter().map(entry).collect::<Result<_>>()?,
                Part::Room | Part::Jobs => {}
            }
            self.done |= self.items.contains_key(&MARKER) || self.heard.contains(&(MARKER, 2));
        }
        Ok(())
    }

    fn forward(&mut self, position: Position) -> Result<()> {
        ensure!(self.at.is_none_or(|at| position > at), "{position} after {:?}", self.at);
        self.at = Some(position);
        Ok(())
    }

    fn change(&mut self, change: &Change) -> Result<()> {
        self.forward(change.position)?;
        ensure!(self.open.is_none_or(|open| open == change.tx), "transaction {:?} has not ended", self.open);
        self.open = (!change.last).then_some(change.tx);
        if self.part == Part::Entries {
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
            (Op::Insert, Some(Op::Update), None) => {
                ensure!(self.part == Part::Team, "an insert by an update without a filter")
            }
            (Op::Insert, None, None) => ensure!(v == 1, "a new row has version 1"),
            (Op::Update, _, Some((last, _))) => ensure!(v == last + 1, "version {v} after {last}"),
            other => bail!("not what can follow: {other:?}"),
        }
        Ok(())
    }

    fn told(&mut self, data: &Value) -> Result<()> {
        let entry = match data {
            Value::Array(two) => (two[0].as_i64().context("a writer")?, two[1].as_i64().context("a number")?),
            Value::Object(fields) if fields.contains_key("writer") => entry(fields)?,
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
        for subscription in &self.subscriptions {
            subscription.judge(truth);
        }
    }
}

impl Subscription {
    fn judge(&self, truth: &Truth) {
        let channel = &self.channel;
        let expected: BTreeSet<_> = truth.entries.iter().copied().collect();
        let heard: BTreeSet<_> = self.heard.iter().copied().collect();
        assert_eq!(heard.len(), self.heard.len(), "{channel}: something was heard twice");
        match self.part {
            Part::Items => assert_eq!(self.items, truth.items, "{channel}"),
            Part::Team => {
                let team = truth.items.iter().filter(|(_, (_, team))| *team == 1);
                assert_eq!(self.items, team.map(|(id, item)| (*id, *item)).collect(), "{channel} of the team");
            }
            Part::Entries => assert_eq!(heard, expected, "{channel}"),
            Part::Room | Part::Jobs => {
                assert!(heard.is_subset(&expected), "{channel}: what was not committed was heard");
                let missed =
                    expected.iter().filter(|(writer, _)| *writer != MARKER).filter(|e| !heard.contains(e)).count();
                assert!(missed == 0 || self.gaps > 0, "{channel}: {missed} were missed, and no gap said so");
                self.judge_order();
            }
        }
    }

    /// Each writer's messages in the order in which it said them.
    fn judge_order(&self) {
        let mut last = BTreeMap::new();
        for (writer, n) in &self.heard {
            let before = last.insert(*writer, *n);
            assert!(before.is_none_or(|before| before < *n), "{}: writer {writer} out of order at {n}", self.channel);
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
