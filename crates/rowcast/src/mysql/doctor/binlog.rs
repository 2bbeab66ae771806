//! The binlog: whether it is there, what is in it, how long it is kept, and who may read it.

use mysql_async::Conn;

use super::{Capabilities, Findings, State, variable};
use crate::mysql::install::account;
use crate::mysql::{Capture, MysqlSettings};

/// A binlog that is kept for a shorter time may be gone when Rowcast comes back.
const KEPT_SECONDS: u64 = 86_400;

pub(super) async fn look(conn: &mut Conn, able: &Capabilities, settings: &MysqlSettings, findings: &mut Findings) {
    let needed = match settings.capture {
        Capture::Binlog => State::Broken,
        Capture::Auto => State::Advice,
        Capture::Outbox => return,
    };
    privileges(able, needed, findings);
    if !able.log_bin {
        let message = "off, so triggers write changes to an outbox; write log_bin=binlog, server_id=1 and binlog_format=ROW into the server's configuration, and restart it";
        findings.add(needed, "log_bin", message);
        return;
    }
    findings.add(State::Good, "log_bin", "on");
    if able.binlog_format.eq_ignore_ascii_case("ROW") {
        findings.add(State::Good, "binlog_format", "ROW");
    } else {
        let message = format!(
            "{}: the rows that a statement changes are not in it; connections that are open keep it until they end",
            able.binlog_format
        );
        findings.mend(needed, "binlog_format", message, ["SET GLOBAL binlog_format = 'ROW'".into()]);
    }
    let wanted = [
        (
            "binlog_row_image",
            "FULL",
            "old rows lack what did not change, so a client may get a row without some of its columns",
        ),
        (
            "binlog_row_metadata",
            "FULL",
            "names of columns are not in it: they are taken from a history that Rowcast keeps, which costs a fresh snapshot where that is not sure",
        ),
    ];
    for (name, good, otherwise) in wanted {
        match variable(conn, name).await {
            Some(value) if value.eq_ignore_ascii_case(good) => findings.add(State::Good, name, value),
            Some(value) => {
                let state = if name == "binlog_row_image" { State::Warning } else { State::Advice };
                findings.mend(state, name, format!("{value}: {otherwise}"), [format!("SET GLOBAL {name} = '{good}'")]);
            }
            None => {}
        }
    }
    kept(conn, findings).await;
    identity(conn, able, findings).await;
    compression(conn, able, findings).await;
}

fn privileges(able: &Capabilities, needed: State, findings: &mut Findings) {
    let monitor = if able.server.is_mariadb() { "BINLOG MONITOR" } else { "REPLICATION CLIENT" };
    for (has, privilege, what) in [
        (able.replication, "REPLICATION SLAVE", "read the binlog"),
        (able.monitor, monitor, "ask where the binlog stands"),
    ] {
        if has {
            findings.add(State::Good, format!("privilege {privilege}"), format!("the user may {what}"));
        } else {
            let sql = format!("GRANT {privilege} ON *.* TO {}", account(&able.user));
            let message = format!("user {} may not {what}", able.user);
            findings.mend(needed, format!("privilege {privilege}"), message, [sql]);
        }
    }
}

/// MySQL counts seconds, MariaDB days or seconds; 0 is for ever.
async fn kept(conn: &mut Conn, findings: &mut Findings) {
    let seconds = variable(conn, "binlog_expire_logs_seconds").await.and_then(|text| text.parse::<u64>().ok());
    let days = variable(conn, "expire_logs_days").await.and_then(|text| text.parse::<f64>().ok());
    let (name, kept) = match (seconds, days) {
        (Some(seconds), _) => ("binlog_expire_logs_seconds", seconds),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some days")]
        (None, Some(days)) => ("expire_logs_days", (days * 86_400.0) as u64),
        (None, None) => return,
    };
    match kept {
        0 => findings.add(State::Good, name, "0: the binlog is kept until somebody purges it; watch the disk"),
        short if short < KEPT_SECONDS => {
            let message = format!(
                "the binlog is kept for {} h: when Rowcast is away for longer, every client gets a fresh snapshot",
                short / 3_600
            );
            let sql = match name {
                "expire_logs_days" => "SET GLOBAL expire_logs_days = 3".to_owned(),
                name => format!("SET GLOBAL {name} = {}", 3 * KEPT_SECONDS),
            };
            findings.mend(State::Advice, name, message, [sql]);
        }
        long => findings.add(State::Good, name, format!("the binlog is kept for {} h", long / 3_600)),
    }
}

async fn identity(conn: &mut Conn, able: &Capabilities, findings: &mut Findings) {
    match variable(conn, "server_id").await.as_deref() {
        Some("0") => {
            let message = "0: a server without a number gives its binlog to nobody";
            findings.mend(State::Broken, "server_id", message, ["SET GLOBAL server_id = 1".into()]);
        }
        Some(id) => findings.add(State::Good, "server_id", id),
        None => {}
    }
    if able.server.is_mariadb() {
        findings.add(State::Good, "gtid", "MariaDB's, in every transaction");
    } else if let Some(mode) = variable(conn, "gtid_mode").await {
        match &*mode {
            "ON" => findings.add(State::Good, "gtid_mode", mode),
            _ => findings.add(
                State::Advice,
                "gtid_mode",
                format!("{mode}: after a fail-over to another server every client gets a fresh snapshot; with ON (see MySQL's manual for the steps) the place is found there"),
            ),
        }
    }
}

async fn compression(conn: &mut Conn, able: &Capabilities, findings: &mut Findings) {
    let name = if able.server.is_mariadb() { "log_bin_compress" } else { "binlog_transaction_compression" };
    if let Some(value) = variable(conn, name).await {
        findings.add(State::Good, name, format!("{value}: both are read"));
    }
    if let Some(value) = variable(conn, "binlog_row_value_options").await.filter(|value| !value.is_empty()) {
        findings.add(
            State::Good,
            "binlog_row_value_options",
            format!("{value}: partial updates of JSON are completed"),
        );
    }
}
