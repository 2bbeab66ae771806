//! Who asks: always from the token, never from what a request says.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use rowcast::auth::Standing;
use rowcast::gateway::{Caller, Refusal};
use rowcast::protocol::{Code, Problem};

/// Somebody who is logged in: the id of a user.
#[derive(Debug, Clone)]
pub(crate) struct Person(pub(crate) Arc<str>);

impl<S: Sync> FromRequestParts<S> for Person {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Ok(Caller(identity)) = Caller::from_request_parts(parts, state).await;
        match &identity.user {
            Some(user) if identity.standing == Standing::Known => Ok(Self(user.clone())),
            _ => Err(Refusal(Problem::new(Code::Unauthenticated, "you are not logged in"))),
        }
    }
}
