//! A folder of the user's own, served beside everything else.
//!
//! Files are read when they are asked for. Names that begin with a dot are not served: they are not meant for visitors.

use std::path::Path;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get_service;
use tower_http::services::ServeDir;

/// Everything that is served, and around it the files of the folder: `/` is its `index.html`.
pub(crate) fn around(router: Router, folder: &Path, policy: Option<HeaderValue>) -> Router {
    let files = get_service(ServeDir::new(folder)).layer(from_fn(move |request, next| {
        let policy = policy.clone();
        serve(request, next, policy)
    }));
    Router::new()
        .route("/", files.clone())
        .route("/index.html", files.clone())
        .fallback_service(router.fallback_service(files))
}

async fn serve(request: Request, next: Next, policy: Option<HeaderValue>) -> Response {
    let is_hidden = request.uri().path().split('/').any(|part| part.starts_with('.') || begins_with_encoded_dot(part));
    let may_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if is_hidden || !may_read {
        return crate::serve::not_found().await.into_response();
    }
    let mut response = next.run(request).await;
    if response.status() == StatusCode::NOT_FOUND {
        return crate::serve::not_found().await.into_response();
    }
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // Asked for again each time; what has not changed is not sent again.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin"));
    if let Some(policy) = policy {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

fn begins_with_encoded_dot(part: &str) -> bool {
    part.get(..3).is_some_and(|begin| begin.eq_ignore_ascii_case("%2e"))
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let page = folder.path().join("page");
        std::fs::create_dir_all(page.join("sub")).expect("folders");
        let files =
            [("page/index.html", "<p>own"), ("page/app.js", "1"), ("page/sub/a b.css", "p{}"), ("page/.env", "secret")];
        for (name, text) in files.into_iter().chain([("secret.txt", "secret")]) {
            std::fs::write(folder.path().join(name), text).expect("a file");
        }
        folder
    }

    async fn get_path(path: &str) -> (StatusCode, String, String) {
        let folder = folder();
        let built_in = Router::new().route("/charts", get(|| async { "built in" }));
        let policy = Some(HeaderValue::from_static("default-src 'self'"));
        let router = around(built_in, &folder.path().join("page"), policy);
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let response = router.oneshot(request).await.expect("a response");
        let kind = response.headers().get(header::CONTENT_TYPE).map(|kind| kind.to_str().expect("text").to_owned());
        if response.status().is_success() && path != "/charts" {
            assert_eq!(response.headers()[header::CONTENT_SECURITY_POLICY], "default-src 'self'");
            assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        }
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.expect("a body");
        (status, kind.unwrap_or_default(), String::from_utf8(body.into()).expect("text"))
    }

    #[tokio::test]
    async fn files_are_served_with_their_types_beside_what_is_built_in() {
        let files = [
            ("/", "text/html", "<p>own"),
            ("/index.html", "text/html", "<p>own"),
            ("/app.js", "text/javascript", "1"),
            ("/sub/a%20b.css", "text/css", "p{}"),
            ("/charts", "text/plain; charset=utf-8", "built in"),
        ];
        for (path, kind, text) in files {
            assert_eq!(get_path(path).await, (StatusCode::OK, kind.to_owned(), text.to_owned()), "{path}");
        }
    }

    #[tokio::test]
    async fn nothing_outside_and_nothing_hidden_is_served() {
        let outside =
            ["/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/sub/..%2f..%2fsecret.txt", "//secret.txt"];
        for path in outside.into_iter().chain(["/.env", "/%2Eenv", "/nothing", "/sub/%00", "/%ff"]) {
            let (status, _, text) = get_path(path).await;
            assert!(!status.is_success() && !text.contains("secret"), "{path}: {status} {text}");
        }
    }
}
