//! Which tables are captured, and what of each decides how.

use tokio_postgres::Client;

use super::InstallError;
use crate::event::TableName;
use crate::postgres::PostgresSettings;

/// A table that is chosen by the settings: an ordinary one, or the root of a partitioned one.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) oid: u32,
    pub(super) name: TableName,
    /// The name as SQL, with its schema.
    pub(super) sql: String,
    /// Whether the current user may do everything with it and its partitions.
    pub(super) owned: bool,
    /// Whether the current user may put triggers on it.
    pub(super) triggerable: bool,
    /// The table itself, and the partitions of a partitioned one.
    pub(super) members: Vec<Member>,
}

/// A table with a REPLICA IDENTITY of its own.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) oid: u32,
    pub(super) sql: String,
    /// `d`efault, `n`othing, `f`ull or `i`ndex.
    pub(super) identity: String,
    /// Whether the primary key can be the identity.
    pub(super) keyed: bool,
    /// The index that is chosen as the identity, as SQL.
    pub(super) index: Option<String>,
}

impl Member {
    /// Whether rows could be updated and deleted while that is published, with such an identity.
    pub(super) fn is_told_apart(&self, identity: &str) -> bool {
        match identity {
            "f" => true,
            "d" => self.keyed,
            "i" => self.index.is_some(),
            _ => false,
        }
    }
}

// A deferrable primary key cannot be an identity; temporary and unlogged tables are not in the write-ahead log.
const TABLES: &str = "
    SELECT r.oid, n.nspname, r.relname, format('%I.%I', n.nspname, r.relname),
           pg_has_role(r.relowner, 'USAGE'), has_table_privilege(r.oid, 'TRIGGER'),
           m.oid, format('%I.%I', mn.nspname, m.relname), m.relreplident::text, pg_has_role(m.relowner, 'USAGE'),
           EXISTS (SELECT FROM pg_index i
                    WHERE i.indrelid = m.oid AND i.indisprimary AND i.indisvalid AND i.indimmediate),
           (SELECT format('%I', x.relname) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
             WHERE i.indrelid = m.oid AND i.indisreplident AND i.indisvalid AND i.indimmediate)
      FROM pg_class r
      JOIN pg_namespace n ON n.oid = r.relnamespace
     CROSS JOIN LATERAL (SELECT r.oid AS relid WHERE r.relkind = 'r'
                   UNION SELECT p.relid::oid FROM pg_partition_tree(r.oid) p WHERE r.relkind = 'p') t
      JOIN pg_class m ON m.oid = t.relid AND m.relkind IN ('r', 'p')
      JOIN pg_namespace mn ON mn.oid = m.relnamespace
     WHERE r.relkind IN ('r', 'p') AND r.relpersistence = 'p' AND NOT r.relispartition
       AND n.nspname NOT IN ('rowcast', 'information_schema') AND n.nspname !~ '^pg_'
       AND NOT EXISTS (SELECT FROM pg_depend d
                        WHERE d.classid = 'pg_class'::regclass AND d.objid = r.oid AND d.deptype = 'e')
     ORDER BY n.nspname, r.relname, m.oid <> r.oid, m.oid";

/// The tables that the settings choose, by schema and name.
pub(super) async fn find(client: &Client, settings: &PostgresSettings) -> Result<Vec<Found>, InstallError> {
    let mut found: Vec<Found> = Vec::new();
    for row in client.query(TABLES, &[]).await? {
        let (schema, name): (&str, &str) = (row.get(1), row.get(2));
        let name = TableName { schema: schema.into(), name: name.into() };
        if !settings.wants(&name) {
            continue;
        }
        let oid = row.get(0);
        let member =
            Member { oid: row.get(6), sql: row.get(7), identity: row.get(8), keyed: row.get(10), index: row.get(11) };
        match found.last_mut() {
            Some(table) if table.oid == oid => {
                table.owned &= row.get::<_, bool>(9);
                table.members.push(member);
            }
            _ => found.push(Found {
                oid,
                name,
                sql: row.get(3),
                owned: row.get(4),
                triggerable: row.get(5),
                members: vec![member],
            }),
        }
    }
    Ok(found)
}
