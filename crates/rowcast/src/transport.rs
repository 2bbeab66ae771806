//! The doors: each carries a [`Session`](crate::session::Session) or answers one request.
//!
//! Knows wire formats and HTTP; leaves what is sent, and when, to `session`.

mod address;
mod admin;
mod caller;
pub mod dropin;
pub mod engineio;
mod eventserv;
mod http;
pub mod influx;
mod io;
mod known;
mod letters;
mod listener;
mod login;
mod origin;
mod own;
mod pgws;
pub mod plain;
mod postgres_websockets;
mod presence;
mod reply;
mod socket;
pub mod socketio;
mod sse;
pub mod stream;
mod toll;
mod websocket;
mod write;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, DefaultBodyLimit};
use axum::http::{HeaderName, Method, header};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use axum::{Extension, Router};
use tower_http::cors::{AllowOrigin, CorsLayer};

pub use address::{Network, NoNetwork, Proxies};
pub use caller::Caller;
pub use dropin::DropIns;
pub use influx::Influx;
pub use known::{Known, Sessions};
pub use listener::{Door, Listener};
pub use origin::Origins;
pub(crate) use own::{for_clients, for_everybody};
pub use reply::Refusal;

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
    /// Which proxies are believed what they say of their clients' addresses.
    pub proxies: Proxies,
    /// What `/v1/status` answers.
    pub status: StatusOf,
    /// Which other servers' clients are served.
    pub drop_ins: Arc<DropIns>,
    /// How InfluxDB's line protocol is taken, where it is.
    pub influx: Option<Arc<Influx>>,
    /// How Socket.IO is served, where it is.
    pub socketio: Option<socketio::Io>,
}

/// The position that an answer stands for.
const POSITION: HeaderName = HeaderName::from_static("rowcast-position");

/// The paths of these doors.
pub fn router(doors: Doors, open: &[Door]) -> Router {
    let body_bytes = doors.node.limits.body_bytes;
    let is_open = |door| open.contains(&door);
    let mut router = Router::new();
    if is_open(Door::Native) {
        router = router.merge(native(&doors));
    }
    if is_open(Door::DropIns) {
        router = router.merge(doors.drop_ins.routes(&doors));
    }
    if is_open(Door::Influx) {
        router = router.merge(influx::routes(&doors));
    }
    let router = router
        .method_not_allowed_fallback(reply::method_not_allowed)
        .layer(from_fn_with_state(doors.clone(), toll::collect))
        .layer(from_fn_with_state(doors.clone(), caller::find))
        .layer(from_fn_with_state(doors.clone(), origin::check))
        .layer(DefaultBodyLimit::max(body_bytes))
        .layer(cors(&doors.origins));
    // Outside of the layers: Engine.IO has CORS headers and errors of its own.
    let socketio = doors.socketio.as_ref().filter(|_| is_open(Door::SocketIo)).map(|io| {
        socketio::routes(io, &doors)
            .layer(from_fn_with_state(doors.clone(), toll::admit))
            .layer(from_fn_with_state(doors.clone(), caller::arrive))
    });
    let router = match socketio {
        Some(routes) => router.merge(routes),
        None => router,
    };
    let router = match doors.proxies.is_empty() {
        true => router,
        false => router.layer(from_fn_with_state(doors.proxies.clone(), address::look)),
    };
    router.with_state(doors)
}

/// Everything under `/v1`.
fn native(doors: &Doors) -> Router<Doors> {
    administration()
        .route_layer(from_fn_with_state(doors.clone(), caller::administrators))
        .route("/v1/ws", get(websocket::upgrade))
        .route("/v1/stream", get(sse::stream))
        .route("/v1/tables", get(http::tables))
        .route("/v1/tables/{table}", get(http::rows).post(http::ingest).patch(write::update).delete(write::delete))
        .route("/v1/tables/{table}/series", get(http::series))
        .route("/v1/presence/{channel}", get(presence::list))
        .route("/v1/write", post(write::write))
        .route("/v1/publish", post(http::publish))
        .route("/v1/login", post(login::log_in))
        .route("/v1/whoami", get(login::whoami))
        .route("/v1/session", post(login::begin).delete(login::end))
        .route("/v1/{*rest}", axum::routing::any(reply::not_found))
}

/// What is for those only who look after the gateway.
fn administration() -> Router<Doors> {
    Router::new()
        .route("/v1/dead-letters", get(letters::list).delete(letters::drop_all))
        .route("/v1/dead-letters/retry", post(letters::retry_all))
        .route("/v1/dead-letters/{id}", axum::routing::delete(letters::drop_one))
        .route("/v1/dead-letters/{id}/retry", post(letters::retry))
        .route("/v1/status", get(http::status))
        .route("/v1/admin/disconnect", post(admin::disconnect))
        .route("/v1/admin/revoke", post(admin::revoke))
}

/// Whether a program's own routes may be used by who asks: only by those who look after the gateway.
pub(crate) fn for_administrators(doors: &Doors, routes: Router) -> Router {
    routes
        .route_layer(from_fn_with_state(doors.clone(), caller::administrators))
        .layer(from_fn_with_state(doors.clone(), caller::find))
        .layer(from_fn_with_state(doors.clone(), origin::check))
}

/// The peer's address, where the server was told to keep it.
fn remote(peer: Option<Extension<ConnectInfo<SocketAddr>>>) -> String {
    peer.map_or_else(|| "unknown".to_owned(), |Extension(ConnectInfo(address))| address.to_string())
}

fn cors(origins: &Origins) -> CorsLayer {
    let known = origins.clone();
    let allow = AllowOrigin::predicate(move |origin, parts| known.allow(origin, parts.headers.get(header::HOST)));
    CorsLayer::new()
        // The cookie, too, for pages that are named. Those of the same host need no leave, and others get none.
        .allow_credentials(matches!(origins, Origins::These(_)))
        .allow_origin(allow)
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::CONTENT_TYPE,
            header::AUTHORIZATION,
            HeaderName::from_static("last-event-id"),
            http::IDEMPOTENCY_KEY,
        ])
        .expose_headers([POSITION, header::RETRY_AFTER])
}
