//! Showing that an address is one's own.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use rowcast::gateway::Refusal;
use serde::Deserialize;

use super::code::{Purpose, no_code, whose};
use super::{Peer, email, wait};
use crate::house::Shared;
use crate::problems;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Verify {
    email: String,
    code: String,
}

/// `POST /verify`
pub(crate) async fn verify(
    State(house): State<Shared>,
    Peer(from): Peer,
    parts: Parts,
    body: Result<Json<Verify>, JsonRejection>,
) -> Result<Response, Refusal> {
    let Json(Verify { email, code }) = body.map_err(problems::of_body)?;
    let email = email::normalized(&email)?;
    let attempt = house.tries.begin(&format!("code {email}"), from).map_err(wait)?;
    let account = house.account_of_email(&email).await?;
    let user = whose(account.as_ref(), &email);
    let used = house.try_code(&user, Purpose::Verify, &code).await?;
    // Only an account's owner was told the code: a guess at nobody's is as wrong as any.
    let account = account.ok_or_else(no_code)?;
    let writes = vec![used, house.verified(&user).await?];
    house.use_code(writes).await?;
    attempt.was_right();
    house.welcome(&parts, &account, StatusCode::OK).await
}
