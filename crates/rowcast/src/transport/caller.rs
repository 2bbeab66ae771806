//! Who sends a request: found once, before any door sees it, for all doors.
//!
//! Every path but those in `entrance`'s list needs a token, or anonymous access that is configured. A token that is not accepted is never
//! taken for none.

mod entrance;
mod token;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderValue, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use self::entrance::Entrance;
use self::token::Found;
use super::reply::Refusal;
use super::{Doors, influx, login};
use crate::auth::{Identity, Rejected, tenant_of_host};
use crate::protocol::{Code, Problem};
use crate::session::{self, access::may_administer};

/// Who sends a request, as far as its token says. Where nobody has asked for one, it is unknown.
#[derive(Debug, Clone)]
pub struct Caller(pub Arc<Identity>);

impl Caller {
    /// As it was found when the request came in. One that nobody has looked for is unknown.
    pub(super) fn of(extensions: &Extensions) -> Self {
        extensions.get().cloned().unwrap_or_else(|| Self(Identity::unknown()))
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}

/// What came of looking for a Socket.IO client's token in its handshake. It is told when it asks for a namespace.
#[derive(Debug, Clone)]
pub(super) struct Arrival(pub(super) Result<Arc<Identity>, Box<Problem>>);

/// Why a request does not come in.
struct Refused {
    problem: Problem,
    /// RFC 6750, section 3.1; `None` where there was no token at all.
    error: Option<&'static str>,
    /// Whether it is for the cookie alone, which will never be good again.
    of_cookie: bool,
}

impl Refused {
    fn new(problem: Problem, error: Option<&'static str>) -> Self {
        Self { problem, error, of_cookie: false }
    }
}

/// Finds out who sends a request, and lets in who may come.
pub(super) async fn find(State(doors): State<Doors>, request: Request, next: Next) -> Response {
    let entrance = Entrance::of(&doors, &request);
    find_at(entrance, &doors, request, next).await
}

/// The same for paths that are not ours: each needs a token in a header or a cookie.
pub(super) async fn find_plain(State(doors): State<Doors>, request: Request, next: Next) -> Response {
    find_at(Entrance::Plain, &doors, request, next).await
}

async fn find_at(entrance: Entrance, doors: &Doors, mut request: Request, next: Next) -> Response {
    let Some(auth) = &doors.node.auth else {
        request.extensions_mut().insert(Caller(Identity::trusted()));
        return next.run(request).await;
    };
    let (mut parts, body) = request.into_parts();
    let caller = match entrance {
        Entrance::Open => Identity::unknown(),
        _ => match identify(doors, entrance, &mut parts).await {
            Ok(Some(identity)) => identity,
            Ok(None) if auth.settings.anonymous => Identity::anonymous(),
            Ok(None) if entrance.may_tell_later() => Identity::unknown(),
            Ok(None) => return refuse(entrance, doors, &parts, nobody()),
            Err(refused) => return refuse(entrance, doors, &parts, refused),
        },
    };
    let caller = match entrance {
        Entrance::Open => caller,
        _ => match at_host(doors, caller, &parts) {
            Ok(caller) => caller,
            Err(refused) => return refuse(entrance, doors, &parts, refused),
        },
    };
    parts.extensions.insert(Caller(caller));
    let mut response = next.run(Request::from_parts(parts, body)).await;
    // What one may see is not for the next one.
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The same for Engine.IO, whose clients are refused one namespace at a time.
pub(super) async fn arrive(State(doors): State<Doors>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let arrival = match &doors.node.auth {
        None => Ok(Identity::trusted()),
        Some(auth) => match identify(&doors, Entrance::Later, &mut parts).await {
            Ok(Some(identity)) => Ok(identity),
            Ok(None) if auth.settings.anonymous => Ok(Identity::anonymous()),
            Ok(None) => Ok(Identity::unknown()),
            Err(refused) => Err(Box::new(refused.problem)),
        },
    };
    let arrival =
        arrival.and_then(|caller| at_host(&doors, caller, &parts).map_err(|refused| Box::new(refused.problem)));
    parts.extensions.insert(Arrival(arrival));
    next.run(Request::from_parts(parts, body)).await
}

/// The token of the Authorization header.
pub(super) fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    token::of_header(value, Entrance::Exchange).ok()
}

/// Whether a request is known to come from a page that is not ours.
pub(super) fn is_foreign_page(doors: &Doors, headers: &HeaderMap, uri: &Uri) -> bool {
    doors.origins.is_own(headers, uri) == Some(false)
}

/// Lets only those on who may see and change how the gateway itself is.
pub(super) async fn administrators(State(doors): State<Doors>, request: Request, next: Next) -> Response {
    let Caller(identity) = Caller::of(request.extensions());
    match may_administer(&doors.node, &identity) {
        Ok(()) => next.run(request).await,
        Err(problem) => Refusal(problem).into_response(),
    }
}

/// Whose the request's token is; `None` where there is none.
async fn identify(doors: &Doors, entrance: Entrance, parts: &mut Parts) -> Result<Option<Arc<Identity>>, Refused> {
    let Some(auth) = &doors.node.auth else { return Ok(Some(Identity::trusted())) };
    let found = token::take(parts, entrance, &auth.settings);
    let Some(Found { token, by_cookie }) = found.map_err(|problem| Refused::new(problem, Some("invalid_request")))?
    else {
        return Ok(None);
    };
    if by_cookie && !entrance::is_own_page(&doors.origins, parts) {
        let message = "a request with the cookie has to come from a page of this host, and say so with its Origin";
        let problem = Problem::new(Code::OriginNotAllowed, message);
        let problem = problem.hint("programs send their token as `Authorization: Bearer …`");
        return Err(Refused::new(problem, None));
    }
    match auth.tokens.verify(&token, SystemTime::now()).await {
        Ok(identity) => Ok(Some(identity)),
        Err(rejected) => {
            let for_good = match rejected {
                Rejected::Expired | Rejected::Revoked => true,
                // A key set that could not be fetched may come.
                Rejected::Invalid => auth.tokens.have_fixed_keys(),
                Rejected::Early => false,
            };
            let refused = Refused::new(session::refused(&rejected), Some("invalid_token"));
            Err(Refused { of_cookie: by_cookie && for_good, ..refused })
        }
    }
}

/// Where tenants have hosts of their own, nobody comes by another's.
fn at_host(doors: &Doors, caller: Arc<Identity>, parts: &Parts) -> Result<Arc<Identity>, Refused> {
    let Some(pattern) = doors.node.auth.as_ref().and_then(|auth| auth.settings.tenant_host.as_deref()) else {
        return Ok(caller);
    };
    let header = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    // HTTP/2 has the host in the URI instead.
    let host = header.or_else(|| parts.uri.authority().map(|authority| authority.as_str())).unwrap_or_default();
    let wrong = |message: &str, error| Refused::new(Problem::new(Code::Unauthenticated, message), error);
    let Some(tenant) = tenant_of_host(pattern, host) else {
        return Err(wrong("this host is no tenant's", None));
    };
    caller.at(tenant).ok_or_else(|| wrong("the token is not of this host's tenant", Some("invalid_token")))
}

fn nobody() -> Refused {
    let problem = Problem::new(Code::Unauthenticated, "the request has no token");
    Refused::new(problem.hint("send it as `Authorization: Bearer …`"), None)
}

/// In the door's own words.
fn refuse(entrance: Entrance, doors: &Doors, parts: &Parts, refused: Refused) -> Response {
    let Refused { problem, error, of_cookie } = refused;
    let is_unauthenticated = problem.code == Code::Unauthenticated;
    let mut response = match entrance {
        Entrance::Influx => influx::refuse(parts.uri.path(), &problem),
        _ => Refusal(problem).into_response(),
    };
    if is_unauthenticated {
        let challenge = match error {
            Some("invalid_token") => r#"Bearer realm="rowcast", error="invalid_token""#,
            Some(_) => r#"Bearer realm="rowcast", error="invalid_request""#,
            None => r#"Bearer realm="rowcast""#,
        };
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    // Its page cannot remove it, and would be shut out even from what is open to everybody.
    if of_cookie && let Ok(cookie) = login::no_cookie(doors, &parts.headers, &parts.uri) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}
