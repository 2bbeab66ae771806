//! Passwords, kept as argon2id hashes.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

use super::KeyError;

/// A longer one is none: hashing it would only take time.
const PASSWORD_BYTES_MAX: usize = 1 << 10;

/// So many may wait for their turn. Each that is being hashed takes 19 MiB of memory.
const WAITING_MAX: usize = 64;

/// The hash of a password, with its salt and its cost, as it stands in a configuration: `$argon2id$…`.
///
/// Takes about 30 ms.
pub fn hash_password(password: &str) -> Result<String, KeyError> {
    if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
        return Err(KeyError(format!("a password has 1 to {PASSWORD_BYTES_MAX} bytes")));
    }
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.map(|hash| hash.to_string()).map_err(|error| KeyError(format!("it cannot be hashed: {error}")))
}

/// Whether a text is a hash that passwords can be held against.
pub(super) fn check_hash(text: &str) -> Result<(), KeyError> {
    let hash = PasswordHash::new(text).map_err(|_| KeyError(NO_HASH.into()))?;
    if hash.algorithm.as_str() == "argon2id" && hash.hash.is_some() && hash.salt.is_some() {
        return Ok(());
    }
    Err(KeyError(NO_HASH.into()))
}

const NO_HASH: &str = "it is not an argon2id hash; `rowcast password` makes one";

/// Holds passwords against hashes, a few at a time.
#[derive(Debug)]
pub(super) struct Passwords {
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

/// Too many log in at the moment.
#[derive(Debug)]
pub(super) struct Busy;

impl Default for Passwords {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // Half of the machine at most: whoever is logged in has to be served, too.
        let turns = Arc::new(Semaphore::new((cores / 2).max(1)));
        Self { turns, waiting: Arc::new(Semaphore::new(WAITING_MAX)) }
    }
}

impl Passwords {
    /// Whether this is the password. Takes its time also when it is not.
    pub(super) async fn is(&self, password: &str, hash: &str) -> Result<bool, Busy> {
        let place = self.waiting.clone().try_acquire_owned().map_err(|_| Busy)?;
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| Busy)?;
        let too_long = password.len() > PASSWORD_BYTES_MAX;
        let password = if too_long { String::new() } else { password.to_owned() };
        let hash = hash.to_owned();
        let verified = tokio::task::spawn_blocking(move || {
            let hash = PasswordHash::new(&hash).ok();
            let is = hash.is_some_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
            drop((turn, place));
            is
        });
        Ok(verified.await.unwrap_or(false) && !too_long)
    }
}
