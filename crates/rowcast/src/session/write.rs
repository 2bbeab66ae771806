//! Changes that a client asks for, of rows that it may read and change: joined to its rules, done by the database in one transaction.
//!
//! What rules read of other tables is the database's to find, in that transaction, and stays so until it commits.

use std::sync::Arc;

use super::node::Node;
use super::order::find_column;
use super::rights::{allowed, hidden, question, rules, selections, undecided};
use super::store_problem;
use crate::auth::rules::TableRule;
use crate::auth::{Auth, Identity};
use crate::event::{Position, Table, TableName, Value};
use crate::filter::{Chosen, Dialect, Filter, Predicate};
use crate::ingest::coerce::{Coerce, Extra};
use crate::ingest::decode::Fields;
use crate::protocol::{Code, Problem, ServerMessage, Write, Writes, check_writes};
use crate::session::Question;
use crate::store::{self, Set, StoreError, Violation, ViolationKind};

/// Rows that one change may concern where it does not say how many: they are all held while they are tried.
pub const CHANGED_MAX: u64 = 10_000;
/// How often it is begun again because a table was altered.
const ATTEMPTS: usize = 3;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrote {
    /// For each change, how many rows it has concerned.
    pub counts: Vec<u64>,
    /// Where the log has all of it.
    pub position: Option<Position>,
}

/// One change as the store is asked for it, and the columns that an error of it may name.
struct Planned {
    write: store::Write,
    named: Option<Vec<usize>>,
}

pub(super) async fn write(node: Arc<Node>, identity: Arc<Identity>, request: Writes) -> ServerMessage {
    let Writes { writes, reference } = request;
    match write_all(&node, &identity, &writes).await {
        Ok(Wrote { counts, position }) => {
            ServerMessage::Written { reference, counts, position: position.map(|position| position.to_string()) }
        }
        Err(problem) => ServerMessage::error(None, reference, problem),
    }
}

/// Does all of it, or nothing.
pub async fn write_all(node: &Node, identity: &Arc<Identity>, asked: &[Write]) -> Result<Wrote, Problem> {
    super::rights::known(identity)?;
    check_writes(asked).map_err(|message| Problem::new(Code::BadMessage, message))?;
    for _ in 0..ATTEMPTS {
        let mut planned = Vec::with_capacity(asked.len());
        for (n, one) in asked.iter().enumerate() {
            planned.push(plan(node, identity, one).await.map_err(|problem| placed(problem, n, asked))?);
        }
        let writes = planned.iter().map(|one| one.write.clone()).collect();
        match node.database.store.write(writes).await {
            Ok(written) => {
                let position = node.ingest.position_after(&written.place).await;
                return Ok(Wrote { counts: written.rows, position });
            }
            Err(StoreError::Altered(_)) => {}
            Err(error) => return Err(refused(error, asked, &planned)),
        }
    }
    Err(Problem::new(Code::Unavailable, "a table is altered again and again").hint("try again in a moment"))
}

async fn plan(node: &Node, identity: &Arc<Identity>, asked: &Write) -> Result<Planned, Problem> {
    let name: TableName = asked.table().parse()?;
    let (filter, rows) = match asked {
        Write::Insert { row, .. } => return insert(node, identity, &name, row.get()).await,
        Write::Update { filter, rows, .. }
        | Write::Delete { filter, rows, .. }
        | Write::Require { filter, rows, .. } => (filter, *rows),
    };
    if filter.trim().is_empty() {
        let problem = Problem::new(Code::BadMessage, "`where` is empty");
        return Err(problem.hint("say which rows; `true` is all of them"));
    }
    if let Some(rows) = rows.filter(|rows| *rows > CHANGED_MAX) {
        return Err(Problem::new(Code::TooLarge, format!("`rows` is {rows}; one change is of at most {CHANGED_MAX}")));
    }
    // Rows that may not be read are not found, and columns that may not be read cannot be named.
    let Question { table, predicate, readable, role } = question(node, identity, &name, Some(filter)).await?;
    if role.is_some() {
        // The store writes as the gateway, whom policies do not concern.
        let why = format!("rows of `{}` are not changed here: the table's own policies decide", table.name);
        return Err(Problem::new(Code::Forbidden, why));
    }
    let mut named: Option<Vec<usize>> = readable.as_deref().map(<[usize]>::to_vec);
    let rule = rules(node, identity)
        .and_then(|auth| Some((auth, auth.rules.table(&table.name, identity, node.database.store.dialect())?)));
    let exactly = |most: u64| rows.map_or(0..=most, |rows| rows..=rows);
    let write = match asked {
        Write::Update { set, .. } => {
            let cells = cells(node, &table, set.get(), |column| settable(column, &table, named.as_deref(), rule))?;
            if cells.is_empty() {
                return Err(Problem::new(Code::BadMessage, "the update sets no column"));
            }
            if let Some(named) = &mut named {
                named.extend(cells.iter().map(|(column, _)| *column));
            }
            let set = cells.into_iter().map(|(column, value)| (column, Set::Value(value))).collect();
            let (mut filter, mut check) = (predicate, None);
            if let Some((auth, rule)) = rule {
                let update = rule.update.as_ref().ok_or_else(|| may_not("update", &table))?;
                let may = joined(node, auth, rule, update, identity, &table).await?;
                let left = rule.check.as_ref().unwrap_or(update);
                check = Some(Arc::new(joined(node, auth, rule, left, identity, &table).await?));
                filter = Some(both(filter, may));
            }
            store::Write::Update { table, filter, set, check, expect: exactly(CHANGED_MAX) }
        }
        Write::Delete { .. } => {
            let mut filter = predicate;
            if let Some((auth, rule)) = rule {
                let delete = rule.delete.as_ref().ok_or_else(|| may_not("delete from", &table))?;
                filter = Some(both(filter, joined(node, auth, rule, delete, identity, &table).await?));
            }
            store::Write::Delete { table, filter, expect: exactly(CHANGED_MAX) }
        }
        Write::Insert { .. } | Write::Require { .. } => {
            let expect = rows.map_or(1..=u64::MAX, |rows| rows..=rows);
            store::Write::Require { table, filter: predicate, expect, alone: false }
        }
    };
    Ok(Planned { write, named })
}

/// A row as the database has it afterwards has to be as the rule says, its defaults included.
async fn insert(node: &Node, identity: &Arc<Identity>, name: &TableName, row: &str) -> Result<Planned, Problem> {
    let rules = rules(node, identity);
    let table = node.database.store.table(name).await.map_err(|error| match error {
        StoreError::UnknownTable(_) if rules.is_some() => hidden(name),
        error => store_problem(error),
    })?;
    let (mut check, mut named) = (None, None);
    if let Some(auth) = rules {
        let dialect = node.database.store.dialect();
        let rule = auth.rules.table(&table.name, identity, dialect).ok_or_else(|| hidden(name))?;
        let filter = match &rule.insert {
            Some(filter) => filter,
            None if rule.read.is_some() => return Err(may_not("insert into", &table)),
            None => return Err(hidden(name)),
        };
        check = Some(Arc::new(joined(node, auth, rule, filter, identity, &table).await?));
        named = Some(super::rights::described(node, identity, &table).unwrap_or_default());
    }
    let cells = cells(node, &table, row, |_| Ok(()))?;
    if let Some(named) = &mut named {
        named.extend(cells.iter().map(|(column, _)| *column));
    }
    let mut write = store::Write::insert(table, cells);
    if let Some(check) = check {
        write = write.checked(check);
    }
    Ok(Planned { write, named })
}

/// An object's values as the table's columns take them.
fn cells(
    node: &Node,
    table: &Arc<Table>,
    json: &str,
    may: impl Fn(&str) -> Result<(), Problem>,
) -> Result<Vec<(usize, Value)>, Problem> {
    let fields = Fields::from_json(json).map_err(|error| Problem::new(Code::BadMessage, error.to_string()))?;
    for (name, _) in &fields.0 {
        may(name)?;
    }
    let coerce = Coerce::new(table.clone(), node.database.store.dialect(), Extra::Refuse);
    let cells = coerce.row(fields).map_err(|misfit| Problem::new(Code::BadMessage, misfit.reason))?;
    Ok(cells)
}

/// Whether an update may set a column. One that may neither be read nor set is none.
fn settable(
    name: &str,
    table: &Table,
    readable: Option<&[usize]>,
    rule: Option<(&Auth, &TableRule)>,
) -> Result<(), Problem> {
    let Some(changes) = rule.and_then(|(_, rule)| rule.changes.as_ref()) else {
        return find_column(name, table, readable).map(|_| ());
    };
    let find = |name: &String| {
        let why = || undecided(&table.name, &format!("its `changes` name `{name}`, which it has not"));
        table.column(name).ok_or_else(why)
    };
    let changes = changes.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    if table.column(name).is_some_and(|column| changes.contains(&column)) {
        return Ok(());
    }
    let column = find_column(name, table, readable)?;
    let name = &table.columns[column].name;
    Err(Problem::new(Code::Forbidden, format!("you may not set `{name}` of `{}`", table.name)))
}

/// A rule's filter as a predicate of the table, with the tenant's: what it reads of other tables is left to the database.
async fn joined(
    node: &Node,
    auth: &Auth,
    rule: &TableRule,
    filter: &Filter,
    identity: &Arc<Identity>,
    table: &Arc<Table>,
) -> Result<Predicate, Problem> {
    let dialect: Dialect = node.database.store.dialect();
    let selections = selections(node, filter, &identity.claims).await?;
    let chosen = selections.into_iter().map(|selection| Chosen { selection, values: Arc::new([]) }).collect();
    allowed(auth, rule, filter, identity, table, chosen)?.bind(table, dialect)
}

fn both(one: Option<Arc<Predicate>>, other: Predicate) -> Arc<Predicate> {
    Arc::new(match one {
        Some(one) => (*one).clone().and(other),
        None => other,
    })
}

fn may_not(verb: &str, table: &Table) -> Problem {
    Problem::new(Code::Forbidden, format!("you may not {verb} `{}`", table.name))
}

/// The same, of one of several.
fn placed(mut problem: Problem, n: usize, asked: &[Write]) -> Problem {
    if asked.len() > 1 {
        problem.message = format!("write {}: {}", n + 1, problem.message);
    }
    problem
}

/// What the store's refusal means to who asked. Nothing was written.
fn refused(error: StoreError, asked: &[Write], planned: &[Planned]) -> Problem {
    match error {
        StoreError::Unmet { write, rows } => {
            let one = &asked[write];
            let (table, verb) = (one.table(), one.verb());
            let problem = match one.rows() {
                Some(wanted) if rows > wanted => {
                    Problem::new(Code::Conflict, format!("{verb} `{table}`: there are more than {wanted} such rows"))
                }
                Some(wanted) => {
                    Problem::new(Code::Conflict, format!("{verb} `{table}`: there are {rows} such rows, not {wanted}"))
                }
                None if matches!(one, Write::Require { .. }) => {
                    Problem::new(Code::Conflict, format!("{verb} `{table}`: there is no such row"))
                }
                None => Problem::new(Code::TooLarge, format!("{verb} `{table}`: more than {CHANGED_MAX} rows at once"))
                    .hint("narrow `where`, and do it in parts"),
            };
            placed(problem, write, asked)
        }
        StoreError::Forbidden { write } => {
            let what = match &asked[write] {
                Write::Insert { .. } => "you may not insert this row",
                _ => "you may not leave a row as it would be",
            };
            placed(Problem::new(Code::Forbidden, format!("{what} of `{}`", asked[write].table())), write, asked)
        }
        StoreError::Violated(violation) => violated(&violation, asked, planned),
        error => store_problem(error),
    }
}

/// Which constraint, with columns that the client may know of, and without anybody's values.
fn violated(violation: &Violation, asked: &[Write], planned: &[Planned]) -> Problem {
    let what = match violation.kind {
        ViolationKind::Unique => "there is such a row already",
        ViolationKind::ForeignKey => "what it refers to is not there, or something refers to it",
        ViolationKind::NotNull => "a column may not be null",
        ViolationKind::Check => "a check of the table does not allow it",
        ViolationKind::Value => "a value does not fit",
    };
    let code = if violation.kind == ViolationKind::Value { Code::BadMessage } else { Code::Conflict };
    let Some(n) = violation.write else { return Problem::new(code, what) };
    let (table, named) = (planned[n].write.table(), &planned[n].named);
    let may_be_named = |name: &&str| {
        let column = table.column(name);
        named.as_ref().is_none_or(|named| column.is_some_and(|column| named.contains(&column)))
    };
    let columns: Vec<&str> = violation.columns.iter().map(|name| &**name).collect();
    let columns = if columns.iter().all(may_be_named) { columns.join(", ") } else { String::new() };
    let about = if columns.is_empty() { String::new() } else { format!(" ({columns})") };
    placed(Problem::new(code, format!("{what}{about}")), n, asked)
}
