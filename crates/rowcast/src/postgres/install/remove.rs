//! Taking back everything that was ever made.

use tokio_postgres::Client;

use super::{InstallError, delivered, identity, outbox, publications, schema, slot, triggers};
use crate::postgres::PostgresSettings;

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
    let lost = match delivered::dead_letters(client).await? {
        0 => String::new(),
        1 => "-- A dead letter, a record that did not become a row, is lost with it.\n".to_owned(),
        count => format!("-- {count} dead letters, records that did not become rows, are lost with it.\n"),
    };
    if schema::all_made(client, "schema").await?.is_empty() {
        // Somebody else has made the schema; it stays, empty.
        let is_theirs = |sql: &str| sql.contains("rowcast.dead_letters");
        let objects = plan_objects(client).await?.into_iter();
        plan.extend(objects.map(|sql| if is_theirs(&sql) { format!("{lost}{sql}") } else { sql }));
    } else {
        plan.push(format!("{lost}DROP SCHEMA rowcast CASCADE"));
    }
    Ok(plan)
}

/// What only the way by triggers needs.
pub(super) async fn plan_outbox(client: &Client) -> Result<Vec<String>, InstallError> {
    if !outbox::is_made(client).await? {
        return Ok(Vec::new());
    }
    let mut plan = triggers::plan_drop(client).await?;
    plan.extend(outbox::drops());
    Ok(plan)
}

/// What only the way by the write-ahead log needs, of this gateway.
pub(super) async fn plan_log(client: &Client, settings: &PostgresSettings) -> Result<Vec<String>, InstallError> {
    let mut plan = Vec::new();
    for (name, _) in schema::all_made(client, "slot").await?.into_iter().filter(|(name, _)| *name == settings.slot) {
        let there = "SELECT EXISTS (SELECT FROM pg_replication_slots
                                     WHERE slot_name = $1 AND database = current_database())";
        if client.query_one(there, &[&name]).await?.get(0) {
            plan.push(slot::drop(&name));
        }
        plan.push(schema::unmade("slot", &name));
    }
    plan.extend(publications::plan_drop(client).await?);
    for (name, _) in schema::all_made(client, "publication").await? {
        plan.push(schema::unmade("publication", &name));
    }
    plan.extend(identity::plan_restore(client).await?);
    Ok(plan)
}

async fn plan_triggers(client: &Client) -> Result<Vec<String>, InstallError> {
    let sql =
        "SELECT format('DROP EVENT TRIGGER %I', e.evtname) FROM pg_event_trigger e JOIN pg_proc f ON f.oid = e.evtfoid
                WHERE f.pronamespace = to_regnamespace('rowcast') ORDER BY 1";
    let mut plan: Vec<String> = client.query(sql, &[]).await?.iter().map(|row| row.get(0)).collect();
    plan.extend(triggers::plan_drop(client).await?);
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
