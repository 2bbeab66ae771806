//! What has to be done in the very transaction that changes a table: an event trigger, which only a superuser can make.
//!
//! Without it the same is done a moment later, when the tables are looked at.

use tokio_postgres::Client;

use super::InstallError;
use super::functions::Function;
use crate::postgres::Mode;

/// When tables, their columns or their types may have been changed.
const TAGS: &str = "'ALTER TABLE', 'CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'DROP TABLE', 'ALTER SCHEMA', 'CREATE SCHEMA', \
                    'DROP SCHEMA', 'ALTER TYPE', 'DROP TYPE', 'DROP OWNED', 'CREATE EXTENSION', 'DROP EXTENSION'";

/// Makes the function. Where the mode is another, it takes the place of what was there.
pub(super) async fn plan_function(client: &Client, mode: Mode) -> Result<Vec<String>, InstallError> {
    let (comment, body) = match mode {
        Mode::Wal => ("Keeps published tables without a key writable.", KEEP_WRITABLE),
        Mode::Outbox => ("Notes what a statement changed about tables.", NOTE),
    };
    let function = Function {
        signature: "altered()",
        returns: "event_trigger",
        settings: "SET search_path = pg_catalog, pg_temp",
        body: body.to_owned(),
        comment,
        public: false,
    };
    if is_superuser(client).await? { function.plan(client).await } else { Ok(Vec::new()) }
}

/// Makes the event trigger. It comes last, so that it is not run by what is made before.
pub(super) async fn plan_trigger(client: &Client) -> Result<Vec<String>, InstallError> {
    let there = "SELECT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'rowcast_ddl')";
    if !is_superuser(client).await? || client.query_one(there, &[]).await?.get::<_, bool>(0) {
        return Ok(Vec::new());
    }
    Ok(vec![format!(
        "-- Only a superuser can make it; without it, changed tables are noticed a moment later.\n\
         CREATE EVENT TRIGGER rowcast_ddl ON ddl_command_end WHEN TAG IN ({TAGS})\n  EXECUTE FUNCTION rowcast.altered()"
    )])
}

async fn is_superuser(client: &Client) -> Result<bool, InstallError> {
    let sql = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user";
    Ok(client.query_one(sql, &[]).await?.get(0))
}

// Setup looks by itself.
const NOTE: &str = "
BEGIN
  IF current_setting('rowcast.setting_up', true) = 'on' THEN
    RETURN;
  END IF;
  IF tg_tag NOT LIKE 'DROP%'
     AND NOT EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE schema_name IS DISTINCT FROM 'pg_temp') THEN
    RETURN;
  END IF;
  PERFORM rowcast.look('{}');
  IF current_setting('max_prepared_transactions')::int = 0 AND pg_notification_queue_usage() < 0.5 THEN
    PERFORM pg_notify('rowcast', 'ddl');
  END IF;
EXCEPTION WHEN OTHERS THEN
  RAISE WARNING 'rowcast: what has become of the tables is found out later: %', SQLERRM;
END
";

// Whoever drops a primary key could not update the table any more. What its identity was is remembered, and it is set back when the
// next look finds that another remedy is wished.
const KEEP_WRITABLE: &str = "
DECLARE
  t record;
BEGIN
  IF current_setting('rowcast.setting_up', true) = 'on' THEN
    RETURN;
  END IF;
  PERFORM set_config('rowcast.setting_up', 'on', true);
  FOR t IN
    SELECT c.oid, c.relreplident
      FROM rowcast.made m JOIN pg_publication p ON p.pubname = m.name AND m.kind = 'publication' AND p.pubupdate
      JOIN pg_publication_rel r ON r.prpubid = p.oid
     CROSS JOIN LATERAL (SELECT r.prrelid::oid AS relid UNION SELECT relid::oid FROM pg_partition_tree(r.prrelid)) AS member
      JOIN pg_class c ON c.oid = member.relid AND c.relkind IN ('r', 'p')
     WHERE c.relreplident = 'n'
        OR (c.relreplident IN ('d', 'i') AND NOT EXISTS (
             SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
                AND CASE c.relreplident WHEN 'd' THEN i.indisprimary ELSE i.indisreplident END))
  LOOP
    INSERT INTO rowcast.made (kind, name, was) VALUES ('identity', t.oid::text, t.relreplident) ON CONFLICT DO NOTHING;
    EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', t.oid::regclass);
  END LOOP;
  PERFORM set_config('rowcast.setting_up', '', true);
EXCEPTION WHEN OTHERS THEN
  RAISE WARNING 'rowcast: what has become of the tables is found out later: %', SQLERRM;
END
";
