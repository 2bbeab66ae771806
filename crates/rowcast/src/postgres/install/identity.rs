//! REPLICA IDENTITY: what of the old row is in the write-ahead log. What it was is remembered.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use super::InstallError;
use super::schema::{all_made, made, unmade};
use super::tables::{Found, Member};
use crate::postgres::{Identity, PostgresSettings};

const KIND: &str = "identity";

/// Sets FULL where it is asked for, and takes it back where it no longer is.
pub(super) async fn plan(
    client: &Client,
    settings: &PostgresSettings,
    tables: &[&Found],
) -> Result<Vec<String>, InstallError> {
    let mut before: BTreeMap<u32, String> = remembered(client).await?;
    let mut plan = Vec::new();
    let members = tables.iter().flat_map(|table| table.members.iter().map(move |member| (&table.name, member)));
    for (name, member) in members {
        let remembered = before.remove(&member.oid);
        let was = remembered.as_deref().unwrap_or(&member.identity);
        let full = match settings.identity {
            Identity::Leave => false,
            Identity::Needed => !member.is_told_apart(kind_of(was)) || settings.is_decisive(name),
            Identity::Full => true,
        };
        match (full, &remembered) {
            (true, _) if member.identity == "f" => {}
            (true, _) => {
                let was = member.index.as_ref().filter(|_| member.identity == "i").unwrap_or(&member.identity);
                plan.push(unmade(KIND, &member.oid.to_string()));
                plan.push(made(KIND, &member.oid.to_string(), Some(&full_name(&member.identity, was))));
                plan.push(format!(
                    "-- Without it, an UPDATE or DELETE of a published table without a key fails, or old rows are not known.\n\
                     ALTER TABLE {} REPLICA IDENTITY FULL",
                    member.sql
                ));
            }
            (false, Some(was)) => plan.extend(back(member, was)),
            (false, None) => {}
        }
    }
    plan.extend(restore(client, &before).await?);
    Ok(plan)
}

/// Takes back every change that is remembered.
pub(super) async fn plan_restore(client: &Client) -> Result<Vec<String>, InstallError> {
    restore(client, &remembered(client).await?).await
}

/// What identities were before they were set to FULL: `d`, `n`, or `i:` with the index.
pub(super) async fn remembered(client: &Client) -> Result<BTreeMap<u32, String>, InstallError> {
    let made = all_made(client, KIND).await?;
    Ok(made.into_iter().filter_map(|(oid, was)| Some((oid.parse().ok()?, was?))).collect())
}

async fn restore(client: &Client, before: &BTreeMap<u32, String>) -> Result<Vec<String>, InstallError> {
    let oids: Vec<u32> = before.keys().copied().collect();
    if oids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT oid, oid::regclass::text, relreplident::text FROM pg_class
                WHERE oid = ANY($1) AND relkind IN ('r', 'p')";
    let mut plan = Vec::new();
    let mut gone = before.clone();
    for row in client.query(sql, &[&oids]).await? {
        let member = Member { oid: row.get(0), sql: row.get(1), identity: row.get(2), keyed: false, index: None };
        if let Some(was) = gone.remove(&member.oid) {
            plan.extend(back(&member, &was));
        }
    }
    plan.extend(gone.keys().map(|oid| unmade(KIND, &oid.to_string())));
    Ok(plan)
}

/// One that somebody has changed since is left as it is.
fn back(member: &Member, was: &str) -> Vec<String> {
    let mut plan = Vec::new();
    if member.identity == "f" {
        let was = match was.split_once(':') {
            Some(("i", index)) => format!("USING INDEX {index}"),
            _ if was == "n" => "NOTHING".to_owned(),
            _ => "DEFAULT".to_owned(),
        };
        plan.push(format!("ALTER TABLE {} REPLICA IDENTITY {was}", member.sql));
    }
    plan.push(unmade(KIND, &member.oid.to_string()));
    plan
}

/// `i:orders_number_key` of an index, else the letter alone.
fn full_name(identity: &str, was: &str) -> String {
    if identity == "i" && was != "i" { format!("i:{was}") } else { identity.to_owned() }
}

/// The letter of an identity that is remembered.
pub(super) fn kind_of(was: &str) -> &str {
    was.split(':').next().unwrap_or(was)
}
