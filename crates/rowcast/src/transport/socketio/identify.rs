//! Who a client is that asks for a namespace: its handshake says so, or `auth.token` of its wish.

use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::connection::{Connection, Done};
use super::handler::Refused;
use super::space::Space;
use crate::auth::{Identity, Rejected};
use crate::protocol::Problem;
use crate::protocol::engineio::Eio;
use crate::session;
use crate::transport::caller::Arrival;

/// Whose client it is at the moment, shared by all its sockets.
pub(super) type IdentityCell = Arc<Mutex<Arc<Identity>>>;

/// What of a client's wish says who it is. Anything may stand there that is no token, but then it is not accepted.
#[derive(Deserialize)]
struct Wish {
    token: Option<serde_json::Value>,
}

impl Connection {
    /// Finds out who asks for a namespace, and lets him in or not.
    pub(super) fn identify(&mut self, space: Arc<Space>, auth: Option<Box<RawValue>>) {
        let rules = self.native.as_mut().and_then(|native| native.session().auth().cloned());
        let Some(rules) = rules else { return self.enter(space, auth) };
        let wish = auth.as_ref().and_then(|auth| serde_json::from_str::<Wish>(auth.get()).ok());
        let token = wish.and_then(|wish| wish.token);
        if let (Some(token), None) = (token, self.refused()) {
            self.asking.push(space.path.clone());
            self.working.push(Box::pin(async move {
                let found = match token.as_str() {
                    Some(token) => rules.tokens.verify(token, SystemTime::now()).await,
                    None => Err(Rejected::Invalid),
                };
                Done::Judged(space, auth, found)
            }));
            return;
        }
        match self.is_known() {
            Ok(()) => self.enter(space, auth),
            Err(problem) => self.refuse_unknown(&space.path.clone(), &problem),
        }
    }

    pub(super) fn judged(
        &mut self,
        space: &Arc<Space>,
        auth: Option<Box<RawValue>>,
        found: Result<Arc<Identity>, Rejected>,
    ) {
        self.asking.retain(|path| *path != space.path);
        let found = found.map_err(|rejected| session::refused(&rejected));
        let become_known = |identity| match &mut self.native {
            Some(native) => native.session().become_known(identity),
            None => Ok(()),
        };
        match found.and_then(become_known) {
            Ok(()) => {
                self.look_whose();
                self.enter(space.clone(), auth);
            }
            Err(problem) => self.refuse_unknown(&space.path, &problem),
        }
    }

    /// Why nobody gets in who sent such a handshake.
    fn refused(&self) -> Option<Problem> {
        match self.handshake.arrival() {
            Some(Arrival(Err(problem))) => Some((**problem).clone()),
            _ => None,
        }
    }

    pub(super) fn is_known(&mut self) -> Result<(), Problem> {
        match (self.refused(), &mut self.native) {
            (Some(problem), Some(_)) => Err(problem),
            (_, Some(native)) => native.session().is_known(),
            (_, None) => Ok(()),
        }
    }

    pub(super) fn refuse_unknown(&mut self, namespace: &str, problem: &Problem) {
        let refused = Refused::new(&*problem.message);
        let refused = match self.handshake.eio() {
            Eio::V4 => refused.with(json!({ "code": problem.code })),
            // Its clients hear either of the two.
            Eio::V3 => refused,
        };
        self.refuse(namespace, &refused);
    }

    /// Sees to it that programs see who the client is now.
    pub(super) fn look_whose(&mut self) {
        let Some(native) = &mut self.native else { return };
        let identity = native.session().identity();
        let mut whose = self.whose.lock();
        if !Arc::ptr_eq(&whose, identity) {
            whose.clone_from(identity);
        }
    }
}
