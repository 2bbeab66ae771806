//! Talks: made, named, pictured.

pub(crate) mod leave;
pub(crate) mod members;
pub(crate) mod people;
pub(crate) mod talk;
pub(crate) mod talks;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use rowcast::event::Value;
use rowcast::gateway::Refusal;
use rowcast::store::Set;
use serde::{Deserialize, Deserializer};
use serde_json::{Value as JsonValue, json};
use uuid::Uuid;

use self::people::MEMBERS_MAX;
use self::talk::{Kind, Talk, member, nowhere, room};
use crate::accounts::name;
use crate::change::{Broken, ONE, decided};
use crate::contacts::nobody;
use crate::contacts::pair::State as Standing;
use crate::house::{House, Shared};
use crate::messages::event::Event;
use crate::person::Person;
use crate::records::Record;
use crate::{problems, words};

/// What a direct talk's id is made in.
const TALKS: Uuid = Uuid::from_u128(0x6f2d_9a54_3c1b_4e07_9b8a_d0c4_f1e2_7a35);

/// And that of a group which its maker has named.
const GROUPS: Uuid = Uuid::from_u128(0x1f0c_7d3a_95e2_4b68_8c4d_2a6e_70b9_e513);

/// What talk to begin.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Wanted {
    Direct { user: String },
    Group { name: String, members: Vec<String>, nonce: Option<String> },
}

/// What to change of a group.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Look {
    name: Option<String>,
    /// `None`: as it is. `Some(None)`: none.
    #[serde(default, deserialize_with = "given")]
    picture: Option<Option<String>>,
}

/// Tells `null` from nothing.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

type Answer = Result<(StatusCode, Json<JsonValue>), Refusal>;

/// `POST /rooms`
pub(crate) async fn begin(
    State(house): State<Shared>,
    Person(me): Person,
    body: Result<Json<Wanted>, JsonRejection>,
) -> Answer {
    let Json(wanted) = body.map_err(problems::of_body)?;
    let (status, row) = match wanted {
        Wanted::Direct { user } => decided(|| direct(&house, &me, &user)).await?,
        Wanted::Group { name: called, members, nonce } => {
            let called = name::name(&called)?;
            let members = others(&me, members)?;
            let id = nonce.map(|nonce| words::nonce(&nonce).map(|()| group_id(&me, &nonce))).transpose()?;
            decided(|| group(&house, &me, id.as_deref(), &called, &members)).await?
        }
    };
    Ok((status, Json(json!({ "room": row.json()? }))))
}

/// The talk between two, of which there is one.
fn direct_id(one: &str, two: &str) -> String {
    let (first, second) = if one <= two { (one, two) } else { (two, one) };
    Uuid::new_v5(&TALKS, format!("{first}\n{second}").as_bytes()).to_string()
}

/// The group that somebody has made under a nonce, of which there is one.
fn group_id(me: &str, nonce: &str) -> String {
    Uuid::new_v5(&GROUPS, format!("{me}\n{nonce}").as_bytes()).to_string()
}

async fn direct(house: &House, me: &str, them: &str) -> Result<(StatusCode, Record), Broken> {
    if !words::is_id(them) {
        return Err(nobody().into());
    }
    if me == them {
        return Err(problems::bad("a talk is between two").into());
    }
    let id = direct_id(me, them);
    if let Some(row) = house.find_rows(&room(&id)).await?.into_iter().next() {
        return Ok((StatusCode::OK, row));
    }
    if !house.is_known(me, them).await? {
        return Err(nobody().into());
    }
    let pair = house.pair(me, them).await?;
    pair.may_talk()?;
    let both = house.people(&[me, them]).await?;
    if both.len() != 2 {
        return Err(nobody().into());
    }
    let talk = Talk { id: id.as_str().into(), kind: Kind::Direct([me.into(), them.into()]) };
    let mut change = house.change();
    let made = change.make(&talk, "direct", None, me).await?;
    for side in pair.in_order() {
        match side.state {
            Standing::Absent if side.owner == me => drop(change.stand(side, &Standing::None, None).await?),
            _ => change.hold(side).await?,
        }
    }
    for who in &both {
        change.join(&talk, who, "member").await?;
    }
    Ok((StatusCode::CREATED, change.commit().await?.row(made)?))
}

/// Everybody but me, each once.
fn others(me: &str, mut members: Vec<String>) -> Result<Vec<String>, Refusal> {
    members.retain(|member| member != me);
    members.sort_unstable();
    members.dedup();
    if !members.iter().all(|member| words::is_id(member)) {
        return Err(nobody().into());
    }
    match members.len() {
        1..MEMBERS_MAX => Ok(members),
        0 => Err(problems::bad("a group has somebody else in it").into()),
        _ => Err(problems::bad(format!("a group has at most {MEMBERS_MAX} members")).into()),
    }
}

/// `id` is that of a group which may have been made before its answer was lost.
async fn group(
    house: &House,
    me: &str,
    id: Option<&str>,
    name: &str,
    members: &[String],
) -> Result<(StatusCode, Record), Broken> {
    if let Some(id) = id
        && let Some(row) = house.find_rows(&room(id)).await?.into_iter().next()
    {
        return match house.find_rows(&member(id, me)).await?.is_empty() {
            true => Err(problems::conflict("this nonce is that of a group that you have left").into()),
            false => Ok((StatusCode::OK, row)),
        };
    }
    let all: Vec<&str> = std::iter::once(me).chain(members.iter().map(String::as_str)).collect();
    let id = id.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
    let talk = Talk { id: id.into(), kind: Kind::Group };
    let mut change = house.change();
    change.make(&talk, "group", Some(name), me).await?;
    change.require_contacts(me, members).await?;
    let people = house.people(&all).await?;
    let mine = people.iter().find(|who| who.id == me).cloned().ok_or_else(nobody)?;
    for who in &people {
        change.join(&talk, who, if who.id == me { "owner" } else { "member" }).await?;
    }
    change.tell(&talk, me, &mine, &Event::Made).await?;
    change.commit().await?;
    let row = house.find_rows(&room(&talk.id)).await?.into_iter().next().ok_or_else(nowhere)?;
    Ok((StatusCode::CREATED, row))
}

/// `PATCH /rooms/{id}`
pub(crate) async fn look(
    State(house): State<Shared>,
    Person(me): Person,
    Path(id): Path<String>,
    body: Result<Json<Look>, JsonRejection>,
) -> Result<Json<JsonValue>, Refusal> {
    let Json(look) = body.map_err(problems::of_body)?;
    let name = look.name.as_deref().map(name::name).transpose()?;
    decided(|| async {
        let talk = house.talk(&id).await?;
        house.own_member(&talk, &me).await?;
        talk.group()?;
        let mut change = house.change();
        change.claim_talk(&talk).await?;
        let mine = change.require_leader(&talk, &me).await?;
        if let Some(name) = &name {
            let set = vec![("name", Set::Value(Value::Text(name.as_str().into())))];
            change.update(room(&talk.id), set, ONE).await?;
            change.tell(&talk, &me, &mine, &Event::Renamed { to: name }).await?;
        }
        if let Some(picture) = &look.picture {
            if picture.as_deref().is_some_and(|picture| !words::is_id(picture)) {
                return Err(nowhere().into());
            }
            let not_mine = problems::bad("`picture` is no picture that you have sent here");
            let not_mine = not_mine.hint("POST /chat/api/files?picture=1");
            change.show("chat_rooms", &talk.id, &me, picture.as_deref(), not_mine).await?;
            change.tell(&talk, &me, &mine, &Event::Picture).await?;
        }
        change.commit().await
    })
    .await?;
    let row = house.find_rows(&room(&id)).await?.into_iter().next().ok_or_else(nowhere)?;
    Ok(Json(json!({ "room": row.json()? })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_talk_between_two_is_the_same_for_both() {
        assert_eq!(direct_id("ada", "bob"), direct_id("bob", "ada"));
        assert_ne!(direct_id("ada", "bob"), direct_id("ada", "bo"));
        assert_eq!(direct_id("ada", "bob").len(), 36);
    }

    #[test]
    fn a_nonce_is_its_makers() {
        assert_eq!(group_id("ada", "one"), group_id("ada", "one"));
        assert_ne!(group_id("ada", "one"), group_id("bob", "one"));
        assert_ne!(group_id("ada", "one"), direct_id("ada", "one"));
    }
}
