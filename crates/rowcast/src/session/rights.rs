//! What a client may read of a table, or hear of a channel, tied to its claims and to what the rules read of other tables.

use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value as Json};

use super::chosen::{NotChosen, Set};
use super::node::Node;
use super::policy::{Judge, as_role};
use crate::auth::rules::{TableRule, of_tenant};
use crate::auth::{Auth, Identity, Standing};
use crate::event::{Position, Table, TableName};
use crate::filter::{Binding, Chosen, Dialect, Filter, Predicate, Selection};
use crate::hub::Run;
use crate::ingest::Guard;
use crate::protocol::{Code, Problem};
use crate::store::{AsRole, StoreError};

/// What decides about a subscription, for as long as it holds.
#[derive(Debug, Default)]
pub(super) struct Rights {
    /// The rows that may be read; `None`: every one.
    pub(super) filter: Option<Allowed>,
    /// The columns that may be read; `None`: all.
    pub(super) columns: Option<Arc<[usize]>>,
    pub(super) sets: Vec<Arc<Set>>,
    /// Says which of those rows are seen, where the database's own policies do.
    pub(super) judge: Option<Arc<Judge>>,
}

/// A rule's filter with what it is bound to.
#[derive(Debug)]
pub(super) struct Allowed {
    filter: Filter,
    claims: Arc<Identity>,
    chosen: Vec<Chosen>,
    /// The column that says whose tenant's a row is.
    tenant: Option<String>,
}

/// Why there are no rights.
#[derive(Debug)]
pub(super) enum NoRights {
    /// What they depend on has changed since the position.
    Changed,
    /// They are refused, or cannot be found out.
    Refused(Problem),
}

impl From<Problem> for NoRights {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<NoRights> for Problem {
    fn from(no: NoRights) -> Self {
        match no {
            NoRights::Refused(problem) => problem,
            NoRights::Changed => {
                Problem::new(Code::Unavailable, "what the rules read has just changed").hint("try again")
            }
        }
    }
}

impl From<NotChosen> for NoRights {
    fn from(not: NotChosen) -> Self {
        match not {
            NotChosen::Changed => Self::Changed,
            NotChosen::Failed(problem) => Self::Refused(problem),
        }
    }
}

impl Rights {
    /// Those of who may read everything: all of them have the same ones.
    pub(super) fn everything() -> Arc<Self> {
        static EVERYTHING: LazyLock<Arc<Rights>> = LazyLock::new(Arc::default);
        EVERYTHING.clone()
    }

    /// Whether a transaction changes what they depend on.
    pub(super) fn end_with(&self, run: Run<'_>) -> bool {
        let last = run.events[run.events.len() - 1].position;
        self.sets.iter().any(|set| set.until().is_some_and(|until| until <= last))
    }

    /// Whether the same client has them by the same rule, which has found the same and more.
    pub(super) fn have_grown_from(&self, before: &Self) -> bool {
        let same_client = match (&self.filter, &before.filter) {
            (Some(now), Some(then)) => Arc::ptr_eq(&now.claims, &then.claims),
            _ => false,
        };
        let grown = |(now, then): (&Arc<Set>, &Arc<Set>)| now.selection() == then.selection() && now.contains(then);
        same_client && self.sets.len() == before.sets.len() && self.sets.iter().zip(&before.sets).all(grown)
    }

    /// What they have read of other tables.
    pub(super) fn selections(&self) -> Arc<[Arc<Selection>]> {
        self.sets.iter().map(|set| set.selection().clone()).collect()
    }

    /// The rows that may be read, as a filter of the table.
    pub(super) fn predicate(&self, table: &Table, dialect: Dialect) -> Result<Option<Predicate>, Problem> {
        self.filter.as_ref().map(|allowed| allowed.bind(table, dialect)).transpose()
    }
}

impl Allowed {
    pub(super) fn bind(&self, table: &Table, dialect: Dialect) -> Result<Predicate, Problem> {
        let claims = &self.claims.claims;
        let binding = Binding { table, dialect, claims, readable: None, chosen: &self.chosen };
        let rule = self.filter.bind_with(binding).map_err(|error| undecided(&table.name, &error.to_string()))?;
        let own = match &self.tenant {
            Some(column) => {
                let own = of_tenant(table, column, &self.claims.tenant, dialect);
                Some(own.map_err(|error| undecided(&table.name, &error.to_string()))?)
            }
            None => None,
        };
        Ok(match own {
            Some(own) => own.and(rule).as_rule(),
            None => rule.as_rule(),
        })
    }
}

/// A rule that does not fit its table is its operator's to mend.
pub(super) fn undecided(table: &TableName, why: &str) -> Problem {
    tracing::error!(%table, "a rule cannot be decided: {why}");
    Problem::new(Code::Internal, "a rule of this table cannot be decided")
        .hint("tell who runs this server: its log says why")
}

/// Refuses a client that has not said who it is.
pub(crate) fn known(identity: &Identity) -> Result<(), Problem> {
    match identity.standing {
        Standing::Unknown => Err(Problem::new(Code::Unauthenticated, "this needs a token")
            .hint("send {\"type\":\"auth\",\"token\":\"…\"} first")),
        Standing::Trusted | Standing::Anonymous | Standing::Known => Ok(()),
    }
}

/// The answer for a table that there is not, and for one that may not be read: nobody can tell them apart. It is called as it was asked for.
pub(super) fn hidden(table: &TableName) -> Problem {
    Problem::new(Code::UnknownTable, format!("there is no table `{table}` that you may read"))
        .hint("GET /v1/tables lists the tables that you may read")
}

/// Rules, where they concern this client.
pub(super) fn rules<'n>(node: &'n Node, identity: &Identity) -> Option<&'n Auth> {
    node.auth.as_deref().filter(|_| !identity.is_trusted())
}

/// What a client may read of a table, as of a position; as of now, where none is given.
pub(super) async fn to_read(
    node: &Node,
    identity: &Arc<Identity>,
    asked: &TableName,
    table: &Arc<Table>,
    at: Option<Position>,
) -> Result<Arc<Rights>, NoRights> {
    known(identity)?;
    let Some(auth) = rules(node, identity) else { return Ok(Rights::everything()) };
    let rule = readable(node, auth, identity, asked, table)?;
    let filter = rule.read.as_ref().ok_or_else(|| hidden(asked))?;
    let mut sets = sets(node, filter, &identity.claims, at).await?;
    let chosen = sets.iter().map(|set| set.chosen()).collect();
    let filter = Some(allowed(auth, rule, filter, identity, table, chosen)?);
    let columns = columns(rule, table)?;
    let mut judge = None;
    if let Some(role) = role(auth, rule, identity, asked, &columns)? {
        for selection in read_by_policies(node, rule, &identity.claims).await? {
            sets.push(node.judges.watch(node, selection, at).await?);
        }
        judge = Some(node.judges.find(node, table, role).await.map_err(|error| unasked(table, error))?);
    }
    Ok(Arc::new(Rights { filter, columns, sets, judge }))
}

/// As whom the database is asked; nobody's rule says that where its policies do not decide.
fn role(
    auth: &Auth,
    rule: &TableRule,
    identity: &Identity,
    asked: &TableName,
    columns: &Option<Arc<[usize]>>,
) -> Result<Option<AsRole>, Problem> {
    let Some(policies) = &rule.policies else { return Ok(None) };
    let role = as_role(policies, auth.rules.role_claim(), identity, columns.clone());
    role.map(Some).ok_or_else(|| hidden(asked))
}

/// What policies read of other tables, as far as it concerns a client.
async fn read_by_policies(
    node: &Node,
    rule: &TableRule,
    claims: &Map<String, Json>,
) -> Result<Vec<Arc<Selection>>, Problem> {
    let mut found = Vec::new();
    for select in rule.policies.iter().flat_map(|policies| &policies.reads) {
        let table = read_table(node, select.table()).await?;
        let bound = select.bind_rows(&table, node.database.store.dialect(), claims);
        found.push(Arc::new(bound.map_err(|error| undecided(select.table(), &error.to_string()))?));
    }
    Ok(found)
}

/// Policies that cannot be asked are the operator's to mend.
fn unasked(table: &Table, error: StoreError) -> Problem {
    match error {
        StoreError::Refused(why) => undecided(&table.name, &why),
        error => super::store_problem(error),
    }
}

/// What a client may read of a table, for a question to the database: what the rule reads of other tables is the database's to find.
pub(super) async fn to_ask(
    node: &Node,
    identity: &Arc<Identity>,
    asked: &TableName,
    table: &Arc<Table>,
) -> Result<(Rights, Option<Arc<AsRole>>), Problem> {
    known(identity)?;
    let Some(auth) = rules(node, identity) else { return Ok((Rights::default(), None)) };
    let rule = readable(node, auth, identity, asked, table)?;
    let filter = rule.read.as_ref().ok_or_else(|| hidden(asked))?;
    let nothing: Arc<[Json]> = Arc::new([]);
    let selections = selections(node, filter, &identity.claims).await?;
    let chosen = selections.into_iter().map(|selection| Chosen { selection, values: nothing.clone() }).collect();
    let filter = Some(allowed(auth, rule, filter, identity, table, chosen)?);
    let columns = columns(rule, table)?;
    let role = role(auth, rule, identity, asked, &columns)?.map(Arc::new);
    Ok((Rights { filter, columns, ..Rights::default() }, role))
}

/// Which rows a client may insert into a table; `None`: every one.
pub async fn to_insert(node: &Node, identity: &Arc<Identity>, name: &TableName) -> Result<Option<Guard>, Problem> {
    known(identity)?;
    let Some(auth) = rules(node, identity) else { return Ok(None) };
    let table = node.database.store.table(name).await.map_err(|error| match error {
        StoreError::UnknownTable(_) => hidden(name),
        error => super::store_problem(error),
    })?;
    let rule = auth.rules.table(&table.name, identity, node.database.store.dialect()).ok_or_else(|| hidden(name))?;
    let Some(filter) = &rule.insert else {
        let no = || Problem::new(Code::Forbidden, format!("you may not insert into `{}`", table.name));
        return Err(if rule.read.is_some() { no() } else { hidden(name) });
    };
    let sets = sets(node, filter, &identity.claims, None).await?;
    let chosen = sets.iter().map(|set| set.chosen()).collect();
    let allowed = allowed(auth, rule, filter, identity, &table, chosen)?;
    let dialect = node.database.store.dialect();
    // A rule that does not fit is told before a row is read.
    allowed.bind(&table, dialect)?;
    let bind = move |table: &Table| allowed.bind(table, dialect).map(Arc::new).map_err(|problem| problem.message);
    let holds = move || sets.iter().all(|set| set.until().is_none());
    Ok(Some(Guard { bind: Arc::new(bind), holds: Arc::new(holds) }))
}

/// Names a client among those who send bodies under a key; nothing where all are one.
pub fn sender(identity: &Identity) -> String {
    match identity.standing {
        Standing::Trusted => String::new(),
        _ => format!("{}\n{}", identity.tenant, identity.user.as_deref().unwrap_or_default()),
    }
}

/// A question to the database about a table's rows, within what a client may read.
#[derive(Debug)]
pub struct Question {
    /// The table.
    pub table: Arc<Table>,
    /// Which of its rows.
    pub predicate: Option<Arc<Predicate>>,
    /// The columns that may be named; `None`: all.
    pub readable: Option<Arc<[usize]>>,
    /// As whom the database is asked; `None`: as the gateway.
    pub role: Option<Arc<AsRole>>,
}

/// What a client asks of a table, joined to what it may read.
pub async fn question(
    node: &Node,
    identity: &Arc<Identity>,
    name: &TableName,
    asked: Option<&str>,
) -> Result<Question, Problem> {
    known(identity)?;
    let table = node.database.store.table(name).await.map_err(|error| match error {
        StoreError::UnknownTable(_) if rules(node, identity).is_some() => hidden(name),
        error => super::store_problem(error),
    })?;
    let (rights, role) = to_ask(node, identity, name, &table).await?;
    let dialect = node.database.store.dialect();
    let rule = rights.predicate(&table, dialect)?;
    let readable = rights.columns;
    let (claims, columns) = (&identity.claims, readable.as_deref());
    let binding = Binding { table: &table, dialect, claims, readable: columns, chosen: &[] };
    let asked = asked.filter(|text| !text.trim().is_empty());
    let asked = asked.map(|text| Filter::parse(text)?.bind_with(binding)).transpose()?;
    let predicate = match (rule, asked) {
        (Some(rule), Some(asked)) => Some(rule.and(asked)),
        (one, None) | (None, one) => one,
    };
    Ok(Question { table, predicate: predicate.map(Arc::new), readable, role })
}

/// The columns of a table that a client may read; `None` where it may read none of its rows.
pub fn described(node: &Node, identity: &Identity, table: &Table) -> Option<Vec<usize>> {
    let Some(auth) = rules(node, identity) else { return Some((0..table.columns.len()).collect()) };
    let rule =
        auth.rules.table(&table.name, identity, node.database.store.dialect()).filter(|rule| rule.read.is_some())?;
    let columns = columns(rule, table).ok()?;
    Some(columns.map_or_else(|| (0..table.columns.len()).collect(), |columns| columns.to_vec()))
}

fn readable<'a>(
    node: &Node,
    auth: &'a Auth,
    identity: &Identity,
    asked: &TableName,
    table: &Table,
) -> Result<&'a TableRule, Problem> {
    auth.rules.table(&table.name, identity, node.database.store.dialect()).ok_or_else(|| hidden(asked))
}

/// A rule's filter, with the tenant's where the table has one.
pub(super) fn allowed(
    auth: &Auth,
    rule: &TableRule,
    filter: &Filter,
    identity: &Arc<Identity>,
    table: &Table,
    chosen: Vec<Chosen>,
) -> Result<Allowed, Problem> {
    let tenant = auth.rules.tenant_column.clone().filter(|_| !rule.shared);
    if let Some(column) = &tenant
        && table.column(column).is_none()
    {
        let why = format!("it has no column `{column}`; write `shared = true` if it belongs to no tenant");
        return Err(undecided(&table.name, &why));
    }
    Ok(Allowed { filter: filter.clone(), claims: identity.clone(), chosen, tenant })
}

/// The columns that a rule lets be read. The key's are among them: every change names its row by them.
pub(super) fn columns(rule: &TableRule, table: &Table) -> Result<Option<Arc<[usize]>>, Problem> {
    let Some(names) = &rule.columns else { return Ok(None) };
    let find = |name: &String| {
        table
            .column(name)
            .ok_or_else(|| undecided(&table.name, &format!("its `columns` name `{name}`, which it has not")))
    };
    let columns = names.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    match table.key.iter().find(|column| !columns.contains(column)) {
        Some(missing) => {
            let name = &table.columns[*missing].name;
            Err(undecided(&table.name, &format!("its `columns` lack `{name}`, which is of the key")))
        }
        None => Ok(Some(columns.into())),
    }
}

/// A table that decides about another one.
async fn read_table(node: &Node, name: &TableName) -> Result<Arc<Table>, Problem> {
    let table = node.database.store.table(name).await.map_err(super::store_problem);
    table.map_err(|problem| match problem.code {
        Code::UnknownTable => undecided(name, "there is no such table"),
        _ => problem,
    })
}

/// What a filter reads of other tables, tied to them and to the claims.
pub(super) async fn selections(
    node: &Node,
    filter: &Filter,
    claims: &Map<String, Json>,
) -> Result<Vec<Arc<Selection>>, Problem> {
    let mut found = Vec::new();
    for select in filter.selects() {
        let table = read_table(node, select.table()).await?;
        let bound = select.bind(&table, node.database.store.dialect(), claims);
        found.push(Arc::new(bound.map_err(|error| undecided(select.table(), &error.to_string()))?));
    }
    Ok(found)
}

/// The same with what it finds.
pub(super) async fn sets(
    node: &Node,
    filter: &Filter,
    claims: &Map<String, Json>,
    at: Option<Position>,
) -> Result<Vec<Arc<Set>>, NoRights> {
    let mut sets = Vec::new();
    for selection in selections(node, filter, claims).await? {
        sets.push(node.sets.find(node, selection, at).await?);
    }
    Ok(sets)
}
