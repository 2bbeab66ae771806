//! Who knows whom: adding, accepting, removing, blocking.

pub(crate) mod pair;

use std::net::IpAddr;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State as Shown};
use axum::http::StatusCode;
use rowcast::gateway::Refusal;
use rowcast::protocol::Problem;
use serde::Deserialize;
use serde_json::{Value, json};

use self::pair::{Pair, Side, State, Turn};
use crate::accounts::{Peer, email, wait};
use crate::change::{Broken, Made, Rows, decided};
use crate::house::{House, Shared};
use crate::person::Person;
use crate::{problems, words};

/// Whom to add.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Whom {
    email: Option<String>,
    link: Option<String>,
}

type Answer = Result<(StatusCode, Json<Value>), Refusal>;

/// `POST /contacts`
pub(crate) async fn add(
    Shown(house): Shown<Shared>,
    Person(me): Person,
    Peer(from): Peer,
    body: Result<Json<Whom>, JsonRejection>,
) -> Answer {
    let Json(whom) = body.map_err(problems::of_body)?;
    let them = match (&whom.email, &whom.link) {
        (Some(email), None) => house.person_with_email(&me, email, from).await?,
        (None, Some(link)) => house.person_with_link(link).await?,
        _ => return Err(problems::bad("say whom to add: either `email` or `link`").into()),
    };
    if *them == *me {
        return Err(problems::bad("this is you").into());
    }
    let (turn, made) = decided(|| turn(&house, &me, &them)).await?;
    let status = if turn == Turn::Asks { StatusCode::CREATED } else { StatusCode::OK };
    match made {
        Some(row) => Ok((status, Json(row))),
        None => Ok((status, Json(contact(&house, &me, &them).await?))),
    }
}

/// Asks them, or answers what they have asked.
async fn turn(house: &House, me: &str, them: &str) -> Result<(Turn, Option<Value>), Broken> {
    let pair = house.pair(me, them).await?;
    pair.may_talk()?;
    let turn = pair.turn();
    if turn == Turn::Nothing {
        return Ok((turn, None));
    }
    let mut change = house.change();
    change.turn(&pair).await?;
    let own = pair.in_order().iter().position(|side| side.owner == me).unwrap_or_default();
    let made = change.commit().await?;
    Ok((turn, Some(shown(&made, own)?)))
}

/// `POST /contacts/{user}/accept`
pub(crate) async fn accept(Shown(house): Shown<Shared>, Person(me): Person, Path(them): Path<String>) -> Answer {
    let accepted = decided(|| async {
        let pair = known(&house, &me, &them).await?;
        pair.may_talk()?;
        match pair.turn() {
            Turn::Answers => Ok(turn(&house, &me, &them).await?.1),
            Turn::Nothing if pair.mine.state == State::Accepted => Ok(None),
            Turn::Nothing => Err(problems::conflict("you have asked; it is for them to accept").into()),
            Turn::Asks => Err(problems::conflict("this person has not asked you").hint("add them").into()),
        }
    });
    answer(&house, &me, &them, accepted.await?).await
}

/// `DELETE /contacts/{user}`
pub(crate) async fn remove(
    Shown(house): Shown<Shared>,
    Person(me): Person,
    Path(them): Path<String>,
) -> Result<StatusCode, Refusal> {
    decided(|| async {
        let pair = known(&house, &me, &them).await?;
        if pair.mine.is_blocked() {
            // It would be the end of the block.
            return Err(problems::conflict("you have blocked this person").hint("unblock them first").into());
        }
        let mut change = house.change();
        for side in pair.in_order() {
            match &side.state {
                _ if side.owner == pair.mine.owner => change.forget(side).await?,
                State::Absent => {}
                State::Blocked => drop(change.stand(side, &State::Blocked, Some(&State::None)).await?),
                _ => drop(change.stand(side, &State::None, None).await?),
            }
        }
        change.commit().await
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /contacts/{user}/block`
pub(crate) async fn block(Shown(house): Shown<Shared>, Person(me): Person, Path(them): Path<String>) -> Answer {
    let blocked = decided(|| async {
        if *them == *me || !words::is_id(&them) {
            return Err(nobody().into());
        }
        let pair = house.pair(&me, &them).await?;
        if pair.mine.is_blocked() {
            return Ok(None);
        }
        if pair.mine.state == State::Absent && !house.is_known(&me, &them).await? {
            return Err(nobody().into());
        }
        stand(&house, &pair.mine, &State::Blocked, Some(&pair.mine.state)).await.map(Some)
    });
    answer(&house, &me, &them, blocked.await?).await
}

/// `POST /contacts/{user}/unblock`
pub(crate) async fn unblock(Shown(house): Shown<Shared>, Person(me): Person, Path(them): Path<String>) -> Answer {
    let unblocked = decided(|| async {
        let mine = known(&house, &me, &them).await?.mine;
        if !mine.is_blocked() {
            return Ok(None);
        }
        let state = mine.before.clone().unwrap_or(State::None);
        stand(&house, &mine, &state, None).await.map(Some)
    });
    answer(&house, &me, &them, unblocked.await?).await
}

/// One side becomes another, and nothing else.
async fn stand(house: &House, side: &Side, state: &State, before: Option<&State>) -> Result<Value, Broken> {
    let mut change = house.change();
    let write = change.stand(side, state, before).await?;
    Ok(shown(&change.commit().await?, write)?)
}

/// How I stand to somebody of whom I have a row.
async fn known(house: &House, me: &str, them: &str) -> Result<Pair, Broken> {
    if !words::is_id(them) {
        return Err(nobody().into());
    }
    let pair = house.pair(me, them).await?;
    if pair.mine.state == State::Absent { Err(nobody().into()) } else { Ok(pair) }
}

pub(crate) fn nobody() -> Problem {
    problems::not_found("there is no such person among those you know")
}

/// The row that was made, or as it was all the time.
async fn answer(house: &House, me: &str, them: &str, made: Option<Value>) -> Answer {
    match made {
        Some(row) => Ok((StatusCode::OK, Json(row))),
        None => Ok((StatusCode::OK, Json(contact(house, me, them).await?))),
    }
}

fn shown(made: &Made, write: usize) -> Result<Value, Problem> {
    Ok(json!({ "contact": made.row(write)?.json()? }))
}

async fn contact(house: &House, me: &str, them: &str) -> Result<Value, Refusal> {
    let rows = house.find_rows(&row_of(me, them)).await?;
    let row = rows.first().ok_or_else(nobody)?;
    Ok(json!({ "contact": row.json()? }))
}

/// My row about somebody.
fn row_of(me: &str, them: &str) -> Rows {
    let filter = "owner = claims.me and contact = claims.them";
    Rows::new("chat_contacts", filter, &[("me", me.into()), ("them", them.into())])
}

impl House {
    /// Whose address it is. Who has not shown that it is theirs is not there yet.
    ///
    /// Nobody asks for many: the answer says whether an address has an account, so it counts, whatever it is.
    async fn person_with_email(&self, me: &str, email: &str, from: IpAddr) -> Result<String, Refusal> {
        let email = email::normalized(email)?;
        let attempt = self.asked.begin(me, from).map_err(wait)?;
        let account = self.account_of_email(&email).await?;
        let account = account.filter(|account| account.is_verified || !self.settings.verify);
        let account = account.ok_or_else(|| problems::not_found("nobody here has this address"))?;
        if self.has_contact(me, &account.user).await? {
            // It says nothing new.
            attempt.was_none();
        }
        Ok(account.user)
    }

    async fn person_with_link(&self, link: &str) -> Result<String, Refusal> {
        let nobody = || problems::not_found("this link leads nowhere; ask for another one");
        if !words::is_id(link) {
            return Err(nobody().into());
        }
        Ok(self.account_of_link(link).await?.ok_or_else(nobody)?.user)
    }

    async fn has_contact(&self, me: &str, them: &str) -> Result<bool, Refusal> {
        Ok(!self.find_rows(&row_of(me, them)).await?.is_empty())
    }

    /// Whether I may know that there is such a person: as a contact, or by a talk that we share.
    pub(crate) async fn is_known(&self, me: &str, them: &str) -> Result<bool, Refusal> {
        if self.has_contact(me, them).await? {
            return Ok(true);
        }
        let mine = self.find("chat_members", "user_id = claims.me", &[("me", me.into())]).await?;
        let rooms: Vec<&str> = mine.iter().filter_map(|row| row.text("room")).collect();
        for some in rooms.chunks(500) {
            let filter = "user_id = claims.them and room in claims.rooms";
            let shared = self.find("chat_members", filter, &[("them", them.into()), ("rooms", some.into())]).await?;
            if !shared.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
