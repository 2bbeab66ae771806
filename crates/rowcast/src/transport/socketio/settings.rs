//! How Socket.IO is served.

use std::time::Duration;

use serde_json::Value as Json;

use crate::event::Channel;
use crate::protocol::socketio::RESERVED;

/// How Socket.IO is served, above Engine.IO.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What is below it: path, pings, transports, the largest payload.
    pub engine: crate::transport::engineio::Settings,
    /// How long a client may take until it is in a namespace.
    pub connect_timeout: Duration,
    /// For how long a connection that broke can be taken up again. `None`: not at all.
    pub recovery: Option<Duration>,
    /// Bytes of a program's packets that are kept for connections that broke, for each namespace.
    pub recovery_bytes: usize,
    /// Connections that broke and can be taken up again, at most.
    pub recovery_connections: usize,
    /// Namespaces that one client may be in.
    pub namespaces: usize,
    /// Binary messages that one packet may bring.
    pub attachments: usize,
    /// Answers that a client may owe; a further event that wants one is refused.
    pub acks: usize,
    /// Handlers of one client's events that may be at work at once; further events wait.
    pub handlers: usize,
    /// Bytes of a program's packets that may wait for one client, before it is closed.
    pub queue_bytes: usize,
    /// What clients get without asking.
    pub pushes: Vec<Push>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            engine: crate::transport::engineio::Settings::default(),
            connect_timeout: Duration::from_secs(45),
            recovery: Some(Duration::from_secs(120)),
            recovery_bytes: 8 << 20,
            recovery_connections: 100_000,
            namespaces: 32,
            attachments: 64,
            acks: 256,
            handlers: 64,
            queue_bytes: 1 << 20,
            pushes: Vec::new(),
        }
    }
}

/// What every client of the root namespace gets without asking for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Push {
    /// The event's name. For an `event:` channel, the channel's own name.
    pub event: String,
    /// What is pushed.
    pub what: What,
    /// It begins when the client has said this event; `None`: when it is connected.
    pub after: Option<String>,
    /// To clients that came in by a listener of one of these names; empty: to all.
    pub listeners: Vec<String>,
}

/// What is pushed.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// What a channel says from then on.
    Channel(Channel, Shape),
    /// This, once.
    Data(Json),
}

/// How a message is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// An event's fields, a room's data, or the payload of a NOTIFY as text.
    Plain,
    /// The same; the payload of a NOTIFY as the JSON that it is, or as text where it is none.
    Json,
    /// A NOTIFY as node-postgres shows it, in `{ "message": … }`.
    Notification,
}

impl Settings {
    /// Refuses what cannot be served, in a sentence that says what to do.
    pub fn check(&self) -> Result<(), String> {
        self.pushes.iter().try_for_each(Push::check)?;
        for (n, push) in self.pushes.iter().enumerate() {
            let twice = |other: &&Push| (&other.event, &other.what) == (&push.event, &push.what);
            if matches!(push.what, What::Channel(..)) && self.pushes[..n].iter().any(|other| twice(&other)) {
                return Err(format!("the event `{}` is pushed twice from the same channel", push.event));
            }
        }
        Ok(())
    }

    /// The NOTIFY channels that it needs from the start.
    pub fn channels(&self) -> impl Iterator<Item = String> {
        self.pushes.iter().filter_map(|push| match &push.what {
            What::Channel(Channel::Notify(name), _) => Some(name.to_string()),
            _ => None,
        })
    }
}

impl Push {
    /// Refuses what cannot be pushed.
    pub fn check(&self) -> Result<(), String> {
        if self.event.is_empty() || self.event.len() > 128 {
            return Err("an event's name has 1 to 128 bytes".into());
        }
        if RESERVED.contains(&self.event.as_str()) {
            return Err(format!("Socket.IO keeps the event name `{}` for itself", self.event));
        }
        match &self.what {
            What::Channel(Channel::Table(_), _) => {
                Err("rows of a table are pushed under an event's name: write an [[event]], and push `event:NAME`"
                    .into())
            }
            What::Channel(Channel::Event(name), _) if **name != *self.event => {
                Err(format!("the channel `event:{name}` is pushed under its own name; leave `event` out"))
            }
            What::Channel(Channel::Event(_) | Channel::Room(_), Shape::Notification) => {
                Err("only what a `notify:` channel says can be shown as a notification".into())
            }
            What::Channel(..) | What::Data(_) => Ok(()),
        }
    }
}
