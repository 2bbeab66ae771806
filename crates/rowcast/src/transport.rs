//! The doors: each carries a [`Session`](crate::session::Session) or answers one request.
//!
//! Knows wire formats and HTTP; leaves what is sent, and when, to `session`.

pub mod dropin;
mod eventserv;
mod http;
mod origin;
mod pgws;
mod postgres_websockets;
mod reply;
mod socket;
mod sse;
mod websocket;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, DefaultBodyLimit};
use axum::http::{HeaderName, Method, header};
use axum::routing::{get, post};
use axum::{Extension, Router};
use tower_http::cors::{AllowOrigin, CorsLayer};

pub use dropin::DropIns;
pub use origin::Origins;

use crate::session::Node;

/// Tells how the gateway is, as JSON, for `/v1/status`.
pub type StatusOf = Arc<dyn Fn() -> serde_json::Value + Send + Sync>;

/// What every door needs.
#[derive(Clone)]
pub struct Doors {
    /// The rooms behind them.
    pub node: Arc<Node>,
    /// Whose pages may use them.
    pub origins: Origins,
    /// What `/v1/status` answers.
    pub status: StatusOf,
    /// Which other servers' clients are served.
    pub drop_ins: Arc<DropIns>,
}

/// The position that an answer stands for.
const POSITION: HeaderName = HeaderName::from_static("rowcast-position");

/// Everything under `/v1`, and the drop-ins.
pub fn router(doors: Doors) -> Router {
    let body_bytes = doors.node.limits.body_bytes;
    Router::new()
        .route("/v1/ws", get(websocket::upgrade))
        .route("/v1/stream", get(sse::stream))
        .route("/v1/tables", get(http::tables))
        .route("/v1/tables/{table}", get(http::rows).post(http::ingest))
        .route("/v1/tables/{table}/series", get(http::series))
        .route("/v1/publish", post(http::publish))
        .route("/v1/status", get(http::status))
        .route("/v1/{*rest}", axum::routing::any(reply::not_found))
        .merge(doors.drop_ins.routes(&doors))
        .method_not_allowed_fallback(reply::method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(doors.clone(), origin::check))
        .layer(DefaultBodyLimit::max(body_bytes))
        .layer(cors(&doors.origins))
        .with_state(doors)
}

/// The peer's address, where the server was told to keep it.
fn remote(peer: Option<Extension<ConnectInfo<SocketAddr>>>) -> String {
    peer.map_or_else(|| "unknown".to_owned(), |Extension(ConnectInfo(address))| address.to_string())
}

fn cors(origins: &Origins) -> CorsLayer {
    let origins = origins.clone();
    let allow = AllowOrigin::predicate(move |origin, parts| origins.allow(origin, parts.headers.get(header::HOST)));
    CorsLayer::new()
        .allow_origin(allow)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::CONTENT_TYPE, header::AUTHORIZATION, HeaderName::from_static("last-event-id")])
        .expose_headers([POSITION])
}
