//! What the database pushes to a client by itself, and when that begins.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::Native;
use crate::protocol::Code;
use crate::protocol::engineio::Eio;
use crate::protocol::socketio::ROOT;
use crate::transport::socketio::data::Arguments;
use crate::transport::socketio::packet;
use crate::transport::socketio::push::Pushed;
use crate::transport::socketio::recovery::Recovery;
use crate::transport::socketio::settings::What;

/// When a push that could not begin is tried again.
const AGAIN: Duration = Duration::from_secs(1);

impl Native {
    /// Begins what waits for this event, once however often it is said. Returns whether anything does.
    pub(super) fn push_after(&mut self, event: Option<&str>, out: &mut Vec<Bytes>) -> bool {
        let pushes = self.pushes.clone();
        let mut known = false;
        for (n, pushed) in pushes.iter().enumerate() {
            if pushed.push.after.as_deref() != event {
                continue;
            }
            known = true;
            if std::mem::replace(&mut self.begun[n], true) {
                continue;
            }
            match &pushed.push.what {
                What::Data(data) => {
                    if let Ok(arguments) = Arguments::one(data) {
                        out.extend(
                            packet::event(Eio::V4, ROOT, None, &pushed.push.event, &arguments, None).iter().cloned(),
                        );
                    }
                }
                What::Channel(..) => self.follow(n),
            }
        }
        known
    }

    pub(super) fn follow(&mut self, n: usize) {
        let pushed = &self.pushes[n];
        let alone = self.recovery.as_ref().is_some_and(Recovery::is_first);
        let Some(subscribe) = pushed.subscribe(alone) else { return };
        // Whatever is committed after the client has heard that it is connected comes after this.
        let now = self.session.position();
        let subject = self.session.subject(&subscribe);
        if let Some(recovery) = &mut self.recovery {
            recovery.follow(&pushed.id, subject, None, Some(now));
        }
        match self.session.resume(subscribe, now) {
            Ok(()) => {}
            Err(problem) if problem.code == Code::Unauthenticated => {
                if let Some(recovery) = &mut self.recovery {
                    recovery.unfollow(&self.pushes[n].id);
                }
                self.try_again(n);
            }
            Err(problem) => self.fail(n, &problem.to_string()),
        }
    }

    pub(super) fn fail(&mut self, n: usize, why: &str) {
        let Pushed { push, id, .. } = &self.pushes[n];
        if let Some(recovery) = &mut self.recovery {
            recovery.unfollow(id);
        }
        tracing::warn!(event = push.event, "a Socket.IO client does not get what is configured for it, yet: {why}");
        self.try_again(n);
    }

    pub(super) fn try_again(&mut self, n: usize) {
        self.waiting.get_or_insert_with(|| (Instant::now() + AGAIN, Vec::new())).1.push(n);
    }
}
