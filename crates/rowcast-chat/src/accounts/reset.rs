//! Choosing another password without the old one.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use rowcast::gateway::Refusal;
use serde::Deserialize;

use super::code::{Purpose, no_code, whose};
use super::{Peer, email, password, wait};
use crate::house::Shared;
use crate::problems;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Confirm {
    email: String,
    code: String,
    password: String,
}

/// `POST /reset/confirm`: whoever else is logged in as this user is no longer.
pub(crate) async fn confirm(
    State(house): State<Shared>,
    Peer(from): Peer,
    parts: Parts,
    body: Result<Json<Confirm>, JsonRejection>,
) -> Result<Response, Refusal> {
    let Json(Confirm { email, code, password }) = body.map_err(problems::of_body)?;
    let email = email::normalized(&email)?;
    password::check(&password)?;
    let attempt = house.tries.begin(&format!("code {email}"), from).map_err(wait)?;
    let account = house.account_of_email(&email).await?;
    let user = whose(account.as_ref(), &email);
    let hash = house.hash(&password).await?;
    let used = house.try_code(&user, Purpose::Reset, &code).await?;
    let account = account.ok_or_else(no_code)?;
    // Whoever has read the mail has shown that the address is his own.
    let writes = vec![used, house.new_password(&user, &hash).await?, house.verified(&user).await?];
    house.use_code(writes).await?;
    attempt.was_right();
    house.sessions.revoke(&user).await?;
    house.welcome(&parts, &account, StatusCode::OK).await
}
