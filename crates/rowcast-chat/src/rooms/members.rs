//! Who is in a group: added, given another role. Leaving is in `leave`.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use rowcast::gateway::Refusal;
use serde::Deserialize;
use serde_json::{Value, json};

use super::people::{MEMBERS_MAX, Member};
use super::talk::{Talk, member, members};
use crate::change::{Broken, decided};
use crate::contacts::nobody;
use crate::house::{House, Shared};
use crate::messages::event::Event;
use crate::person::Person;
use crate::{problems, words};

/// Whom to add.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Whom {
    user: String,
}

/// What somebody is in a group.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct As {
    role: Role,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Role {
    Owner,
    Admin,
    Member,
}

impl Role {
    fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
        }
    }
}

type Answer = Result<(StatusCode, Json<Value>), Refusal>;

/// `POST /rooms/{id}/members`
pub(crate) async fn add(
    State(house): State<Shared>,
    Person(me): Person,
    Path(id): Path<String>,
    body: Result<Json<Whom>, JsonRejection>,
) -> Answer {
    let Json(Whom { user }) = body.map_err(problems::of_body)?;
    if !words::is_id(&user) {
        return Err(nobody().into());
    }
    let status = decided(|| async {
        let talk = house.talk(&id).await?;
        house.own_member(&talk, &me).await?;
        talk.group()?;
        let mut change = house.change();
        change.claim_talk(&talk).await?;
        let mine = change.require_leader(&talk, &me).await?;
        if !house.find_rows(&member(&talk.id, &user)).await?.is_empty() {
            return Ok(StatusCode::OK);
        }
        change.require_contacts(&me, std::slice::from_ref(&user)).await?;
        let full = problems::conflict(format!("a group has at most {MEMBERS_MAX} members"));
        change.require(members(&talk.id), 0..=MEMBERS_MAX as u64 - 1).await?.or(full);
        let Some(who) = house.people(&[&user]).await?.pop() else {
            // As to whom I do not know.
            return Err(problems::forbidden(
                "only people who have accepted you, and you them, can be added to a group",
            )
            .into());
        };
        change.join(&talk, &who, "member").await?;
        change.tell(&talk, &me, &who, &Event::Added { by: &mine }).await?;
        change.commit().await?;
        Ok(StatusCode::CREATED)
    });
    let status = status.await?;
    shown(&house, status, &id, &user).await
}

/// `PATCH /rooms/{id}/members/{user}`
pub(crate) async fn role(
    State(house): State<Shared>,
    Person(me): Person,
    Path((id, user)): Path<(String, String)>,
    body: Result<Json<As>, JsonRejection>,
) -> Answer {
    let Json(As { role }) = body.map_err(problems::of_body)?;
    decided(|| async {
        let talk = house.talk(&id).await?;
        let mine = house.own_member(&talk, &me).await?;
        talk.group()?;
        if !mine.owns() {
            return Err(problems::forbidden("only owners of the group may do this").into());
        }
        let all = house.members(&talk).await?;
        let theirs = all.iter().find(|member| member.who.id == user).ok_or_else(nobody)?;
        if theirs.role == role.as_str() {
            return Ok(());
        }
        if theirs.owns() && all.iter().filter(|member| member.owns()).count() == 1 {
            let problem = problems::conflict("a group has an owner");
            return Err(problem.hint("make somebody else an owner first").into());
        }
        let mut change = house.change();
        change.claim_talk(&talk).await?;
        // All owners stay what they are, and so one is left.
        for owner in all.iter().filter(|member| member.owns() && member.who.id != user) {
            change.hold_role(&talk, owner).await?;
        }
        change.set_role(&talk, theirs, role.as_str()).await?;
        let event = Event::Role { role: role.as_str(), by: &mine.who };
        change.tell(&talk, &me, &theirs.who, &event).await?;
        change.commit().await.map(drop)
    })
    .await?;
    shown(&house, StatusCode::OK, &id, &user).await
}

async fn shown(house: &House, status: StatusCode, room: &str, user: &str) -> Answer {
    let rows = house.find_rows(&member(room, user)).await?;
    let row = rows.first().ok_or_else(nobody)?;
    Ok((status, Json(json!({ "member": row.json()? }))))
}

impl House {
    /// Everybody in a talk.
    pub(crate) async fn members(&self, talk: &Talk) -> Result<Vec<Member>, Broken> {
        Ok(self.find_rows(&members(&talk.id)).await?.iter().map(Member::of).collect())
    }
}
