//! What everybody may know of the chat.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::house::Shared;

/// The longest message, in characters.
pub(crate) const TEXT_MAX: usize = 8_000;

/// `GET /config`
pub(crate) async fn config(State(house): State<Shared>) -> Json<Value> {
    let settings = &house.settings;
    Json(json!({
        "verify": settings.verify,
        "max_bytes": settings.max_file,
        "quota": settings.quota,
        "max_text": TEXT_MAX,
        "types": settings.types,
    }))
}
