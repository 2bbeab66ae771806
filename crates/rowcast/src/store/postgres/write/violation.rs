//! Which constraint an error is about.

use tokio_postgres::Error;
use tokio_postgres::error::DbError;
use tokio_postgres::types::Type;

use super::super::StoreError;
use super::super::insert::Broken;
use super::super::pool::Lent;
use super::super::refused::{in_words, refused};
use super::ask;
use crate::store::delivery::no_unique_key;
use crate::store::{Conflict, Violation, ViolationKind, Write};

/// The columns of a constraint, or of a unique index that is none.
const COLUMNS: &str = "\
SELECT a.attname::text FROM pg_catalog.pg_class t JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
CROSS JOIN LATERAL (
  SELECT c.conkey AS key FROM pg_catalog.pg_constraint c WHERE c.conrelid = t.oid AND c.conname = $3::text::name
  UNION ALL
  SELECT i.indkey::int2[] FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
  WHERE i.indrelid = t.oid AND x.relname = $3::text::name LIMIT 1) k
JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = ANY (k.key)
WHERE n.nspname = $1::text::name AND t.relname = $2::text::name
ORDER BY pg_catalog.array_position(k.key, a.attnum)";

/// What an error of a write means. Its transaction is over.
pub(super) async fn of_write(lent: &Lent, n: usize, write: &Write, error: Error) -> Broken {
    // No such key, or one that is deferrable.
    if let Write::Insert { table, conflict: Conflict::Ignore(columns) | Conflict::Update(columns), .. } = write
        && error.code().is_some_and(|code| ["42P10", "55000"].contains(&code.code()))
    {
        return StoreError::Refused(no_unique_key(table, columns)).into();
    }
    of(lent, Some(n), error).await
}

/// What an error of the commit means.
pub(super) async fn of_commit(lent: &Lent, error: Error) -> Broken {
    of(lent, None, error).await
}

async fn of(lent: &Lent, write: Option<usize>, error: Error) -> Broken {
    let Some(answer) = error.as_db_error() else { return Broken::Failed(refused(error)) };
    let Some(kind) = kind(answer) else {
        let lost = answer.code().code().starts_with("40");
        let error = refused(error);
        return if lost { Broken::Again(error) } else { Broken::Failed(error) };
    };
    let columns = match answer.column() {
        Some(column) => vec![column.into()],
        None => columns(lent, answer).await,
    };
    let constraint = answer.constraint().map(Into::into);
    let violation = Violation { write, kind, constraint, columns, message: in_words(answer) };
    Broken::Failed(StoreError::Violated(Box::new(violation)))
}

/// Codes of the manual's appendix A.
fn kind(answer: &DbError) -> Option<ViolationKind> {
    Some(match answer.code().code() {
        // An exclusion constraint is a unique key of another kind.
        "23505" | "23P01" => ViolationKind::Unique,
        "23503" | "23001" => ViolationKind::ForeignKey,
        "23502" => ViolationKind::NotNull,
        "23514" => ViolationKind::Check,
        // A value, RAISE, a column that is always generated, a view's check.
        code if ["22", "23", "P0"].iter().any(|class| code.starts_with(class))
            || ["428C9", "44000"].contains(&code) =>
        {
            ViolationKind::Value
        }
        _ => return None,
    })
}

async fn columns(lent: &Lent, answer: &DbError) -> Vec<Box<str>> {
    let (Some(schema), Some(table), Some(constraint)) = (answer.schema(), answer.table(), answer.constraint()) else {
        return Vec::new();
    };
    let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
        [(&schema, Type::TEXT), (&table, Type::TEXT), (&constraint, Type::TEXT)];
    let rows = ask(lent, lent.client().query_typed(COLUMNS, &params)).await.unwrap_or_default();
    rows.iter().map(|row| row.get::<_, &str>(0).into()).collect()
}
