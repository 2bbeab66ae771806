//! Connections that are ended by an operator, or because what their tokens rest on is gone.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::node::{Connected, Node};
use crate::auth::{Auth, Identity};
use crate::hub::{Closing, SessionKey};

/// How long a client may take to hear why, before its connection is cut.
const GOODBYE: Duration = Duration::from_millis(500);

/// Why a connection ends that is put out.
pub const REVOKED: &str = "revoked";

/// Which connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whose {
    /// Of this user.
    pub user: Option<String>,
    /// Of this tenant.
    pub tenant: Option<String>,
    /// This one.
    pub session: Option<String>,
}

impl Whose {
    fn is_meant(&self, session: &str, identity: &Identity) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found.is_some_and(|found| found == wanted))
        };
        is(&self.user, identity.user.as_deref())
            && is(&self.tenant, Some(&identity.tenant))
            && is(&self.session, Some(session))
    }
}

/// What a client hears that is put out.
pub(super) fn closing(reason: Option<&str>) -> Closing {
    let message = reason.unwrap_or("the right to be connected was taken back").to_owned();
    // A client that comes back nevertheless shows its token again.
    Closing { reason: REVOKED, message, retry_ms: 60_000 }
}

impl Node {
    /// Puts clients out. Returns how many.
    pub fn disconnect(self: &Arc<Self>, whose: &Whose, reason: Option<&str>) -> usize {
        self.put_out(self.sessions(), reason, |key, identity| whose.is_meant(&self.session_name(key), identity))
    }

    /// Puts out those of some clients whose tokens are trusted no longer. Returns how many.
    pub fn disconnect_untrusted(self: &Arc<Self>, among: Vec<(SessionKey, Arc<Connected>)>) -> usize {
        let Some(auth) = &self.auth else { return 0 };
        self.put_out(among, None, |_, identity| !is_trusted(auth, identity))
    }

    fn put_out(
        self: &Arc<Self>,
        among: Vec<(SessionKey, Arc<Connected>)>,
        reason: Option<&str>,
        is_meant: impl Fn(SessionKey, &Identity) -> bool,
    ) -> usize {
        let meant: Vec<_> =
            among.into_iter().filter(|(key, connected)| is_meant(*key, &connected.identity.lock())).collect();
        for (_, connected) in &meant {
            connected.queue.close(closing(reason));
        }
        let count = meant.len();
        if count > 0 {
            tracing::info!(count, "clients were put out: their right to be connected was taken back");
            tokio::spawn(cut(self.clone(), meant.into_iter().map(|(key, _)| key).collect()));
        }
        count
    }

    /// Puts clients out whenever a key or a token is trusted no longer.
    pub async fn watch_trust(self: Arc<Self>, auth: Arc<Auth>, stop: CancellationToken) {
        let mut changed = auth.tokens.changed();
        while let Some(Ok(())) = stop.run_until_cancelled(changed.changed()).await {
            self.disconnect_untrusted(self.sessions());
        }
    }
}

/// Whether what a client's token rests on is still there. One that a program has brought in without a token rests on nothing.
pub(super) fn is_trusted(auth: &Auth, identity: &Identity) -> bool {
    identity.key.is_none() || auth.tokens.still_trusts(identity)
}

/// Ends the connections of clients that do not read what they are told.
async fn cut(node: Arc<Node>, meant: Vec<SessionKey>) {
    sleep(GOODBYE).await;
    for (key, connected) in node.sessions() {
        if meant.binary_search(&key).is_ok()
            && let Some(lane) = connected.queue.lane()
        {
            lane.cut();
        }
    }
}
