//! Which NOTIFY channels are to be heard, and which are.
//!
//! Shared by the sessions, which want channels, and by the source, which listens.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::glob::matches;
use super::voice::{NotSaid, Voice};
use crate::postgres::NotifySettings;

/// How long somebody waits for a channel to be heard.
const WAIT: Duration = Duration::from_secs(5);
/// PostgreSQL's own limit on a channel's name, in bytes.
const NAME_BYTES: usize = 63;
/// Channels heard at once: each costs the server a little on every NOTIFY.
const CHANNELS_MAX: usize = 4096;

/// Asks for NOTIFY channels to be heard.
#[derive(Debug)]
pub struct Ears {
    channels: BTreeSet<Box<str>>,
    allow: Vec<String>,
    wait: Duration,
    voice: Voice,
    hearing: watch::Sender<Hearing>,
}

/// Why a channel is not heard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotHeard {
    /// It is neither configured nor among those that clients may ask for.
    #[error("this NOTIFY channel is not among those that may be heard")]
    NotAllowed,
    /// PostgreSQL has no such channel names.
    #[error("{0}")]
    Name(String),
    /// Not now; the reason for people.
    #[error("{0}")]
    Unavailable(String),
}

/// What is to be heard, and what is.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    pub(super) wanted: BTreeSet<Arc<str>>,
    /// LISTEN is in force, and the log says that it began.
    heard: BTreeSet<Arc<str>>,
    /// Counts connections, so that what an earlier one brought is not taken for this one's.
    connection: u64,
    /// Whether the first connection has been tried.
    pub(super) tried: bool,
    problem: Option<String>,
}

impl Ears {
    pub(super) fn new(settings: &NotifySettings, voice: Voice) -> Self {
        let wanted = settings.channels.iter().map(|name| name.as_str().into()).collect();
        Self {
            channels: settings.channels.iter().map(|name| name.as_str().into()).collect(),
            allow: settings.allow.clone(),
            wait: WAIT,
            voice,
            hearing: watch::Sender::new(Hearing { wanted, ..Hearing::default() }),
        }
    }

    /// Returns when the channel is heard: everything that is committed from now on will be in the log.
    ///
    /// The log then holds the [`Reset`](crate::event::Body::Reset) with which hearing began, so that whoever subscribes at
    /// the log's head after this has no gap. Dropping the future leaves the channel wanted.
    pub async fn want(&self, channel: &str) -> Result<(), NotHeard> {
        self.check(channel)?;
        let mut hearing = self.hearing.subscribe();
        if hearing.borrow().heard.contains(channel) {
            return Ok(());
        }
        self.add(channel)?;
        let heard = hearing.wait_for(|hearing| hearing.heard.contains(channel));
        match tokio::time::timeout(self.wait, heard).await {
            Ok(_) => Ok(()),
            Err(_) => Err(NotHeard::Unavailable(self.excuse(channel))),
        }
    }

    /// The channels that are heard now, by name.
    pub(super) fn heard(&self) -> Vec<String> {
        let mut names: Vec<String> = self.hearing.borrow().heard.iter().map(ToString::to_string).collect();
        names.sort();
        names
    }

    /// Sends a notification. Whether the channel is heard does not matter.
    pub async fn say(&self, channel: &str, payload: &str) -> Result<(), NotSaid> {
        self.voice.say(channel, payload).await
    }

    /// Whether the channel may be heard.
    pub fn check(&self, channel: &str) -> Result<(), NotHeard> {
        if channel.is_empty() || channel.len() > NAME_BYTES || channel.contains('\0') {
            let message =
                format!("the name of a NOTIFY channel has 1 to {NAME_BYTES} bytes; this one has {}", channel.len());
            return Err(NotHeard::Name(message));
        }
        let allowed = self.channels.contains(channel) || self.allow.iter().any(|pattern| matches(pattern, channel));
        if allowed { Ok(()) } else { Err(NotHeard::NotAllowed) }
    }

    fn add(&self, channel: &str) -> Result<(), NotHeard> {
        let mut full = false;
        self.hearing.send_if_modified(|hearing| {
            full = hearing.wanted.len() >= CHANNELS_MAX && !hearing.wanted.contains(channel);
            !full && hearing.wanted.insert(channel.into())
        });
        match full {
            true => Err(NotHeard::Unavailable(format!(
                "{CHANNELS_MAX} NOTIFY channels are heard already, which is the most"
            ))),
            false => Ok(()),
        }
    }

    fn excuse(&self, channel: &str) -> String {
        let problem = self.hearing.borrow().problem.clone();
        problem.unwrap_or_else(|| format!("LISTEN on `{channel}` is not in force after {} s", self.wait.as_secs()))
    }

    /// A source starts: whether a connection works is not known yet.
    pub(super) fn begin(&self) -> watch::Receiver<Hearing> {
        self.hearing.send_modify(|hearing| hearing.tried = false);
        self.hearing.subscribe()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Hearing> {
        self.hearing.subscribe()
    }

    /// A connection begins. Returns its number.
    pub(super) fn connecting(&self) -> u64 {
        let mut number = 0;
        self.hearing.send_modify(|hearing| {
            hearing.connection += 1;
            hearing.heard.clear();
            number = hearing.connection;
        });
        number
    }

    /// How it is: heard or, with a problem, not.
    pub(super) fn stands(&self, problem: Option<String>) {
        self.hearing.send_modify(|hearing| {
            hearing.tried = true;
            hearing.problem = problem;
        });
    }

    /// The log has it that these are heard on that connection.
    pub(super) fn appended(&self, connection: u64, channels: &[Arc<str>]) {
        self.hearing.send_if_modified(|hearing| {
            let current = hearing.connection == connection && !channels.is_empty();
            if current {
                hearing.heard.extend(channels.iter().cloned());
            }
            current
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ears(channels: &[&str], allow: &[&str]) -> Ears {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let probe_every = Duration::from_secs(5);
        let voice = Voice::new("postgres://nobody@localhost/none".parse().expect("an address"));
        Ears::new(&NotifySettings { channels: own(channels), allow: own(allow), probe_every }, voice)
    }

    #[test]
    fn only_configured_and_allowed_channels_are_heard() {
        let ears = ears(&["pgws"], &["room_*"]);
        assert_eq!(ears.check("pgws"), Ok(()));
        assert_eq!(ears.check("room_7"), Ok(()));
        assert_eq!(ears.check("PGWS"), Err(NotHeard::NotAllowed));
        assert_eq!(ears.check("other"), Err(NotHeard::NotAllowed));
    }

    #[test]
    fn a_name_that_postgresql_would_cut_is_refused() {
        let ears = ears(&[], &["*"]);
        assert_eq!(ears.check(&"é".repeat(31)), Ok(()));
        assert!(matches!(ears.check(&"é".repeat(32)), Err(NotHeard::Name(message)) if message.contains("63 bytes")));
        assert!(matches!(ears.check(""), Err(NotHeard::Name(_))));
    }

    #[tokio::test]
    async fn a_channel_is_heard_once_the_log_says_so() {
        let ears = Arc::new(ears(&["a"], &[]));
        let first = ears.connecting();
        let second = ears.connecting();
        ears.appended(first, &["a".into()]);
        assert!(!ears.subscribe().borrow().heard.contains("a"), "that connection is gone");
        let wanting = tokio::spawn({
            let ears = ears.clone();
            async move { ears.want("a").await }
        });
        ears.appended(second, &["a".into()]);
        assert_eq!(wanting.await.expect("no panic"), Ok(()));
    }

    #[tokio::test]
    async fn who_waits_in_vain_hears_why() {
        let mut ears = ears(&["a"], &[]);
        ears.wait = Duration::from_millis(1);
        ears.stands(Some("the server is away".into()));
        assert_eq!(ears.want("a").await, Err(NotHeard::Unavailable("the server is away".into())));
    }
}
