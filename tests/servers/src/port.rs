//! Free ports.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result};

/// A port of 127.0.0.1 that nobody listens on.
///
/// Below 32768: the ports above are given to outgoing connections, and one of those could take it meanwhile.
pub(crate) fn free() -> Result<u16> {
    (0..200)
        .map(|_| rand::random_range(20_000..32_000))
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .context("no free port between 20000 and 32000")
}
