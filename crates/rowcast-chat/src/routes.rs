//! All paths of the chat.

use axum::Router;
use axum::http::Uri;
use axum::middleware::from_fn_with_state;
use axum::routing::any;
use rowcast::gateway::{Gateway, Refusal};

use crate::accounts::{ask, login, password, reset, signup, verify};
use crate::house::{self, Shared};
use crate::messages::own;
use crate::paths::{PREFIX, Paths};
use crate::rooms::{leave, members};
use crate::{
    contacts, files, link, messages, openapi, problems, profile, public, reactions, receipts, rooms, seen, unread,
};

/// What nobody has to be logged in for.
fn for_everybody() -> Paths {
    Paths::default()
        .get("/config", public::config)
        .get("/openapi.json", openapi::openapi)
        .post("/signup", signup::sign_up)
        .post("/verify", verify::verify)
        .post("/verify/again", ask::verify_again)
        .post("/login", login::log_in)
        .post("/reset", ask::reset)
        .post("/reset/confirm", reset::confirm)
}

/// What is for those who are logged in: each asks for a [`Person`](crate::person::Person).
fn for_people() -> Paths {
    Paths::default()
        .post("/logout", login::log_out)
        .get("/me", profile::me)
        .patch("/me", profile::change)
        .post("/me/password", password::change)
        .post("/me/link", link::renew)
        .get("/me/link.svg", link::picture)
        .get("/links/{code}", link::whose)
        .post("/seen", seen::seen)
        .post("/contacts", contacts::add)
        .delete("/contacts/{user}", contacts::remove)
        .post("/contacts/{user}/accept", contacts::accept)
        .post("/contacts/{user}/block", contacts::block)
        .post("/contacts/{user}/unblock", contacts::unblock)
        .post("/rooms", rooms::begin)
        .patch("/rooms/{id}", rooms::look)
        .post("/rooms/{id}/members", members::add)
        .patch("/rooms/{id}/members/{user}", members::role)
        .delete("/rooms/{id}/members/{user}", leave::leave)
        .post("/rooms/{id}/messages", messages::send)
        .post("/rooms/{id}/receipt", receipts::receipt)
        .patch("/rooms/{id}/settings", receipts::settings)
        .patch("/messages/{id}", own::edit)
        .delete("/messages/{id}", own::erase)
        .put("/messages/{id}/reactions/{emoji}", reactions::add)
        .delete("/messages/{id}/reactions/{emoji}", reactions::remove)
        .get("/unread", unread::unread)
        .post("/files", files::upload)
        .get("/files/{id}", files::file)
        .get("/files/{id}/thumbnail", files::thumbnail)
}

/// All of them.
#[cfg(test)]
pub(crate) fn known() -> Vec<(&'static str, &'static str)> {
    [for_everybody().known, for_people().known].concat()
}

pub(crate) fn routes(house: Shared, gateway: &Gateway) -> Router {
    let finish =
        |paths: Router<Shared>| paths.layer(from_fn_with_state(house.clone(), house::ready)).with_state(house.clone());
    let everybody = for_everybody().router().route(&format!("{PREFIX}/{{*rest}}"), any(not_found));
    let everybody = gateway.for_everybody(finish(everybody));
    everybody.merge(gateway.for_clients(finish(for_people().router())))
}

async fn not_found(uri: Uri) -> Refusal {
    let path: String = uri.path().chars().take(200).collect();
    let hint = "GET /chat/api/openapi.json lists the paths";
    problems::not_found(format!("there is nothing at {path}")).hint(hint).into()
}
