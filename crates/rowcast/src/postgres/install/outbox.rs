//! The outbox: a table in schema `rowcast` that triggers write to, and what keeps the meaning of its rows.
//!
//! A row holds the user's row as JSON with the names that the columns had when it was written, and what types they had is known from
//! `rowcast.shapes`: the last one of the table whose number is not above the row's. That is exact where an event trigger notes each
//! ALTER TABLE: it holds a lock that nobody writes under, so writes before it have smaller numbers, and those after it greater ones.

use tokio_postgres::Client;

use super::InstallError;
use super::functions::Function;

const OUTBOX: &str = "\
-- One row for each change, until Rowcast has it in its log. Numbers are given when a row is written, not when it is committed.
CREATE TABLE rowcast.outbox (
  tx xid8 DEFAULT pg_current_xact_id(),
  id bigint GENERATED ALWAYS AS IDENTITY,
  relid oid,
  op text NOT NULL,
  old text,
  new text,
  PRIMARY KEY (tx, id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_insert_threshold = -1)";

const SHAPES: &str = "\
-- What columns a table had from a row of the outbox on.
CREATE TABLE rowcast.shapes (id bigint PRIMARY KEY, relid oid NOT NULL, shape text)";

const STATE: &str = "\
-- Which outbox this is, and up to which transaction it was read and emptied.
CREATE TABLE rowcast.state (id uuid NOT NULL DEFAULT gen_random_uuid(), pruned xid8 NOT NULL DEFAULT '0')";

const AWAKE: &str = "\
-- Not counted with: it says, outside of transactions, whether Rowcast has been woken since it went to sleep.
CREATE SEQUENCE rowcast.awake";

const EMPTIED: [(&str, &str); 2] = [
    ("emptied_by_delete", "AFTER DELETE ON rowcast.outbox FOR EACH STATEMENT EXECUTE FUNCTION rowcast.emptied()"),
    ("emptied_by_truncate", "BEFORE TRUNCATE ON rowcast.outbox FOR EACH STATEMENT EXECUTE FUNCTION rowcast.emptied()"),
];

/// Makes the outbox.
pub(super) async fn plan_objects(client: &Client) -> Result<Vec<String>, InstallError> {
    let mut plan = Vec::new();
    for (name, sql) in [("outbox", OUTBOX), ("shapes", SHAPES), ("state", STATE), ("awake", AWAKE)] {
        let there = "SELECT to_regclass('rowcast.' || $1) IS NOT NULL";
        if !client.query_one(there, &[&name]).await?.get::<_, bool>(0) {
            plan.push(sql.to_owned());
            if name == "state" {
                plan.push("INSERT INTO rowcast.state DEFAULT VALUES".to_owned());
            }
        }
    }
    for function in functions() {
        plan.extend(function.plan(client).await?);
    }
    for (name, sql) in EMPTIED {
        let there =
            "SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass('rowcast.outbox') AND tgname = $1)";
        if !client.query_one(there, &[&name]).await?.get::<_, bool>(0) {
            plan.push(format!("CREATE TRIGGER {name} {sql}"));
        }
    }
    Ok(plan)
}

/// Removes the outbox, and whatever triggers are left on tables of others.
pub(super) fn drops() -> Vec<String> {
    let mut plan = vec![
        "DROP TABLE rowcast.outbox, rowcast.shapes, rowcast.state".to_owned(),
        "DROP SEQUENCE rowcast.awake".to_owned(),
    ];
    let types = |signature: &str| {
        let (name, arguments) = signature.trim_end_matches(')').split_once('(').unwrap_or((signature, ""));
        let types: Vec<&str> = arguments.split(',').filter_map(|argument| argument.split_whitespace().last()).collect();
        format!("rowcast.{name}({})", types.join(", "))
    };
    plan.extend(functions().iter().map(|function| format!("DROP FUNCTION {} CASCADE", types(function.signature))));
    plan
}

/// Whether the outbox is there.
pub(super) async fn is_made(client: &Client) -> Result<bool, InstallError> {
    let sql = "SELECT to_regclass('rowcast.state') IS NOT NULL AND to_regproc('rowcast.changes') IS NOT NULL";
    Ok(client.query_one(sql, &[]).await?.get(0))
}

/// Whether a table's columns are not those that were noted last. Needs the objects.
pub(super) async fn is_altered(client: &Client) -> Result<bool, InstallError> {
    Ok(client.query_one("SELECT EXISTS (SELECT FROM rowcast.changes('{}'))", &[]).await?.get(0))
}

/// Notes what columns tables have, and says so in the outbox. Of those in `fresh`, changes may have been missed.
pub(super) fn look(fresh: &[u32]) -> String {
    let fresh: Vec<String> = fresh.iter().map(u32::to_string).collect();
    format!("-- What columns there are from here on.\nSELECT rowcast.look('{{{}}}')", fresh.join(","))
}

const SAFE: &str = "SET search_path = pg_catalog, pg_temp";

fn functions() -> [Function; 7] {
    let of = |signature, returns, settings, comment, body: &str| Function {
        signature,
        returns,
        settings,
        body: body.to_owned(),
        comment,
        public: false,
    };
    [
        of(
            "wake()",
            "void",
            SAFE,
            "Tells Rowcast that there is something to read. At most one of all sessions does.",
            WAKE,
        ),
        of(
            "capture()",
            "trigger",
            // JSON is to look the same whatever the session has set.
            "SET search_path = pg_catalog, pg_temp\n  SET timezone = 'UTC' SET datestyle = 'ISO' SET intervalstyle = 'postgres'\n  \
             SET extra_float_digits = 1 SET bytea_output = 'hex'",
            "Copies a changed row into the outbox.",
            CAPTURE,
        ),
        of("truncated()", "trigger", SAFE, "Says in the outbox that a table was emptied.", TRUNCATED),
        of(
            "emptied()",
            "trigger",
            SAFE,
            "Makes it another outbox when somebody else removes rows of it.",
            EMPTIED_BODY,
        ),
        of(
            "changes(fresh oid[])",
            "TABLE (relid oid, was text, now text, renamed boolean)",
            SAFE,
            "Captured tables whose columns are not those that were noted.",
            CHANGES,
        ),
        of("look(fresh oid[])", "void", SAFE, "Notes what columns captured tables have.", LOOK),
        of(
            "prune(upto xid8, kept bigint, most integer)",
            "bigint",
            SAFE,
            "Removes what Rowcast has read, a little at a time.",
            PRUNE,
        ),
    ]
}

// A transaction that has notified cannot be prepared for a two-phase commit, and one that notifies while the queue is full cannot
// be committed: rather than that, Rowcast finds out by itself a moment later.
const WAKE: &str = "
BEGIN
  PERFORM setval('rowcast.awake', 1, true);
  IF current_setting('max_prepared_transactions')::int = 0 AND pg_notification_queue_usage() < 0.5 THEN
    PERFORM pg_notify('rowcast', '');
  END IF;
END
";

// A table that becomes a partition brings its own trigger with it, beside the one that it gets from its root.
const CAPTURE: &str = "
DECLARE
  root oid := coalesce(pg_partition_root(TG_RELID), TG_RELID);
  what text := lower(TG_OP);
  before text;
  after text;
BEGIN
  IF TG_NAME <> '00_rowcast_' || root THEN
    RETURN NULL;
  END IF;
  -- Only what does not write is guarded: a subtransaction that writes costs a transaction number.
  BEGIN
    IF what <> 'insert' THEN before := row_to_json(OLD); END IF;
    IF what <> 'delete' THEN after := row_to_json(NEW); END IF;
  EXCEPTION WHEN OTHERS THEN
    what := 'lost';
    before := NULL;
    after := 'a row could not be written as JSON: ' || SQLSTATE;
  END;
  INSERT INTO rowcast.outbox (relid, op, old, new) VALUES (root, what, before, after);
  IF pg_sequence_last_value('rowcast.awake') IS NULL THEN PERFORM rowcast.wake(); END IF;
  RETURN NULL;
END
";

const TRUNCATED: &str = "
BEGIN
  INSERT INTO rowcast.outbox (relid, op) VALUES (coalesce(pg_partition_root(TG_RELID), TG_RELID), 'truncate');
  IF pg_sequence_last_value('rowcast.awake') IS NULL THEN PERFORM rowcast.wake(); END IF;
  RETURN NULL;
END
";

const EMPTIED_BODY: &str = "
BEGIN
  IF current_setting('rowcast.pruning', true) IS DISTINCT FROM 'on' THEN
    UPDATE rowcast.state SET id = gen_random_uuid();
  END IF;
  RETURN NULL;
END
";

const CHANGES: &str = "
BEGIN
  RETURN QUERY
  WITH captured AS (
    SELECT c.oid, n.nspname, c.relname, c.relreplident FROM pg_trigger t
      JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE t.tgfoid = 'rowcast.capture()'::regprocedure AND t.tgparentid = 0 AND t.tgname = '00_rowcast_' || c.oid
       AND NOT c.relispartition
  ), columns AS (
    -- Generated columns: some have no value in a trigger, and the write-ahead log has none of them.
    SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attgenerated <> '' AS hidden,
           row_number() OVER (PARTITION BY a.attrelid, a.attgenerated <> '' ORDER BY a.attnum) - 1 AS place
      FROM pg_attribute a JOIN captured c ON c.oid = a.attrelid WHERE a.attnum > 0 AND NOT a.attisdropped
  ), described AS (
    SELECT c.oid, json_build_object('schema', c.nspname, 'name', c.relname,
      'columns', (SELECT coalesce(json_agg(json_build_array(
                    k.attname, k.atttypid::bigint, k.atttypmod, format_type(k.atttypid, k.atttypmod)) ORDER BY k.attnum), '[]')
                    FROM columns k WHERE k.attrelid = c.oid AND NOT k.hidden),
      'hidden', (SELECT coalesce(json_agg(k.attname), '[]') FROM columns k WHERE k.attrelid = c.oid AND k.hidden),
      'key', (SELECT coalesce(json_agg(k.place ORDER BY u.n), '[]')
                FROM pg_index i CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY u(attnum, n)
                JOIN columns k ON k.attrelid = c.oid AND k.attnum = u.attnum AND NOT k.hidden
               WHERE i.indrelid = c.oid AND i.indisvalid
                 AND CASE c.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END))::text AS shape
      FROM captured c
  ), noted AS (
    SELECT DISTINCT ON (s.relid) s.relid, s.shape FROM rowcast.shapes s ORDER BY s.relid, s.id DESC
  )
  SELECT coalesce(d.oid, n.relid), n.shape, d.shape,
         d.shape IS NULL OR (n.shape::json->>'schema', n.shape::json->>'name')
                            IS DISTINCT FROM (d.shape::json->>'schema', d.shape::json->>'name')
    FROM described d FULL JOIN noted n ON n.relid = d.oid
   WHERE d.shape IS DISTINCT FROM n.shape OR d.oid = ANY (fresh);
END
";

// What is told of the old name belongs to the old columns, and what follows to the new ones.
const LOOK: &str = "
DECLARE
  t record;
  n bigint;
BEGIN
  FOR t IN SELECT * FROM rowcast.changes(fresh) LOOP
    IF t.was IS NOT NULL AND t.renamed THEN
      INSERT INTO rowcast.outbox (relid, op, new)
      VALUES (t.relid, 'reset', 'the table was dropped or renamed, or is no longer captured');
    END IF;
    IF t.now IS NULL THEN
      n := nextval(pg_get_serial_sequence('rowcast.outbox', 'id'));
    ELSE
      INSERT INTO rowcast.outbox (relid, op, new)
      VALUES (t.relid, CASE WHEN t.was IS NOT NULL AND t.relid = ANY (fresh) THEN 'missed' ELSE 'reset' END,
              CASE WHEN t.was IS NULL THEN 'the table is new, or was made again'
                   WHEN t.relid = ANY (fresh) THEN 'the triggers of the table were missing'
                   ELSE 'the table was altered' END)
      RETURNING id INTO n;
    END IF;
    INSERT INTO rowcast.shapes (id, relid, shape) VALUES (n, t.relid, t.now);
  END LOOP;
END
";

// Never the last row that was read: by it a fork of the history is noticed.
const PRUNE: &str = "
DECLARE
  gone bigint;
BEGIN
  PERFORM set_config('rowcast.pruning', 'on', true);
  DELETE FROM rowcast.outbox o USING (
    SELECT tx, id FROM rowcast.outbox WHERE tx < upto AND id <> kept ORDER BY tx, id LIMIT most
  ) AS d WHERE o.tx = d.tx AND o.id = d.id;
  GET DIAGNOSTICS gone = ROW_COUNT;
  PERFORM set_config('rowcast.pruning', '', true);
  UPDATE rowcast.state SET pruned = greatest(pruned, upto) WHERE gone > 0;
  RETURN gone;
END
";
