//! Asking for a code: to show that an address is one's own, or to choose another password.

use std::net::IpAddr;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use rowcast::gateway::Refusal;
use serde::Deserialize;
use serde_json::{Value, json};

use super::code::{Fresh, Purpose, whose};
use super::{Peer, email, wait};
use crate::house::{House, Shared};
use crate::problems;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ask {
    email: String,
}

type Asked = Result<Json<Ask>, JsonRejection>;
type Answer = Result<(StatusCode, Json<Value>), Refusal>;

/// `POST /verify/again`
pub(crate) async fn verify_again(State(house): State<Shared>, Peer(from): Peer, body: Asked) -> Answer {
    house.ask_for_code(body, from, Purpose::Verify).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "verify": true }))))
}

/// `POST /reset`
pub(crate) async fn reset(State(house): State<Shared>, Peer(from): Peer, body: Asked) -> Answer {
    house.ask_for_code(body, from, Purpose::Reset).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "reset": true }))))
}

impl House {
    /// Mails a code to an address, if somebody with that address can use it. It takes as long if nobody can.
    async fn ask_for_code(self: &Shared, body: Asked, from: IpAddr, purpose: Purpose) -> Result<(), Refusal> {
        let Json(Ask { email }) = body.map_err(problems::of_body)?;
        let email = email::normalized(&email)?;
        // Each mail is an attempt that fails, so that nobody gets many.
        drop(self.mails.begin(&format!("mail {email}"), from).map_err(wait)?);
        let account = self.account_of_email(&email).await?;
        let Fresh { code, write } = self.new_code(&whose(account.as_ref(), &email), purpose).await?;
        let writes = vec![write, self.old_codes().await?];
        self.store.write(writes).await.map_err(problems::of_store)?;
        let of_use = account.is_some_and(|account| purpose == Purpose::Reset || !account.is_verified);
        if of_use {
            self.mail_code(&email, &code);
        }
        Ok(())
    }
}
