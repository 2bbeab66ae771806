//! Tokens that are taken back before they expire.

use serde::{Deserialize, Serialize};

/// Tokens that were issued before a moment and are no longer accepted. What is not said narrows nothing: with neither user, tenant
/// nor key, it is every token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Of this user only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Of this tenant only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Only those that this key verifies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Issued before; seconds since 1970. A token that does not say when it was issued is old.
    pub before: u64,
}
