//! Who sends a request.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::Extensions;
use axum::http::request::Parts;

use crate::auth::Identity;

/// Who sends a request, as far as its token says.
#[derive(Debug, Clone)]
pub(super) struct Caller(pub(super) Arc<Identity>);

impl Caller {
    /// As it was found when the request came in.
    pub(super) fn of(extensions: &Extensions) -> Self {
        extensions.get().cloned().unwrap_or_else(|| Self(Identity::trusted()))
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}
