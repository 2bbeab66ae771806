//! What Rowcast makes in a user's database, and how it is removed: the only place that knows the SQL.
//!
//! Everything lives in schema `rowcast`, apart from publications, the replication slot, triggers on captured tables, and REPLICA
//! IDENTITY. What was made is written down there, so that it can all be taken back. Leaves reading to `source`.

mod capabilities;
mod ddl;
mod delivered;
mod functions;
mod identity;
mod outbox;
mod publications;
mod remove;
mod run;
mod schema;
mod slot;
mod tables;
mod triggers;

use tokio_postgres::Client;

pub use self::capabilities::{Capabilities, choose};
pub(crate) use self::delivered::make_delivered;
use self::run::atomically;
use self::tables::Found;
use super::{Mode, PostgresSettings};
use crate::event::TableName;

/// What could not be done in the database, in a sentence that says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct InstallError {
    /// What is wrong and what to do.
    pub message: String,
    /// Whether it may work when tried again.
    pub retry: bool,
    /// The database's own error.
    #[source]
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Makes what is missing. Returns the SQL that it ran: nothing when everything was there.
pub async fn setup(client: &Client, settings: &PostgresSettings, mode: Mode) -> Result<Vec<String>, InstallError> {
    run::under_lock(client, async || {
        let plan = plan_setup(client, settings, mode).await?;
        atomically(client, &plan).await?;
        Ok(plan)
    })
    .await
}

/// Removes everything that was ever made. Returns the SQL that it ran: nothing when nothing was there.
pub async fn teardown(client: &Client, settings: &PostgresSettings) -> Result<Vec<String>, InstallError> {
    run::under_lock(client, async || {
        let plan = plan_teardown(client, settings).await?;
        atomically(client, &plan).await?;
        Ok(plan)
    })
    .await
}

/// Makes what new, dropped and altered tables call for, where setup was run before. Returns the SQL that it ran.
///
/// Costs a few catalog queries when there is nothing to do.
pub async fn refresh(client: &Client, settings: &PostgresSettings, mode: Mode) -> Result<Vec<String>, InstallError> {
    if plan_refresh(client, settings, mode).await?.is_empty() {
        return Ok(Vec::new());
    }
    run::under_lock(client, async || {
        let plan = plan_refresh(client, settings, mode).await?;
        atomically(client, &plan).await?;
        Ok(plan)
    })
    .await
}

/// The statements that [`setup`] would run.
pub async fn plan_setup(client: &Client, settings: &PostgresSettings, mode: Mode) -> Result<Vec<String>, InstallError> {
    // A short look by `rowcast tail` leaves what somebody else has set up as it is.
    if settings.temporary && schema::is_made(client).await? {
        return plan_tables(client, settings, mode).await;
    }
    let mut plan = plan_other_mode(client, settings, mode).await?;
    plan.extend(schema::plan(client).await?);
    if mode == Mode::Outbox {
        plan.extend(outbox::plan_objects(client).await?);
    }
    plan.extend(functions::plan(client, mode).await?);
    plan.extend(ddl::plan_function(client, mode).await?);
    plan.extend(plan_tables(client, settings, mode).await?);
    plan.extend(ddl::plan_trigger(client).await?);
    if mode == Mode::Wal {
        plan.extend(slot::plan(client, settings).await?);
    }
    Ok(plan)
}

/// Removes what the other way of capturing changes needs: nobody would read it, and a slot would fill the disk.
async fn plan_other_mode(
    client: &Client,
    settings: &PostgresSettings,
    mode: Mode,
) -> Result<Vec<String>, InstallError> {
    match mode {
        // A short look by `rowcast tail` takes nothing away.
        Mode::Wal if settings.temporary => Ok(Vec::new()),
        Mode::Wal => remove::plan_outbox(client).await,
        Mode::Outbox => remove::plan_log(client, settings).await,
    }
}

async fn plan_refresh(client: &Client, settings: &PostgresSettings, mode: Mode) -> Result<Vec<String>, InstallError> {
    let is_made = match mode {
        Mode::Wal => schema::is_made(client).await?,
        Mode::Outbox => outbox::is_made(client).await?,
    };
    if is_made { plan_tables(client, settings, mode).await } else { Ok(Vec::new()) }
}

/// What follows from which tables there are.
async fn plan_tables(client: &Client, settings: &PostgresSettings, mode: Mode) -> Result<Vec<String>, InstallError> {
    let found = tables::find(client, settings).await?;
    let mut plan = Vec::new();
    match mode {
        Mode::Wal => {
            let allowed: Vec<&Found> = found.iter().filter(|table| table.owned).collect();
            plan.extend(identity::plan(client, settings, &allowed).await?);
            plan.extend(publications::plan(client, settings, &allowed).await?);
        }
        Mode::Outbox => {
            let allowed: Vec<&Found> = found.iter().filter(|table| table.triggerable).collect();
            let (triggers, fresh) = triggers::plan(client, &allowed).await?;
            if !triggers.is_empty() || (outbox::is_made(client).await? && outbox::is_altered(client).await?) {
                plan.extend(triggers);
                plan.push(outbox::look(&fresh));
            }
        }
    }
    Ok(plan)
}

/// The statements that [`teardown`] would run.
pub async fn plan_teardown(client: &Client, settings: &PostgresSettings) -> Result<Vec<String>, InstallError> {
    if settings.temporary && publications::are_others(client, settings).await? {
        return publications::plan_drop_own(client, settings).await;
    }
    remove::plan(client).await
}

/// How changes are captured, as far as it shows in the database.
pub(crate) async fn captured_by(client: &Client, settings: &PostgresSettings) -> Result<Option<Mode>, InstallError> {
    if publications::is_made(client, settings).await? {
        return Ok(Some(Mode::Wal));
    }
    Ok(outbox::is_made(client).await?.then_some(Mode::Outbox))
}

/// The tables whose changes are captured: those that are chosen, and that the database's user may capture.
pub async fn captured(client: &Client, settings: &PostgresSettings) -> Result<Vec<TableName>, InstallError> {
    Ok(tables::find(client, settings).await?.into_iter().filter(|t| t.owned || t.triggerable).map(|t| t.name).collect())
}

impl From<tokio_postgres::Error> for InstallError {
    fn from(error: tokio_postgres::Error) -> Self {
        run::failed("the database's catalog could not be read", error)
    }
}
