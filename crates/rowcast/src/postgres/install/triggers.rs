//! The triggers on the user's tables.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use super::InstallError;
use super::tables::Found;

/// Their number in the catalog: after each row that is inserted, updated or deleted.
const ROWS: i16 = 1 | 4 | 8 | 16;
/// After each statement that truncates.
const TRUNCATE: i16 = 32;

const TRUNCATE_NAME: &str = "00_rowcast_truncate";

/// A trigger that is there.
#[derive(Debug, Clone)]
struct Trigger {
    /// The statement that removes it; only the table's owner can run it.
    drop: Option<String>,
    kind: i16,
    enabled: String,
}

/// Brings the triggers to what the tables call for. Also tells which tables got theirs anew.
pub(super) async fn plan(client: &Client, tables: &[&Found]) -> Result<(Vec<String>, Vec<u32>), InstallError> {
    let mut there = find(client).await?;
    let (mut plan, mut fresh) = (Vec::new(), Vec::new());
    for table in tables {
        // The first in the order of names, so that a change is written down before those that the user's triggers make of it.
        // With the table's number in it, lest two be called the same where a table becomes a partition.
        let name = format!("00_rowcast_{}", table.oid);
        let made = make(table.oid, &table.sql, &name, ROWS, table.owned, &mut there);
        if !made.is_empty() {
            fresh.push(table.oid);
        }
        plan.extend(made);
        for member in &table.members {
            plan.extend(make(member.oid, &member.sql, TRUNCATE_NAME, TRUNCATE, table.owned, &mut there));
        }
    }
    let mut strays: Vec<String> = there.into_values().filter_map(|trigger| trigger.drop).collect();
    strays.extend(plan);
    Ok((strays, fresh))
}

/// The statements that remove every trigger.
pub(super) async fn plan_drop(client: &Client) -> Result<Vec<String>, InstallError> {
    Ok(find(client).await?.into_values().filter_map(|trigger| trigger.drop).collect())
}

fn make(
    oid: u32,
    table: &str,
    name: &str,
    kind: i16,
    owned: bool,
    there: &mut BTreeMap<(u32, String), Trigger>,
) -> Vec<String> {
    let found = there.remove(&(oid, name.to_owned()));
    let mut plan = Vec::new();
    let (what, function) = match kind {
        ROWS => ("INSERT OR UPDATE OR DELETE", "FOR EACH ROW EXECUTE FUNCTION rowcast.capture()"),
        _ => ("TRUNCATE", "FOR EACH STATEMENT EXECUTE FUNCTION rowcast.truncated()"),
    };
    if found.as_ref().is_none_or(|trigger| trigger.kind != kind) {
        plan.extend(found.as_ref().and_then(|trigger| trigger.drop.clone()));
        plan.push(format!("CREATE TRIGGER \"{name}\" AFTER {what} ON {table}\n  {function}"));
    }
    // Writes that come by replication are to be seen, too. Only the owner can ask for that.
    if owned && (!plan.is_empty() || found.is_some_and(|trigger| trigger.enabled != "A")) {
        plan.push(format!("ALTER TABLE {table} ENABLE ALWAYS TRIGGER \"{name}\""));
    }
    plan
}

/// By table and name.
async fn find(client: &Client) -> Result<BTreeMap<(u32, String), Trigger>, InstallError> {
    let sql = "SELECT t.tgrelid, t.tgname::text,
                      CASE WHEN pg_has_role(c.relowner, 'USAGE')
                           THEN format('DROP TRIGGER %I ON %I.%I', t.tgname, n.nspname, c.relname) END,
                      t.tgtype, t.tgenabled::text
                 FROM pg_trigger t JOIN pg_proc f ON f.oid = t.tgfoid JOIN pg_class c ON c.oid = t.tgrelid
                 JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE f.pronamespace = to_regnamespace('rowcast') AND n.nspname <> 'rowcast' AND t.tgparentid = 0
                ORDER BY n.nspname, c.relname, t.tgname";
    let rows = client.query(sql, &[]).await?;
    let trigger = |row: &tokio_postgres::Row| Trigger { drop: row.get(2), kind: row.get(3), enabled: row.get(4) };
    Ok(rows.iter().map(|row| ((row.get(0), row.get(1)), trigger(row))).collect())
}
