//! One client of a drop-in: from the handshake to the end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep_until};

use super::{Rendering, Shown};
use crate::auth::Identity;
use crate::hub::Closing;
use crate::protocol::encode::Wire;
use crate::protocol::{Code, Problem, Subscribe};
use crate::session::quota::Excess;
use crate::session::{Session, UNAUTHENTICATED};
use crate::transport::Doors;
use crate::transport::dropin::shown::Told;
use crate::transport::reply::Refusal;
use crate::transport::socket::{End, Heard, NoUpgrade, Socket, Upgrade};

/// A timer that never ends is set to so much.
const FOREVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// What one client sees and may do.
pub(crate) struct Way {
    pub(crate) rendering: Arc<Rendering>,
    /// Whose messages it sees; `None` where there are no audiences.
    pub(crate) audiences: Option<BTreeSet<Box<str>>>,
    /// What it is told when something was missed, where it has a word for that.
    pub(crate) gap: Option<Bytes>,
    /// What is done with its text frames; nothing by default.
    pub(crate) hear: Option<Hear>,
    /// When it is closed, and with what.
    pub(crate) expires: Option<(Instant, u16, Closing)>,
}

pub(crate) type Hear = Box<dyn Fn(String) -> BoxFuture<'static, Result<(), Problem>> + Send + Sync>;

/// A client that has asked to come in.
pub(crate) struct Connect {
    pub(crate) doors: Doors,
    /// The drop-in's name.
    pub(crate) name: &'static str,
    pub(crate) remote: String,
    /// Whose it is.
    pub(crate) identity: Arc<Identity>,
    pub(crate) upgrade: Result<Upgrade, NoUpgrade>,
    /// The NOTIFY channels, and the position after which each is to be read.
    pub(crate) channels: Vec<(String, Option<String>)>,
    pub(crate) way: Way,
}

impl Connect {
    /// Answers the handshake when every channel is heard: what is notified after it, the client sees.
    pub(crate) async fn answer(self) -> Result<Response, Refusal> {
        let Self { doors, name, remote, identity, upgrade, channels, way } = self;
        let upgrade = upgrade.map_err(|rejection| {
            let message = format!("{name} speaks WebSocket: {}", rejection.reason());
            Problem::new(Code::BadMessage, message).hint("connect with a WebSocket client")
        })?;
        let session = Session::open(doors.node.clone(), Wire::Text, name, remote, identity)?;
        let mut relay = Relay { session, way, native: Vec::new(), out: Vec::new(), waiting: channels.len() };
        for (channel, since) in channels {
            let mut subscribe = Subscribe::new(&channel, &format!("notify:{channel}"));
            subscribe.since = since;
            relay.session.subscribe(subscribe)?;
        }
        relay.be_subscribed().await?;
        Ok(upgrade.run(&doors.node.limits, move |socket| relay.run(socket)))
    }
}

struct Relay {
    session: Session,
    way: Way,
    /// The session's frames: they outlive a turn in which something else came first.
    native: Vec<Bytes>,
    /// What of them the client sees.
    out: Vec<Bytes>,
    /// Subscriptions that are not in force yet.
    waiting: usize,
}

impl Relay {
    async fn be_subscribed(&mut self) -> Result<(), Problem> {
        while self.waiting > 0 {
            if let Err(closing) = self.session.next(&mut self.native).await {
                return Err(Problem::new(Code::Unavailable, closing.message));
            }
            if let Err(problem) = self.translate() {
                return Err(self.session.failure().cloned().unwrap_or(problem));
            }
        }
        Ok(())
    }

    fn run(self, socket: Socket) -> impl Future<Output = ()> + Send {
        // A block, because an async fn has room twice for what it is given.
        let (mut relay, mut socket) = (self, socket);
        async move {
            let end = loop {
                if let Err(end) = relay.turn(&mut socket).await {
                    break end;
                }
            };
            if let End::Close(code, closing) = end {
                drop(relay.session);
                // In a box, so that it takes no room before it is said.
                Box::pin(socket.goodbye(code, closing.reason, None)).await;
            }
        }
    }

    async fn turn(&mut self, socket: &mut Socket) -> Result<(), End> {
        if !self.out.is_empty() {
            return socket.send(&mut self.out).await;
        }
        let expires = self.way.expires.as_ref().map_or_else(|| Instant::now() + FOREVER, |(at, ..)| *at);
        tokio::select! {
            heard = socket.hear(true) => self.hear(heard?).await,
            next = self.session.next(&mut self.native) => {
                next.map_err(End::wanted)?;
                self.translate().map_err(ended)
            }
            () = sleep_until(expires) => match self.way.expires.take() {
                Some((_, code, closing)) => Err(End::Close(code, closing)),
                None => Ok(()),
            }
        }
    }

    /// Makes the session's frames the client's; an error when a subscription has ended.
    fn translate(&mut self) -> Result<(), Problem> {
        for frame in self.native.drain(..) {
            match self.way.rendering.read(&frame) {
                Told::Shown(Shown { audience, frame }) => {
                    if self.way.sees(audience.as_deref()) {
                        self.out.push(frame);
                    }
                }
                Told::Subscribed => self.waiting = self.waiting.saturating_sub(1),
                Told::Gap => self.out.extend(self.way.gap.clone()),
                Told::Failed(problem) => return Err(problem),
                Told::Nothing => {}
            }
        }
        Ok(())
    }

    async fn hear(&mut self, heard: Heard) -> Result<(), End> {
        let (Heard::Text(text), Some(hear)) = (heard, &self.way.hear) else { return Ok(()) };
        // There is no word for what is not taken, and a client that is not told of it loses messages.
        self.session.afford(text.len()).map_err(|refused| match refused {
            Excess::Later(Problem { message, retry_ms, .. }) => {
                End::policy(Closing { reason: "rate_limited", message, retry_ms: retry_ms.unwrap_or(1_000) })
            }
            Excess::Enough(closing) => End::policy(closing),
        })?;
        hear(text)
            .await
            .map_err(|problem| End::policy(Closing { reason: "not_sent", message: problem.message, retry_ms: 1000 }))
    }
}

/// How a connection ends whose subscription has.
fn ended(Problem { code, message, .. }: Problem) -> End {
    match code {
        Code::Unauthenticated => End::wanted(Closing { reason: UNAUTHENTICATED, message, retry_ms: 1000 }),
        _ => End::Close(1011, Closing { reason: "failed", message, retry_ms: 1000 }),
    }
}

impl Way {
    fn sees(&self, audience: Option<&str>) -> bool {
        match (&self.audiences, audience) {
            (None, _) | (_, None) => true,
            (Some(own), Some(audience)) => own.contains(audience),
        }
    }
}
