//! One client, whatever transport carries it: its packets in, its namespaces, a program's and the database's packets out.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep_until};

use super::data::Arguments;
use super::handler::{Ack, Asking, Happened, Reason, Refused};
use super::identify::IdentityCell;
use super::io::Shared;
use super::native::{self, Native};
use super::outbox::{Item, Outbox};
use super::packet;
use super::socket::{Inner, Socket};
use super::space::Space;
use crate::auth::{Identity, Rejected};
use crate::hub::Closing;
use crate::protocol::ServerMessage;
use crate::protocol::engineio::Malformed;
use crate::protocol::socketio::{Assembler, Packet, ROOT, Whole};
use crate::session::quota::Excess;
use crate::session::{REVOKED, Session, UNAUTHENTICATED};
use crate::transport::engineio::{Handshake, Peer};
use crate::transport::socket::{End, Heard};

/// Why a connection ends that a program closes with a word.
const PUT_OUT: &str = "put_out";

/// Messages that are taken before what they led to is sent.
const TURN: usize = 64;

/// One client.
pub(super) struct Connection {
    pub(super) io: Arc<Shared>,
    pub(super) handshake: Arc<Handshake>,
    pub(super) outbox: Arc<Outbox>,
    assembler: Assembler,
    /// The namespaces that it is in.
    pub(super) sockets: Vec<Arc<Inner>>,
    /// Those that it has asked for, while middleware thinks about it.
    pub(super) asking: Vec<Arc<str>>,
    /// Handlers and middleware at work.
    pub(super) working: FuturesUnordered<BoxFuture<'static, Done>>,
    /// The database's side, where there is one.
    pub(super) native: Option<Box<Native>>,
    /// Whose client it is, for programs.
    pub(super) whose: IdentityCell,
    /// When it has to be in a namespace.
    pub(super) deadline: Option<Instant>,
    pub(super) out: Vec<Bytes>,
}

/// What came of some work.
pub(super) enum Done {
    /// An event was handled.
    Handled,
    /// Middleware has decided.
    Decided(Arc<Space>, Arc<Asking>, Result<(), Refused>),
    /// A token was looked at, which came with a wish for a namespace.
    Judged(Arc<Space>, Option<Box<RawValue>>, Result<Arc<Identity>, Rejected>),
}

impl Connection {
    pub(super) fn new(io: Arc<Shared>, handshake: Arc<Handshake>, session: Option<Session>) -> Self {
        let settings = &io.settings;
        let whose = session.as_ref().map_or_else(Identity::trusted, |session| session.identity().clone());
        Self {
            whose: Arc::new(Mutex::new(whose)),
            outbox: Arc::new(Outbox::new(settings.queue_bytes, settings.acks)),
            assembler: Assembler::new(handshake.eio(), io.limits),
            sockets: Vec::new(),
            asking: Vec::new(),
            working: FuturesUnordered::new(),
            native: session.map(|session| Box::new(Native::new(session, &io, &handshake))),
            deadline: Some(Instant::now() + settings.connect_timeout),
            out: Vec::new(),
            handshake,
            io,
        }
    }

    /// Until one side has enough.
    pub(super) fn run(self, peer: Peer) -> impl Future<Output = ()> + Send {
        // A block, because an async fn has room twice for what it is given.
        let (mut connection, mut peer) = (self, peer);
        async move {
            connection.begin();
            let end = loop {
                if let Err(end) = connection.turn(&mut peer).await {
                    break end;
                }
            };
            connection.put_out_of_all(&end);
            connection.end(&end);
            if let End::Close(code, closing) = end {
                // What a client is told before it is put out belongs to that.
                if is_last_word(closing.reason) && Box::pin(peer.send(&mut connection.out)).await.is_err() {
                    return;
                }
                Box::pin(peer.goodbye(code, closing.reason, None)).await;
            }
        }
    }

    async fn turn(&mut self, peer: &mut Peer) -> Result<(), End> {
        self.take_outbox()?;
        if !self.out.is_empty() || peer.has_rest() {
            self.outbox.writing.store(true, Ordering::Relaxed);
            let sent = peer.send(&mut self.out).await;
            self.outbox.writing.store(false, Ordering::Relaxed);
            sent?;
        }
        let reading = self.can_receive();
        if let Some(native) = &mut self.native {
            native.carried_by(peer.lane());
        }
        tokio::select! {
            heard = peer.hear(reading) => {
                self.hear(heard?)?;
                self.hear_more(peer).await
            }
            next = next(&mut self.native, &mut self.out) => {
                self.look_whose();
                next
            }
            () = self.outbox.ready() => Ok(()),
            Some(done) = self.working.next(), if !self.working.is_empty() => {
                self.done(done);
                Ok(())
            }
            () = deadline(self.deadline) => Err(closing("connect_timeout", "the client has asked for no namespace in time")),
        }
    }

    fn can_receive(&self) -> bool {
        self.working.len() < self.io.settings.handlers && self.native.as_ref().is_none_or(|native| native.can_receive())
    }

    /// Takes what has come already, so that the answers go out together.
    async fn hear_more(&mut self, peer: &mut Peer) -> Result<(), End> {
        for _ in 0..TURN {
            if !self.can_receive() {
                return Ok(());
            }
            let heard = {
                let mut hearing = pin!(peer.hear(true));
                poll_fn(|cx| Poll::Ready(hearing.as_mut().poll(cx))).await
            };
            match heard {
                Poll::Ready(heard) => self.hear(heard?)?,
                Poll::Pending => return Ok(()),
            }
        }
        Ok(())
    }

    fn hear(&mut self, heard: Heard) -> Result<(), End> {
        let whole = match heard {
            Heard::Text(text) => self.assembler.text(text),
            Heard::Binary(data) => self.assembler.binary(data),
        };
        match whole.map_err(malformed)? {
            Some(whole) => self.packet(whole),
            None => Ok(()),
        }
    }

    fn packet(&mut self, Whole { text, attachments }: Whole) -> Result<(), End> {
        let packet = Packet::decode(&text, self.handshake.eio(), &self.io.limits).map_err(malformed)?;
        match packet {
            Packet::Connect { namespace, query: _, auth } => self.ask(namespace, auth.map(ToOwned::to_owned)),
            Packet::Disconnect { namespace } => {
                let socket = self.socket(namespace)?.clone();
                self.leave(&socket, Reason::Client);
                Ok(())
            }
            Packet::Event { namespace, id, name, arguments } => {
                let socket = self.socket(namespace)?.clone();
                let bytes = text.len() + attachments.iter().map(Bytes::len).sum::<usize>();
                let arguments = Arguments::joined(arguments.iter().map(|argument| argument.get()), attachments);
                match self.afford(&socket, id, bytes)? {
                    true => self.event(&socket, &name, id, arguments),
                    false => Ok(()),
                }
            }
            Packet::Ack { namespace, id, arguments } => {
                self.socket(namespace)?;
                let arguments = Arguments::joined(arguments.iter().map(|argument| argument.get()), attachments);
                self.outbox.answer(namespace, id, arguments);
                Ok(())
            }
            Packet::ConnectError { .. } => Err(malformed(Malformed("only servers refuse a namespace"))),
        }
    }

    /// Counts an event. Where it is not taken the client is told so: in the answer, if it wants one.
    fn afford(&mut self, socket: &Inner, id: Option<u64>, bytes: usize) -> Result<bool, End> {
        let Some(native) = &mut self.native else { return Ok(true) };
        let problem = match native.afford(bytes) {
            Ok(()) => return Ok(true),
            Err(Excess::Later(problem)) => problem,
            Err(Excess::Enough(closing)) => return Err(End::policy(closing)),
        };
        let told = ServerMessage::error(None, None, problem);
        let arguments = Arguments { json: told.to_json(), count: 1, attachments: Vec::new() };
        let (eio, path) = (self.handshake.eio(), &socket.space.path);
        self.out.extend_from_slice(&match id {
            Some(id) => packet::ack(eio, path, id, &arguments),
            None => packet::event(eio, path, None, told.kind(), &arguments, None),
        });
        Ok(false)
    }

    /// The socket of a namespace. To speak where one is not is against the protocol.
    fn socket(&self, namespace: &str) -> Result<&Arc<Inner>, End> {
        let found = self.sockets.iter().find(|socket| *socket.space.path == *namespace);
        found.ok_or_else(|| malformed(Malformed("a packet for a namespace that the client is not in")))
    }

    fn event(&mut self, socket: &Arc<Inner>, name: &str, id: Option<u64>, arguments: Arguments) -> Result<(), End> {
        if let Some(native) = &mut self.native
            && !native.may_say(&socket.space.path, name, id, &mut self.out)
        {
            return Ok(());
        }
        let handlers = socket.space.handlers();
        let own = handlers.events.get(name).map_or(&[][..], Vec::as_slice);
        if let (Some(native), true, true) = (&mut self.native, own.is_empty(), *socket.space.path == *ROOT) {
            let known = native.event(name, id, &arguments, &mut self.out)?;
            if known {
                return Ok(());
            }
        }
        if own.is_empty() && handlers.any.is_none() {
            return Ok(());
        }
        let ack = Ack::new(&self.outbox, &socket.space.path, self.handshake.eio(), id);
        let happened = Happened { name: name.to_owned(), arguments, ack };
        let all = if own.is_empty() { handlers.any.as_slice() } else { own };
        for handler in all {
            let doing = handler(Socket(socket.clone()), &happened);
            self.work(doing);
        }
        Ok(())
    }

    /// Begins some work at once, up to where it first waits: in the order of the events.
    pub(super) fn work(&mut self, doing: Option<super::handler::Doing>) {
        use futures_util::FutureExt;
        let Some(doing) = doing else { return };
        let mut doing = Box::pin(guarded(doing));
        if (&mut doing).now_or_never().is_none() {
            self.working.push(Box::pin(async move {
                doing.await;
                Done::Handled
            }));
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Handled => {}
            Done::Decided(space, asking, decided) => self.decided(&space, &asking, decided),
            Done::Judged(space, auth, found) => self.judged(&space, auth, found),
        }
    }

    /// A client that is put out hears so in each namespace: one of npm's takes that for the last word, and does not come back by itself.
    fn put_out_of_all(&mut self, end: &End) {
        let End::Close(_, closing) = end else { return };
        if !is_last_word(closing.reason) {
            return;
        }
        if closing.reason != PUT_OUT && self.sockets.iter().any(|socket| *socket.space.path == *ROOT) {
            self.out.extend(native::close(closing));
        }
        let all: Vec<_> = self.sockets.iter().map(|socket| socket.space.path.clone()).collect();
        all.iter().for_each(|namespace| self.put_out(namespace));
    }

    fn take_outbox(&mut self) -> Result<(), End> {
        let items = self.outbox.take().map_err(|_| closing("too_slow", "the client reads too slowly"))?;
        for item in items {
            match item {
                Item::Frames(frames) => self.out.extend(frames.iter().cloned()),
                Item::Leave(namespace) => self.put_out(&namespace),
                Item::Close => {
                    return Err(closing(PUT_OUT, "the server has put the client out"));
                }
                Item::Cut => return Err(closing("closed", "the server has closed the connection")),
            }
        }
        Ok(())
    }
}

/// Whether what is told before such an end belongs to it.
fn is_last_word(reason: &str) -> bool {
    matches!(reason, PUT_OUT | REVOKED | UNAUTHENTICATED)
}

/// A handler that panics harms nobody else.
async fn guarded(doing: super::handler::Doing) {
    use futures_util::FutureExt;
    if std::panic::AssertUnwindSafe(doing).catch_unwind().await.is_err() {
        tracing::error!("a handler of a Socket.IO event has panicked");
    }
}

async fn next(native: &mut Option<Box<Native>>, out: &mut Vec<Bytes>) -> Result<(), End> {
    match native {
        Some(native) => native.next(out).await,
        None => std::future::pending().await,
    }
}

async fn deadline(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn malformed(Malformed(what): Malformed) -> End {
    End::policy(Closing { reason: "parse_error", message: what.to_owned(), retry_ms: 1000 })
}

fn closing(reason: &'static str, message: &str) -> End {
    End::policy(Closing { reason, message: message.to_owned(), retry_ms: 0 })
}
