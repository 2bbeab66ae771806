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

/// Hashes passwords, and holds them against hashes, a few at a time: half of the machine's cores at most.
#[derive(Debug)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

/// Too many passwords are looked at in the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many log in at the moment; try again")]
pub struct Busy;

/// Of a password that nobody has, at the cost of [`hash_password`]'s.
const STAND_IN: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$K3iGq8aY5lwGkWZAyS8cGEXqAgHr6sQyNnmZTCfxLbI";

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
    pub async fn is(&self, password: &str, hash: &str) -> Result<bool, Busy> {
        let too_long = password.len() > PASSWORD_BYTES_MAX;
        let password = if too_long { String::new() } else { password.to_owned() };
        let hash = hash.to_owned();
        let is = self.in_turn(move || {
            let hash = PasswordHash::new(&hash).ok();
            hash.is_some_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        });
        Ok(is.await?.unwrap_or(false) && !too_long)
    }

    /// The same where there may be nobody of that name, which is not to be found out by the time that it takes: `None` is wrong, and
    /// takes as long.
    pub async fn is_of(&self, password: &str, hash: Option<&str>) -> Result<bool, Busy> {
        let is = self.is(password, hash.unwrap_or(STAND_IN)).await?;
        Ok(is && hash.is_some())
    }

    /// As [`hash_password`], without blocking.
    pub async fn hash(&self, password: &str) -> Result<Result<String, KeyError>, Busy> {
        let password = password.to_owned();
        let hashed = self.in_turn(move || hash_password(&password)).await?;
        Ok(hashed.unwrap_or_else(|| Err(KeyError("it cannot be hashed".into()))))
    }

    /// `None` where the work has panicked.
    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<Option<T>, Busy> {
        let place = self.waiting.clone().try_acquire_owned().map_err(|_| Busy)?;
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop((turn, place));
            done
        });
        Ok(done.await.ok())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use futures_util::stream::FuturesUnordered;

    use super::*;

    #[tokio::test]
    async fn a_password_is_held_against_its_hash_or_against_nobodys() {
        let passwords = Passwords::default();
        let hash = passwords.hash("open sesame").await.expect("a turn").expect("a hash");
        assert_eq!(passwords.is_of("open sesame", Some(&hash)).await, Ok(true));
        assert_eq!(passwords.is_of("open barley", Some(&hash)).await, Ok(false));
        assert_eq!(passwords.is_of("open sesame", None).await, Ok(false));
        assert!(passwords.hash("").await.expect("a turn").is_err());
    }

    #[test]
    fn nobodys_hash_costs_as_much_as_one_that_is_made() {
        let cost = |hash: &str| hash.split('$').nth(3).map(str::to_owned);
        assert_eq!(cost(STAND_IN), cost(&hash_password("open sesame").expect("a hash")));
        check_hash(STAND_IN).expect("a hash that passwords can be held against");
    }

    #[tokio::test]
    async fn more_than_may_wait_are_sent_away() {
        let passwords = Passwords::default();
        let turns = passwords.turns.available_permits();
        let held = passwords.turns.acquire_many(turns as u32).await.expect("never closed");
        let mut asked: FuturesUnordered<_> = (0..WAITING_MAX + 8).map(|_| passwords.is("x", "no hash")).collect();
        for _ in 0..8 {
            assert_eq!(asked.next().await, Some(Err(Busy)));
        }
        drop(held);
        let rest: Vec<_> = asked.collect().await;
        assert_eq!(rest, [Ok(false); WAITING_MAX]);
    }
}
