//! What of an identity stays when its token is renewed: whose it is.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::{Identity, Standing};

/// Whose something is that outlives a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Person {
    /// Anybody's, where nobody is asked who he is.
    Trusted,
    /// Anybody's who has no token.
    Anonymous,
    /// A user's.
    User {
        /// Whose data the user sees.
        tenant: Arc<str>,
        /// The user.
        user: Arc<str>,
    },
}

/// Claims about the token itself, which are others each time it is made.
const MADE: [&str; 4] = ["exp", "iat", "nbf", "jti"];

impl Identity {
    /// Whose it is; `None` where that cannot be told from another's.
    pub fn person(&self) -> Option<Person> {
        match (self.standing, &self.user) {
            (Standing::Trusted, _) => Some(Person::Trusted),
            (Standing::Anonymous, _) => Some(Person::Anonymous),
            (Standing::Known, Some(user)) => Some(Person::User { tenant: self.tenant.clone(), user: user.clone() }),
            (Standing::Known, None) | (Standing::Unknown, _) => None,
        }
    }

    /// The same for who came by a tenant's host; `None` where the token is of another tenant.
    pub fn at(self: Arc<Self>, tenant: &str) -> Option<Arc<Self>> {
        match &*self.tenant {
            "" => Some(Arc::new(Self { tenant: tenant.into(), ..Arc::unwrap_or_clone(self) })),
            own => (own == tenant).then_some(self),
        }
    }

    /// Whether a connection of this one may go on as another: as the same user, or as anybody where it was nobody's yet.
    pub fn may_become(&self, other: &Self) -> bool {
        let same = self.tenant == other.tenant && self.user == other.user;
        match self.standing {
            Standing::Known => same,
            // Expired: nothing of the user's goes to another, whatever the connection still has of it.
            Standing::Unknown if self.key.is_some() || self.user.is_some() => same,
            // The host that it came by may be a tenant's.
            Standing::Unknown | Standing::Anonymous => self.tenant.is_empty() || self.tenant == other.tenant,
            Standing::Trusted => false,
        }
    }

    /// Whether it says the same of the same one as another; when the tokens were made and expire aside.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let same = self.standing == other.standing && self.tenant == other.tenant && self.user == other.user;
        same && self.said() == other.said()
    }

    /// What its token says; when the token was made and expires aside.
    pub(super) fn said(&self) -> Map<String, Json> {
        let mut claims = self.claims.clone();
        MADE.iter().for_each(|name| drop(claims.remove(*name)));
        claims
    }

    /// The same one when its token has expired: nothing is allowed before it shows another.
    pub fn expired(&self) -> Self {
        Self { standing: Standing::Unknown, claims: Map::new(), issued: None, expires: None, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(user: &str, tenant: &str) -> Identity {
        let nobody = Identity::unknown();
        Identity {
            standing: Standing::Known,
            user: Some(user.into()),
            tenant: tenant.into(),
            key: Some("k".into()),
            ..(*nobody).clone()
        }
    }

    #[test]
    fn a_connection_stays_its_users() {
        let anna = known("anna", "acme");
        assert!(anna.may_become(&known("anna", "acme")) && anna.expired().may_become(&known("anna", "acme")));
        for other in [known("bert", "acme"), known("anna", "other"), (*Identity::anonymous()).clone()] {
            assert!(!anna.may_become(&other) && !anna.expired().may_become(&other), "{other:?}");
        }
        assert!(Identity::unknown().may_become(&anna) && Identity::anonymous().may_become(&anna));
    }

    #[test]
    fn a_newer_token_may_say_the_same() {
        let with = |claims: &[(&str, u64)]| {
            let claims = claims.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
            Identity { claims, ..known("anna", "acme") }
        };
        let one = with(&[("role", 1), ("exp", 5), ("iat", 1)]);
        assert!(one.says_the_same(&with(&[("role", 1), ("exp", 9), ("jti", 7)])));
        for other in [with(&[("role", 2), ("exp", 5)]), with(&[("exp", 5)]), one.expired()] {
            assert!(!one.says_the_same(&other), "{other:?}");
        }
    }

    #[test]
    fn what_outlives_a_connection_is_told_apart_by_user_and_tenant() {
        assert_eq!(known("anna", "acme").person(), known("anna", "acme").person());
        assert_ne!(known("anna", "acme").person(), known("anna", "other").person());
        assert_ne!(Identity::anonymous().person(), Identity::trusted().person());
        let nameless = Identity { user: None, ..known("anna", "acme") };
        assert_eq!((nameless.person(), known("anna", "acme").expired().person()), (None, None));
    }
}
