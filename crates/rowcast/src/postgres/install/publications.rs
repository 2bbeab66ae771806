//! The publications: one for tables with all that happens to them, one for those of which only inserts can be had.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use super::schema::{ident, made};
use super::tables::{Found, Member};
use super::{InstallError, identity, schema};
use crate::postgres::{Identity, PostgresSettings};

const ALL: &str = "insert, update, delete, truncate";
const INSERTS: &str = "insert, truncate";

/// The name of the publication for tables without a key.
fn inserts_name(settings: &PostgresSettings) -> String {
    format!("{}_inserts", settings.publication)
}

/// Brings both publications to what the tables call for.
pub(super) async fn plan(
    client: &Client,
    settings: &PostgresSettings,
    tables: &[&Found],
) -> Result<Vec<String>, InstallError> {
    let before = identity::remembered(client).await?;
    // PostgreSQL refuses updates of a table that is published with them and whose rows cannot be told apart.
    let (all, inserts): (Vec<&Found>, Vec<&Found>) = tables.iter().copied().partition(|table| {
        // One that is remembered is about to be set back.
        let will_be = |member: &Member| {
            let was = before.get(&member.oid).unwrap_or(&member.identity);
            member.is_told_apart(identity::kind_of(was))
        };
        settings.identity != Identity::Leave || table.members.iter().all(will_be)
    });
    let mut plan = Vec::new();
    let inserts_name = inserts_name(settings);
    let (here, there) = (find(client, &settings.publication).await?, find(client, &inserts_name).await?);
    if there.is_some() || !inserts.is_empty() {
        plan.extend(bring(&inserts_name, INSERTS, there.as_ref(), &inserts));
    }
    plan.extend(bring(&settings.publication, ALL, here.as_ref(), &all));
    // What leaves comes first: a table that moves would be published with updates by both for a moment.
    plan.sort_by_key(|sql| !sql.contains(" DROP TABLE "));
    if here.is_none() {
        plan.insert(0, made("publication", &settings.publication, None));
    }
    if there.is_none() && !inserts.is_empty() {
        plan.insert(0, made("publication", &inserts_name, None));
    }
    Ok(plan)
}

/// Whether the publication of these settings is there.
pub(super) async fn is_made(client: &Client, settings: &PostgresSettings) -> Result<bool, InstallError> {
    Ok(find(client, &settings.publication).await?.is_some())
}

/// Drops the publications that were made.
pub(super) async fn plan_drop(client: &Client) -> Result<Vec<String>, InstallError> {
    let mut plan = Vec::new();
    for (name, _) in schema::all_made(client, "publication").await? {
        if find(client, &name).await?.is_some() {
            plan.push(format!("DROP PUBLICATION {}", ident(&name)));
        }
    }
    Ok(plan)
}

/// Whether there are publications of other gateways.
pub(super) async fn are_others(client: &Client, settings: &PostgresSettings) -> Result<bool, InstallError> {
    let own = own(settings);
    Ok(schema::all_made(client, "publication").await?.iter().any(|(name, _)| !own.contains(name)))
}

/// The statements that take back the publications of these settings, and nothing else.
pub(super) async fn plan_drop_own(client: &Client, settings: &PostgresSettings) -> Result<Vec<String>, InstallError> {
    let own = own(settings);
    let mut plan = Vec::new();
    for (name, _) in schema::all_made(client, "publication").await? {
        if own.contains(&name) {
            if find(client, &name).await?.is_some() {
                plan.push(format!("DROP PUBLICATION {}", ident(&name)));
            }
            plan.push(schema::unmade("publication", &name));
        }
    }
    Ok(plan)
}

fn own(settings: &PostgresSettings) -> [String; 2] {
    [settings.publication.clone(), format!("{}_inserts", settings.publication)]
}

/// A publication that is there.
struct Publication {
    /// Whether it holds every table, also those to come: then somebody else has made it so.
    every: bool,
    publish: String,
    via_root: bool,
    /// Name as SQL by object id.
    tables: BTreeMap<u32, String>,
}

async fn find(client: &Client, name: &str) -> Result<Option<Publication>, InstallError> {
    let sql = "SELECT p.puballtables, p.pubviaroot, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate
                 FROM pg_publication p WHERE p.pubname = $1";
    let Some(row) = client.query_opt(sql, &[&name]).await? else { return Ok(None) };
    let names = ["insert", "update", "delete", "truncate"];
    let publish: Vec<&str> = names.iter().zip(2..).filter(|(_, i)| row.get::<_, bool>(*i)).map(|(n, _)| *n).collect();
    let sql = "SELECT r.prrelid, format('%I.%I', n.nspname, c.relname)
                 FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid
                 JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE p.pubname = $1";
    let tables = client.query(sql, &[&name]).await?.iter().map(|row| (row.get(0), row.get(1))).collect();
    Ok(Some(Publication { every: row.get(0), publish: publish.join(", "), via_root: row.get(1), tables }))
}

fn bring(name: &str, publish: &str, there: Option<&Publication>, wanted: &[&Found]) -> Vec<String> {
    let name = ident(name);
    let list = |tables: Vec<&str>| tables.join(",\n  ");
    let Some(there) = there else {
        let tables = match wanted {
            [] => String::new(),
            wanted => format!("\n  FOR TABLE {}", list(wanted.iter().map(|table| &*table.sql).collect())),
        };
        return vec![format!(
            "CREATE PUBLICATION {name}{tables}\n  WITH (publish = '{publish}', publish_via_partition_root = true)"
        )];
    };
    let mut plan = Vec::new();
    if there.publish != publish || !there.via_root {
        plan.push(format!("ALTER PUBLICATION {name} SET (publish = '{publish}', publish_via_partition_root = true)"));
    }
    if there.every {
        return plan;
    }
    let gone: Vec<&str> = there
        .tables
        .iter()
        .filter(|(oid, _)| wanted.iter().all(|table| table.oid != **oid))
        .map(|(_, sql)| &**sql)
        .collect();
    if !gone.is_empty() {
        plan.push(format!("ALTER PUBLICATION {name} DROP TABLE {}", list(gone)));
    }
    let new: Vec<&str> =
        wanted.iter().filter(|table| !there.tables.contains_key(&table.oid)).map(|table| &*table.sql).collect();
    if !new.is_empty() {
        plan.push(format!("ALTER PUBLICATION {name} ADD TABLE {}", list(new)));
    }
    plan
}
