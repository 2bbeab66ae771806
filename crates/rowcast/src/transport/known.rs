//! Making somebody known to the gateway, for programs with accounts of their own: as its log-in does, with the same cookie.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::HeaderValue;
use axum::http::request::Parts;
use serde_json::{Map, Value as Json};

use super::{Doors, admin, login};
use crate::auth::{Identity, Revocation};
use crate::protocol::Problem;

/// Makes people known to the gateway, and takes that back.
///
/// What a request's `parts` are needed for is its host: the cookie is `Secure` except on this machine itself.
#[derive(Clone)]
pub struct Sessions(Doors);

/// Somebody who is known now.
#[derive(Debug, Clone)]
pub struct Known {
    /// For `Set-Cookie`: as that of `POST /v1/login`.
    pub cookie: HeaderValue,
    /// As every request with the cookie will find it.
    pub identity: Arc<Identity>,
}

impl Sessions {
    pub(crate) fn new(doors: Doors) -> Self {
        Self(doors)
    }

    /// Whom these claims describe is known from now on by the cookie; `sub` is the user. Without `ttl` for as long as tokens are
    /// good that are made at a log-in.
    ///
    /// Whether it may be is for the program to know. Refused where the gateway has no key that signs, or takes no cookie.
    pub async fn begin(
        &self,
        request: &Parts,
        mut claims: Map<String, Json>,
        ttl: Option<Duration>,
    ) -> Result<Known, Problem> {
        let now = SystemTime::now();
        if let Some(ttl) = ttl {
            let expires = (now + ttl).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            claims.insert("exp".into(), expires.into());
        }
        let (token, identity) = login::issue(&self.0, claims, now).await?;
        let cookie = login::cookie_of(&self.0, &token, &identity, &request.headers, &request.uri)?;
        Ok(Known { cookie, identity })
    }

    /// The cookie that makes a browser forget the other one. Its token stays good for whoever has it.
    pub fn end(&self, request: &Parts) -> Result<HeaderValue, Problem> {
        login::no_cookie(&self.0, &request.headers, &request.uri)
    }

    /// Takes back all tokens that a user has, closes its connections with `revoked`, and returns how many there were.
    ///
    /// Tokens tell the second in which they were made: it returns when the next one has begun, so that a token that is made after
    /// this is good.
    pub async fn revoke(&self, user: &str) -> Result<usize, Problem> {
        let now = Revocation::until(SystemTime::now());
        let until = UNIX_EPOCH + Duration::from_secs(now.before);
        let closed = admin::take_back(&self.0, Revocation { user: Some(user.to_owned()), ..now }).await?;
        while let Ok(left) = until.duration_since(SystemTime::now()) {
            tokio::time::sleep(left + Duration::from_millis(1)).await;
        }
        Ok(closed)
    }
}
