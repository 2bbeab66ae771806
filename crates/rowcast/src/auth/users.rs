//! Users with passwords, for who has no identity provider.
//!
//! Whether there is a user of a name is not to be found out: neither by the answer, nor by the time that it takes.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::KeyError;
use super::password::{Busy, Passwords, check_hash};
use super::tries::Tries;

/// A longer name is nobody's.
const NAME_BYTES_MAX: usize = 256;

/// Claims that are not a user's own to say.
const NOT_CLAIMS: [&str; 6] = ["sub", "exp", "iat", "nbf", "iss", "aud"];

/// One who can log in.
#[derive(Clone)]
pub struct User {
    /// Becomes the claim `sub`.
    pub name: String,
    /// An argon2id hash.
    pub password_hash: String,
    /// What else is said of them.
    pub claims: Map<String, Json>,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotLoggedIn {
    /// There is no such user, or that is not the password.
    #[error("the name or the password is wrong")]
    Wrong,
    /// There were too many attempts under this name, or from this address.
    #[error("there were too many attempts; try again in {} s", .0.as_secs().max(1))]
    Wait(Duration),
    /// Too many log in at the moment.
    #[error("too many log in at the moment; try again")]
    Busy,
}

/// Those who can log in.
#[derive(Debug, Default)]
pub struct Users {
    users: Vec<User>,
    by_name: HashMap<String, usize>,
    passwords: Passwords,
    tries: Tries,
    chance: RandomState,
}

impl User {
    /// Whether it is one: a name, a hash, and claims that it may have.
    pub fn check(&self) -> Result<(), KeyError> {
        if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX || self.name.chars().any(char::is_control) {
            return Err(KeyError(format!("a name has 1 to {NAME_BYTES_MAX} bytes and no control characters")));
        }
        if let Some(claim) = self.claims.keys().find(|claim| NOT_CLAIMS.contains(&claim.as_str())) {
            return Err(KeyError(format!("the claim `{claim}` is made at each log-in, and cannot be given")));
        }
        check_hash(&self.password_hash)
    }
}

impl Users {
    /// These. Each is checked; of two with one name the second is a mistake.
    pub fn new(users: Vec<User>) -> Result<Self, KeyError> {
        let mut by_name = HashMap::new();
        for (number, user) in users.iter().enumerate() {
            user.check()?;
            if by_name.insert(user.name.clone(), number).is_some() {
                return Err(KeyError(format!("there are two users called `{}`", user.name)));
            }
        }
        Ok(Self { users, by_name, ..Self::default() })
    }

    /// Whether nobody can log in.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// The claims of a user whose password this is: its own, and `sub`.
    pub async fn log_in(&self, name: &str, password: &str, from: IpAddr) -> Result<Map<String, Json>, NotLoggedIn> {
        if name.len() > NAME_BYTES_MAX {
            return Err(NotLoggedIn::Wrong);
        }
        let attempt = self.tries.begin(name, from).map_err(NotLoggedIn::Wait)?;
        let known = self.by_name.get(name).map(|number| &self.users[*number]);
        let Some(held_against) = known.or_else(|| self.stand_in(name)) else { return Err(NotLoggedIn::Wrong) };
        let is = match self.passwords.is(password, &held_against.password_hash).await {
            Ok(is) => is,
            Err(Busy) => {
                attempt.was_none();
                return Err(NotLoggedIn::Busy);
            }
        };
        let Some(user) = known.filter(|_| is) else { return Err(NotLoggedIn::Wrong) };
        attempt.was_right();
        let mut claims = Map::from_iter([("sub".to_owned(), Json::from(user.name.as_str()))]);
        claims.extend(user.claims.clone());
        Ok(claims)
    }

    /// Whose hash a password under an unknown name is held against, always the same one: it takes as long as for a user.
    fn stand_in(&self, name: &str) -> Option<&User> {
        let users = self.users.len() as u64;
        let number = self.chance.hash_one(name).checked_rem(users)?;
        self.users.get(number as usize)
    }
}
