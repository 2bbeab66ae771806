//! A link, and its QR code, by which somebody can be added to another's contacts.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::{self, HeaderMap};
use axum::http::request::Parts;
use axum::response::IntoResponse;
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};
use rowcast::gateway::Refusal;
use rowcast::store::{Set, Write};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::accounts::Account;
use crate::house::{House, Shared};
use crate::person::Person;
use crate::problems;
use crate::records::text;

/// What comes before the code.
const PLACE: &str = "/chat/add/";

impl House {
    /// Where somebody is added: below the configured place, or where the request came to.
    pub(crate) fn link_of(&self, account: &Account, parts: &Parts) -> String {
        let here = self.settings.public_url.clone().unwrap_or_else(|| here(parts));
        format!("{here}{PLACE}{}", account.link)
    }
}

/// The server as the request names it.
fn here(parts: &Parts) -> String {
    let text = |headers: &HeaderMap, name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
    let of_uri = || parts.uri.authority().map(ToString::to_string);
    let host = text(&parts.headers, "host").or_else(of_uri).unwrap_or_else(|| "localhost".into());
    // A proxy that speaks TLS for us says so; who says it for himself has a link that does not work.
    let is_secure = text(&parts.headers, "x-forwarded-proto").is_some_and(|scheme| scheme == "https");
    format!("{}://{host}", if is_secure { "https" } else { "http" })
}

/// `POST /me/link`: the earlier one leads nowhere any more.
pub(crate) async fn renew(
    State(house): State<Shared>,
    Person(user): Person,
    parts: Parts,
) -> Result<Json<Value>, Refusal> {
    let account = Account { link: Uuid::new_v4().to_string(), ..house.account(&user).await? };
    let table = house.table("chat_accounts").await?;
    let it = house.condition(&table, "user_id = claims.user", &[("user", (*user).into())])?;
    let sets = house.sets(&table, [("link", Set::Value(text(&account.link)))])?;
    let write = Write::update(table, Some(it), sets).expecting(1..=1);
    house.store.write(vec![write]).await.map_err(problems::of_store)?;
    Ok(Json(json!({ "link": house.link_of(&account, &parts) })))
}

/// `GET /me/link.svg`
pub(crate) async fn picture(
    State(house): State<Shared>,
    Person(user): Person,
    parts: Parts,
) -> Result<impl IntoResponse, Refusal> {
    let link = house.link_of(&house.account(&user).await?, &parts);
    let code = QrCode::with_error_correction_level(&link, EcLevel::M).map_err(|error| {
        tracing::error!("a link is too long for a QR code: {error}");
        problems::internal()
    })?;
    let picture = code.render::<svg::Color<'_>>().min_dimensions(240, 240).build();
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; sandbox"),
    ];
    Ok((headers, picture))
}

/// `GET /links/{code}`: whom one would add. Whoever is blocked finds nobody.
pub(crate) async fn whose(
    State(house): State<Shared>,
    Person(user): Person,
    Path(code): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let nobody = || problems::not_found("this link leads nowhere; ask for another one");
    let account = house.account_of_link(&code).await?.ok_or_else(nobody)?;
    let bound = [("owner", account.user.as_str().into()), ("contact", (*user).into())];
    let filter = "owner = claims.owner and contact = claims.contact and state = 'blocked'";
    if !house.find("chat_contacts", filter, &bound).await?.is_empty() {
        return Err(nobody().into());
    }
    let rows = house.find("chat_profiles", "id = claims.user", &[("user", account.user.as_str().into())]).await?;
    let profile = rows.first().ok_or_else(nobody)?;
    let user = json!({ "id": account.user, "name": profile.text("name"), "picture": profile.text("picture") });
    Ok(Json(json!({ "user": user })))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[track_caller]
    fn check(headers: &[(&str, &str)], expected: &str) {
        let request = headers.iter().fold(Request::get("/me"), |request, (name, value)| request.header(*name, *value));
        assert_eq!(here(&request.body(()).expect("a request").into_parts().0), expected);
    }

    #[test]
    fn a_link_leads_to_where_the_request_came_to() {
        check(&[("host", "127.0.0.1:3000")], "http://127.0.0.1:3000");
        check(&[("host", "chat.example.com"), ("x-forwarded-proto", "https")], "https://chat.example.com");
    }
}
