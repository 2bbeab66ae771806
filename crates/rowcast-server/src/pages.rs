//! The built-in pages: charts, tables and console, from memory.

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use memory_serve::CacheControl;

/// What a page may load: itself, and the server that it came from. Nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Paths that the page itself routes.
const PLACES: [&str; 6] = ["/charts", "/charts/{*rest}", "/tables", "/tables/{*rest}", "/console", "/console/{*rest}"];

/// Paths of the chat, whose page is another one.
const CHAT: [&str; 2] = ["/chat", "/chat/{*rest}"];

/// The chat's page.
const CHAT_PAGE: &str = "/chat.html";

/// Files whose name changes with their content: Vite puts a hash into each.
const HASHED: &str = "/assets/";

/// Serves the pages that were embedded when this was built; the chat's where there is one.
pub(crate) fn router(chat: bool) -> Router {
    let mut pages = memory_serve::load!()
        .index_file(Some("/index.html"))
        .html_cache_control(CacheControl::NoCache)
        .cache_control(CacheControl::Short);
    for place in PLACES {
        pages = pages.add_alias(place, "/index.html");
    }
    for place in CHAT.iter().filter(|_| chat) {
        pages = pages.add_alias(place, CHAT_PAGE);
    }
    pages.into_router().layer(from_fn(move |request, next| hide_chat(chat, request, next))).layer(from_fn(add_headers))
}

async fn hide_chat(chat: bool, request: Request, next: Next) -> Response {
    match request.uri().path() == CHAT_PAGE && !chat {
        true => StatusCode::NOT_FOUND.into_response(),
        false => next.run(request).await,
    }
}

async fn add_headers(request: Request, next: Next) -> Response {
    let hashed = request.uri().path().starts_with(HASHED);
    let mut response = next.run(request).await;
    let found = response.status().is_success() || response.status() == axum::http::StatusCode::NOT_MODIFIED;
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    if hashed && found {
        set(header::CACHE_CONTROL, "public, max-age=31536000, immutable");
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use tower::ServiceExt;

    use super::*;

    async fn get(path: &str) -> Response {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        router(false).oneshot(request).await.expect("a response")
    }

    #[tokio::test]
    async fn every_place_of_the_page_is_the_page() {
        for path in ["/", "/index.html", "/charts", "/tables", "/tables/readings", "/console"] {
            let response = get(path).await;
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(response.headers()[header::CACHE_CONTROL], "no-cache", "{path}");
            assert_eq!(response.headers()[header::CONTENT_TYPE], "text/html", "{path}");
            assert!(response.headers().contains_key(header::CONTENT_SECURITY_POLICY));
        }
    }

    #[tokio::test]
    async fn what_is_not_there_is_not_there() {
        for path in ["/assets/no-such-file.js", "/nothing", "/../Cargo.toml", "/chat", "/chat.html", "/chat/room"] {
            assert_eq!(get(path).await.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}
