//! The outbox, where it is used or left behind.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::{Capabilities, Findings, State};
use crate::mysql::Mode;

/// Rows in the outbox beyond which somebody should ask who reads it.
const MANY: u64 = 100_000;

pub(super) async fn look(conn: &mut Conn, able: &Capabilities, mode: Option<Mode>, findings: &mut Findings) {
    if !able.installed {
        if mode == Some(Mode::Outbox) {
            findings.add(State::Advice, "outbox", "not set up yet: `rowcast setup` or `rowcast serve` does it");
        }
        return;
    }
    if mode == Some(Mode::Binlog) {
        let message =
            "an outbox is set up that is not used any more, and every write still fills it: `rowcast setup` removes it";
        findings.add(State::Warning, "outbox", message);
        return;
    }
    let sql = format!("SELECT COUNT(*) FROM (SELECT 1 FROM _rowcast_outbox LIMIT {}) o", MANY + 1);
    match conn.query_first::<u64, _>(sql).await {
        Ok(Some(rows)) if rows > MANY => {
            let message = format!(
                "more than {MANY} rows wait in it: does a Rowcast run that reads it? If none ever will, `rowcast teardown` removes it"
            );
            findings.add(State::Warning, "outbox", message);
        }
        Ok(rows) => findings.add(State::Good, "outbox", format!("set up; {} rows wait in it", rows.unwrap_or(0))),
        Err(error) => findings.add(State::Broken, "outbox", format!("it cannot be read: {error}")),
    }
    if able.log_bin && able.binlog_format.eq_ignore_ascii_case("STATEMENT") {
        let message = "STATEMENT: the server warns of each write that fires a trigger, and replicas count the outbox's rows differently";
        findings.mend(State::Warning, "binlog_format", message, ["SET GLOBAL binlog_format = 'MIXED'".into()]);
    }
}
