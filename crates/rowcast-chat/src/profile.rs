//! What somebody shows of himself, and what others' rows have copies of.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::request::Parts;
use rowcast::gateway::Refusal;
use rowcast::store::{ANY_NUMBER, Set};
use serde::{Deserialize, Deserializer};
use serde_json::{Value as JsonValue, json};

use crate::accounts::name;
use crate::change::{ONE, Rows, decided};
use crate::house::Shared;
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
    decided(|| async {
        let mut change = house.change();
        let (mut own, mut copied) = (Vec::new(), Vec::new());
        if let Some(name) = &name {
            own.push(("name", Set::Value(text(name))));
            copied.push(("name", Set::Value(text(name))));
        }
        own.extend(about.iter().map(|about| ("about", Set::Value(text(about)))));
        if !own.is_empty() {
            change.update(Rows::new("chat_profiles", "id = claims.user", &bound(&user)), own, ONE).await?;
        }
        if let Some(picture) = &picture {
            let picture = picture.as_deref();
            let not_mine = problems::not_found("you have no such picture");
            change.show("chat_profiles", &user, &user, picture, not_mine).await?;
            copied.push(("picture", Set::Value(text_or_null(picture))));
        }
        if !copied.is_empty() {
            change
                .update(Rows::new("chat_members", "user_id = claims.user", &bound(&user)), copied, ANY_NUMBER)
                .await?;
        }
        if change.next() > 0 {
            change.commit().await?;
        }
        Ok(())
    })
    .await?;
    me(State(house), Person(user), parts).await
}

fn bound(user: &str) -> [(&'static str, JsonValue); 1] {
    [("user", user.into())]
}
