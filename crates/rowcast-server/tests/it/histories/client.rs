//! A client of a history: subscribes, changes its mind, goes away, reads slowly, comes back over another transport; and
//! writes down everything that it hears.
//!
//! Follows docs/protocol.md's "Resuming" and nothing else: it knows no table and no truth.

mod line;
mod watch;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::Instant;

use super::model::FILTERS;
use super::world::{Story, World};
use crate::client::Message;
use crate::client::message::{Position, Problem};
use crate::server::DEADLINE;
use line::{Line, News};
use watch::State;
pub(crate) use watch::{Note, Watch};

/// Subscriptions of a client at the same time.
const WATCHES: usize = 3;

pub(crate) struct Client {
    world: Arc<World>,
    story: Arc<Story>,
    random: StdRng,
    /// All there ever were; the last ones go on.
    watches: Vec<Watch>,
    line: Option<Line>,
    actions: u32,
    next_id: u32,
    deadline: Instant,
    number: usize,
    /// The last things that happened, for a report.
    diary: VecDeque<String>,
}

impl Client {
    pub(crate) fn new(world: Arc<World>, story: Arc<Story>, number: usize, mut random: StdRng) -> Self {
        let actions = random.random_range(3..12);
        Self {
            world,
            story,
            random,
            watches: Vec::new(),
            line: None,
            actions,
            next_id: 0,
            deadline: Instant::now() + DEADLINE * 2,
            number,
            diary: VecDeque::new(),
        }
    }

    /// Lives until every subscription has seen the marker; returns what each has heard.
    pub(crate) async fn run(mut self) -> Result<Vec<Watch>> {
        match self.live().await {
            Ok(()) => Ok(self.watches),
            Err(error) => {
                let watches: Vec<String> = self.watches.iter().filter(|w| w.is_on()).map(Watch::describe).collect();
                let diary: Vec<String> = self.diary.into();
                Err(error.context(format!(
                    "subscriptions:\n  {}\ndiary:\n  {}",
                    watches.join("\n  "),
                    diary.join("\n  ")
                )))
            }
        }
    }

    async fn live(&mut self) -> Result<()> {
        self.add_watch();
        while !self.is_done() {
            self.connect().await?;
            self.turn().await?;
            self.settle();
        }
        match &mut self.line {
            Some(line) if !self.story.gaps => line.expect_nothing().await,
            _ => Ok(()),
        }
    }

    /// Tells the writer when it may write the marker: when nobody would miss it.
    fn settle(&mut self) {
        if self.actions == 0 && self.watches.iter().filter(|w| w.is_on()).all(Watch::will_see_marker) {
            self.story.settled(self.number);
        }
    }

    fn is_done(&self) -> bool {
        let is_done = |watch: &Watch| !watch.is_ending() && (!watch.is_on() || watch.done && watch.told);
        self.actions == 0 && self.watches.iter().all(is_done)
    }

    async fn turn(&mut self) -> Result<()> {
        let Some(line) = &mut self.line else { return Ok(()) };
        let pause = Duration::from_millis(self.random.random_range(0..40));
        tokio::select! {
            news = line.hear(&self.watches) => self.take(news?)?,
            () = tokio::time::sleep(pause), if self.actions > 0 => {
                self.actions -= 1;
                self.act().await?;
            }
            () = tokio::time::sleep_until(self.deadline) => bail!("not caught up in time"),
        }
        Ok(())
    }

    fn note(&mut self, what: impl Into<String>) {
        if self.diary.len() == 30 {
            self.diary.pop_front();
        }
        self.diary.push_back(what.into());
    }

    async fn act(&mut self) -> Result<()> {
        let on = self.watches.iter().filter(|watch| watch.is_on()).count();
        match self.random.random_range(0..12) {
            0..=1 if on < WATCHES => self.subscribe_more().await,
            2 if on > 1 => self.unsubscribe().await,
            3..=4 => self.change_filter().await,
            5..=8 => {
                self.note("disconnects");
                self.lose();
                Ok(())
            }
            9..=10 => self.pause().await,
            _ => self.line.as_mut().context("connected")?.ping().await,
        }
    }

    /// Reads nothing for a while. The length is part of the history; nothing waits for it.
    async fn pause(&mut self) -> Result<()> {
        let pause = Duration::from_millis(self.random.random_range(5..400));
        self.note(format!("reads nothing for {pause:?}"));
        tokio::time::sleep(pause).await;
        Ok(())
    }

    fn add_watch(&mut self) -> usize {
        let random = &mut self.random;
        let filter = random.random_range(0..FILTERS.len());
        let mut columns = match random.random_range(0..4) {
            0 => Some(vec!["v", "id"]),
            1 => Some(vec!["b", "id", "v", "a"]),
            _ => None,
        };
        if let Some(columns) = &mut columns {
            // Without the key's columns a client could not tell which row of its snapshot has changed.
            columns.extend(self.story.shape.key().iter().filter(|column| **column != "id"));
        }
        let id = format!("s{}", self.next_id);
        self.next_id += 1;
        let watch = Watch {
            client: self.number,
            id,
            filter,
            columns,
            old: random.random_bool(0.3),
            snapshot: random.random_bool(0.75),
            ..Watch::default()
        };
        self.watches.push(watch);
        self.watches.len() - 1
    }

    async fn subscribe_more(&mut self) -> Result<()> {
        let watch = self.add_watch();
        self.note(format!("subscribes {}", self.watches[watch].id));
        self.ask(watch).await
    }

    /// Begins a subscription, or goes on with it.
    async fn ask(&mut self, index: usize) -> Result<()> {
        let watch = &mut self.watches[index];
        watch.begin(self.story.committed_so_far());
        let line = self.line.as_mut().context("connected")?;
        let random = self.random.random_bool(0.5);
        match line.subscribe(&self.world.server, &self.story, index, &self.watches[index], random).await? {
            None => Ok(()),
            Some(problem) => self.refused(index, &problem),
        }
    }

    async fn unsubscribe(&mut self) -> Result<()> {
        let on: Vec<usize> = (0..self.watches.len()).filter(|&i| self.watches[i].is_on()).collect();
        let index = on[self.random.random_range(0..on.len())];
        self.note(format!("unsubscribes {}", self.watches[index].id));
        self.end(index).await
    }

    async fn end(&mut self, index: usize) -> Result<()> {
        let waits = self.line.as_mut().context("connected")?.unsubscribe(index, &self.watches[index]).await?;
        self.watches[index].state = if waits { State::Ending } else { State::Ended };
        Ok(())
    }

    /// Another filter under the same name, without waiting for the end of the first.
    async fn change_filter(&mut self) -> Result<()> {
        let on: Vec<usize> = (0..self.watches.len()).filter(|&i| self.watches[i].is_on()).collect();
        let index = on[self.random.random_range(0..on.len())];
        self.end(index).await?;
        let new = self.add_watch();
        self.watches[new].id = self.watches[index].id.clone();
        self.note(format!("changes the filter of {}", self.watches[index].id));
        self.ask(new).await
    }

    fn lose(&mut self) {
        self.line = None;
        for watch in &mut self.watches {
            watch.lost();
        }
    }

    async fn connect(&mut self) -> Result<()> {
        while self.line.is_none() {
            let start = self.world.server.up().await?;
            ensure!(Instant::now() < self.deadline, "no connection in time");
            let websocket = self.random.random_bool(0.6);
            let buffer = self.random.random_bool(0.4).then_some(4096);
            let Some(line) = Line::open(&self.world.server, websocket, buffer).await? else {
                self.world.another_start_or_soon(start).await?;
                continue;
            };
            self.note(if websocket { "connects by WebSocket" } else { "connects by SSE" });
            self.line = Some(line);
            let on: Vec<usize> = (0..self.watches.len()).filter(|&i| self.watches[i].is_on()).collect();
            for index in on {
                if self.line.is_some() {
                    self.ask(index).await?;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, news: News) -> Result<()> {
        match news {
            News::Lost(why) => {
                self.note(format!("is disconnected: {why}"));
                self.lose();
                Ok(())
            }
            News::Message(_, Message::Close(close)) => {
                ensure!(close.reason == "shutdown" || close.reason == "no_answer", "{close:?}");
                self.note(format!("is told to go: {close:?}"));
                Ok(())
            }
            News::Message(_, Message::Pong(_)) => Ok(()),
            News::Message(_, Message::Position(at)) => {
                self.watches.iter_mut().filter(|w| w.is_on()).for_each(|watch| watch.moved(at.position));
                Ok(())
            }
            News::Moved(index, position) => {
                self.watches[index].moved(position);
                Ok(())
            }
            News::Message(index, Message::Error(problem)) => {
                let index = index.with_context(|| format!("an error about nothing: {problem:?}"))?;
                self.refused(index, &problem)
            }
            News::Message(index, message) => {
                let index = index.with_context(|| format!("a message about nothing: {message:?}"))?;
                let can_see = self.story.marker_is_written();
                self.watches[index].take(message, self.story.committed_so_far(), can_see)
            }
        }
    }

    /// Legal only while tables come and go: tried again with the next connection.
    fn refused(&mut self, index: usize, problem: &Problem) -> Result<()> {
        let stopping = problem.code == "unavailable" && problem.message.contains("stops");
        let gone = self.story.shifting && matches!(&*problem.code, "unknown_table" | "unavailable");
        ensure!(gone || stopping, "{} was refused: {problem:?}", self.watches[index].describe());
        self.note(format!("is refused {}: {}", self.watches[index].id, problem.code));
        if self.watches[index].state == State::Ending {
            // Its `unsubscribed` will be an error, too.
            self.watches[index].state = State::Ended;
            return Ok(());
        }
        self.lose();
        Ok(())
    }
}

/// Where a client stands, as text.
pub(super) fn shown(position: Option<Position>) -> String {
    position.map_or_else(|| "-".to_owned(), |position| position.to_string())
}
