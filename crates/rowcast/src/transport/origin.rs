//! Whose pages may talk to us: the Origin check.
//!
//! Browsers let any page open a WebSocket to any host, with the user's cookies: so the server has to ask.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Doors;
use super::reply::Refusal;
use crate::protocol::{Code, Problem};

/// The pages that may connect. Requests without an Origin header come from no page, and pass.
#[derive(Debug, Clone, Default)]
pub enum Origins {
    /// Pages of the host that they connect to.
    #[default]
    SameHost,
    /// These (`https://app.example.com`), and pages of the same host.
    These(Vec<String>),
    /// All.
    Any,
}

impl Origins {
    pub(super) fn allow(&self, origin: &HeaderValue, host: Option<&HeaderValue>) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        match self {
            Self::Any => true,
            Self::SameHost => is_same_host(origin, host),
            Self::These(allowed) => {
                allowed.iter().any(|a| a.eq_ignore_ascii_case(origin)) || is_same_host(origin, host)
            }
        }
    }
}

/// The header by which browsers say whose page a request is of.
const SEC_FETCH_SITE: &str = "sec-fetch-site";

impl Origins {
    /// Whether a request is one of a page that is ours; `None` where nothing says so. Pages that everybody may have made are not ours.
    pub(super) fn is_own(&self, headers: &HeaderMap, uri: &Uri) -> Option<bool> {
        if let Some(origin) = headers.get(header::ORIGIN) {
            let own = if matches!(self, Self::Any) { &Self::SameHost } else { self };
            return Some(own.allow(origin, host(headers, uri).as_ref()));
        }
        match headers.get(SEC_FETCH_SITE)?.as_bytes() {
            b"same-origin" => Some(true),
            // The user has typed the address.
            b"none" => None,
            _ => Some(false),
        }
    }
}

/// HTTP/2 has the host in the URI instead of a header.
pub(super) fn host(headers: &HeaderMap, uri: &Uri) -> Option<HeaderValue> {
    let authority = || uri.authority().and_then(|a| HeaderValue::from_str(a.as_str()).ok());
    headers.get(header::HOST).cloned().or_else(authority)
}

fn is_same_host(origin: &str, host: Option<&HeaderValue>) -> bool {
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    let host = host.and_then(|host| host.to_str().ok());
    matches!((authority, host), (Some(a), Some(h)) if a.eq_ignore_ascii_case(h))
}

/// Refuses requests from pages that are not allowed, preflights aside: those are answered by the CORS layer.
pub(super) async fn check(State(doors): State<Doors>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let host = host(headers, request.uri());
    match headers.get(header::ORIGIN) {
        Some(origin) if !doors.origins.allow(origin, host.as_ref()) => {
            let origin = origin.to_str().unwrap_or("?").chars().take(100).collect::<String>();
            let problem = Problem::new(Code::OriginNotAllowed, format!("pages of `{origin}` may not use this server"));
            Refusal(problem.hint("add the origin to `http.origins` in the configuration")).into_response()
        }
        _ => next.run(request).await,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    #[track_caller]
    fn check(origins: &Origins, origin: &'static str, host: &'static str, allowed: bool) {
        let (origin, host) = (HeaderValue::from_static(origin), HeaderValue::from_static(host));
        assert_eq!(origins.allow(&origin, Some(&host)), allowed, "{origin:?} at {host:?}");
    }

    #[test]
    fn pages_of_the_same_host_pass() {
        check(&Origins::SameHost, "http://localhost:3000", "localhost:3000", true);
        check(&Origins::SameHost, "http://localhost:3001", "localhost:3000", false);
        check(&Origins::SameHost, "https://evil.example", "localhost:3000", false);
        check(&Origins::SameHost, "null", "localhost:3000", false);
    }

    #[test]
    fn a_page_that_anybody_may_have_made_is_not_ours() {
        let uri = Uri::from_static("/v1/ws");
        let own = |origins: &Origins, name: &'static str, value: &'static str| {
            let pairs = [("host", "app.example.com"), (name, value)];
            let headers = pairs.map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
            origins.is_own(&headers.into_iter().collect(), &uri)
        };
        let these = Origins::These(vec!["https://named.example.com".into()]);
        assert_eq!(own(&these, "origin", "https://named.example.com"), Some(true));
        for origins in [&Origins::Any, &Origins::SameHost, &these] {
            assert_eq!(own(origins, "origin", "https://app.example.com"), Some(true));
            assert_eq!(own(origins, "origin", "https://evil.example"), Some(false));
            assert_eq!(own(origins, "origin", "null"), Some(false));
            assert_eq!(own(origins, "sec-fetch-site", "same-origin"), Some(true));
            assert_eq!(own(origins, "sec-fetch-site", "cross-site"), Some(false));
            assert_eq!(own(origins, "sec-fetch-site", "none"), None);
            assert_eq!(own(origins, "accept", "text/html"), None);
        }
    }

    #[test]
    fn named_pages_pass_as_well() {
        let origins = Origins::These(vec!["https://app.example.com".into()]);
        check(&origins, "https://app.example.com", "api.example.com", true);
        check(&origins, "https://app.example.com.evil.example", "api.example.com", false);
    }
}
