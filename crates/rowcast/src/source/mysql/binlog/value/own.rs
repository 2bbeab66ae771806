//! MariaDB's own types, which the binlog has as bytes.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

/// As many bytes as the type has: those of the end are left out where they are zero.
fn filled<const N: usize>(stored: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    let count = stored.len().min(N);
    bytes[..count].copy_from_slice(&stored[..count]);
    bytes
}

/// Stored with its parts in another order, so that those of one time lie together, unless its version has them so already.
pub(super) fn uuid(stored: &[u8]) -> String {
    let stored: [u8; 16] = filled(stored);
    let turned = stored[6] & 0x80 != 0 && stored[8] > 0 && stored[8] < 0x60;
    let bytes = if turned {
        let mut bytes = [0; 16];
        for (to, from, count) in [(10, 0, 6), (8, 6, 2), (6, 8, 2), (4, 10, 2), (0, 12, 4)] {
            bytes[to..to + count].copy_from_slice(&stored[from..from + count]);
        }
        bytes
    } else {
        stored
    };
    let mut text = String::with_capacity(36);
    for (n, byte) in bytes.iter().enumerate() {
        if matches!(n, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    text
}

pub(super) fn inet6(stored: &[u8]) -> String {
    let address = Ipv6Addr::from(filled::<16>(stored));
    let parts = address.segments();
    if parts[..6] == [0; 6] && parts[6] != 0 {
        let [.., a, b, c, d] = address.octets();
        return format!("::{}", Ipv4Addr::new(a, b, c, d));
    }
    address.to_string()
}

pub(super) fn inet4(stored: &[u8]) -> String {
    Ipv4Addr::from(filled::<4>(stored)).to_string()
}
