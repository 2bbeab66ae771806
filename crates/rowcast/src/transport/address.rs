//! Whose address a request comes from: the peer's, or, behind proxies of one's own, what they say of it.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::Next;
use axum::response::Response;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The networks that proxies of one's own are in: they are believed what they say of their clients.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies(Arc<[Network]>);

/// An address, or all that begin alike: `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// A text that is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an address nor a network; write for example \"10.0.0.0/8\" or \"2001:db8::1\"")]
pub struct NoNetwork(String);

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let wrong = || NoNetwork(text.chars().take(64).collect());
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.trim().parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.trim().parse().ok().filter(|bits| *bits <= most).ok_or_else(wrong)?,
            None => most,
        };
        Ok(Self { address, bits })
    }
}

impl Network {
    fn contains(&self, other: IpAddr) -> bool {
        let same = |a: u128, b: u128, width: u8| width == 0 || (a ^ b) >> (128 - u32::from(width)) == 0;
        match (self.address, other) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                same(u128::from(a.to_bits()) << 96, u128::from(b.to_bits()) << 96, self.bits)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), self.bits),
            _ => false,
        }
    }
}

impl Proxies {
    /// These networks'.
    pub fn new(networks: impl IntoIterator<Item = Network>) -> Self {
        Self(networks.into_iter().collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(address))
    }

    /// Whom a request is from that came from `peer`: the last of those that it went through who is no proxy of ours.
    fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> SocketAddr {
        if !self.trust(peer.ip()) {
            return peer;
        }
        // Each proxy adds whom it heard it from at the end: what stands before the first stranger may be made up.
        let lines: Vec<&str> = headers.get_all(FORWARDED_FOR).iter().filter_map(|line| line.to_str().ok()).collect();
        let mut client = peer;
        for entry in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
            let Some(before) = address(entry) else { break };
            client = before;
            if !self.trust(before.ip()) {
                break;
            }
        }
        client
    }
}

/// `203.0.113.7`, `203.0.113.7:1234`, `2001:db8::1`, `[2001:db8::1]:1234`. Without a port it is 0.
fn address(entry: &str) -> Option<SocketAddr> {
    let entry = entry.trim();
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    bare.parse().map(|address| SocketAddr::new(address, 0)).or_else(|_| entry.parse()).ok()
}

/// Puts the client's address in the place of the proxy's, for all that comes after.
pub(super) async fn look(State(proxies): State<Proxies>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
    if let Some(peer) = peer {
        let client = proxies.client(peer, request.headers());
        request.extensions_mut().insert(ConnectInfo(client));
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(peer: &str, forwarded: &[&'static str], expected: &str) {
        let networks = ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"].map(|text| text.parse().expect(text));
        let headers = forwarded.iter().map(|line| (FORWARDED_FOR, line.parse().expect("a value"))).collect();
        let client = Proxies::new(networks).client(SocketAddr::new(peer.parse().expect(peer), 7), &headers);
        assert_eq!(client.ip().to_string(), expected, "{peer} {forwarded:?}");
    }

    #[test]
    fn a_stranger_is_not_believed() {
        check("203.0.113.9", &["198.51.100.1"], "203.0.113.9");
        check("192.0.2.2", &["198.51.100.1"], "192.0.2.2");
        check("2001:db9::1", &["198.51.100.1"], "2001:db9::1");
    }

    #[test]
    fn the_last_who_is_no_proxy_of_ours_is_the_client() {
        check("10.1.2.3", &[], "10.1.2.3");
        check("10.1.2.3", &["198.51.100.1"], "198.51.100.1");
        check("::ffff:10.1.2.3", &["198.51.100.1:4711"], "198.51.100.1");
        check("10.1.2.3", &["1.1.1.1, 198.51.100.1, 10.9.9.9"], "198.51.100.1");
        check("10.1.2.3", &["1.1.1.1", "198.51.100.1", "192.0.2.1"], "198.51.100.1");
        check("2001:db8::5", &["[2001:db9::1]:99"], "2001:db9::1");
        check("10.1.2.3", &["10.0.0.1, 10.0.0.2"], "10.0.0.1");
        check("10.1.2.3", &["1.1.1.1, nonsense, 10.0.0.2"], "10.0.0.2");
    }

    #[test]
    fn networks_are_read() {
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/-1", "host"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
        assert!("0.0.0.0/0".parse::<Network>().expect("all").contains("8.8.8.8".parse().expect("an address")));
    }
}
