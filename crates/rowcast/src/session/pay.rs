//! What a session has of what its tenant, its user and its address may have.

use std::sync::Arc;

use super::Session;
use super::quota::{Accounts, Excess, Place, Shares};
use crate::auth::Identity;
use crate::hub::Closing;
use crate::protocol::{ClientMessage, Problem, ServerMessage};

impl Session {
    /// Who pays for it; `None` where nothing is counted.
    pub fn accounts(&self) -> Option<&Arc<Accounts>> {
        self.shares.as_ref().map(|shares| shares.accounts())
    }

    /// Counts a message of so many bytes. A door that understands its client's messages itself asks before it does what one says.
    pub fn afford(&mut self, bytes: usize) -> Result<(), Excess> {
        self.shares.as_mut().map_or(Ok(()), |shares| shares.message(bytes))
    }

    /// Tells the client that a message is not taken.
    pub(super) fn put_off(&mut self, refused: Excess, text: &str) -> Result<(), Closing> {
        match refused {
            Excess::Later(problem) => {
                let (id, reference) = ClientMessage::addressee(text);
                self.reply(&ServerMessage::error(id, reference, problem));
                Ok(())
            }
            Excess::Enough(closing) => Err(closing),
        }
    }

    /// Counts what else was in a message.
    pub(super) fn further_messages(&self, count: usize) {
        if let Some(accounts) = self.accounts().filter(|_| count > 0) {
            accounts.further_messages(count);
        }
    }

    /// One subscription more.
    pub(super) fn place(&self) -> Result<Place, Problem> {
        self.accounts().map_or(Ok(Place::default()), |accounts| accounts.subscribe())
    }

    /// The client is another's from now on: to be called before [`Session`] takes over its new identity. Where that one has its connections
    /// already, this one has to go. What it has subscribed to stays in the account of who it was.
    pub(super) fn change_payer(&mut self, identity: &Identity) -> Result<(), Problem> {
        let accounts = self.node.accounts(identity, &self.connected.remote);
        let same = match (&self.shares, &accounts) {
            (Some(shares), Some(accounts)) => shares.are_of(accounts),
            (shares, accounts) => shares.is_none() && accounts.is_none(),
        };
        if same {
            return Ok(());
        }
        // Given back first: its own connection is not to be in its way.
        self.shares = None;
        self.shares = accounts.map(Shares::take).transpose()?;
        Ok(())
    }
}
