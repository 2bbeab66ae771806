//! The order of the outbox: its rows are numbered by transaction after they were committed.
//!
//! Numbers that a table counts by itself are not in the order of commits. So whoever holds the outbox's lock looks at the rows
//! that a consistent read shows and that have no number yet, and writes one to each: the same to all rows of a transaction, in
//! the order of the transactions' last rows. A consistent read shows all of a transaction or nothing, so none is ever split. The
//! order respects every row's own history: whoever changes a row after another transaction has waited for its end, and writes
//! that change down behind all of the other's.
//!
//! Where the server does not tell a connection's transactions apart, they count as one; then whatever overlaps with it does, too,
//! so that no row's history gets out of order.

use std::collections::HashMap;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use sha2::{Digest, Sha256};

/// Seconds that somebody else may number for.
const PATIENCE: u32 = 10;
/// Rows in one statement, by different numbers and by one.
const MIXED: usize = 200;
const ALIKE: usize = 2_000;

/// Begins a transaction on `reader` whose snapshot has an exact place, and returns that place: the snapshot contains the
/// transactions up to this number, and none beyond ([`Mark::UpTo`](crate::event::Mark::UpTo); its place is
/// [`OutboxPlace`](super::OutboxPlace) of the same number).
///
/// `writer` is another connection to the same database. It holds the outbox's lock while this runs and writes the numbers;
/// afterwards it is as before. `reader` is left in the transaction (consistent snapshot, read only): read, then `COMMIT` it.
///
/// Where this fails or is dropped half-way, close both connections or reset them: that lets go of the lock.
pub(crate) async fn begin_snapshot(reader: &mut Conn, writer: &mut Conn, database: &str) -> Result<u64, Error> {
    lock(writer, database).await?;
    let begun = async {
        reader.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY").await?;
        number(reader, writer).await
    };
    let begun = begun.await;
    unlock(writer, database).await?;
    begun
}

/// Numbers what is committed now, and returns the last number. Both connections are left as they were.
pub(crate) async fn sequence(reader: &mut Conn, writer: &mut Conn, database: &str) -> Result<u64, Error> {
    let last = begin_snapshot(reader, writer, database).await?;
    reader.query_drop("COMMIT").await?;
    Ok(last)
}

/// Waits until nobody else numbers.
async fn lock(conn: &mut Conn, database: &str) -> Result<(), Error> {
    let got: Option<Option<u8>> =
        conn.exec_first("SELECT GET_LOCK(?, ?)", (name("outbox", database), PATIENCE)).await?;
    match got.flatten() {
        Some(1) => Ok(()),
        _ => Err(Error::Other(format!("somebody else has held the outbox's lock for {PATIENCE} s").into())),
    }
}

async fn unlock(conn: &mut Conn, database: &str) -> Result<(), Error> {
    conn.exec_drop("DO RELEASE_LOCK(?)", (name("outbox", database),)).await
}

/// The name of a lock of this database, which may have 64 characters.
pub(crate) fn name(of: &str, database: &str) -> String {
    let name = format!("rowcast_{of}:{database}");
    if name.chars().count() <= 64 {
        return name;
    }
    let hash = Sha256::digest(database.as_bytes());
    let hash: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("rowcast_{of}:{hash}")
}

/// One transaction's rows.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    /// Whether it is surely no more than one.
    one: bool,
    ids: Vec<u64>,
}

/// From here on, a number in column `tx` is of one transaction only.
const EXACT: u64 = 1 << 32;

impl Group {
    fn first(&self) -> u64 {
        self.ids.first().copied().unwrap_or(0)
    }

    fn last(&self) -> u64 {
        self.ids.last().copied().unwrap_or(0)
    }
}

/// In the order in which they are numbered.
fn ordered(mut groups: Vec<Group>) -> Vec<Group> {
    groups.sort_unstable_by_key(Group::first);
    let mut done: Vec<Group> = Vec::with_capacity(groups.len());
    let mut open: Vec<Group> = Vec::new();
    let mut end = 0;
    for group in groups {
        if group.first() > end {
            done.extend(closed(std::mem::take(&mut open)));
        }
        end = end.max(group.last());
        open.push(group);
    }
    done.extend(closed(open));
    done
}

/// Groups of which each overlaps with another.
fn closed(mut groups: Vec<Group>) -> Vec<Group> {
    if groups.iter().all(|group| group.one) {
        groups.sort_unstable_by_key(Group::last);
        return groups;
    }
    let mut ids: Vec<u64> = groups.into_iter().flat_map(|group| group.ids).collect();
    ids.sort_unstable();
    vec![Group { one: false, ids }]
}

/// Numbers the rows that `reader` sees and that have none. The lock is held, and `reader` is in a transaction that began since.
async fn number(reader: &mut Conn, writer: &mut Conn) -> Result<u64, Error> {
    let last: Option<u64> = reader.query_first("SELECT seq FROM _rowcast_state WHERE one = 1").await?;
    let Some(mut last) = last else {
        return Err(Error::Other("the outbox is not set up in this database; run `rowcast setup` first".into()));
    };
    let sql = "SELECT id, conn, tx FROM _rowcast_outbox WHERE seq IS NULL ORDER BY id";
    let mut groups: HashMap<(u64, u64), Group> = HashMap::new();
    let mut rows = reader.query_iter(sql).await?;
    while let Some(row) = rows.next().await? {
        let (id, conn, tx) = mysql_async::from_row_opt::<(u64, u64, u64)>(row).map_err(not_ours)?;
        groups.entry((conn, tx)).or_insert(Group { one: tx >= EXACT, ids: Vec::new() }).ids.push(id);
    }
    drop(rows);
    if groups.is_empty() {
        return Ok(last);
    }
    let groups = ordered(groups.into_values().collect());
    writer.query_drop("START TRANSACTION").await?;
    let mut mixed = Vec::new();
    for group in &groups {
        last += 1;
        if group.ids.len() >= MIXED {
            for ids in group.ids.chunks(ALIKE) {
                writer.query_drop(alike(ids, last)).await?;
            }
            continue;
        }
        mixed.extend(group.ids.iter().map(|id| (*id, last)));
        if mixed.len() >= MIXED {
            writer.query_drop(each(&mixed)).await?;
            mixed.clear();
        }
    }
    if !mixed.is_empty() {
        writer.query_drop(each(&mixed)).await?;
    }
    writer.query_drop(format!("UPDATE _rowcast_state SET seq = {last} WHERE one = 1")).await?;
    writer.query_drop("COMMIT").await?;
    Ok(last)
}

fn not_ours(_: mysql_async::FromRowError) -> Error {
    Error::Other("a row of the outbox has not the form that Rowcast gave it".into())
}

// By their keys alone, so that no row that somebody else has not committed yet is waited for.
fn alike(ids: &[u64], seq: u64) -> String {
    format!("UPDATE _rowcast_outbox FORCE INDEX (PRIMARY) SET seq = {seq} WHERE id IN ({})", list(ids.iter()))
}

fn each(rows: &[(u64, u64)]) -> String {
    let cases: String = rows.iter().map(|(id, seq)| format!(" WHEN {id} THEN {seq}")).collect();
    let ids = list(rows.iter().map(|(id, _)| id));
    format!("UPDATE _rowcast_outbox FORCE INDEX (PRIMARY) SET seq = CASE id{cases} END WHERE id IN ({ids})")
}

/// `1,2,3`
pub(crate) fn list<'a>(ids: impl Iterator<Item = &'a u64>) -> String {
    ids.map(u64::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_are_in_the_order_of_their_last_rows() {
        let group = |one: bool, ids: &[u64]| Group { one, ids: ids.into() };
        let given = || vec![group(true, &[1, 6]), group(true, &[2, 3]), group(true, &[7])];
        assert_eq!(ordered(given()), [group(true, &[2, 3]), group(true, &[1, 6]), group(true, &[7])]);
        // What may be two transactions is one with all that came between.
        let mut unsure = given();
        unsure[1].one = false;
        assert_eq!(ordered(unsure), [group(false, &[1, 2, 3, 6]), group(true, &[7])]);
        assert_eq!(ordered(vec![group(false, &[5, 9]), group(false, &[2, 4])]).len(), 2);
    }

    #[test]
    fn a_locks_name_is_short_enough() {
        assert_eq!(name("outbox", "shop"), "rowcast_outbox:shop");
        let long = "d".repeat(64);
        assert_eq!(name("outbox", &long).len(), 47);
        assert_ne!(name("outbox", &long), name("outbox", &"e".repeat(64)));
    }
}
