//! Taking back everything that was ever made.

use tokio_postgres::Client;

use super::{InstallError, identity, publications, schema, slot};

/// The statements that leave nothing of Rowcast's behind, also of tables that are no longer chosen.
pub(super) async fn plan(client: &Client) -> Result<Vec<String>, InstallError> {
    let mut plan = Vec::new();
    if !schema::is_made(client).await? {
        return Ok(plan);
    }
    for (name, _) in schema::all_made(client, "slot").await? {
        let there = "SELECT EXISTS (SELECT FROM pg_replication_slots
                                     WHERE slot_name = $1 AND database = current_database())";
        if client.query_one(there, &[&name]).await?.get(0) {
            plan.push(slot::drop(&name));
        }
    }
    plan.extend(publications::plan_drop(client).await?);
    plan.extend(identity::plan_restore(client).await?);
    plan.extend(plan_triggers(client).await?);
    if schema::all_made(client, "schema").await?.is_empty() {
        // Somebody else has made the schema; it stays, empty.
        plan.extend(plan_objects(client).await?);
    } else {
        plan.push("DROP SCHEMA rowcast CASCADE".to_owned());
    }
    Ok(plan)
}

async fn plan_triggers(client: &Client) -> Result<Vec<String>, InstallError> {
    let mut plan = Vec::new();
    let sql =
        "SELECT format('DROP EVENT TRIGGER %I', e.evtname) FROM pg_event_trigger e JOIN pg_proc f ON f.oid = e.evtfoid
                WHERE f.pronamespace = to_regnamespace('rowcast') ORDER BY 1";
    plan.extend(client.query(sql, &[]).await?.iter().map(|row| row.get::<_, String>(0)));
    let sql = "SELECT format('DROP TRIGGER %I ON %I.%I', t.tgname, n.nspname, c.relname)
                 FROM pg_trigger t JOIN pg_proc f ON f.oid = t.tgfoid JOIN pg_class c ON c.oid = t.tgrelid
                 JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE f.pronamespace = to_regnamespace('rowcast') AND n.nspname <> 'rowcast' AND t.tgparentid = 0
                ORDER BY n.nspname, c.relname, t.tgname";
    plan.extend(client.query(sql, &[]).await?.iter().map(|row| row.get::<_, String>(0)));
    Ok(plan)
}

async fn plan_objects(client: &Client) -> Result<Vec<String>, InstallError> {
    let sql = "SELECT format('DROP TABLE rowcast.%I CASCADE', relname) FROM pg_class
                WHERE relnamespace = to_regnamespace('rowcast') AND relkind = 'r'
            UNION ALL
               SELECT format('DROP SEQUENCE rowcast.%I', c.relname) FROM pg_class c
                WHERE relnamespace = to_regnamespace('rowcast') AND relkind = 'S'
                  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('a', 'i'))
            UNION ALL
               SELECT format('DROP FUNCTION %s', oid::regprocedure) FROM pg_proc
                WHERE pronamespace = to_regnamespace('rowcast')
            UNION ALL
               SELECT 'REVOKE USAGE ON SCHEMA rowcast FROM PUBLIC'";
    Ok(client.query(sql, &[]).await?.iter().map(|row| row.get(0)).collect())
}
