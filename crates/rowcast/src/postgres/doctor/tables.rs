//! Tables: which are captured, what of their old rows is known, and what that costs.

use tokio_postgres::Client;

use super::server::Server;
use super::{Findings, State, shown};
use crate::event::TableName;
use crate::postgres::PostgresSettings;
use crate::postgres::name::quote;

const TABLES: &str = "
    select n.nspname::text, c.relname::text, c.relreplident::text, c.relpersistence::text,
           exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary),
           pg_total_relation_size(c.oid)::int8,
           has_table_privilege(c.oid, 'select') and has_schema_privilege(n.oid, 'usage'),
           pg_has_role(c.relowner, 'usage'),
           coalesce((select array_agg(p.pubname::text) from pg_publication_tables t join pg_publication p using (pubname)
                     where t.schemaname = n.nspname and t.tablename = c.relname), '{}'),
           exists (select from pg_trigger g join pg_proc f on f.oid = g.tgfoid join pg_namespace s on s.oid = f.pronamespace
                   where g.tgrelid = c.oid and s.nspname = 'rowcast'),
           c.relrowsecurity and not pg_has_role(c.relowner, 'usage')
               and not exists (select from pg_roles where rolname = current_user and (rolbypassrls or rolsuper)),
           pg_get_userbyid(c.relowner)::text
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence <> 't'
      and n.nspname not in ('pg_catalog', 'information_schema', 'rowcast') and n.nspname not like 'pg\\_%'
      and not exists (select from pg_depend d where d.objid = c.oid and d.classid = 'pg_class'::regclass and d.deptype = 'e')
    order by 1, 2";

pub(super) async fn look(
    client: &Client,
    settings: &PostgresSettings,
    server: &Server,
    findings: &mut Findings,
) -> Result<(), tokio_postgres::Error> {
    let published = "select exists (select from pg_publication where pubname = $1)";
    let is_set_up: bool = client.query_one(published, &[&settings.publication]).await?.get(0);
    let mut count = 0;
    for row in client.query(TABLES, &[]).await? {
        let name = TableName { schema: row.get::<_, String>(0).into(), name: row.get::<_, String>(1).into() };
        if !settings.wants(&name) {
            continue;
        }
        count += 1;
        let table = Table {
            sql: format!("{}.{}", quote(&name.schema), quote(&name.name)),
            name,
            identity: row.get(2),
            unlogged: row.get::<_, String>(3) == "u",
            has_key: row.get(4),
            size: row.get(5),
            may_read: row.get(6),
            owned: row.get(7),
            publications: row.get(8),
            triggers: row.get(9),
            hidden_rows: row.get(10),
            owner: row.get(11),
            is_set_up,
        };
        table.tell(settings, server, findings);
    }
    if count == 0 {
        let message = "there is none that the configuration wants (database.include, database.exclude, --tables)";
        findings.add(State::Warning, "tables", message);
    }
    Ok(())
}

struct Table {
    name: TableName,
    sql: String,
    /// `d` default, `f` full, `i` index, `n` nothing.
    identity: String,
    unlogged: bool,
    has_key: bool,
    size: i64,
    may_read: bool,
    owned: bool,
    publications: Vec<String>,
    triggers: bool,
    /// Row-level security hides rows from the role.
    hidden_rows: bool,
    owner: String,
    /// There is a publication that it could be added to.
    is_set_up: bool,
}

impl Table {
    fn tell(&self, settings: &PostgresSettings, server: &Server, findings: &mut Findings) {
        let about = format!("table {}", self.name);
        if !self.may_read {
            let sql = [
                format!("GRANT USAGE ON SCHEMA {} TO {}", quote(&self.name.schema), quote(&server.role)),
                format!("GRANT SELECT ON {} TO {}", self.sql, quote(&server.role)),
            ];
            findings.mend(State::Broken, &about, "the role may not read it: there are no snapshots of it", sql);
        }
        if self.hidden_rows {
            let sql = format!("ALTER ROLE {} BYPASSRLS", quote(&server.role));
            let message = "row-level security hides rows from the role: snapshots lack them, changes do not";
            findings.mend(State::Warning, &about, message, [sql]);
        }
        if server.can_stream() && settings.capture != crate::postgres::Capture::Outbox {
            self.tell_stream(&about, settings, findings);
        } else {
            self.tell_triggers(&about, server, findings);
        }
    }

    fn tell_stream(&self, about: &str, settings: &PostgresSettings, findings: &mut Findings) {
        if self.unlogged {
            let message = "it is unlogged: its changes are in no log; make it logged, or exclude it";
            return findings.mend(State::Warning, about, message, [format!("ALTER TABLE {} SET LOGGED", self.sql)]);
        }
        let inserts = format!("{}_inserts", settings.publication);
        let full = format!("ALTER TABLE {} REPLICA IDENTITY FULL", self.sql);
        if !self.publications.iter().any(|name| *name == settings.publication || *name == inserts) {
            let owner = if self.owned { String::new() } else { format!(" (as its owner, {})", self.owner) };
            let message =
                format!("it is not captured yet: it is in no publication of Rowcast; run `rowcast setup`{owner}");
            if !self.is_set_up {
                return findings.add(State::Advice, about, message);
            }
            let sql = format!("ALTER PUBLICATION {} ADD TABLE {}", quote(&settings.publication), self.sql);
            return findings.mend(State::Advice, about, message, [sql]);
        }
        let only_inserts = !self.publications.contains(&settings.publication);
        let size = shown(self.size);
        match (self.identity.as_str(), self.has_key) {
            _ if only_inserts => {
                let message = "only its inserts are captured: it has neither a primary key nor a replica identity, and its updates and deletes would fail if they were published";
                findings.mend(State::Warning, about, message, [full]);
            }
            ("f", _) => findings.add(State::Good, about, format!("captured, with whole old rows (REPLICA IDENTITY FULL; {size}); each update and delete writes the whole old row to the write-ahead log")),
            ("d", true) | ("i", _) => findings.mend(
                State::Good,
                about,
                format!("captured, with the old key only ({size}): nothing more is written to the write-ahead log; `old` values are not known, large values that an update leaves alone come as unchanged, and a row that leaves a filter is told to every subscriber of that table's filters"),
                [full],
            ),
            _ => findings.mend(State::Warning, about, "it is captured, but its updates and deletes fail: it has neither a primary key nor a replica identity", [full]),
        }
    }

    fn tell_triggers(&self, about: &str, server: &Server, findings: &mut Findings) {
        if self.triggers {
            findings.add(State::Good, about, "captured by triggers, with whole old rows; each change is written twice");
        } else if self.owned {
            findings.add(
                State::Advice,
                about,
                "it is not captured yet: it has no trigger of Rowcast; run `rowcast setup`",
            );
        } else {
            let sql = format!("GRANT {} TO {}", quote(&self.owner), quote(&server.role));
            let message = format!("it is not captured: only its owner, {}, may make triggers on it", self.owner);
            findings.mend(State::Broken, about, message, [sql]);
        }
    }
}
