//! Accounts: who has one, and what is said of it.
//!
//! Whether an address has an account is not to be found out: neither by an answer nor by the time that it takes.

pub(crate) mod ask;
pub(crate) mod code;
pub(crate) mod email;
pub(crate) mod login;
pub(crate) mod name;
pub(crate) mod password;
pub(crate) mod reset;
pub(crate) mod signup;
pub(crate) mod verify;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::Json;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rowcast::auth::Busy;
use rowcast::gateway::{Known, Refusal};
use rowcast::protocol::{Code, Problem};
use serde_json::{Map, Value, json};

use crate::house::House;
use crate::problems;
use crate::records::Record;

/// A row of `chat_accounts`.
pub(crate) struct Account {
    pub(crate) user: String,
    pub(crate) email: String,
    pub(crate) password_hash: String,
    pub(crate) is_verified: bool,
    /// What a link to it ends with.
    pub(crate) link: String,
}

impl Account {
    fn of(row: &Record) -> Self {
        let text = |column| row.text(column).unwrap_or_default().to_owned();
        Self {
            user: text("user_id"),
            email: text("email"),
            password_hash: text("password_hash"),
            is_verified: row.text("verified_at").is_some(),
            link: text("link"),
        }
    }
}

impl House {
    pub(crate) async fn account_of_email(&self, email: &str) -> Result<Option<Account>, Refusal> {
        let rows = self.find("chat_accounts", "email = claims.email", &[("email", email.into())]).await?;
        Ok(rows.first().map(Account::of))
    }

    pub(crate) async fn account_of_link(&self, link: &str) -> Result<Option<Account>, Refusal> {
        let rows = self.find("chat_accounts", "link = claims.link", &[("link", link.into())]).await?;
        Ok(rows.first().map(Account::of))
    }

    /// Of somebody who is logged in. Whoever has a token of elsewhere may have none.
    pub(crate) async fn account(&self, user: &str) -> Result<Account, Refusal> {
        let rows = self.find("chat_accounts", "user_id = claims.user", &[("user", user.into())]).await?;
        let none = || problems::forbidden("you have no account in this chat").hint("sign up, or log in");
        Ok(rows.first().map(Account::of).ok_or_else(none)?)
    }

    /// What an account is told of itself: `{"id","name","about","picture","email"}`.
    pub(crate) async fn description(&self, account: &Account) -> Result<Value, Refusal> {
        let rows = self.find("chat_profiles", "id = claims.user", &[("user", account.user.as_str().into())]).await?;
        let text = |column| rows.first().and_then(|row| row.text(column));
        Ok(json!({
            "id": account.user,
            "name": text("name").unwrap_or_default(),
            "about": text("about").unwrap_or_default(),
            "picture": text("picture"),
            "email": account.email,
        }))
    }

    /// Makes somebody known by the cookie.
    pub(crate) async fn known(&self, parts: &Parts, user: &str) -> Result<Known, Problem> {
        let claims = Map::from_iter([("sub".to_owned(), user.into())]);
        self.sessions.begin(parts, claims, Some(self.settings.token_ttl)).await
    }

    /// Makes an account's user known, and says who it is.
    pub(crate) async fn welcome(
        &self,
        parts: &Parts,
        account: &Account,
        status: StatusCode,
    ) -> Result<Response, Refusal> {
        let description = self.description(account).await?;
        let known = self.known(parts, &account.user).await?;
        Ok(answer_with(status, known.cookie, &json!({ "user": description })))
    }
}

fn answer_with(status: StatusCode, cookie: HeaderValue, body: &Value) -> Response {
    (status, [(header::SET_COOKIE, cookie)], Json(body)).into_response()
}

/// Where a request comes from, as trusted proxies say it.
pub(crate) struct Peer(pub(crate) IpAddr);

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self(peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip())))
    }
}

/// There were too many attempts.
pub(crate) fn wait(wait: std::time::Duration) -> Problem {
    let seconds = wait.as_secs().max(1);
    let problem = Problem::new(Code::RateLimited, format!("there were too many attempts; try again in {seconds} s"));
    problem.retry_after(wait)
}

/// Too many passwords are looked at in the moment.
pub(crate) fn busy(busy: Busy) -> Problem {
    problems::unavailable(busy.to_string())
}

/// An account's address or password, or a code, is not right. It is not said which.
pub(crate) fn wrong(message: &str) -> Problem {
    Problem::new(Code::Unauthenticated, message)
}
