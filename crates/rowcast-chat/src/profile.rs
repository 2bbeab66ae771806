//! What somebody shows of himself, and what others' rows have copies of.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::request::Parts;
use rowcast::event::Value;
use rowcast::gateway::Refusal;
use rowcast::store::{Set, Write};
use serde::{Deserialize, Deserializer};
use serde_json::{Value as JsonValue, json};

use crate::accounts::name;
use crate::house::{House, Shared};
use crate::person::Person;
use crate::problems;
use crate::records::{text, text_or_null};

/// `GET /me`
pub(crate) async fn me(
    State(house): State<Shared>,
    Person(user): Person,
    parts: Parts,
) -> Result<Json<JsonValue>, Refusal> {
    let account = house.account(&user).await?;
    let description = house.description(&account).await?;
    Ok(Json(json!({ "user": description, "link": house.link_of(&account, &parts) })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    name: Option<String>,
    about: Option<String>,
    /// `Some(None)`: no picture any more.
    #[serde(default, deserialize_with = "said")]
    picture: Option<Option<String>>,
}

/// What was said, also where it is null.
fn said<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// `PATCH /me`
pub(crate) async fn change(
    State(house): State<Shared>,
    Person(user): Person,
    parts: Parts,
    body: Result<Json<Change>, JsonRejection>,
) -> Result<Json<JsonValue>, Refusal> {
    let Json(Change { name, about, picture }) = body.map_err(problems::of_body)?;
    let name = name.map(|name| name::name(&name)).transpose()?;
    let about = about.map(|about| name::about(&about)).transpose()?;
    if let Some(Some(picture)) = &picture {
        house.check_picture(&user, picture).await?;
    }
    let name = name.map(|name| ("name", text(&name)));
    let picture = picture.map(|picture| ("picture", text_or_null(picture.as_deref())));
    let about = about.map(|about| ("about", text(&about)));
    let copied: Vec<_> = [name, picture].into_iter().flatten().collect();
    let own: Vec<_> = copied.iter().cloned().chain(about).collect();
    let mut writes = Vec::new();
    if !own.is_empty() {
        writes.push(house.changed("chat_profiles", "id = claims.user", &user, &own).await?.expecting(1..=1));
    }
    if !copied.is_empty() {
        writes.push(house.changed("chat_members", "user_id = claims.user", &user, &copied).await?);
    }
    if !writes.is_empty() {
        house.store.write(writes).await.map_err(problems::of_store)?;
    }
    me(State(house), Person(user), parts).await
}

impl House {
    async fn changed(&self, table: &str, filter: &str, user: &str, values: &[(&str, Value)]) -> Result<Write, Refusal> {
        let table = self.table(table).await?;
        let filter = self.condition(&table, filter, &[("user", user.into())])?;
        let mut sets = Vec::new();
        for (name, value) in values {
            sets.push((self.column(&table, name)?, Set::Value(value.clone())));
        }
        Ok(Write::update(table, Some(filter), sets))
    }

    /// A picture is one's own file, of no room.
    async fn check_picture(&self, user: &str, file: &str) -> Result<(), Refusal> {
        let bound = [("file", file.into()), ("user", user.into())];
        let filter = "id = claims.file and owner = claims.user and room is null and type like 'image/%'";
        let found = self.find("chat_files", filter, &bound).await?;
        if found.is_empty() { Err(problems::not_found("you have no such picture").into()) } else { Ok(()) }
    }
}
