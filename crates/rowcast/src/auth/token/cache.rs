//! Tokens that were verified, so that their signatures are computed once.
//!
//! Kept by their hash: who reads the memory finds no tokens. Forgets everything when a key changes or something is revoked.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::super::Identity;

/// So many tokens, or so many bytes of them, are half of what is kept.
const HALF: usize = 4_096;
const HALF_BYTES: usize = 4 << 20;

/// Names a token.
pub(super) type Hash = [u8; 32];

/// At which count of changes a token was begun to be verified.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Generation(u64);

/// Two halves: what was asked for lately, and what before that. When the first is full the second is forgotten.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<Halves>);

#[derive(Default)]
struct Halves {
    generation: u64,
    young: HashMap<Hash, Kept>,
    old: HashMap<Hash, Kept>,
    young_bytes: usize,
}

type Kept = (Arc<Identity>, usize);

pub(super) fn hash(token: &str) -> Hash {
    Sha256::digest(token.as_bytes()).into()
}

impl Cache {
    /// Who it was found to be; or what to say when that has been found out.
    pub(super) fn find(&self, hash: &Hash) -> Result<Arc<Identity>, Generation> {
        let mut halves = self.0.lock();
        if let Some((identity, _)) = halves.young.get(hash) {
            return Ok(identity.clone());
        }
        match halves.old.remove(hash) {
            Some((identity, bytes)) => {
                halves.keep(*hash, identity.clone(), bytes);
                Ok(identity)
            }
            None => Err(Generation(halves.generation)),
        }
    }

    /// Keeps what was found out, unless keys or revocations changed meanwhile.
    pub(super) fn keep(&self, hash: Hash, identity: &Arc<Identity>, bytes: usize, begun: Generation) {
        let mut halves = self.0.lock();
        if Generation(halves.generation) == begun {
            halves.keep(hash, identity.clone(), bytes);
        }
    }

    pub(super) fn forget(&self, hash: &Hash) {
        let mut halves = self.0.lock();
        if let Some((_, bytes)) = halves.young.remove(hash) {
            halves.young_bytes -= bytes;
        }
    }

    pub(super) fn forget_all(&self) {
        let mut halves = self.0.lock();
        let generation = halves.generation + 1;
        *halves = Halves { generation, ..Halves::default() };
    }
}

impl Halves {
    fn keep(&mut self, hash: Hash, identity: Arc<Identity>, bytes: usize) {
        if self.young.len() >= HALF || self.young_bytes >= HALF_BYTES {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        match self.young.insert(hash, (identity, bytes)) {
            Some((_, before)) => self.young_bytes = self.young_bytes - before + bytes,
            None => self.young_bytes += bytes,
        }
    }
}

impl std::fmt::Debug for Halves {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Halves").field("tokens", &(self.young.len() + self.old.len())).finish_non_exhaustive()
    }
}
