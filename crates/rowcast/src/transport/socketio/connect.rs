//! How a client gets into a namespace, and out of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::Extensions;
use futures_util::StreamExt;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::connection::{Connection, Done};
use super::handler::{Asking, Connecting, Reason, Refused};
use super::io::id;
use super::recovery::Recovery;
use super::socket::{Inner, Socket};
use super::space::Space;
use crate::auth::Person;
use crate::hub::Closing;
use crate::protocol::engineio::Eio;
use crate::protocol::frame;
use crate::protocol::socketio::{self, ROOT};
use crate::transport::socket::End;

/// What a client that comes back says in its wish.
#[derive(Deserialize)]
pub(super) struct Return {
    pub(super) pid: String,
    pub(super) offset: Option<String>,
}

impl Connection {
    /// Clients of version 3 are in the root namespace from the start.
    pub(super) fn begin(&mut self) {
        if self.handshake.eio() == Eio::V3
            && let Some(space) = self.io.space(ROOT)
        {
            match self.is_known() {
                Ok(()) => self.admit(space, None),
                Err(problem) => self.refuse_unknown(ROOT, &problem),
            }
        }
    }

    pub(super) fn ask(&mut self, namespace: &str, auth: Option<Box<RawValue>>) -> Result<(), End> {
        let twice = self.sockets.iter().map(|socket| &socket.space.path).chain(&self.asking).any(|p| **p == *namespace);
        if twice {
            let message = "the client asks for a namespace that it is in".to_owned();
            return Err(End::policy(Closing { reason: "parse_error", message, retry_ms: 1000 }));
        }
        let Some(space) = self.io.space(namespace) else {
            self.refuse(namespace, &Refused::new("Invalid namespace"));
            return Ok(());
        };
        if self.sockets.len() + self.asking.len() >= self.io.settings.namespaces {
            self.refuse(namespace, &Refused::new("Too many namespaces"));
            return Ok(());
        }
        self.identify(space, auth);
        Ok(())
    }

    /// A client that is known, and may come back or in.
    pub(super) fn enter(&mut self, space: Arc<Space>, auth: Option<Box<RawValue>>) {
        if !self.come_back(&space, auth.as_deref()) {
            self.admit(space, auth);
        }
    }

    /// Takes a socket up again, if the client says which one it had and nothing of it is lost.
    fn come_back(&mut self, space: &Arc<Space>, auth: Option<&RawValue>) -> bool {
        let person = self.whose.lock().person();
        let Some(person) = person.filter(|_| self.io.recovers(&self.handshake)) else { return false };
        let Some(Return { pid, offset }) = auth.and_then(|auth| serde_json::from_str(auth.get()).ok()) else {
            return false;
        };
        let records = self.io.records.get().filter(|_| self.native.is_some() && *space.path == *ROOT).cloned();
        let Some(records) = records else { return self.take_up(space, &pid, &person, offset.as_deref(), false) };
        let Some((record, owner)) = records.claim(&pid, &person) else {
            return self.take_up(space, &pid, &person, offset.as_deref(), false);
        };
        let plan = record.plan(offset.as_deref());
        let possible = plan.filter(|plan| self.native.as_ref().is_some_and(|native| native.can_resume(plan)));
        let Some(plan) = possible else {
            records.leave(&owner, false);
            return false;
        };
        let alone = !plan.starts.is_empty();
        let taken = match space.has_seat(&pid) {
            true => self.take_up(space, &pid, &person, offset.as_deref(), alone),
            // After a restart. What a program knew of it is gone.
            false => space.handlers().is_empty() && self.make_again(space, &pid, &record.sid),
        };
        if !taken {
            records.leave(&owner, false);
            return false;
        }
        if let Some(native) = &mut self.native {
            let recovery =
                Recovery::again(records, pid.as_str().into(), &record, owner, |follow| native.subject(follow));
            native.resume(recovery, plan, &mut self.out);
        }
        true
    }

    /// A socket as it was before a restart.
    fn make_again(&mut self, space: &Arc<Space>, pid: &str, sid: &str) -> bool {
        let socket = Arc::new(Inner {
            sid: sid.into(),
            pid: Some(pid.into()),
            space: space.clone(),
            outbox: self.outbox.clone(),
            handshake: self.handshake.clone(),
            whose: self.whose.clone(),
            auth: None,
            user: Mutex::default(),
            extensions: Mutex::new(Extensions::new()),
            connected: AtomicBool::new(true),
            recovered: true,
        });
        self.welcome(&socket);
        space.add(socket.clone());
        self.connected(socket);
        true
    }

    fn take_up(&mut self, space: &Arc<Space>, pid: &str, person: &Person, offset: Option<&str>, alone: bool) -> bool {
        let (outbox, handshake, whose) = (&self.outbox, &self.handshake, &self.whose);
        let taken = space.take_up(pid, person, offset, alone, |gone| {
            let old = &gone.socket;
            Arc::new(Inner {
                sid: old.sid.clone(),
                pid: old.pid.clone(),
                space: space.clone(),
                outbox: outbox.clone(),
                handshake: handshake.clone(),
                whose: whose.clone(),
                auth: old.auth.clone(),
                user: Mutex::new(old.user.lock().clone()),
                extensions: Mutex::new(old.extensions.lock().clone()),
                connected: AtomicBool::new(true),
                recovered: true,
            })
        });
        let Some((socket, missed)) = taken else { return false };
        self.welcome(&socket);
        self.out.extend(missed.iter().flat_map(|frames| frames.iter().cloned()));
        self.connected(socket);
        true
    }

    /// Asks middleware, where there is any.
    fn admit(&mut self, space: Arc<Space>, auth: Option<Box<RawValue>>) {
        let asking = Arc::new(Asking {
            namespace: space.path.clone(),
            handshake: self.handshake.clone(),
            identity: self.whose.lock().clone(),
            auth,
            user: Mutex::default(),
            extensions: Mutex::new(Extensions::new()),
        });
        let middleware = space.handlers().middleware.clone();
        if middleware.is_empty() {
            return self.let_in(&space, &asking);
        }
        self.asking.push(space.path.clone());
        self.working.push(Box::pin(async move {
            let mut decided = Ok(());
            for ask in middleware {
                decided = ask(Connecting(asking.clone())).await;
                if decided.is_err() {
                    break;
                }
            }
            Done::Decided(space, asking, decided)
        }));
    }

    pub(super) fn decided(&mut self, space: &Arc<Space>, asking: &Arc<Asking>, decided: Result<(), Refused>) {
        self.asking.retain(|path| *path != space.path);
        match decided {
            Ok(()) => self.let_in(space, asking),
            Err(refused) => self.refuse(&space.path, &refused),
        }
    }

    /// A new id that says nothing of the session. Clients of 1.x and 2.x are not told: theirs is what they reckon by themselves.
    fn id_in(&self, namespace: &str) -> String {
        match self.handshake.eio() {
            Eio::V4 => id::<15>(),
            Eio::V3 if namespace == ROOT => self.handshake.sid().to_owned(),
            Eio::V3 => format!("{namespace}#{}", self.handshake.sid()),
        }
    }

    fn let_in(&mut self, space: &Arc<Space>, asking: &Arc<Asking>) {
        let person = self.whose.lock().person().filter(|_| self.io.recovers(&self.handshake));
        let socket = Arc::new(Inner {
            sid: self.id_in(&space.path).into(),
            pid: person.is_some().then(|| id::<15>().into()),
            space: space.clone(),
            outbox: self.outbox.clone(),
            handshake: self.handshake.clone(),
            whose: self.whose.clone(),
            auth: asking.auth.clone(),
            user: Mutex::new(asking.user.lock().clone()),
            extensions: Mutex::new(asking.extensions.lock().clone()),
            connected: AtomicBool::new(true),
            recovered: false,
        });
        self.welcome(&socket);
        space.add(socket.clone());
        if let (Some(native), true) = (&mut self.native, *space.path == *ROOT) {
            let records = self.io.records.get().cloned();
            let pair = records.zip(socket.pid.clone().zip(person));
            let recovery = pair.map(|(records, (pid, person))| Recovery::new(records, pid, socket.sid.clone(), person));
            native.begin(recovery, &mut self.out);
        }
        self.connected(socket);
    }

    /// Says that the namespace stands.
    fn welcome(&mut self, socket: &Inner) {
        let json = match (self.handshake.eio(), &socket.pid) {
            (Eio::V3, _) => String::new(),
            (Eio::V4, None) => format!(r#"{{"sid":"{}"}}"#, socket.sid),
            (Eio::V4, Some(pid)) => format!(r#"{{"sid":"{}","pid":"{pid}"}}"#, socket.sid),
        };
        let mut text = String::from("4");
        socketio::connect(&mut text, &socket.space.path, &json);
        self.out.push(frame::text(text.as_bytes()));
    }

    fn connected(&mut self, socket: Arc<Inner>) {
        self.deadline = None;
        self.sockets.push(socket.clone());
        for handler in &socket.space.handlers().connect {
            self.work(Some(handler(Socket(socket.clone()))));
        }
    }

    pub(super) fn refuse(&mut self, namespace: &str, refused: &Refused) {
        let data = refused.data.as_ref().and_then(|data| serde_json::value::to_raw_value(data).ok());
        let mut text = String::from("4");
        socketio::refuse(&mut text, self.handshake.eio(), namespace, &refused.message, data.as_deref());
        self.out.push(frame::text(text.as_bytes()));
    }

    /// The program wants the client out of a namespace.
    pub(super) fn put_out(&mut self, namespace: &str) {
        let Some(socket) = self.sockets.iter().find(|socket| *socket.space.path == *namespace).cloned() else { return };
        let mut text = String::from("4");
        socketio::disconnect(&mut text, namespace);
        self.out.push(frame::text(text.as_bytes()));
        self.leave(&socket, Reason::Server);
    }

    pub(super) fn leave(&mut self, socket: &Arc<Inner>, reason: Reason) {
        self.sockets.retain(|other| !Arc::ptr_eq(other, socket));
        socket.space.remove(socket, reason);
        self.outbox.leave(&socket.space.path);
        if let (Some(native), true) = (&mut self.native, *socket.space.path == *ROOT) {
            native.leave(reason.is_mishap());
        }
        for handler in &socket.space.handlers().disconnect {
            self.work(Some(handler(Socket(socket.clone()), reason)));
        }
    }

    /// The connection is over. Handlers go on by themselves.
    pub(super) fn end(&mut self, end: &End) {
        let reason = match end {
            End::Gone => Reason::Transport,
            End::Close(_, closing) => match closing.reason {
                "shutdown" => Reason::Shutdown,
                "client_closed" => Reason::Transport,
                "ping_timeout" | "no_answer" => Reason::PingTimeout,
                _ => Reason::Forced,
            },
        };
        for socket in std::mem::take(&mut self.sockets) {
            socket.connected.store(false, Ordering::Release);
            socket.space.remove(&socket, reason);
            for handler in &socket.space.handlers().disconnect {
                self.work(Some(handler(Socket(socket.clone()), reason)));
            }
        }
        // With the session, so that it counts no longer while the client is told.
        if let Some(mut native) = self.native.take() {
            native.leave(reason.is_mishap());
        }
        self.outbox.close();
        let mut working = std::mem::take(&mut self.working);
        if !working.is_empty() {
            tokio::spawn(async move { while working.next().await.is_some() {} });
        }
    }
}
