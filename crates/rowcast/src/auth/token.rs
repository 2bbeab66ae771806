//! From a token to an identity.

use std::io;
use std::time::SystemTime;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Identity, Revocation};

/// Why a token is not accepted, in words that help nobody to make a better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// It is none, is not signed by a key that is known, or says something that is not accepted.
    #[error("the token is not valid")]
    Invalid,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come yet.
    #[error("the token is not valid yet")]
    Early,
    /// It was taken back.
    #[error("the token was revoked")]
    Revoked,
}

/// Reads tokens with the keys that are trusted. By default, none is.
#[derive(Debug)]
pub struct Tokens {
    changed: watch::Sender<u64>,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { changed: watch::Sender::new(0) }
    }
}

impl Tokens {
    /// Who the token's bearer is.
    ///
    /// Waits where the token names a key that may have been added to a key set since it was fetched.
    pub async fn verify(&self, _token: &str, _now: SystemTime) -> Result<Identity, Rejected> {
        Err(Rejected::Invalid)
    }

    /// Whether the token that an identity came from would still be accepted, its expiry aside.
    pub fn still_trusts(&self, _identity: &Identity) -> bool {
        true
    }

    /// Counts revocations and keys that went: after each, ask [`still_trusts`](Self::still_trusts) again.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Takes back what was given out before a moment. Safe on disk when it returns.
    pub async fn revoke(&self, _revocation: Revocation) -> io::Result<()> {
        self.changed.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Fetches the key sets and keeps them fresh, until it is stopped.
    pub async fn run(&self, stop: CancellationToken) {
        stop.cancelled().await;
    }
}
