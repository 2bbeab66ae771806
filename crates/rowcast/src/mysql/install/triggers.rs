//! The triggers that write the outbox.
//!
//! They never make somebody else's write fail because of what is in it, or because its table was altered: what cannot be written
//! down is written as nothing, and the reader says that something was missed. They write what they do as the user who made them,
//! so that no other user needs rights on the outbox.
//!
//! A table that was altered gets new triggers, which run before the old ones until those are dropped: nothing falls between them.
//! When all new ones are there, a mark tells the reader, who skips what they wrote before it, and what the old ones write after it.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::found::{Found, Trigger};
use super::{InstallError, literal, quote};
use crate::event::Column;
use crate::mysql::address::Server;
use crate::mysql::catalog::{self, Described};
use crate::mysql::{Kind, MysqlSettings, shape};

/// What makes the triggers of every table right, and tells the readers.
pub(super) async fn plan(
    conn: &mut Conn,
    settings: &MysqlSettings,
    found: &Found,
) -> Result<Vec<String>, InstallError> {
    let tables = catalog::describe(conn).await?;
    let wanted: Vec<_> = tables.iter().filter(|table| settings.wants(&table.table.name)).collect();
    let mut next = found.shapes.last().map_or(1, |noted| noted.id + 1);
    let mut transaction = None;
    let mut plan = Vec::new();
    for described in &wanted {
        let name = &*described.table.name.name;
        let noted = shape::noted(&described.table);
        let own: Vec<&Trigger> = found.triggers.iter().filter(|trigger| trigger.table == name).collect();
        let last = found.last(name).filter(|last| last.done && last.shape.as_ref() == Some(&noted));
        let made = last.filter(|last| own.iter().filter(|trigger| trigger.shape == last.id).count() == EVENTS.len());
        if let Some(made) = made {
            plan.extend(own.iter().filter(|trigger| trigger.shape != made.id).map(|trigger| drop_sql(trigger)));
            continue;
        }
        if transaction.is_none() {
            transaction = Some(transaction_sql(conn).await?);
            plan.push("SET SESSION sql_mode = ''".to_owned());
        }
        plan.push(note(next, name, Some(&noted)));
        let transaction = transaction.as_deref().unwrap_or_default();
        plan.extend(EVENTS.map(|event| create(described, event, next, &own, transaction)));
        plan.extend(tell(next));
        plan.extend(own.iter().map(|trigger| drop_sql(trigger)));
        next += 1;
    }
    let is_wanted = |name: &str| wanted.iter().any(|described| &*described.table.name.name == name);
    let mut gone: Vec<&str> = found.shapes.iter().map(|noted| &*noted.table).filter(|name| !is_wanted(name)).collect();
    gone.sort_unstable();
    gone.dedup();
    for name in gone {
        if found.last(name).is_some_and(|last| last.shape.is_some() || !last.done) {
            plan.push(note(next, name, None));
            plan.extend(tell(next));
            next += 1;
        }
    }
    let orphans = found.triggers.iter().filter(|trigger| !is_wanted(&trigger.table));
    plan.extend(orphans.map(drop_sql));
    Ok(plan)
}

const EVENTS: [&str; 3] = ["INSERT", "UPDATE", "DELETE"];

fn drop_sql(trigger: &Trigger) -> String {
    format!("DROP TRIGGER {}", quote(&trigger.name))
}

fn note(id: u64, table: &str, shape: Option<&str>) -> String {
    let shape = shape.map_or("NULL".to_owned(), literal);
    format!("INSERT INTO `_rowcast_shapes` VALUES ({id}, {}, {shape}, 0)", literal(table))
}

/// The reader is told by a row of the outbox, so that it hears of it in the right place.
fn tell(id: u64) -> [String; 4] {
    [
        "START TRANSACTION".to_owned(),
        format!(
            "INSERT INTO `_rowcast_outbox` (`conn`, `tx`, `shape`, `op`) VALUES (0, 18446744073709551615 - {id}, {id}, 'R')"
        ),
        format!("UPDATE `_rowcast_shapes` SET `done` = 1 WHERE `id` = {id}"),
        "COMMIT".to_owned(),
    ]
}

/// An expression that is the same for all changes of a transaction. From 2^32 on it is of no other transaction of the same
/// connection; below, it may be.
async fn transaction_sql(conn: &mut Conn) -> Result<String, InstallError> {
    if Server::of(conn).await?.is_mariadb() {
        return Ok(
            "IF(@@in_transaction, CRC32(@@last_gtid), CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS UNSIGNED))".into()
        );
    }
    let current = "performance_schema.events_transactions_current";
    let readable = conn.query_drop(format!("SELECT EVENT_ID FROM {current} LIMIT 0")).await.is_ok();
    Ok(match readable {
        true => format!(
            "COALESCE((SELECT EVENT_ID + 4294967296 FROM {current} WHERE THREAD_ID = PS_CURRENT_THREAD_ID() LIMIT 1), 0)"
        ),
        false => "0".to_owned(),
    })
}

fn create(described: &Described, event: &str, id: u64, old: &[&Trigger], transaction: &str) -> String {
    let table = &described.table;
    let letter = event.chars().next().unwrap_or_default();
    let name = quote(&format!("_rowcast_{id}_{}", letter.to_ascii_lowercase()));
    let precedes = old.iter().find(|trigger| trigger.event == event);
    let precedes = precedes.map(|trigger| format!("PRECEDES {} ", quote(&trigger.name))).unwrap_or_default();
    let timestamps = table.columns.iter().any(|column| matches!(Kind::of(&column.declared), Kind::Timestamp(_)));
    let row = |of: &str| {
        let nulls = table.columns.iter().map(|column| format!("{of}.{} IS NULL", quote(&column.name)));
        let values = table.columns.iter().map(|column| text(of, column));
        // A text that gets too long is NULL, too: the first element says which are NULL in truth.
        let nulls: Vec<String> = nulls.collect();
        format!("JSON_ARRAY(CONCAT({}, ''), {})", nulls.join(", "), values.collect::<Vec<_>>().join(", "))
    };
    let (before, after) = (event != "INSERT", event != "DELETE");
    let mut body = String::new();
    if timestamps {
        body.push_str("  DECLARE z VARCHAR(64) DEFAULT @@session.time_zone;\n");
    }
    body.push_str("  DECLARE o, n LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;\n");
    body.push_str("  BEGIN\n    DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN END;\n");
    if timestamps {
        body.push_str("    SET SESSION time_zone = '+00:00';\n");
    }
    for (wanted, variable, of) in [(before, "o", "OLD"), (after, "n", "NEW")] {
        if wanted {
            body.push_str(&format!("    SET {variable} = {};\n", row(of)));
        }
    }
    body.push_str("  END;\n");
    if timestamps {
        body.push_str("  SET SESSION time_zone = z;\n");
    }
    let insert = format!(
        "INSERT INTO `_rowcast_outbox` (`conn`, `tx`, `shape`, `op`, `old`, `new`) \
         VALUES (CONNECTION_ID(), {transaction}, {id}, '{letter}', o, n);\n"
    );
    match event {
        // A row that is as it was is none that was changed.
        "UPDATE" => body.push_str(&format!("  IF o IS NULL OR n IS NULL OR o <> n THEN\n    {insert}  END IF;\n")),
        _ => body.push_str(&format!("  {insert}")),
    }
    format!(
        "CREATE TRIGGER {name} AFTER {event} ON {} FOR EACH ROW {precedes}BEGIN\n{body}END",
        quote(&table.name.name)
    )
}

/// A column's value as a text from which exactly it can be made again, or NULL.
fn text(of: &str, column: &Column) -> String {
    let value = format!("{of}.{}", quote(&column.name));
    match Kind::of(&column.declared) {
        // A float prints only six digits.
        Kind::Float => format!("CAST(CAST({value} AS DOUBLE) AS CHAR)"),
        Kind::Bit(_) => format!("CAST(CAST({value} AS UNSIGNED) AS CHAR)"),
        Kind::Bytes => format!("HEX({value})"),
        // What MariaDB knows to be JSON would be taken apart, were it not for the CONCAT.
        Kind::Text | Kind::Json => format!("CONCAT(CONVERT({value} USING utf8mb4), '')"),
        Kind::Enum(_) | Kind::Set(_) => format!("CONVERT({value} USING utf8mb4)"),
        _ => format!("CAST({value} AS CHAR)"),
    }
}
