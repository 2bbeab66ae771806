//! What remembers the records that were brought: how far each source is, their keys, and dead letters.
//!
//! Made when the first of them come, by whoever brings them, so that a database without ingest stays clean.

use tokio_postgres::Client;

use super::{InstallError, run, schema};

const PROGRESS: &str = "\
-- How far each source's records are in the database.
CREATE TABLE rowcast.progress (source text COLLATE \"C\" PRIMARY KEY, life text NOT NULL, upto bigint NOT NULL,
  keys bigint NOT NULL DEFAULT 0, time timestamptz NOT NULL DEFAULT now())";
// Rows come in the order of time, so that a few pages of such an index find the old ones.
const KEYS: &str = "\
-- What tells the records of a source apart that were seen.
CREATE TABLE rowcast.record_keys (source text COLLATE \"C\", key text COLLATE \"C\", n bigint NOT NULL,
  time timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (source, key));
CREATE INDEX record_keys_time ON rowcast.record_keys USING brin (time)";
const DEAD_LETTERS: &str = "\
-- Records that did not become rows.
CREATE TABLE rowcast.dead_letters (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, source text COLLATE \"C\" NOT NULL,
  \"table\" text NOT NULL, time timestamptz NOT NULL DEFAULT now(), line bigint NOT NULL, \"column\" text, reason text NOT NULL,
  raw text NOT NULL);
CREATE INDEX dead_letters_source ON rowcast.dead_letters (source, id)";

/// Makes what is missing. Who comes at the same time waits, and finds it made.
pub(crate) async fn make_delivered(client: &Client) -> Result<(), InstallError> {
    let begin = format!(
        "BEGIN; SET LOCAL rowcast.setting_up = 'on'; SET LOCAL lock_timeout = '10s'; SELECT pg_advisory_xact_lock({})",
        run::LOCK
    );
    client.batch_execute(&begin).await.map_err(|error| run::failed(&begin, error))?;
    let made = make(client).await;
    if made.is_err() {
        // What it says would hide why it failed.
        let _ = client.batch_execute("ROLLBACK").await;
    }
    made
}

async fn make(client: &Client) -> Result<(), InstallError> {
    let mut plan = schema::plan(client).await?;
    for (name, sql) in [("progress", PROGRESS), ("record_keys", KEYS), ("dead_letters", DEAD_LETTERS)] {
        let there = "SELECT to_regclass('rowcast.' || $1) IS NOT NULL";
        if !client.query_one(there, &[&name]).await?.get::<_, bool>(0) {
            plan.push(sql.to_owned());
        }
    }
    plan.push("COMMIT".to_owned());
    for sql in plan {
        if let Err(error) = client.batch_execute(&sql).await {
            return Err(denied(client, run::failed(&sql, error)).await);
        }
    }
    Ok(())
}

/// Who may set capture up need not be who brings records.
async fn denied(client: &Client, error: InstallError) -> InstallError {
    let is_denied = |cause: &(dyn std::error::Error + 'static)| {
        let code = cause.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::code);
        code == Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE)
    };
    if !error.cause.as_deref().is_some_and(|cause| is_denied(cause)) {
        return error;
    }
    let _ = client.batch_execute("ROLLBACK").await;
    let sql =
        "SELECT format('%I', current_user), to_regnamespace('rowcast') IS NOT NULL, format('%I', current_database())";
    let Ok(row) = client.query_one(sql, &[]).await else { return error };
    let (role, is_made, database): (String, bool, String) = (row.get(0), row.get(1), row.get(2));
    let place = if is_made { "SCHEMA rowcast".to_owned() } else { format!("DATABASE {database}") };
    let message = format!(
        "Rowcast may not make the tables in which it remembers what was ingested; let their owner run \
         `GRANT CREATE ON {place} TO {role}`"
    );
    InstallError { message, ..error }
}

/// How many dead letters there are, which would be lost.
pub(super) async fn dead_letters(client: &Client) -> Result<i64, InstallError> {
    if !client.query_one("SELECT to_regclass('rowcast.dead_letters') IS NOT NULL", &[]).await?.get::<_, bool>(0) {
        return Ok(0);
    }
    Ok(client.query_one("SELECT count(*) FROM rowcast.dead_letters", &[]).await?.get(0))
}
