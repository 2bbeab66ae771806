//! Doors that speak as other servers do, so that their clients work unchanged: each follows NOTIFY channels.
//!
//! A drop-in drives a [`Session`](crate::session::Session) as every door does, and differs only in what its frames say.
//! docs/drop-ins.md tells users about them.

mod relay;
mod shown;

use std::collections::BTreeSet;

use axum::Router;

use super::{Doors, eventserv, pgws, postgres_websockets};
pub use eventserv::Eventserv;
pub use pgws::{Audiences, Decide, Pgws};
pub use postgres_websockets::PostgresWebsockets;
pub(super) use relay::{Connect, Hear, Way};
pub(super) use shown::{Notified, Rendering, Shown};

/// Which drop-ins are served. None by default.
#[derive(Debug, Clone, Default)]
pub struct DropIns {
    /// pgws, at `/ws`.
    pub pgws: Option<Pgws>,
    /// pg_eventserv, at `/listen/{channel}`.
    pub eventserv: Option<Eventserv>,
    /// postgres-websockets, at a path of your choice.
    pub postgres_websockets: Option<PostgresWebsockets>,
}

impl DropIns {
    /// The NOTIFY channels that they need from the start.
    pub fn channels(&self) -> BTreeSet<String> {
        let pgws = self.pgws.iter().flat_map(|pgws| pgws.channels.iter().cloned());
        let listener = self.postgres_websockets.iter().map(|settings| settings.listen.clone());
        pgws.chain(listener).collect()
    }

    /// Refuses what cannot be served, in a sentence that says what to do.
    pub fn check(&self) -> Result<(), String> {
        let paths = [
            self.pgws.as_ref().map(|pgws| &pgws.path),
            self.eventserv.as_ref().map(|eventserv| &eventserv.path),
            self.postgres_websockets.as_ref().map(|settings| &settings.path),
        ];
        let mut seen = BTreeSet::new();
        for path in paths.into_iter().flatten() {
            check_path(path)?;
            if !seen.insert(path) {
                return Err(format!("two drop-ins are at `{path}`; give each its own path"));
            }
        }
        match &self.pgws {
            Some(pgws) if pgws.channels.is_empty() => Err("pgws needs a NOTIFY channel, for example `pgws`".into()),
            _ => Ok(()),
        }
    }

    pub(super) fn routes(&self, doors: &Doors) -> Router<Doors> {
        let mut routes = Router::new();
        if let Some(settings) = &self.pgws {
            routes = routes.merge(pgws::routes(settings, doors));
        }
        if let Some(settings) = &self.eventserv {
            routes = routes.merge(eventserv::routes(settings, doors));
        }
        if let Some(settings) = &self.postgres_websockets {
            routes = routes.merge(postgres_websockets::routes(settings, doors));
        }
        routes
    }
}

fn check_path(path: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c);
    let whole = path.starts_with('/') && path.len() > 1 && !path.ends_with('/') && !path.contains("//");
    let own = path == "/v1" || path.starts_with("/v1/");
    match (whole && path.chars().all(plain), own) {
        (false, _) => Err(format!("`{path}` is no path for a drop-in; write for example `/ws`")),
        (true, true) => Err(format!("`{path}` is below /v1, which is the native protocol's; choose another path")),
        (true, false) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_checked_before_they_are_served() {
        for path in ["/ws", "/events/listen", "/a.b-c_d"] {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
        for path in ["", "/", "ws", "/ws/", "/{x}", "/a//b", "/v1/ws", "/*x", "/a b"] {
            assert!(check_path(path).is_err(), "{path}");
        }
    }

    #[test]
    fn two_drop_ins_need_two_paths() {
        let pgws = Pgws { path: "/listen".into(), ..Pgws::default() };
        let both = DropIns { pgws: Some(pgws), eventserv: Some(Eventserv::default()), ..DropIns::default() };
        assert!(both.check().is_err_and(|message| message.contains("two drop-ins")));
    }
}
