//! From polling to WebSocket: the client tries it with `2probe`, hears `3probe`, ends its poll, and changes over with `5`.

use std::sync::Arc;

use axum::response::Response;
use tokio::time::timeout;

use super::exchange::Exchange;
use super::{End, Heard};
use crate::protocol::engineio::Packet;
use crate::protocol::frame;
use crate::transport::socket::{Socket, Upgrade};

/// Why a second WebSocket is closed.
const TAKEN: &str = "the session has a WebSocket";

/// Answers a WebSocket for a session that is there. As with the original, one that is not wanted is closed, not refused.
pub(super) fn answer(exchange: Arc<Exchange>, upgrade: Upgrade) -> Response {
    let settings = exchange.engine.socket;
    if !exchange.engine.settings.upgrades() || !exchange.begin_probe() {
        return upgrade.run_with(settings, |socket| socket.goodbye(1008, TAKEN, None));
    }
    let probe = Probe(exchange);
    upgrade.run_with(settings, move |socket| probe.run(socket))
}

/// A try. However it ends, another one is possible after it.
struct Probe(Arc<Exchange>);

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.end_probe(None);
    }
}

impl Probe {
    async fn run(self, mut socket: Socket) {
        let patience = self.0.engine.settings.upgrade_timeout;
        if timeout(patience, self.is_wanted(&mut socket)).await.is_ok_and(|wanted| wanted.unwrap_or(false)) {
            self.0.end_probe(Some(socket));
        } else {
            drop(self);
            socket.goodbye(1000, "", None).await;
        }
    }

    async fn is_wanted(&self, socket: &mut Socket) -> Result<bool, End> {
        loop {
            let Heard::Text(text) = socket.hear(true).await? else { return Ok(false) };
            match Packet::decode(&text, self.0.eio()) {
                Ok(Packet::Ping("probe")) => {
                    socket.send(&mut vec![frame::text(b"3probe")]).await?;
                    self.0.probed();
                }
                Ok(Packet::Upgrade) => return Ok(true),
                _ => return Ok(false),
            }
        }
    }
}
