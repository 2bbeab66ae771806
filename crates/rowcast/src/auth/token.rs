//! From a token to an identity.
//!
//! The signature first, with keys that are known; what the token says only then. Nothing in a token says where a key is: `kid` chooses
//! among known ones, and `jku`, `x5u`, `x5c` and `jwk` are not looked at.

mod cache;
mod expect;
mod shape;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::key::Key;
use super::key_set::{KeySet, KeySetSettings};
use super::revocation::{Revocation, RevocationError, Revocations};
use super::{Identity, Standing};
use cache::Cache;
pub use expect::Expect;
use shape::Shape;
pub use shape::unverified;

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

/// Why a token is not accepted, for whoever runs the gateway. Has nothing of the token in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Refusal {
    /// What the client is told.
    pub rejected: Rejected,
    /// What was wrong.
    pub why: Cow<'static, str>,
}

impl Refusal {
    fn invalid(why: impl Into<Cow<'static, str>>) -> Self {
        Self { rejected: Rejected::Invalid, why: why.into() }
    }

    fn early(why: &'static str) -> Self {
        Self { rejected: Rejected::Early, why: why.into() }
    }

    fn expired() -> Self {
        Self { rejected: Rejected::Expired, why: "its `exp` is over".into() }
    }

    fn revoked() -> Self {
        Self { rejected: Rejected::Revoked, why: "it was issued before a revocation".into() }
    }
}

/// What tokens are read with.
#[derive(Debug, Default)]
pub struct Trust {
    /// Keys that are known from the start.
    pub keys: Vec<Key>,
    /// Keys that are fetched.
    pub key_sets: Vec<KeySetSettings>,
    /// What a token has to say.
    pub expect: Expect,
    /// What was taken back.
    pub revocations: Revocations,
}

/// Reads tokens with the keys that are trusted. By default, none is.
#[derive(Debug)]
pub struct Tokens {
    keys: Vec<Key>,
    key_sets: Vec<Arc<KeySet>>,
    expect: Expect,
    revocations: Revocations,
    known: Arc<Known>,
}

/// What was found out with keys and revocations that may change.
#[derive(Debug, Default)]
pub(super) struct Known {
    cache: Cache,
    changed: watch::Sender<u64>,
}

impl Known {
    /// To be called at once when a key or a revocation has changed: no await in between, where whoever asked for it could go away.
    pub(super) fn is_outdated(&self) {
        // First forgotten, then told: who hears of it asks for what is true now.
        self.cache.forget_all();
        self.changed.send_modify(|count| *count += 1);
    }
}

impl Default for Tokens {
    fn default() -> Self {
        Self::new(Trust::default())
    }
}

impl Tokens {
    /// With these keys. Fetches nothing before it is [run](Self::run).
    pub fn new(trust: Trust) -> Self {
        let Trust { keys, key_sets, expect, revocations } = trust;
        let known = Arc::new(Known::default());
        let key_sets = key_sets.into_iter().map(|settings| Arc::new(KeySet::new(settings, known.clone()))).collect();
        Self { keys, key_sets, expect, revocations, known }
    }

    /// Whether tokens say whose tenant's they are.
    pub fn have_tenants(&self) -> bool {
        self.expect.tenant.is_some()
    }

    /// Whether all keys are known from the start: a token that none of them signed will never be good.
    pub fn have_fixed_keys(&self) -> bool {
        self.key_sets.is_empty()
    }

    /// Who the token's bearer is.
    ///
    /// Waits where the token names a key that may have been added to a key set since it was fetched.
    pub async fn verify(&self, token: &str, now: SystemTime) -> Result<Arc<Identity>, Rejected> {
        self.examine(token, now).await.map_err(|refusal| {
            tracing::debug!("a token is refused: {refusal}");
            refusal.rejected
        })
    }

    /// The same, for whoever runs the gateway: says what is wrong with a token.
    pub async fn examine(&self, token: &str, now: SystemTime) -> Result<Arc<Identity>, Refusal> {
        if shape::is_too_long(token) {
            return Err(Refusal::invalid("it has more than 8 KiB"));
        }
        let hash = cache::hash(token);
        let begun = match self.known.cache.find(&hash) {
            Ok(identity) if identity.expires.is_none_or(|expires| now < expires + self.expect.leeway) => {
                return Ok(identity);
            }
            Ok(_) => {
                self.known.cache.forget(&hash);
                return Err(Refusal::expired());
            }
            Err(begun) => begun,
        };
        let shape = Shape::cut(token)?;
        let key = match self.signer(&shape) {
            Some(key) => key,
            None => {
                self.look_for_new_keys(&shape).await;
                self.signer(&shape).ok_or(Refusal::invalid("no key that is known signed it"))?
            }
        };
        let mut identity = self.expect.identity(shape.claims()?, now)?;
        identity.key = Some(key);
        if self.revocations.concern(&identity) {
            return Err(Refusal::revoked());
        }
        let identity = Arc::new(identity);
        self.known.cache.keep(hash, &identity, token.len(), begun);
        Ok(identity)
    }

    /// The name of the key that signed it. A key that has a name is asked only by tokens that call it so, or that call none.
    fn signer(&self, shape: &Shape<'_>) -> Option<Arc<str>> {
        let called = |key: &Key| match (key.kid(), &shape.kid) {
            (Some(kid), Some(called)) => kid == called,
            _ => true,
        };
        let signed = |key: &Key| called(key) && key.signed(shape.algorithm, shape.message, &shape.signature);
        let of_a_set = |set: &Arc<KeySet>| set.keys().iter().find(|key| signed(key)).map(|key| key.id().clone());
        let known = self.keys.iter().find(|key| signed(key)).map(|key| key.id().clone());
        known.or_else(|| self.key_sets.iter().find_map(of_a_set))
    }

    /// Fetches the key sets again if the token names a key that none has.
    async fn look_for_new_keys(&self, shape: &Shape<'_>) {
        let Some(kid) = shape.kid.as_deref() else { return };
        if self.keys.iter().any(|key| key.kid() == Some(kid)) || self.key_sets.iter().any(|set| set.has(kid)) {
            return;
        }
        // In a task of its own: a client that goes away meanwhile must not take the fetch with it that others wait for.
        let fetches = self.key_sets.iter().map(|set| {
            let (set, kid) = (set.clone(), kid.to_owned());
            tokio::spawn(async move { set.look_for(&kid).await })
        });
        futures_util::future::join_all(fetches.collect::<Vec<_>>()).await;
    }

    /// Whether the token that an identity came from would still be accepted, its expiry aside.
    pub fn still_trusts(&self, identity: &Identity) -> bool {
        if identity.standing != Standing::Known {
            return true;
        }
        let is_known = |id: &Arc<str>| {
            self.keys.iter().any(|key| key.id() == id)
                || self.key_sets.iter().any(|set| set.keys().iter().any(|key| key.id() == id))
        };
        // One without a key was made by the program itself.
        identity.key.as_ref().is_none_or(is_known) && !self.revocations.concern(identity)
    }

    /// Counts revocations and changes of keys: after each, ask [`still_trusts`](Self::still_trusts) again. To be called before a token
    /// is verified, so that nothing falls between the two.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.known.changed.subscribe()
    }

    /// Takes back what was given out before a moment. Safe on disk when it returns, where revocations are kept there; where that
    /// fails, it holds until the end of the process nevertheless.
    pub async fn revoke(&self, revocation: Revocation) -> Result<(), RevocationError> {
        self.revocations.add(revocation, self.expect.life_max.map(|life| life + self.expect.leeway))?;
        self.known.is_outdated();
        self.revocations.keep().await
    }

    /// Fetches the key sets and keeps them fresh, until it is stopped.
    pub async fn run(&self, stop: CancellationToken) {
        let keep = self.key_sets.iter().map(|set| set.keep_fresh());
        stop.run_until_cancelled(futures_util::future::join_all(keep)).await;
    }

    /// Fetches the key sets once, so that keys are known before [running](Self::run) begins.
    pub async fn fetch(&self) {
        futures_util::future::join_all(self.key_sets.iter().map(|set| set.fetch_now())).await;
    }

    /// The keys that are known now.
    pub fn known_keys(&self) -> Vec<Arc<str>> {
        let of_sets =
            self.key_sets.iter().flat_map(|set| set.keys().iter().map(|key| key.id().clone()).collect::<Vec<_>>());
        self.keys.iter().map(|key| key.id().clone()).chain(of_sets).collect()
    }
}
