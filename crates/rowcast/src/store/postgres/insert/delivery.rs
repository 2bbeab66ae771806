//! What is written with a delivery's rows, in their transaction: how far its source is, its records' keys, dead letters.

use std::collections::HashSet;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Row};

use super::super::letters;
use super::super::pool::{Lent, within};
use super::super::refused::refused;
use super::{Broken, Insert, StoreError};
use crate::store::{Delivery, NewDeadLetter};

// Keys are counted as if all were new; what was repeated is taken back at the end.
const FIRST: &str = "INSERT INTO rowcast.progress AS p (source, life, upto, keys) VALUES ($1, $2, $3, $4) \
    ON CONFLICT (source) DO UPDATE SET life = excluded.life, upto = excluded.upto, keys = p.keys + excluded.keys, \
    time = pg_catalog.now() WHERE p.life <> excluded.life OR p.upto = 0 RETURNING 1";
const NEXT: &str = "UPDATE rowcast.progress SET upto = $3, keys = keys + $4, time = pg_catalog.now() \
    WHERE source = $1 AND life = $2 AND upto = $5 RETURNING 1";
const KEYS: &str = "INSERT INTO rowcast.record_keys (source, key, n) \
    SELECT $1, k.key, p.keys - $3 + k.n FROM unnest($2::text[]) WITH ORDINALITY AS k (key, n), rowcast.progress p \
    WHERE p.source = $1 ON CONFLICT DO NOTHING RETURNING key";
const LETTERS: &str = "SELECT id FROM rowcast.dead_letters WHERE id = ANY ($1) ORDER BY id FOR UPDATE";
const DEAD: &str = "INSERT INTO rowcast.dead_letters (source, \"table\", line, \"column\", reason, raw) \
    SELECT $1, $2, l.line, l.col, l.reason, l.raw \
    FROM unnest($3::int8[], $4::text[], $5::text[], $6::text[]) AS l (line, col, reason, raw)";

type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// Moves the source on, and holds it until the transaction ends. Refuses what does not continue what is there.
///
/// Returns which of the insert's rows are to be passed over, because their records' keys are known.
pub(super) async fn begin(lent: &Lent, insert: &Insert) -> Result<Vec<bool>, Broken> {
    if !insert.resolves.is_empty() {
        hold(lent, &insert.resolves).await?;
    }
    let Some(delivery) = &insert.delivery else { return Ok(Vec::new()) };
    let keys: Vec<Option<String>> =
        delivery.records.iter().map(|record| record.key.as_deref().map(letters::text)).collect();
    let mut seen = HashSet::new();
    let first_of: Vec<bool> = keys.iter().map(|key| key.as_deref().is_none_or(|key| seen.insert(key))).collect();
    let distinct: Vec<&str> =
        keys.iter().zip(&first_of).filter(|(_, first)| **first).filter_map(|(key, _)| key.as_deref()).collect();
    // Both are sent at once; where the source has moved, what the second has written is undone.
    let (moved_on, new) = within(async {
        Ok(tokio::join!(move_on(lent, delivery, distinct.len()), remember(lent, delivery, &distinct)))
    })
    .await?;
    if moved_on.map_err(ours)?.is_empty() {
        let at = within(letters::progress(lent.client(), &delivery.source)).await?;
        return Err(StoreError::Moved { at }.into());
    }
    let new = new.map_err(ours)?;
    let new: HashSet<&str> = new.iter().map(|row| row.get(0)).collect();
    if new.len() < distinct.len() {
        let repeated = (distinct.len() - new.len()) as i64;
        let sql = "UPDATE rowcast.progress SET keys = keys - $2 WHERE source = $1";
        let source = letters::text(&delivery.source);
        let params: [Param<'_>; 2] = [(&source, Type::TEXT), (&repeated, Type::INT8)];
        within(lent.client().execute_typed(sql, &params)).await?;
    }
    let is_new = |key: &Option<String>| key.as_deref().is_none_or(|key| new.contains(key));
    Ok(keys.iter().zip(first_of).map(|(key, first)| !(first && is_new(key))).collect())
}

async fn move_on(lent: &Lent, delivery: &Delivery, keys: usize) -> Result<Vec<Row>, Error> {
    let (source, life) = (letters::text(&delivery.source), letters::text(&delivery.life));
    let [after, upto, keys] = [delivery.after, delivery.upto, keys as u64].map(letters::number);
    let mut params: Vec<Param<'_>> =
        vec![(&source, Type::TEXT), (&life, Type::TEXT), (&upto, Type::INT8), (&keys, Type::INT8)];
    if delivery.after == 0 {
        return lent.client().query_typed(FIRST, &params).await;
    }
    params.push((&after, Type::INT8));
    lent.client().query_typed(NEXT, &params).await
}

async fn remember(lent: &Lent, delivery: &Delivery, keys: &[&str]) -> Result<Vec<Row>, Error> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let (source, count) = (letters::text(&delivery.source), keys.len() as i64);
    let params: [Param<'_>; 3] = [(&source, Type::TEXT), (&keys, Type::TEXT_ARRAY), (&count, Type::INT8)];
    lent.client().query_typed(KEYS, &params).await
}

/// Sees that dead letters are there, and that nobody else resolves them meanwhile.
async fn hold(lent: &Lent, ids: &[u64]) -> Result<(), Broken> {
    let numbers: Vec<i64> = ids.iter().map(|id| letters::number(*id)).collect();
    let found = within(async { Ok(lent.client().query_typed(LETTERS, &[(&numbers, Type::INT8_ARRAY)]).await) }).await?;
    let found: Vec<i64> = match found {
        Ok(rows) => rows.iter().map(|row| row.get(0)).collect(),
        Err(error) if is_unmade(&error) => Vec::new(),
        Err(error) => return Err(ours(error)),
    };
    match numbers.iter().find(|id| !found.contains(id)) {
        None => Ok(()),
        Some(id) => Err(StoreError::Refused(crate::store::delivery::no_dead_letter(id.unsigned_abs())).into()),
    }
}

/// Keeps the records that no row was made of, or whose row was refused; takes away what is resolved; commits. All at once.
pub(super) async fn end(lent: &Lent, insert: &Insert, rejected: &[(usize, String)]) -> Result<(), Error> {
    let client = lent.client();
    let resolves: Vec<i64> = insert.resolves.iter().map(|id| letters::number(*id)).collect();
    let resolved = async {
        if resolves.is_empty() || !rejected.is_empty() {
            return Ok(0);
        }
        let sql = "DELETE FROM rowcast.dead_letters WHERE id = ANY ($1)";
        client.execute_typed(sql, &[(&resolves, Type::INT8_ARRAY)]).await
    };
    let (dead, resolved, committed) =
        tokio::join!(keep_dead(lent, insert, rejected), resolved, client.batch_execute("COMMIT"));
    dead?;
    resolved?;
    committed
}

async fn keep_dead(lent: &Lent, insert: &Insert, rejected: &[(usize, String)]) -> Result<u64, Error> {
    let Some(delivery) = &insert.delivery else { return Ok(0) };
    let refused_rows = rejected.iter().map(|(row, reason)| delivery.refused(*row, reason));
    let dead: Vec<NewDeadLetter> = delivery.dead.iter().cloned().chain(refused_rows).collect();
    if dead.is_empty() {
        return Ok(0);
    }
    let (source, table) = (letters::text(&delivery.source), letters::text(&insert.table.name.to_string()));
    let lines: Vec<i64> = dead.iter().map(|letter| letters::number(letter.line)).collect();
    let columns: Vec<Option<String>> = dead.iter().map(|letter| letter.column.as_deref().map(letters::text)).collect();
    let reasons: Vec<String> = dead.iter().map(|letter| letters::text(&letter.reason)).collect();
    let raw: Vec<String> = dead.iter().map(|letter| letters::text(&letter.raw)).collect();
    let params: [Param<'_>; 6] = [
        (&source, Type::TEXT),
        (&table, Type::TEXT),
        (&lines, Type::INT8_ARRAY),
        (&columns, Type::TEXT_ARRAY),
        (&reasons, Type::TEXT_ARRAY),
        (&raw, Type::TEXT_ARRAY),
    ];
    lent.client().execute_typed(DEAD, &params).await
}

/// An error of a statement on Rowcast's own tables.
fn ours(error: Error) -> Broken {
    if is_unmade(&error) {
        return Broken::Unmade;
    }
    let lost = error.code().is_some_and(|code| code.code().starts_with("40"));
    if lost { Broken::Again(refused(error)) } else { Broken::Failed(refused(error)) }
}

/// Whether Rowcast's own tables are not there.
fn is_unmade(error: &Error) -> bool {
    [&SqlState::UNDEFINED_TABLE, &SqlState::INVALID_SCHEMA_NAME].into_iter().any(|code| error.code() == Some(code))
}
