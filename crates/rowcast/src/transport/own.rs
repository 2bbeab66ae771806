//! A program's own routes behind the same doors as `/v1`: who asks, whose page it is, what it may cost.
//!
//! Their paths mean nothing here: one that is called as one of ours is not taken for it.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use super::{Doors, address, caller, cors, origin, reply, toll};
use crate::protocol::{Code, Problem};

/// Whoever uses them has shown a token, or is let in without one; [`Caller`](super::Caller) says who it is.
pub(crate) fn for_clients(doors: &Doors, routes: Router) -> Router {
    let routes = routes
        .method_not_allowed_fallback(reply::method_not_allowed)
        .layer(from_fn_with_state(doors.clone(), toll::collect))
        .layer(from_fn_with_state(doors.clone(), caller::find_plain));
    outside(doors, routes)
}

/// Nobody is asked for a token. What changes something has to be JSON, and not from a page that is not ours.
pub(crate) fn for_everybody(doors: &Doors, routes: Router) -> Router {
    let routes = routes
        .method_not_allowed_fallback(reply::method_not_allowed)
        .layer(from_fn_with_state(doors.clone(), toll::collect))
        .layer(from_fn_with_state(doors.clone(), check));
    outside(doors, routes)
}

fn outside(doors: &Doors, routes: Router) -> Router {
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let routes = routes
        .layer(from_fn_with_state(doors.clone(), origin::check))
        .layer(DefaultBodyLimit::max(doors.node.limits.body_bytes))
        .layer(cors(&doors.origins).allow_methods(methods));
    match doors.proxies.is_empty() {
        true => routes,
        false => routes.layer(from_fn_with_state(doors.proxies.clone(), address::look)),
    }
}

/// Refuses what another page could have a browser send.
async fn check(State(doors): State<Doors>, request: Request, next: Next) -> Response {
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if changes && caller::is_foreign_page(&doors, request.headers(), request.uri()) {
        return reply::Refusal(foreign()).into_response();
    }
    if changes && *request.method() != Method::DELETE && !is_json(request.headers()) {
        return reply::Refusal(no_json()).into_response();
    }
    next.run(request).await
}

/// Whether a request says that its body is JSON. What a form of another page can send is not.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

pub(super) fn no_json() -> Problem {
    let problem = Problem::new(Code::UnsupportedMediaType, "the request is JSON");
    problem.hint("send Content-Type: application/json")
}

pub(super) fn foreign() -> Problem {
    Problem::new(Code::OriginNotAllowed, "only pages of this host, and those that are allowed, may do this")
        .hint("add the origin to `http.origins` in the configuration")
}
