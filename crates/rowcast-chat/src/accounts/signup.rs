//! Signing up.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use rowcast::event::Value;
use rowcast::gateway::Refusal;
use rowcast::protocol::Problem;
use rowcast::store::{Set, StoreError, ViolationKind, Write};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::code::{Fresh, Purpose};
use super::{Account, Peer, busy, email, name, password, wait};
use crate::house::{House, Shared};
use crate::problems;
use crate::records::text;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignUp {
    email: String,
    password: String,
    name: String,
}

/// Somebody who wants an account, as it would be kept.
struct Applicant {
    email: String,
    hash: String,
    name: String,
    /// Whether the password is that of the account that there is already.
    is_same: bool,
}

/// `POST /signup`
pub(crate) async fn sign_up(
    State(house): State<Shared>,
    Peer(from): Peer,
    parts: Parts,
    body: Result<Json<SignUp>, JsonRejection>,
) -> Result<Response, Refusal> {
    let Json(SignUp { email, password, name }) = body.map_err(problems::of_body)?;
    let (email, name) = (email::normalized(&email)?, name::name(&name)?);
    password::check(&password)?;
    let attempt = house.mails.begin(&format!("signup {email}"), from).map_err(wait)?;
    let known = house.account_of_email(&email).await?;
    // As much work for one who is there as for one who is not.
    let kept = known.as_ref().map(|account| account.password_hash.as_str());
    let is_same = house.passwords.is_of(&password, kept).await.map_err(busy)?;
    let hash = house.hash(&password).await?;
    let applicant = Applicant { email, hash, name, is_same };
    if house.settings.verify {
        house.apply(known, applicant).await?;
        return Ok((StatusCode::ACCEPTED, Json(json!({ "verify": true }))).into_response());
    }
    let account = match known {
        Some(_) => None,
        None => house.open_account(&applicant, Vec::new()).await?,
    };
    let account = account.ok_or_else(|| problems::conflict("somebody has signed up with this address already"))?;
    attempt.was_right();
    house.welcome(&parts, &account, StatusCode::CREATED).await
}

impl House {
    /// What follows is by mail, to whom the address belongs; whoever has asked hears the same in any case.
    async fn apply(self: &Shared, known: Option<Account>, applicant: Applicant) -> Result<(), Refusal> {
        let known = match known {
            Some(account) => account,
            None => {
                let user = Uuid::new_v4().to_string();
                let fresh = self.new_code(&user, Purpose::Verify).await?;
                let opened = self.open_account_as(&user, &applicant, vec![fresh.write]).await?;
                match opened {
                    Some(account) => {
                        self.mail_code(&account.email, &fresh.code);
                        return Ok(());
                    }
                    // Another one was faster by a moment.
                    None => match self.account_of_email(&applicant.email).await? {
                        Some(account) => account,
                        None => return Err(problems::unavailable("try again").into()),
                    },
                }
            }
        };
        let Fresh { code, write } = self.new_code(&known.user, Purpose::Verify).await?;
        let mut writes = vec![write, self.old_codes().await?];
        if !known.is_verified && !applicant.is_same {
            // Of two who sign up with one address it is not known whose it is before the code was shown: neither's password is good then.
            writes.push(self.new_password(&known.user, &self.nobodys_hash).await?);
        }
        self.store.write(writes).await.map_err(problems::of_store)?;
        match known.is_verified {
            true => self.mail_beside(&applicant.email, "You have an account already", KNOWN.to_owned()),
            false => self.mail_code(&applicant.email, &code),
        }
        Ok(())
    }

    async fn open_account(&self, applicant: &Applicant, also: Vec<Write>) -> Result<Option<Account>, Problem> {
        self.open_account_as(&Uuid::new_v4().to_string(), applicant, also).await
    }

    /// The account, its profile, and what goes with it. `None`: there is one with this address.
    async fn open_account_as(
        &self,
        user: &str,
        applicant: &Applicant,
        also: Vec<Write>,
    ) -> Result<Option<Account>, Problem> {
        let Applicant { email, hash, name, .. } = applicant;
        let (accounts, profiles) = (self.table("chat_accounts").await?, self.table("chat_profiles").await?);
        let link = Uuid::new_v4().to_string();
        let account = self.cells(
            &accounts,
            [
                ("user_id", text(user)),
                ("email", text(email)),
                ("password_hash", text(hash)),
                ("verified_at", Value::Null),
                ("link", text(&link)),
            ],
        )?;
        let profile = self.cells(&profiles, [("id", text(user)), ("name", text(name))])?;
        let mut writes = vec![Write::insert(accounts, account), Write::insert(profiles, profile)];
        writes.extend(also);
        match self.store.write(writes).await {
            Ok(_) => {
                let (user, email, password_hash) = (user.to_owned(), email.clone(), hash.clone());
                Ok(Some(Account { user, email, password_hash, is_verified: false, link }))
            }
            Err(StoreError::Violated(violation)) if violation.kind == ViolationKind::Unique => Ok(None),
            Err(error) => Err(problems::of_store(error)),
        }
    }

    /// Nobody waits for the mail: how long it takes would tell whether there is one.
    pub(crate) fn mail_beside(self: &Shared, to: &str, subject: &'static str, body: String) {
        let (house, to) = (self.clone(), to.to_owned());
        // A problem has been written down.
        tokio::spawn(async move { house.mail.send(&to, subject, body).await });
    }

    pub(super) fn mail_code(self: &Shared, to: &str, code: &str) {
        let body = format!(
            "Your code is {code}. It is good for ten minutes.\n\nIf you have not asked for it, there is nothing to do.\n"
        );
        self.mail_beside(to, "Your code", body);
    }

    /// Whether an account's address was shown to be its owner's is noted.
    pub(crate) async fn verified(&self, user: &str) -> Result<Write, Problem> {
        let table = self.table("chat_accounts").await?;
        let it = self.condition(&table, "user_id = claims.user", &[("user", user.into())])?;
        let sets = self.sets(&table, [("verified_at", Set::Value(self.now()))])?;
        Ok(Write::update(table, Some(it), sets).expecting(1..=1))
    }
}

// Short lines are sent as they are.
const KNOWN: &str = "Somebody, perhaps you, wanted to sign up with this address.\n\
It has an account already: log in. If you have forgotten your\n\
password, the page offers a code to choose another one.\n\n\
If it was not you, there is nothing to do.\n";
