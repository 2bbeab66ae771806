//! Who asks, and the cookie by which a browser is known without its page having the token.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Map, Value as JsonValue, json};

use super::caller::{Caller, bearer, is_foreign_page};
use super::own::{foreign, is_json, no_json};
use super::reply::Refusal;
use super::{Doors, origin};
use crate::auth::{Identity, NotLoggedIn, Standing};
use crate::protocol::{Code, Problem};

/// Browsers keep 4,096 bytes, the name and what follows the value included.
const COOKIE_BYTES_MAX: usize = 3_900;

type Answer = Result<Response, Refusal>;

/// `GET /v1/whoami`
pub(super) async fn whoami(State(doors): State<Doors>, Caller(identity): Caller) -> Json<JsonValue> {
    Json(describe(&doors, &identity))
}

fn describe(doors: &Doors, identity: &Identity) -> JsonValue {
    let standing = match identity.standing {
        Standing::Trusted => "trusted",
        Standing::Anonymous => "anonymous",
        Standing::Known => "known",
        Standing::Unknown => "unknown",
    };
    let tenant = Some(&*identity.tenant).filter(|tenant| !tenant.is_empty());
    let expires = identity.expires.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    let expires_ms = expires.map(|since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    let user = identity.user.as_deref();
    let mut who = json!({ "standing": standing, "user": user, "tenant": tenant, "expires_ms": expires_ms });
    if let Some(claims) = doors.node.auth.as_ref().and_then(|auth| auth.seal.of(identity)) {
        who["claims"] = claims.into();
    }
    who
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    user: String,
    password: String,
}

/// `POST /v1/login`: a name and a password become the cookie.
pub(super) async fn log_in(
    State(doors): State<Doors>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    // Before the password is looked at: a page of elsewhere shall not even use up the attempts.
    if is_foreign_page(&doors, &headers, &uri) {
        return Err(foreign().into());
    }
    let auth = doors.node.auth.as_ref().filter(|auth| !auth.users.is_empty() && auth.issuer.is_some());
    let Some(auth) = auth else {
        let problem = Problem::new(Code::NotFound, "nobody logs in here with a password");
        return Err(problem.hint("docs/security.md tells how users are configured").into());
    };
    if !is_json(&headers) {
        return Err(no_json().into());
    }
    let body = body.map_err(|rejection| Problem::new(Code::TooLarge, rejection.body_text()))?;
    // serde's own sentence could show what was sent.
    let Login { user, password } = serde_json::from_slice(&body).map_err(|_| {
        Problem::new(Code::BadMessage, "the body is no log-in").hint("send {\"user\": \"…\", \"password\": \"…\"}")
    })?;
    let from = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Extension(ConnectInfo(address))| address.ip());
    let claims = auth.users.log_in(&user, &password, from).await.map_err(|no| not_logged_in(&no))?;
    let (token, identity) = issue(&doors, claims, SystemTime::now()).await?;
    with_cookie(&doors, &token, &identity, &headers, &uri)
}

/// A token that says this, and who is known by it.
pub(super) async fn issue(
    doors: &Doors,
    claims: Map<String, JsonValue>,
    now: SystemTime,
) -> Result<(String, Arc<Identity>), Problem> {
    let auth = doors.node.auth.as_ref();
    let (Some(auth), Some(issuer)) = (auth, auth.and_then(|auth| auth.issuer.as_ref())) else {
        let problem = Problem::new(Code::NotFound, "no tokens are made here");
        return Err(problem.hint("configure a key that signs: `auth.secret`"));
    };
    let token = issuer.issue(claims, now).map_err(|error| {
        tracing::error!("a token cannot be made: {error}");
        Problem::new(Code::Internal, "a token cannot be made").hint("tell who runs this server: its log says why")
    })?;
    let identity = auth.tokens.verify(&token, now).await.map_err(|rejected| {
        tracing::error!("a token that was made here is not accepted here ({rejected}): `issuer`, `audience`, `life_max` and claims of [auth] do not fit");
        Problem::new(Code::Internal, "the log-in is not set up").hint("tell who runs this server: its log says why")
    })?;
    Ok((token, identity))
}

fn not_logged_in(no: &NotLoggedIn) -> Problem {
    match no {
        NotLoggedIn::Wrong => Problem::new(Code::Unauthenticated, no.to_string()),
        NotLoggedIn::Wait(wait) => Problem::new(Code::RateLimited, no.to_string()).retry_after(*wait),
        NotLoggedIn::Busy => Problem::new(Code::Unavailable, no.to_string()).retry_after(Duration::from_secs(1)),
    }
}

/// `POST /v1/session`: the token of the header becomes the cookie.
pub(super) async fn begin(
    State(doors): State<Doors>,
    Caller(identity): Caller,
    uri: Uri,
    headers: HeaderMap,
) -> Answer {
    let token = bearer(&headers).filter(|_| identity.standing == Standing::Known).ok_or_else(|| {
        Problem::new(Code::Unauthenticated, "the request has no token").hint("send it as `Authorization: Bearer …`")
    })?;
    with_cookie(&doors, &token, &identity, &headers, &uri)
}

/// `DELETE /v1/session`: the cookie is forgotten.
pub(super) async fn end(State(doors): State<Doors>, uri: Uri, headers: HeaderMap) -> Answer {
    if is_foreign_page(&doors, &headers, &uri) {
        return Err(foreign().into());
    }
    let cookie = no_cookie(&doors, &headers, &uri)?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

/// Answers who it is, and sets the cookie for as long as the token is good.
fn with_cookie(doors: &Doors, token: &str, identity: &Identity, headers: &HeaderMap, uri: &Uri) -> Answer {
    if is_foreign_page(doors, headers, uri) {
        return Err(foreign().into());
    }
    let cookie = cookie_of(doors, token, identity, headers, uri)?;
    Ok(([(header::SET_COOKIE, cookie)], Json(describe(doors, identity))).into_response())
}

/// The cookie with a token, for as long as that is good.
pub(super) fn cookie_of(
    doors: &Doors,
    token: &str,
    identity: &Identity,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<HeaderValue, Problem> {
    let name = cookie_name(doors)?;
    if token.len() > COOKIE_BYTES_MAX {
        let message = format!("the token has {} bytes; browsers keep no cookie of that size", token.len());
        return Err(Problem::new(Code::TooLarge, message).hint("let it say less, or send it in a header"));
    }
    let seconds = match identity.expires {
        Some(at) => at.duration_since(SystemTime::now()).map_or(0, |left| left.as_secs()),
        None => 24 * 60 * 60,
    };
    cookie(name, token, seconds, headers, uri)
}

/// The cookie that takes the place of the other one, and is gone at once.
pub(super) fn no_cookie(doors: &Doors, headers: &HeaderMap, uri: &Uri) -> Result<HeaderValue, Problem> {
    cookie(cookie_name(doors)?, "", 0, headers, uri)
}

fn cookie_name(doors: &Doors) -> Result<&str, Problem> {
    let name = doors.node.auth.as_ref().and_then(|auth| auth.settings.cookie.as_deref());
    name.ok_or_else(|| Problem::new(Code::NotFound, "this server takes no cookie").hint("configure `auth.cookie`"))
}

fn cookie(name: &str, token: &str, seconds: u64, headers: &HeaderMap, uri: &Uri) -> Result<HeaderValue, Problem> {
    let host = origin::host(headers, uri);
    let secure = match host.as_ref().and_then(|host| host.to_str().ok()).is_some_and(is_loopback) {
        true => "",
        false => "; Secure",
    };
    let text = format!("{name}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
    let mut value = HeaderValue::try_from(text)
        .map_err(|_| Problem::new(Code::Internal, "the cookie cannot be written; look at `auth.cookie`"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether a host, with or without a port, is this machine as seen from itself: browsers keep no secure cookie for it over plain HTTP.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    let name = name.to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_gets_a_cookie_that_is_not_secure() {
        for host in
            ["localhost", "localhost:3000", "LOCALHOST:1", "a.localhost", "127.0.0.1:80", "127.9.9.9", "[::1]:80"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in
            ["example.com", "localhost.example.com", "127.0.0.1.example.com", "10.0.0.1", "[::2]", "", "notlocalhost"]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
