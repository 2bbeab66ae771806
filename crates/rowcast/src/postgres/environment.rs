//! What the surroundings of the process say about reaching a server.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The environment as libpq knows it. The library reads none by itself: whoever embeds it fills this in, or leaves it empty.
#[derive(Clone, Default)]
pub struct Environment {
    /// Environment variables, of which `PGHOST`, `PGPASSWORD` and the others of libpq are used.
    pub variables: BTreeMap<String, String>,
    /// The user's folder, where `.pgpass`, `.pg_service.conf` and `.postgresql/` are looked for.
    pub home: Option<PathBuf>,
}
