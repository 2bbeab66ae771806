//! Who a client is.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use serde_json::{Map, Value as Json};

/// What is known of a client.
#[derive(Clone)]
pub struct Identity {
    /// Where what is known comes from.
    pub standing: Standing,
    /// What the token says. Empty where there is none.
    pub claims: Map<String, Json>,
    /// Whose data it may see at all: part of every room's name. Empty where there are no tenants.
    pub tenant: Arc<str>,
    /// The user: any number of connections may be one user's.
    pub user: Option<Arc<str>>,
    /// When the token was made, as it says; seconds since 1970.
    pub issued: Option<u64>,
    /// When the token expires.
    pub expires: Option<SystemTime>,
    /// Names the key that the token is signed with; `None`: the program itself says who it is.
    pub key: Option<Arc<str>>,
}

/// Where what is known of a client comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The gateway asks nobody who he is, or it is the program itself: everything is allowed.
    Trusted,
    /// It gave no token, and is let in nevertheless: what rules allow without claims is allowed.
    Anonymous,
    /// A valid token.
    Known,
    /// It has not said yet who it is: nothing is allowed before it has.
    Unknown,
}

// What a token says may be private: its claims are not printed.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { standing, tenant, user, key, .. } = self;
        f.debug_struct("Identity")
            .field("standing", standing)
            .field("tenant", tenant)
            .field("user", user)
            .field("key", key)
            .finish_non_exhaustive()
    }
}

impl Identity {
    fn without_token(standing: Standing) -> Arc<Self> {
        let claims = Map::new();
        Arc::new(Self { standing, claims, tenant: "".into(), user: None, issued: None, expires: None, key: None })
    }

    /// One who may do everything.
    pub fn trusted() -> Arc<Self> {
        // They are all the same one: thousands of clients have one each otherwise.
        static TRUSTED: LazyLock<Arc<Identity>> = LazyLock::new(|| Identity::without_token(Standing::Trusted));
        TRUSTED.clone()
    }

    /// One who has no token and needs none.
    pub fn anonymous() -> Arc<Self> {
        static ANONYMOUS: LazyLock<Arc<Identity>> = LazyLock::new(|| Identity::without_token(Standing::Anonymous));
        ANONYMOUS.clone()
    }

    /// One who has still to show a token.
    pub fn unknown() -> Arc<Self> {
        static UNKNOWN: LazyLock<Arc<Identity>> = LazyLock::new(|| Identity::without_token(Standing::Unknown));
        UNKNOWN.clone()
    }

    /// Whether rules do not concern it.
    pub fn is_trusted(&self) -> bool {
        self.standing == Standing::Trusted
    }
}
