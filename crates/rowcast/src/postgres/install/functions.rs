//! `rowcast.publish` and `rowcast.notify`: messages that belong to the transaction that sends them.

use tokio_postgres::Client;

use super::InstallError;
use crate::postgres::Mode;

/// A function of schema `rowcast`.
pub(super) struct Function {
    /// Its name with its arguments: `publish(channel text, event text, data jsonb)`.
    pub(super) signature: &'static str,
    pub(super) returns: &'static str,
    /// Settings that hold while it runs.
    pub(super) settings: &'static str,
    pub(super) body: String,
    /// Why it is there, for whoever reads the SQL.
    pub(super) comment: &'static str,
    /// Whether everybody may call it.
    pub(super) public: bool,
}

/// Makes both functions, or makes them anew where they are for another mode.
pub(super) async fn plan(client: &Client, mode: Mode) -> Result<Vec<String>, InstallError> {
    let mut plan = Vec::new();
    for function in [publish(mode), notify(mode)] {
        plan.extend(function.plan(client).await?);
    }
    Ok(plan)
}

fn publish(mode: Mode) -> Function {
    let wrong = "channel !~ '^(room|room@[^:]+|notify):.' IS NOT FALSE OR octet_length(channel) > 256 + position(':' IN channel)
     OR position(':' IN channel) > 400 OR channel ~ '[[:cntrl:]]'";
    let hint = "A channel is room:NAME, room@TENANT:NAME or notify:NAME, with a name of 1 to 256 bytes.";
    let message = "'channel', channel, 'event', coalesce(event, 'message'), 'data', data";
    Function {
        signature: "publish(channel text, event text, data jsonb)",
        returns: "void",
        settings: "SET search_path = pg_catalog, pg_temp",
        body: body("rowcast.publish", wrong, hint, message, mode),
        comment: "A message to a channel, sent when and only if the transaction is committed. A mistake is a warning, never an \
                  error.",
        public: true,
    }
}

fn notify(mode: Mode) -> Function {
    let wrong = "octet_length(channel) BETWEEN 1 AND 256 IS NOT TRUE OR channel ~ '[[:cntrl:]]'";
    let hint = "A channel's name has 1 to 256 bytes and no control characters.";
    let message = "'channel', 'notify:' || channel, 'event', 'notify',
      'data', json_build_object('payload', coalesce(payload, ''), 'process_id', pg_backend_pid())";
    Function {
        signature: "notify(channel text, payload text)",
        returns: "void",
        settings: "SET search_path = pg_catalog, pg_temp",
        body: body("rowcast.notify", wrong, hint, message, mode),
        comment: "As pg_notify, without its limit of 8,000 bytes, and for listeners of Rowcast only.",
        public: true,
    }
}

/// A function that sends what `message` says unless the channel is `wrong`.
fn body(name: &str, wrong: &str, hint: &str, message: &str, mode: Mode) -> String {
    let send = match mode {
        Mode::Wal => "PERFORM pg_logical_emit_message(true, 'rowcast', message);",
        Mode::Outbox => {
            "INSERT INTO rowcast.outbox (op, new) VALUES ('message', message);
  IF pg_sequence_last_value('rowcast.awake') IS NULL THEN PERFORM rowcast.wake(); END IF;"
        }
    };
    let hint = hint.replace('\'', "''");
    format!(
        "
DECLARE
  message text;
BEGIN
  IF {wrong} THEN
    RAISE WARNING '{name}: % is no channel; nothing is sent', coalesce(quote_literal(left(channel, 64)), 'NULL')
      USING HINT = '{hint}';
    RETURN;
  END IF;
  IF current_setting('transaction_read_only')::boolean THEN
    RAISE WARNING '{name}: nothing is sent from a read-only transaction';
    RETURN;
  END IF;
  -- Only what does not write is guarded: a subtransaction that writes costs a transaction number.
  BEGIN
    message := json_build_object({message})::text;
  EXCEPTION WHEN OTHERS THEN
    RAISE WARNING '{name}: %; nothing is sent', SQLERRM;
    RETURN;
  END;
  {send}
END
"
    )
}

impl Function {
    /// Makes it, unless it is there.
    pub(super) async fn plan(&self, client: &Client) -> Result<Vec<String>, InstallError> {
        let name = self.signature.split('(').next().unwrap_or_default();
        let sql = "SELECT EXISTS (SELECT FROM pg_proc WHERE pronamespace = to_regnamespace('rowcast') AND proname = $1 AND prosrc = $2)";
        if client.query_one(sql, &[&name, &self.body]).await?.get(0) {
            return Ok(Vec::new());
        }
        let Self { signature, returns, settings, body, comment, public } = self;
        let mut plan = vec![format!(
            "-- {comment}\nCREATE OR REPLACE FUNCTION rowcast.{signature} RETURNS {returns}\n\
             LANGUAGE plpgsql SECURITY DEFINER {settings}\nAS $${body}$$"
        )];
        // Everybody may call a new function unless that is taken away.
        let types = signature.split(['(', ')']).nth(1).unwrap_or_default();
        let types: Vec<&str> = types.split(',').filter_map(|argument| argument.split_whitespace().last()).collect();
        let (verb, to) = if *public { ("GRANT", "TO") } else { ("REVOKE", "FROM") };
        plan.push(format!("{verb} EXECUTE ON FUNCTION rowcast.{name}({}) {to} PUBLIC", types.join(", ")));
        Ok(plan)
    }
}
