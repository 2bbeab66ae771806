//! Row-level security: what a table's policies ask, and whether a role sees a version of a row.
//!
//! A policy's own words are evaluated over rows that are given instead of those of the table: of a change, the row before it and the row
//! after it may both be gone. ADR 0011 has the whole story.

use std::time::Duration;

use serde::Deserialize;
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

use super::literal::quote_table;
use super::moment::limits;
use super::pool::{Lent, within};
use super::refused::{in_words, is_altered, may_pass};
use super::{AsRole, Policies, Server, Sight, StoreError};
use crate::event::{Row, Table};
use crate::postgres::catalog::Described;
use crate::postgres::name::quote;
use crate::postgres::types::Kind;

/// How long policies may take over a batch of rows.
const PATIENCE: Duration = Duration::from_secs(15);

/// Names of what rows are given in: no column of a table is called so.
const GIVEN: &str = "\"rowcast given\"(\"rowcast row\", \"rowcast number\")";

/// Changes with every policy that is made, altered or dropped. `{oid}` is the table.
const STAMP: &str = "\
SELECT pg_catalog.md5(coalesce(pg_catalog.string_agg(p.oid::text || ':' || p.xmin::text, ',' ORDER BY p.oid), ''))
FROM pg_catalog.pg_policy p WHERE p.polrelid = {oid}";

/// What a role may see of a table, and why. `{role}` is the role's name as a literal.
///
/// Of policies those that PostgreSQL would ask when this role selects (get_policies_for_relation() in its rowsecurity.c).
const SHEET: &str = "\
SELECT pg_catalog.json_build_object(
  'enabled', c.relrowsecurity, 'forced', c.relforcerowsecurity, 'owner', pg_catalog.pg_get_userbyid(c.relowner),
  'exists', r.oid IS NOT NULL, 'superuser', r.rolsuper, 'bypasses', r.rolbypassrls,
  'owns', pg_catalog.pg_has_role(r.oid, c.relowner, 'USAGE'),
  'enters', pg_catalog.has_schema_privilege(r.oid, c.relnamespace, 'USAGE'),
  'gateway', current_user,
  'unreadable', coalesce((SELECT pg_catalog.json_agg(a.attname ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      AND NOT pg_catalog.has_column_privilege(r.oid, c.oid, a.attnum, 'SELECT')), '[]'),
  'policies', coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
      'name', p.polname, 'permissive', p.polpermissive, 'condition', pg_catalog.pg_get_expr(p.polqual, p.polrelid),
      'generated', (SELECT pg_catalog.min(a.attname::text) FROM pg_catalog.pg_depend d
        JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_catalog.pg_policy'::regclass AND d.objid = p.oid AND d.refobjid = c.oid AND a.attgenerated <> ''),
      'functions', (SELECT pg_catalog.md5(pg_catalog.string_agg(pg_catalog.pg_get_functiondef(f.oid), '' ORDER BY f.oid))
        FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_proc f ON f.oid = d.refobjid AND f.prokind = 'f'
        WHERE d.classid = 'pg_catalog.pg_policy'::regclass AND d.objid = p.oid
          AND d.refclassid = 'pg_catalog.pg_proc'::regclass)) ORDER BY p.polname)
    FROM pg_catalog.pg_policy p
    WHERE p.polrelid = c.oid AND p.polcmd IN ('r', '*') AND p.polqual IS NOT NULL
      AND EXISTS (SELECT FROM pg_catalog.unnest(p.polroles) AS u (oid)
        WHERE CASE WHEN u.oid = 0 THEN true ELSE pg_catalog.pg_has_role(r.oid, u.oid, 'USAGE') END)), '[]'),
  'stamp', ({stamp}))::text
FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_roles r ON r.rolname = {role} WHERE c.oid = {oid}";

#[derive(Debug, Deserialize)]
struct Sheet {
    enabled: bool,
    forced: bool,
    owner: String,
    exists: bool,
    superuser: Option<bool>,
    bypasses: Option<bool>,
    owns: Option<bool>,
    enters: Option<bool>,
    gateway: String,
    unreadable: Vec<String>,
    policies: Vec<Policy>,
    stamp: String,
}

#[derive(Debug, Deserialize)]
struct Policy {
    name: String,
    permissive: bool,
    condition: String,
    generated: Option<String>,
}

impl Server {
    /// Goes on in a transaction as a role, with the claims of a client; refuses where the table's policies would not be asked.
    pub(super) async fn become_role(
        &self,
        lent: &Lent,
        described: &Described,
        role: Option<&AsRole>,
    ) -> Result<(), StoreError> {
        let Some(role) = role else { return Ok(()) };
        let sql = format!("SELECT pg_catalog.row_security_active({}::oid)", described.oid);
        let both = async { Ok(tokio::join!(set_role(lent, role), lent.client().query_typed(&sql, &[]))) };
        let (set, active) = within(both).await?;
        set.map_err(|error| self.not_role(role, error))?;
        let active = active.map_err(|error| self.refused_on(&described.table.name, error))?;
        match active.first().map(|row| row.get::<_, bool>(0)) {
            Some(true) => Ok(()),
            _ => Err(StoreError::Refused(format!(
                "row-level security of `{}` does not hold for the role `{}`",
                described.table.name, role.role
            ))),
        }
    }

    fn not_role(&self, role: &AsRole, error: tokio_postgres::Error) -> StoreError {
        match super::refused::refused(error) {
            StoreError::Refused(why) => StoreError::Refused(format!(
                "rows cannot be read as the role `{0}` ({why}); make the role that Rowcast connects as a member of it: GRANT {1} TO …",
                role.role,
                quote(&role.role)
            )),
            other => other,
        }
    }

    pub(super) async fn policies(&self, table: &Table, role: &AsRole) -> Result<Policies, StoreError> {
        let described = self.table(&table.name).await?;
        if *described.table != *table {
            return Err(StoreError::Altered(table.name.clone()));
        }
        let text = self.sheet(&described, &role.role).await?;
        let sheet: Sheet =
            serde_json::from_str(&text).map_err(|error| StoreError::Refused(format!("the policies: {error}")))?;
        sheet.check(table, role)?;
        let condition = sheet.condition().into();
        let policies = Policies { condition, stamp: sheet.stamp.into(), about: text.into() };
        // No row, but everything that a row would need: rights to functions, tables and schemas.
        match self.look(&described, role, &policies, &[]).await {
            Ok(_) => Ok(policies),
            Err(Failed::Of(error)) => {
                let why = error.as_db_error().map_or_else(|| error.to_string(), in_words);
                let (name, role) = (&table.name, &role.role);
                Err(StoreError::Refused(format!(
                    "the policies of `{name}` cannot be asked as the role `{role}`: {why}"
                )))
            }
            Err(Failed::Else(error)) => Err(error),
        }
    }

    async fn sheet(&self, described: &Described, role: &str) -> Result<String, StoreError> {
        let oid = described.oid.to_string();
        let sheet = SHEET.replace("{stamp}", STAMP).replace("{oid}", &oid).replace("{role}", &literal(role));
        // Without a search path every name is told with its schema.
        let sql = format!("BEGIN READ ONLY; SET LOCAL search_path = ''; {sheet}; COMMIT");
        let client = self.pool.shared().await?;
        let answer = self.pool.answer(&client, client.simple_query(&sql)).await;
        if answer.is_err() {
            // The transaction that others would be in.
            let _ = self.pool.answer(&client, client.batch_execute("ROLLBACK")).await;
        }
        let text = answer?.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.try_get(0).ok().flatten().map(str::to_owned),
            _ => None,
        });
        text.ok_or_else(|| StoreError::UnknownTable(described.table.name.clone()))
    }

    pub(super) async fn sees(&self, sight: &Sight) -> Result<Option<Vec<bool>>, StoreError> {
        let described = self.table(&sight.table.name).await?;
        if *described.table != *sight.table {
            return Ok(None);
        }
        let rows = &sight.rows[..];
        let mut seen = vec![false; rows.len()];
        // Halved, where policies fail at one of them.
        let mut waiting = vec![(0, rows.len())];
        while let Some((from, to)) = waiting.pop() {
            match self.look(&described, &sight.role, &sight.policies, &rows[from..to]).await {
                Ok(None) => return Ok(None),
                Ok(Some(found)) => seen[from..to].copy_from_slice(&found),
                Err(Failed::Else(error)) => return Err(error),
                Err(Failed::Of(error)) if to - from <= 1 => {
                    // Its words may show the row.
                    let code = error.code().map_or("", SqlState::code);
                    tracing::warn!(table = %sight.table.name, code, "a policy fails at a row, which is not shown");
                }
                Err(Failed::Of(_)) => {
                    let middle = from.midpoint(to);
                    waiting.extend([(from, middle), (middle, to)]);
                }
            }
        }
        Ok(Some(seen))
    }

    /// One question, in a transaction of its own. `None` where there are other policies by now.
    async fn look(
        &self,
        described: &Described,
        role: &AsRole,
        policies: &Policies,
        rows: &[Row],
    ) -> Result<Option<Vec<bool>>, Failed> {
        let lent = self.pool.for_reading().await.map_err(Failed::Else)?;
        let begin = format!("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; {}", limits(PATIENCE));
        let condition = look_sql(described, &policies.condition);
        // Asked when the rows have been judged: whoever has altered a policy before is found out.
        let after = format!("SELECT pg_catalog.row_security_active({0}::oid), ({1})", described.oid, STAMP)
            .replace("{oid}", &described.oid.to_string());
        let documents = self.documents(described, rows);
        let given: [(&(dyn ToSql + Sync), Type); 1] = [(&documents, Type::TEXT_ARRAY)];
        let all = async {
            let client = lent.client();
            Ok(tokio::join!(
                client.batch_execute(&begin),
                set_role(&lent, role),
                client.query_typed(&condition, &given),
                client.query_typed(&after, &[]),
            ))
        };
        let (begun, set, found, after) = within(all).await.map_err(Failed::Else)?;
        lent.end().await;
        begun.map_err(|error| Failed::Else(super::refused::refused(error)))?;
        set.map_err(|error| Failed::Else(self.not_role(role, error)))?;
        let found = found.map_err(|error| Failed::from(error, self))?;
        let after = after.map_err(|error| Failed::from(error, self))?;
        let holds = after.first().is_some_and(|row| row.get::<_, bool>(0) && row.get::<_, &str>(1) == &*policies.stamp);
        let found: Vec<bool> = found.iter().map(|row| row.get(0)).collect();
        Ok((holds && found.len() == rows.len()).then_some(found))
    }

    /// Each row as a JSON object that `json_populate_record` reads.
    fn documents(&self, described: &Described, rows: &[Row]) -> Vec<String> {
        let columns = described.table.columns.iter().zip(&described.columns);
        let columns: Vec<_> = columns
            .map(|(column, detail)| {
                let name = serde_json::to_string(&*column.name).expect("a string is always JSON");
                (name, self.types.get(detail.oid))
            })
            .collect();
        let document = |row: &Row| {
            let cells = columns.iter().zip(&row.values).filter_map(|((name, kind), value)| {
                let text = kind.to_text(value)?;
                let json = match **kind {
                    Kind::Json => text,
                    _ => serde_json::to_string(&text).expect("a string is always JSON"),
                };
                Some(format!("{name}:{json}"))
            });
            format!("{{{}}}", cells.collect::<Vec<_>>().join(","))
        };
        rows.iter().map(document).collect()
    }
}

/// Why there is no answer.
enum Failed {
    /// What the policies ask fails.
    Of(tokio_postgres::Error),
    /// Something else.
    Else(StoreError),
}

impl Failed {
    fn from(error: tokio_postgres::Error, server: &Server) -> Self {
        match error.as_db_error() {
            Some(answer) if !may_pass(answer) => {
                if is_altered(&error) {
                    server.known.lock().clear();
                }
                Self::Of(error)
            }
            _ => Self::Else(super::refused::refused(error)),
        }
    }
}

impl Sheet {
    /// Whether policies would decide, and could be asked.
    fn check(&self, table: &Table, asked: &AsRole) -> Result<(), StoreError> {
        let (name, role) = (&table.name, &asked.role);
        let (sql_name, sql_role) = (quote_table(name), quote(role));
        let is = |flag: Option<bool>| flag == Some(true);
        let hidden = |column: &&String| {
            let at = table.column(column);
            at.is_some_and(|at| asked.readable.as_deref().is_none_or(|readable| readable.contains(&at)))
        };
        let why = if !self.exists {
            format!("there is no role `{role}`; CREATE ROLE {sql_role} NOLOGIN, or name another one")
        } else if !self.enabled {
            format!("row-level security of `{name}` is off; ALTER TABLE {sql_name} ENABLE ROW LEVEL SECURITY")
        } else if is(self.superuser) || is(self.bypasses) {
            format!(
                "the role `{role}` is not held back by policies (it is a superuser, or BYPASSRLS); name another one"
            )
        } else if is(self.owns) && !self.forced {
            let owner = &self.owner;
            format!(
                "`{name}` is `{owner}`'s, whose rights `{role}` has: ALTER TABLE {sql_name} FORCE ROW LEVEL SECURITY"
            )
        } else if !is(self.enters) {
            let schema = quote(&name.schema);
            format!(
                "the role `{role}` may not use the schema of `{name}`; GRANT USAGE ON SCHEMA {schema} TO {sql_role}"
            )
        } else if let Some(column) = self.unreadable.iter().find(hidden) {
            format!(
                "the role `{role}` may not read `{column}` of `{name}`; GRANT SELECT ON {sql_name} TO {sql_role}, or name the others in the rule's `columns`"
            )
        } else if let Some((policy, column)) =
            self.policies.iter().find_map(|policy| Some((&policy.name, policy.generated.as_ref()?)))
        {
            format!(
                "the policy `{policy}` of `{name}` reads the generated column `{column}`, which changes do not tell; write what it is computed from"
            )
        } else {
            return Ok(());
        };
        Err(StoreError::Refused(format!("{why} (Rowcast connects as `{}`)", self.gateway)))
    }

    /// One permissive policy at least, and all that restrict.
    fn condition(&self) -> String {
        let of = |permissive: bool| {
            let policies = self.policies.iter().filter(move |policy| policy.permissive == permissive);
            policies.map(|policy| format!("({})", policy.condition)).collect::<Vec<_>>()
        };
        let (allow, restrict) = (of(true), of(false));
        if allow.is_empty() {
            return "false".to_owned();
        }
        let allowed = format!("({})", allow.join(" OR "));
        [allowed].into_iter().chain(restrict).collect::<Vec<_>>().join(" AND ")
    }
}

/// The rows stand under the table's own name and have its type, as policies expect.
fn look_sql(described: &Described, condition: &str) -> String {
    let name = &described.table.name;
    format!(
        "SELECT coalesce(({condition}), false) FROM pg_catalog.unnest($1::text[]) WITH ORDINALITY AS {GIVEN}, \
         LATERAL pg_catalog.json_populate_record(NULL::{}, \"rowcast row\"::json) AS {} ORDER BY \"rowcast number\"",
        quote_table(name),
        quote(&name.name)
    )
}

/// Until the transaction ends.
async fn set_role(lent: &Lent, role: &AsRole) -> Result<(), tokio_postgres::Error> {
    let sql = "SELECT pg_catalog.set_config('request.jwt.claims', $1, true), pg_catalog.set_config('row_security', 'on', true), \
               pg_catalog.set_config('role', $2, true)";
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&&*role.claims, Type::TEXT), (&&*role.role, Type::TEXT)];
    lent.client().query_typed(sql, &params).await.map(|_| ())
}

fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!(" E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}
