//! What the chat has done to its database, step by step, so that a later chat finds an earlier one's tables.
//!
//! Tables that are not there are made before anything is captured (`Builder::tables`), and then columns that a later step adds to them
//! (`Builder::columns`); here is noted which steps were taken.

use rowcast::event::Value;
use rowcast::gateway::Refusal;
use rowcast::store::{Conflict, Insert, TableSpec};

use crate::house::House;
use crate::problems;
use crate::tables::{self, TableColumns};

/// One step. What an earlier one has made is never changed in it: the next one does that.
pub(crate) struct Step {
    pub(crate) number: i64,
    /// Tables that clients see.
    pub(crate) shown: fn() -> Vec<TableSpec>,
    /// Tables that they do not.
    pub(crate) private: fn() -> Vec<TableSpec>,
    /// Columns of tables that an earlier step has made.
    pub(crate) columns: fn() -> Vec<TableColumns>,
}

/// All steps, in order.
pub(crate) const STEPS: &[Step] = &[
    Step { number: 0, shown: Vec::new, private: tables::of_the_chat, columns: Vec::new },
    Step { number: 1, shown: tables::shown, private: tables::private, columns: Vec::new },
    Step { number: 2, shown: Vec::new, private: tables::orphans, columns: tables::stored },
];

/// Notes the steps that have been taken since. Refused where the database is a later chat's.
pub(crate) async fn take(house: &House) -> Result<(), Refusal> {
    let done = house.find("chat_migrations", "step >= claims.least", &[("least", 0.into())]).await?;
    let done: Vec<i64> = done.iter().filter_map(|row| row.integer("step")).collect();
    let last = STEPS.last().map_or(0, |step| step.number);
    if let Some(later) = done.iter().find(|step| **step > last) {
        tracing::error!(
            "the chat's tables are of a later version (step {later}, and {last} is known here): use that version"
        );
        return Err(problems::unavailable("the chat's tables are of a later version").into());
    }
    let table = house.table("chat_migrations").await?;
    let column = house.column(&table, "step")?;
    let missing = STEPS.iter().filter(|step| !done.contains(&step.number));
    let rows: Vec<_> = missing.map(|step| vec![(column, Value::Int(step.number))]).collect();
    if rows.is_empty() {
        return Ok(());
    }
    // Two that begin at once note the same.
    let insert = Insert { conflict: Conflict::Ignore(Vec::new()), ..Insert::new(table, rows) };
    house.store.insert(insert).await.map_err(problems::of_store)?;
    Ok(())
}
