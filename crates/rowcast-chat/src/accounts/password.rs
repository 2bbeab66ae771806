//! Choosing a password, and another one.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use rowcast::gateway::Refusal;
use rowcast::protocol::Problem;
use rowcast::store::{Set, Write};
use serde::Deserialize;

use super::{Peer, busy, wait, wrong};
use crate::house::{House, Shared};
use crate::person::Person;
use crate::problems;
use crate::records::text;

/// So many characters has a password, at least.
const LENGTH_MIN: usize = 8;

/// And so many bytes at most: a longer one would only take time.
const BYTES_MAX: usize = 1 << 10;

/// Whether it may be a password.
pub(crate) fn check(password: &str) -> Result<(), Problem> {
    if password.chars().count() < LENGTH_MIN {
        return Err(problems::bad(format!("a password has at least {LENGTH_MIN} characters")));
    }
    if password.len() > BYTES_MAX {
        return Err(problems::bad(format!("a password has at most {BYTES_MAX} bytes")));
    }
    Ok(())
}

impl House {
    /// What is kept of a password.
    pub(crate) async fn hash(&self, password: &str) -> Result<String, Problem> {
        let hashed = self.passwords.hash(password).await.map_err(busy)?;
        hashed.map_err(|error| {
            tracing::error!("a password cannot be hashed: {error}");
            problems::internal()
        })
    }

    /// Gives an account another password.
    pub(crate) async fn new_password(&self, user: &str, hash: &str) -> Result<Write, Problem> {
        let table = self.table("chat_accounts").await?;
        let it = self.condition(&table, "user_id = claims.user", &[("user", user.into())])?;
        let sets = self.sets(&table, [("password_hash", Set::Value(text(hash)))])?;
        Ok(Write::update(table, Some(it), sets).expecting(1..=1))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    old: String,
    new: String,
}

/// `POST /me/password`: whoever else is logged in as this user is no longer.
pub(crate) async fn change(
    State(house): State<Shared>,
    Person(user): Person,
    Peer(from): Peer,
    parts: Parts,
    body: Result<Json<Change>, JsonRejection>,
) -> Result<Response, Refusal> {
    let Json(Change { old, new }) = body.map_err(problems::of_body)?;
    check(&new)?;
    let account = house.account(&user).await?;
    let attempt = house.tries.begin(&format!("login {}", account.email), from).map_err(wait)?;
    match house.passwords.is(&old, &account.password_hash).await {
        Ok(true) => attempt.was_right(),
        Ok(false) => return Err(wrong("the old password is wrong").into()),
        Err(all) => {
            attempt.was_none();
            return Err(busy(all).into());
        }
    }
    let hash = house.hash(&new).await?;
    let write = house.new_password(&user, &hash).await?;
    house.store.write(vec![write]).await.map_err(problems::of_store)?;
    house.sessions.revoke(&user).await?;
    house.welcome(&parts, &account, StatusCode::OK).await
}
