//! What a client says, and what is done about each of its verbs.
//!
//! Leaves beginning a subscription to `begin`, requests to `requests`, and tokens to `identify`.

use super::{Session, requests, write};
use crate::hub::Closing;
use crate::protocol::{ClientMessage, Problem, ServerMessage};

impl Session {
    /// Does what one message asks for; answers come out of [`next`](Self::next). `Err` ends the connection.
    pub fn receive(&mut self, text: &str) -> Result<(), Closing> {
        if let Err(refused) = self.afford(text.len()) {
            return self.put_off(refused, text);
        }
        match ClientMessage::parse(text) {
            Ok(message) => self.accept(message),
            Err(problem) => {
                let (id, reference) = ClientMessage::addressee(text);
                return self.refuse(id, reference, problem);
            }
        }
        Ok(())
    }

    /// Answers something that is no message; too many of them end the connection.
    pub fn refuse(&mut self, id: Option<String>, reference: Option<String>, problem: Problem) -> Result<(), Closing> {
        self.bad_messages += 1;
        if self.bad_messages > self.node.limits.bad_messages {
            let message =
                format!("more than {} messages were wrong; the last: {problem}", self.node.limits.bad_messages);
            return Err(Closing { reason: "bad_messages", message, retry_ms: 60_000 });
        }
        self.reply(&ServerMessage::error(id, reference, problem));
        Ok(())
    }

    /// Does what a message asks for; answers come out of [`next`](Self::next).
    pub fn accept(&mut self, message: ClientMessage) {
        let Some(message) = self.hold(message) else { return };
        if !matches!(message, ClientMessage::Auth(_))
            && let Err(problem) = self.is_known()
        {
            return self.answer_no(message, problem);
        }
        match message {
            ClientMessage::Subscribe(subscribe) => {
                let id = subscribe.id.clone();
                if let Err(problem) = self.subscribe(subscribe) {
                    self.reply(&ServerMessage::error(Some(id), None, problem));
                }
            }
            ClientMessage::Unsubscribe { id } => match self.unsubscribe(&id) {
                Ok(()) => self.reply(&ServerMessage::Unsubscribed { id }),
                Err(problem) => self.reply(&ServerMessage::error(Some(id), None, problem)),
            },
            ClientMessage::Ping { reference } => {
                let position = self.node.log.head().to_string();
                self.reply(&ServerMessage::Pong { reference, position });
            }
            ClientMessage::Track(track) => self.track(track),
            ClientMessage::Untrack(untrack) => self.untrack(untrack),
            ClientMessage::Auth(auth) => self.authenticate(auth),
            ClientMessage::Publish(publish) => {
                self.request(requests::publish(self.node.clone(), self.identity.clone(), publish))
            }
            ClientMessage::Insert(insert) => {
                // Each row is as much as a message.
                self.further_messages(insert.rows.len().saturating_sub(1));
                self.request(requests::insert(self.node.clone(), self.identity.clone(), insert))
            }
            ClientMessage::Write(writes) => {
                // And so is each change.
                self.further_messages(writes.writes.len().saturating_sub(1));
                self.request(write::write(self.node.clone(), self.identity.clone(), writes))
            }
        }
    }
}
