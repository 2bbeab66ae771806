//! Showing that an address is one's own.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use rowcast::gateway::Refusal;
use serde::Deserialize;
use serde_json::{Value, json};

use super::code::{Fresh, Purpose, no_code, whose};
use super::{Peer, email, wait};
use crate::house::{House, Shared};
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Again {
    pub(super) email: String,
}

/// `POST /verify/again`
pub(crate) async fn again(
    State(house): State<Shared>,
    Peer(from): Peer,
    body: Result<Json<Again>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let Json(Again { email }) = body.map_err(problems::of_body)?;
    let email = email::normalized(&email)?;
    // Each mail is an attempt that fails, so that nobody gets many.
    drop(house.mails.begin(&format!("mail {email}"), from).map_err(wait)?);
    house.send_code(&email, Purpose::Verify).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "verify": true }))))
}

impl House {
    /// Mails a code to an address, if somebody with that address can use it. It takes as long if nobody can.
    pub(crate) async fn send_code(self: &Shared, email: &str, purpose: Purpose) -> Result<(), Refusal> {
        let account = self.account_of_email(email).await?;
        let Fresh { code, write } = self.new_code(&whose(account.as_ref(), email), purpose).await?;
        let writes = vec![write, self.old_codes().await?];
        self.store.write(writes).await.map_err(problems::of_store)?;
        let of_use = account.is_some_and(|account| purpose == Purpose::Reset || !account.is_verified);
        if of_use {
            self.mail_code(email, &code);
        }
        Ok(())
    }
}
