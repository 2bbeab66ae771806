//! The native protocol as events of the root namespace, and what the database pushes by itself.
//!
//! `subscribe`, `unsubscribe`, `publish`, `insert`, `update`, `delete`, `write`, `track`, `untrack` and `ping` are events with the native
//! message as their argument; what the session answers goes into the acknowledgement, where the client asks for one, and what follows are events.

mod answer;
mod push;
mod translate;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use super::data::Arguments;
use super::io::Shared;
use super::packet;
use super::push::{PUSHED, Pushed};
use super::records::Followed;
use super::recovery::{Plan, Recovery};
use crate::event::Position;
use crate::hub::Lane;
use crate::protocol::engineio::Eio;
use crate::protocol::socketio::ROOT;
use crate::protocol::{ClientMessage, Code, Problem, ServerMessage, Subscribe};
use crate::session::Session;
use crate::session::quota::Excess;
use crate::transport::engineio::Handshake;
use crate::transport::socket::End;

pub(super) use answer::close;
use answer::{About, Owed, answer, tell, word};

/// A wish that is longer is not kept.
const WISH_BYTES: usize = 16 << 10;

/// What a client says to the database; a program's own handlers of these names come first.
const VERBS: [&str; 11] =
    ["subscribe", "unsubscribe", "publish", "insert", "update", "delete", "write", "auth", "track", "untrack", "ping"];

/// The database's side of one client.
pub(super) struct Native {
    session: Session,
    pushes: Arc<[Pushed]>,
    /// Whether the client keeps positions.
    recovers: bool,
    /// The session's frames: they outlive a turn in which something else came first.
    frames: Vec<Bytes>,
    /// Answers that the client waits for.
    owed: Vec<Owed>,
    next_reference: u64,
    /// Which pushes have begun, and which are for clients of other listeners.
    begun: Box<[bool]>,
    others: Box<[bool]>,
    /// Pushes that could not begin, and when they are tried again.
    waiting: Option<(Instant, Vec<usize>)>,
    /// Subscriptions of the client's own.
    own: BTreeSet<String>,
    /// What is kept for a client that may come back.
    recovery: Option<Recovery>,
    /// How often a subscription has begun to read the log for itself.
    followed: u32,
    /// It is in the root namespace, and hears what the session says.
    is_in: bool,
}

impl Native {
    pub(super) fn new(session: Session, io: &Shared, handshake: &Handshake) -> Self {
        let listener = handshake.listener();
        let is_for_others = |pushed: &Pushed| {
            let listeners = &pushed.push.listeners;
            !listeners.is_empty() && !listener.is_some_and(|listener| listener.is_one_of(listeners))
        };
        let others: Box<[bool]> = io.pushes.iter().map(is_for_others).collect();
        Self {
            session,
            pushes: io.pushes.clone(),
            recovers: io.recovers(handshake),
            frames: Vec::new(),
            owed: Vec::new(),
            next_reference: 0,
            begun: others.clone(),
            others,
            waiting: None,
            own: BTreeSet::new(),
            recovery: None,
            followed: 0,
            is_in: false,
        }
    }

    pub(super) fn can_receive(&self) -> bool {
        self.session.can_receive()
    }

    /// Counts what a client says, on whatever namespace.
    pub(super) fn afford(&mut self, bytes: usize) -> Result<(), Excess> {
        self.session.afford(bytes)
    }

    pub(super) fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// The client is in the root namespace.
    pub(super) fn begin(&mut self, recovery: Option<Recovery>, out: &mut Vec<Bytes>) {
        self.is_in = true;
        self.recovery = recovery;
        self.push_after(None, out);
    }

    /// Whether everything is there that a client goes on with.
    pub(super) fn can_resume(&self, plan: &Plan) -> bool {
        let is_there = |(follow, after): &(Followed, Position)| {
            let known = follow.wish.is_some() || self.pushes.iter().any(|pushed| pushed.id == follow.id);
            known && self.session.can_resume(*after)
        };
        plan.starts.iter().all(is_there)
    }

    /// What a subscription of an earlier connection is about.
    pub(super) fn subject(&self, follow: &Followed) -> String {
        let own = follow.wish.as_deref().and_then(|wish| match ClientMessage::parse(wish) {
            Ok(ClientMessage::Subscribe(subscribe)) => Some(subscribe),
            _ => None,
        });
        let pushed = || {
            let found = self.pushes.iter().find(|pushed| pushed.id == follow.id)?;
            found.subscribe(false)
        };
        own.or_else(pushed).map_or_else(String::new, |subscribe| self.session.subject(&subscribe))
    }

    /// The client has come back to the root namespace.
    pub(super) fn resume(&mut self, recovery: Recovery, plan: Plan, out: &mut Vec<Bytes>) {
        self.is_in = true;
        self.recovery = Some(recovery);
        let pushes = self.pushes.clone();
        for (follow, after) in plan.starts {
            let found = pushes.iter().position(|pushed| pushed.id == follow.id);
            let mut subscribe = match (&follow.wish, found) {
                (Some(wish), _) => match ClientMessage::parse(wish) {
                    Ok(ClientMessage::Subscribe(subscribe)) => subscribe,
                    _ => continue,
                },
                (None, Some(n)) => {
                    self.begun[n] = true;
                    match self.pushes[n].subscribe(plan.alone) {
                        Some(subscribe) => subscribe,
                        None => continue,
                    }
                }
                (None, None) => continue,
            };
            if follow.wish.is_some() {
                self.own.insert(follow.id.clone());
            }
            subscribe.since = None;
            if let Err(problem) = self.session.resume(subscribe, after) {
                self.session.reply(&ServerMessage::error(Some(follow.id), None, problem));
            }
        }
        // Pushes that the client has never had, and what is said to each connection: a page that waits for it waits again.
        self.push_after(None, out);
    }

    /// The client has left the root namespace.
    pub(super) fn leave(&mut self, may_come_back: bool) {
        if let Some(recovery) = self.recovery.take() {
            recovery.end(may_come_back);
        }
        self.is_in = false;
        self.session.unsubscribe_all();
        if !may_come_back {
            self.session.depart();
        }
        self.frames.clear();
        self.owed.clear();
        self.begun.clone_from(&self.others);
        self.own.clear();
        self.waiting = None;
    }

    /// Does what an event asks for. Returns whether it is one that is known.
    pub(super) fn event(
        &mut self,
        name: &str,
        id: Option<u64>,
        arguments: &Arguments,
        out: &mut Vec<Bytes>,
    ) -> Result<bool, End> {
        if self.push_after(Some(name), out) {
            if let Some(id) = id {
                out.extend(packet::ack(Eio::V4, ROOT, id, &Arguments::default()).iter().cloned());
            }
            return Ok(true);
        }
        if !VERBS.contains(&name) {
            return Ok(false);
        }
        match read(name, arguments) {
            Ok((message, wish)) => self.receive(message, wish, id, out),
            Err(problem) => {
                let (subscription, reference) = ClientMessage::addressee(&arguments.json);
                if let Some(id) = id {
                    answer(id, &ServerMessage::error(subscription, reference, problem), out);
                    return Ok(true);
                }
                self.session.refuse(subscription, reference, problem).map_err(End::policy)?;
            }
        }
        Ok(true)
    }

    fn receive(&mut self, message: ClientMessage, wish: String, id: Option<u64>, out: &mut Vec<Bytes>) {
        match message {
            ClientMessage::Subscribe(subscribe) => self.subscribe(subscribe, wish, id, out),
            ClientMessage::Unsubscribe { id: subscription } => {
                let told = self.unsubscribe(subscription, out);
                tell(id, &told, out);
            }
            ClientMessage::Publish(mut publish) => {
                self.refer(&mut publish.reference, id);
                self.session.accept(ClientMessage::Publish(publish));
            }
            ClientMessage::Insert(mut insert) => {
                self.refer(&mut insert.reference, id);
                self.session.accept(ClientMessage::Insert(insert));
            }
            ClientMessage::Write(mut writes) => {
                self.refer(&mut writes.reference, id);
                self.session.accept(ClientMessage::Write(writes));
            }
            ClientMessage::Auth(mut auth) => {
                self.refer(&mut auth.reference, id);
                self.session.accept(ClientMessage::Auth(auth));
            }
            ClientMessage::Track(mut track) => {
                self.refer(&mut track.reference, id);
                self.session.accept(ClientMessage::Track(track));
            }
            ClientMessage::Untrack(mut untrack) => {
                self.refer(&mut untrack.reference, id);
                self.session.accept(ClientMessage::Untrack(untrack));
            }
            ClientMessage::Ping { mut reference } => {
                self.refer(&mut reference, id);
                self.session.accept(ClientMessage::Ping { reference });
            }
        }
    }

    /// Whether a client may say something: all, once it has said who it is.
    pub(super) fn may_say(&mut self, namespace: &str, name: &str, id: Option<u64>, out: &mut Vec<Bytes>) -> bool {
        let Err(problem) = self.session.is_known() else { return true };
        match namespace {
            ROOT if name == "auth" => return true,
            ROOT => tell(id, &ServerMessage::error(None, None, problem), out),
            // A program's own: there is no word for it.
            _ => {}
        }
        false
    }

    fn unsubscribe(&mut self, subscription: String, out: &mut Vec<Bytes>) -> ServerMessage {
        if !self.own.remove(&subscription) {
            let problem = Problem::new(Code::UnknownId, format!("there is no subscription `{subscription}`"));
            return ServerMessage::error(Some(subscription), None, problem);
        }
        if let Some(recovery) = &mut self.recovery {
            recovery.unfollow(&subscription);
        }
        // It may have failed a moment ago: then it is over as well.
        let _ = self.session.unsubscribe(&subscription);
        let told = ServerMessage::Unsubscribed { id: subscription.clone() };
        self.settle(&About::Subscription(subscription), &told, out);
        told
    }

    fn subscribe(&mut self, subscribe: Subscribe, wish: String, id: Option<u64>, out: &mut Vec<Bytes>) {
        let subscription = subscribe.id.clone();
        let subject = self.session.subject(&subscribe);
        let begun = match subscription.starts_with(PUSHED) {
            true => Err(Problem::new(Code::BadMessage, format!("ids that begin with `{PUSHED}` are the server's"))),
            false => self.session.subscribe(subscribe),
        };
        match (begun, id) {
            (Ok(()), id) => {
                self.own.insert(subscription.clone());
                if let Some(recovery) = &mut self.recovery {
                    // A client that says so much is not recovered.
                    let wish = Some(wish).filter(|wish| wish.len() <= WISH_BYTES);
                    recovery.follow(&subscription, subject, wish, None);
                }
                self.owed.extend(id.map(|id| Owed { what: About::Subscription(subscription), id }));
            }
            (Err(problem), id) => tell(id, &ServerMessage::error(Some(subscription), None, problem), out),
        }
    }

    /// Lets the hub write to the client's connection by itself, while all that it has goes out as it is and nothing follows from it.
    pub(super) fn carried_by(&mut self, lane: Option<&Arc<Lane>>) {
        let as_it_is = self.owed.is_empty()
            && self.frames.is_empty()
            && self.recovery.as_ref().is_none_or(Recovery::is_sure)
            && self.pushes.iter().all(Pushed::is_as_it_is);
        self.session.carried_by(lane.filter(|_| as_it_is));
    }

    /// Waits for what the database has for the client. Dropping the future loses nothing.
    pub(super) async fn next(&mut self, out: &mut Vec<Bytes>) -> Result<(), End> {
        if self.frames.is_empty() {
            let again = self.waiting.as_ref().map(|(at, _)| *at);
            tokio::select! {
                next = self.session.next(&mut self.frames) => next.map_err(End::wanted)?,
                () = sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => {
                    let (_, pushes) = self.waiting.take().unwrap_or_else(|| (Instant::now(), Vec::new()));
                    pushes.into_iter().for_each(|n| self.follow(n));
                }
            }
        }
        let told = out.len();
        if self.is_in
            && self.recovery.is_none()
            && self.owed.is_empty()
            && self.pushes.is_empty()
            && !self.own.is_empty()
        {
            out.append(&mut self.frames);
        } else {
            let mut frames = std::mem::take(&mut self.frames);
            frames.drain(..).for_each(|chunk| self.translate(&chunk, out));
            self.frames = frames;
        }
        self.make_sure(told, out);
        Ok(())
    }

    /// Says a word when the client's positions say everything again; see `recovery`.
    fn make_sure(&mut self, told: usize, out: &mut Vec<Bytes>) {
        let Some(recovery) = &mut self.recovery else { return };
        if out.len() > told {
            recovery.tell();
        }
        let followed = self.session.followed();
        if std::mem::replace(&mut self.followed, followed) != followed {
            recovery.doubt();
        }
        if recovery.doubts()
            && let Some(position) = self.session.settled()
        {
            let offset = recovery.reassure(position);
            out.extend(word(&position.to_string(), &offset));
        }
    }
}

/// The native message in an event: its argument, and the event's name for its type.
fn read(name: &str, arguments: &Arguments) -> Result<(ClientMessage, String), Problem> {
    let argument = match arguments.count {
        0 => "{}",
        1 if arguments.json.starts_with('{') => &arguments.json,
        _ => {
            let message = format!("`{name}` has one argument, an object");
            return Err(Problem::new(Code::BadMessage, message));
        }
    };
    let rest = argument.get(1..).unwrap_or("}").trim_start();
    let comma = if rest.starts_with('}') { "" } else { "," };
    let text = format!("{{\"type\":\"{name}\"{comma}{rest}");
    Ok((ClientMessage::parse(&text)?, text))
}
