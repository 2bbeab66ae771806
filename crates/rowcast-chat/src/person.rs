//! Who asks: always from the token, never from what a request says, and nobody without an account in this chat.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use rowcast::auth::Standing;
use rowcast::gateway::{Caller, Refusal};
use rowcast::protocol::{Code, Problem};

use crate::house::Shared;

/// For so long an account that was there is not looked up again.
pub(crate) const KNOWN: Duration = Duration::from_secs(60);

/// Somebody who is logged in: the id of a user.
#[derive(Debug, Clone)]
pub(crate) struct Person(pub(crate) Arc<str>);

impl FromRequestParts<Shared> for Person {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, house: &Shared) -> Result<Self, Refusal> {
        let Ok(Caller(identity)) = Caller::from_request_parts(parts, house).await;
        let user = match &identity.user {
            Some(user) if identity.standing == Standing::Known => user.clone(),
            _ => return Err(Refusal(Problem::new(Code::Unauthenticated, "you are not logged in"))),
        };
        // The gateway may trust tokens of others, too: their users are known, but nobody here.
        if !house.known.has(&user, Instant::now()) {
            house.account(&user).await?;
            house.known.note(&user, Instant::now());
        }
        Ok(Self(user))
    }
}
