//! The server, the user, and what is between them and Rowcast.

use std::time::SystemTime;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::{Capabilities, Findings, State, variable};

/// A clock that differs by more makes times in logs and tokens hard to compare.
const CLOCK_SECONDS: f64 = 5.0;
/// Rows and batches that are larger cannot be written or read.
const PACKET: u64 = 16 << 20;

pub(super) async fn look(conn: &mut Conn, able: &Capabilities, findings: &mut Findings) {
    let about = format!("{}, database {}, user {}", able.server, able.database, able.user);
    let oldest = if able.server.is_mariadb() { (10, 6) } else { (8, 0) };
    let (major, minor, _) = able.server.version;
    match (major, minor) >= oldest {
        true => findings.add(State::Good, "server", about),
        false => {
            findings.add(State::Broken, "server", format!("{about}: Rowcast needs MySQL 8.0 or MariaDB 10.6 or newer"))
        }
    }
    if able.read_only {
        let message = "it is read-only: nothing can be written through Rowcast here; give it the address of the server that is written to";
        findings.add(State::Warning, "read_only", message);
    }
    packet(conn, findings).await;
    clock(conn, findings).await;
}

async fn packet(conn: &mut Conn, findings: &mut Findings) {
    let Some(bytes) = variable(conn, "max_allowed_packet").await.and_then(|text| text.parse::<u64>().ok()) else {
        return;
    };
    if bytes < PACKET {
        let message =
            format!("{bytes} bytes: larger rows can be neither written nor captured by triggers; 16 MiB is usual");
        findings.mend(
            State::Advice,
            "max_allowed_packet",
            message,
            [format!("SET GLOBAL max_allowed_packet = {PACKET}")],
        );
    } else {
        findings.add(State::Good, "max_allowed_packet", format!("{bytes} bytes"));
    }
}

async fn clock(conn: &mut Conn, findings: &mut Findings) {
    let Ok(Some(server)) = conn.query_first::<f64, _>("SELECT UNIX_TIMESTAMP(NOW(6)) + 0e0").await else { return };
    let own = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    let apart = (server - own).abs();
    if apart > CLOCK_SECONDS {
        let message = format!("the server's clock and this machine's are {apart:.0} s apart; synchronise both (NTP)");
        findings.add(State::Warning, "clock", message);
    } else {
        findings.add(State::Good, "clock", format!("{:.0} ms apart from this machine's", apart * 1_000.0));
    }
}
