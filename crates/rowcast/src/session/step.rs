//! What the tasks at work for a client have for it: a subscription's next piece, the answer to a request.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::follow::{Sent, Step};
use super::phase::Phase;
use super::{Session, TAKE_BYTES};
use crate::protocol::ServerMessage;

/// From the tasks at work for a session.
pub(super) struct Steps {
    pub(super) sender: mpsc::Sender<Box<Sent>>,
    pub(super) receiver: mpsc::Receiver<Box<Sent>>,
    /// One that was taken out and waits for its turn.
    pub(super) first: Option<Box<Sent>>,
}

impl Session {
    /// Where tasks for this session send their steps.
    pub(super) fn sender(&mut self) -> mpsc::Sender<Box<Sent>> {
        let steps = self.steps.get_or_insert_with(|| {
            let (sender, receiver) = mpsc::channel(1);
            Steps { sender, receiver, first: None }
        });
        steps.sender.clone()
    }

    pub(super) fn request(&mut self, answer: impl Future<Output = ServerMessage> + Send + 'static) {
        let steps = self.sender();
        self.requests += 1;
        tokio::spawn(async move {
            let answer = answer.await;
            // The client may have gone; its request was done all the same.
            let _ = steps.send(Sent::to_session(Step::Reply(answer))).await;
        });
    }

    pub(super) fn take_steps(&mut self, out: &mut Vec<Bytes>) {
        if self.steps.is_none() {
            return;
        }
        let mut bytes: usize = out.iter().map(Bytes::len).sum();
        while bytes < TAKE_BYTES
            && let Some(sent) = self.next_step()
        {
            let before = out.len();
            self.step(*sent, out);
            bytes += out[before..].iter().map(Bytes::len).sum::<usize>();
        }
        let following = self.subscriptions.values().any(|s| matches!(s.phase, Phase::Following(_) | Phase::Asking(_)));
        if bytes < TAKE_BYTES && !following && self.requests == 0 {
            self.steps = None;
        }
        out.extend(self.replies.drain(..));
    }

    fn next_step(&mut self) -> Option<Box<Sent>> {
        let steps = self.steps.as_mut()?;
        steps.first.take().or_else(|| steps.receiver.try_recv().ok())
    }

    fn step(&mut self, Sent { key, task, step }: Sent, out: &mut Vec<Bytes>) {
        let step = match step {
            Step::Reply(message) => {
                self.requests -= 1;
                return self.reply(&message);
            }
            Step::MayTrack(allowed) => return self.may_track(allowed),
            Step::StillSeen(key, allowed) => return self.still_seen(&key, allowed),
            Step::Judged(judged) => return self.judged(*judged),
            step => step,
        };
        let Some(subscription) = self.subscriptions.get_mut(&key) else { return };
        // What was allowed when it was sent need not be any more.
        if !subscription.phase.is_of(task) {
            return;
        }
        match step {
            Step::Frames(frames) => {
                for (position, frame) in frames {
                    subscription.reached = position.or(subscription.reached);
                    out.push(frame);
                }
            }
            Step::Ready(way) => {
                let (interest, open) = way.interest();
                let until = self.node.hub.join(&self.connected.queue, self.key, key, interest, open);
                subscription.phase = Phase::Joining(way, until);
                self.joining = true;
            }
            Step::Failed(problem) => self.fail(key, problem, out),
            Step::MayWatch { is_new, permit } => self.may_watch(key, is_new, permit),
            Step::Reply(_) | Step::Judged(_) | Step::MayTrack(_) | Step::StillSeen(..) => {}
        }
    }
}
