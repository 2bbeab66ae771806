//! Who a client is, and what that lets it see and do.
//!
//! Reads tokens and rules. Leaves where a token stands in a request to `transport`, and what becomes of a subscription to `session`.

mod algorithm;
mod attempts;
mod host;
mod identity;
mod issuer;
mod key;
mod key_set;
mod password;
mod person;
mod revocation;
pub mod rules;
mod seal;
mod strict;
mod token;
mod tries;
mod users;

pub use algorithm::Algorithm;
pub use host::tenant_of_host;
pub use identity::{Identity, Standing};
pub use issuer::Issuer;
pub use key::{Key, KeyError};
pub use key_set::KeySetSettings;
pub use password::{Busy, Passwords, hash_password};
pub use person::Person;
pub use revocation::{Revocation, RevocationError, Revocations};
pub use seal::Seal;
pub use token::{Expect, Refusal, Rejected, Tokens, Trust, unverified};
pub use tries::{Tries, Try};
pub use users::{NotLoggedIn, User, Users};

use std::time::Duration;

/// What decides who may come in, and who may do what. Where a gateway has none, everybody may do everything.
#[derive(Debug, Default)]
pub struct Auth {
    /// Reads tokens.
    pub tokens: Tokens,
    /// What clients may do.
    pub rules: rules::Rules,
    /// Who can log in with a password.
    pub users: Users,
    /// Makes the tokens of those who have logged in.
    pub issuer: Option<Issuer>,
    /// Tells a client that comes back whether it is known as before.
    pub seal: Seal,
    /// How tokens come and go.
    pub settings: Settings,
}

/// How tokens come and go.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether a client without a token is let in; rules then see no claims.
    pub anonymous: bool,
    /// The cookie that may hold a token.
    pub cookie: Option<String>,
    /// The parameter of the query that may hold a token, for clients that cannot set headers.
    pub query: Option<String>,
    /// The hosts that tenants are reached by: `{tenant}.example.com`. Whoever comes by another one is not let in.
    pub tenant_host: Option<String>,
    /// How long before its token expires a client is told so.
    pub warn: Duration,
    /// How long after it expired a client's subscriptions go on.
    pub grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            anonymous: false,
            cookie: None,
            query: Some("access_token".into()),
            tenant_host: None,
            warn: Duration::from_secs(60),
            grace: Duration::from_secs(30),
        }
    }
}
