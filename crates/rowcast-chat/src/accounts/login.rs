//! Logging in and out.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use rowcast::gateway::Refusal;
use serde::Deserialize;

use super::{Peer, busy, email, wait, wrong};
use crate::house::Shared;
use crate::person::Person;
use crate::problems;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    email: String,
    password: String,
}

/// `POST /login`
pub(crate) async fn log_in(
    State(house): State<Shared>,
    Peer(from): Peer,
    parts: Parts,
    body: Result<Json<Login>, JsonRejection>,
) -> Result<Response, Refusal> {
    let Json(Login { email, password }) = body.map_err(problems::of_body)?;
    let email = email::normalized(&email)?;
    let attempt = house.tries.begin(&format!("login {email}"), from).map_err(wait)?;
    let account = house.account_of_email(&email).await?;
    let hash = account.as_ref().map(|account| account.password_hash.as_str());
    let is = match house.passwords.is_of(&password, hash).await {
        Ok(is) => is,
        Err(all) => {
            attempt.was_none();
            return Err(busy(all).into());
        }
    };
    let Some(account) = account.filter(|_| is) else {
        return Err(wrong("the address or the password is wrong").into());
    };
    attempt.was_right();
    if house.settings.verify && !account.is_verified {
        let problem = problems::forbidden("this address has not been shown to be yours yet");
        return Err(problem.hint("POST /chat/api/verify/again sends another code").into());
    }
    house.welcome(&parts, &account, StatusCode::OK).await
}

/// `POST /logout`
pub(crate) async fn log_out(
    State(house): State<Shared>,
    _: Person,
    parts: Parts,
) -> Result<impl IntoResponse, Refusal> {
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, house.sessions.end(&parts)?)]))
}
