//! Row-level security: what a role with some claims sees, asked of the database once for all who are the same to its policies.
//!
//! The policies themselves are looked at again every second, as long as a rule names them: a change of them is in no log. When they have
//! changed, everything that was decided by them is over.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use ahash::AHashMap;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use super::chosen::{NotChosen, Set, Watched};
use super::node::Node;
use super::rights::columns;
use crate::auth::Identity;
use crate::event::{Event, Position, Row, RowChange, Table, TableName, Value};
use crate::filter::Selection;
use crate::store::{AsRole, Policies, Sight, Store, StoreError};

/// How often policies are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// The pause before a database that is away is asked again.
const AWAY: Duration = Duration::from_millis(250);
/// Questions at the same time: some connections are left for snapshots.
const ASKED_AT_ONCE: usize = 3;
/// Rows of one question.
const ROWS_MAX: usize = 500;
/// How long the start waits for a database that does not answer.
const START: Duration = Duration::from_secs(3);
/// Answers that are kept for those who come a little later.
const ANSWERS_MAX: usize = 4096;

/// All that is known of policies.
#[derive(Debug)]
pub(super) struct Judges {
    sheets: Mutex<AHashMap<SheetKey, SheetSlot>>,
    judges: Mutex<AHashMap<JudgeKey, Weak<Judge>>>,
    watched: Watched,
    questions: Semaphore,
    eras: AtomicU64,
}

type JudgeKey = (Arc<Table>, AsRole);

/// The table, the role, and the columns that it may have to read.
type SheetKey = (Arc<Table>, Box<str>, Option<Arc<[usize]>>);

/// Where the sheet of a table and a role is, or is being read by whoever holds it.
type SheetSlot = Arc<tokio::sync::Mutex<Option<Arc<Sheet>>>>;

/// The policies of a table for a role, for as long as they hold.
#[derive(Debug)]
struct Sheet {
    policies: Arc<Policies>,
    era: u64,
    /// Whoever was told something after this position was told it by these policies.
    from: Position,
    over: watch::Sender<bool>,
}

/// Whether rows are seen by a role with some claims.
#[derive(Debug)]
pub(super) struct Judge {
    table: Arc<Table>,
    role: Arc<AsRole>,
    sheet: Arc<Sheet>,
    answers: tokio::sync::Mutex<Answers>,
}

/// Of a change: whether the row before it, and the row after it, is seen.
pub(super) type Verdict = (bool, bool);

/// The verdicts about some changes, by their positions.
pub(super) type Verdicts = AHashMap<Position, Verdict>;

#[derive(Debug, Default)]
struct Answers {
    known: Verdicts,
    order: VecDeque<Position>,
}

/// Other policies hold by now.
#[derive(Debug)]
pub(super) struct Over;

impl Default for Judges {
    fn default() -> Self {
        Self {
            sheets: Mutex::default(),
            judges: Mutex::default(),
            watched: Watched::default(),
            questions: Semaphore::new(ASKED_AT_ONCE),
            eras: AtomicU64::new(0),
        }
    }
}

impl Judges {
    /// Whoever decides for a role with some claims, by the policies as they are now.
    pub(super) async fn find(&self, node: &Node, table: &Arc<Table>, role: AsRole) -> Result<Arc<Judge>, StoreError> {
        let sheet = self.sheet(node, table, &role).await?;
        let role = AsRole { era: sheet.era, ..role };
        let mut judges = self.judges.lock();
        if judges.len() > 64 && judges.len() == judges.capacity() {
            judges.retain(|_, judge| judge.strong_count() > 0);
        }
        let place = judges.entry((table.clone(), role.clone())).or_default();
        if let Some(judge) = place.upgrade() {
            return Ok(judge);
        }
        let judge = Judge { table: table.clone(), role: Arc::new(role), sheet, answers: tokio::sync::Mutex::default() };
        let judge = Arc::new(judge);
        *place = Arc::downgrade(&judge);
        Ok(judge)
    }

    /// Hears of changes of what policies read, from a position on.
    pub(super) async fn watch(
        &self,
        node: &Node,
        selection: Arc<Selection>,
        at: Option<Position>,
    ) -> Result<Arc<Set>, NotChosen> {
        self.watched.find(node, selection, at).await
    }

    async fn sheet(&self, node: &Node, table: &Arc<Table>, role: &AsRole) -> Result<Arc<Sheet>, StoreError> {
        let key = (table.clone(), role.role.clone(), role.readable.clone());
        let slot = self.sheets.lock().entry(key).or_default().clone();
        let mut place = slot.lock().await;
        if let Some(sheet) = place.as_ref().filter(|sheet| !*sheet.over.borrow()) {
            return Ok(sheet.clone());
        }
        let policies = Arc::new(node.database.store.policies(table, role).await?);
        let era = self.eras.fetch_add(1, Ordering::Relaxed);
        let sheet = Sheet { policies, era, from: node.log.head(), over: watch::Sender::new(false) };
        let sheet = Arc::new(sheet);
        *place = Some(sheet.clone());
        tokio::spawn(look(Arc::downgrade(&sheet), node.database.store.clone(), table.clone(), role.clone()));
        Ok(sheet)
    }
}

/// Looks at the policies until they are others, or nobody is left to tell.
async fn look(sheet: Weak<Sheet>, store: Arc<dyn Store>, table: Arc<Table>, role: AsRole) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(sheet) = sheet.upgrade() else { return };
        if *sheet.over.borrow() {
            return;
        }
        match store.policies(&table, &role).await {
            Ok(policies) if policies == *sheet.policies => {}
            // Nothing was heard of them.
            Err(StoreError::Unavailable(_)) => {}
            Ok(_) => return sheet.end(&table.name),
            Err(error) => {
                tracing::warn!(table = %table.name, role = &*role.role, "row-level security can no longer be asked: {error}");
                return sheet.end(&table.name);
            }
        }
    }
}

impl Sheet {
    fn end(&self, table: &TableName) {
        if !self.over.send_replace(true) {
            tracing::info!(%table, "what policies were asked is over: they have changed");
        }
    }
}

impl Judge {
    pub(super) fn role(&self) -> &Arc<AsRole> {
        &self.role
    }

    /// Returns when other policies hold.
    pub(super) async fn over(&self) {
        // The sender is in the sheet, which is here.
        let _ = self.sheet.over.subscribe().wait_for(|over| *over).await;
    }

    /// Whether a client that has heard everything up to a position has heard it under these policies.
    pub(super) fn covers(&self, position: Position) -> bool {
        position.epoch == self.sheet.from.epoch && self.sheet.from < position
    }

    /// Whether rows are those of the table whose policies these are.
    pub(super) fn is_of(&self, table: &Table) -> bool {
        *self.table == *table
    }

    /// What is seen of these changes. Waits for a database that is away.
    pub(super) async fn judge(&self, node: &Node, changes: &[(&Arc<Event>, &RowChange)]) -> Result<Verdicts, Over> {
        let mut found = Verdicts::default();
        if changes.is_empty() {
            return Ok(found);
        }
        // Others who are the same to the policies ask about the same changes, and find the answers.
        let mut answers = self.answers.lock().await;
        let mut asked = Vec::new();
        for (event, change) in changes {
            match answers.known.get(&event.position) {
                Some(verdict) => {
                    found.insert(event.position, *verdict);
                }
                None => asked.push((event.position, *change)),
            }
        }
        for some in asked.chunks(ROWS_MAX / 2) {
            for (position, verdict) in self.ask(node, some).await? {
                found.insert(position, verdict);
                answers.keep(position, verdict);
            }
        }
        Ok(found)
    }

    async fn ask(&self, node: &Node, changes: &[(Position, &RowChange)]) -> Result<Vec<(Position, Verdict)>, Over> {
        let width = self.table.columns.len();
        let mut rows = Vec::new();
        let mut places = Vec::new();
        for (_, change) in changes {
            let mut place = |row: Option<&Row>| {
                let row = row.filter(|row| is_known(row, width))?;
                rows.push(row.clone());
                Some(rows.len() - 1)
            };
            places.push((place(change.old.as_ref()), place(change.new.as_ref())));
        }
        let count = rows.len();
        let (table, role, policies) = (self.table.clone(), self.role.clone(), self.sheet.policies.clone());
        let seen = self.answer(node, &Sight { table, role, policies, rows }).await?;
        metrics::counter!("rowcast_policy_questions_total").increment(1);
        metrics::counter!("rowcast_policy_rows_total").increment(count as u64);
        let is_seen = |place: Option<usize>| place.is_some_and(|place| seen[place]);
        let verdicts = places.into_iter().map(|(old, new)| (is_seen(old), is_seen(new)));
        Ok(changes.iter().map(|(position, _)| *position).zip(verdicts).collect())
    }

    async fn answer(&self, node: &Node, sight: &Sight) -> Result<Vec<bool>, Over> {
        if sight.rows.is_empty() {
            return Ok(Vec::new());
        }
        loop {
            if *self.sheet.over.borrow() {
                return Err(Over);
            }
            let asked = {
                let _turn = node.judges.questions.acquire().await;
                node.database.store.sees(sight).await
            };
            match asked {
                Ok(Some(seen)) => return Ok(seen),
                // Nothing is told before it is known whether it may be.
                Err(StoreError::Unavailable(_)) => tokio::time::sleep(AWAY).await,
                Ok(None) | Err(_) => {
                    self.sheet.end(&self.table.name);
                    return Err(Over);
                }
            }
        }
    }
}

impl Answers {
    fn keep(&mut self, position: Position, verdict: Verdict) {
        if self.known.insert(position, verdict).is_none() {
            self.order.push_back(position);
        }
        if self.order.len() > ANSWERS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

/// Policies cannot be asked about a row of which something is not known.
fn is_known(row: &Row, width: usize) -> bool {
    row.values.len() == width && !row.values.contains(&Value::Unchanged)
}

/// A client as policies see it; `None` where it has no role.
pub(super) fn as_role(
    policies: &crate::auth::rules::Policies,
    role_claim: &str,
    identity: &Identity,
    readable: Option<Arc<[usize]>>,
) -> Option<AsRole> {
    let role = policies.role(&identity.claims, role_claim)?;
    let claims = policies.claims(&identity.claims, role).into();
    Some(AsRole { role: role.into(), claims, readable, era: 0 })
}

/// Looks at the policies that rules name. `Err` where one of them cannot be asked as things are; what is not there yet, or does not answer, is
/// looked at when somebody asks for it.
pub async fn look_at_policies(node: &Node) -> Result<(), String> {
    let Some(auth) = &node.auth else { return Ok(()) };
    for (rule, policies) in auth.rules.ruled_by_policies() {
        let name = &rule.table;
        for role in policies.roles() {
            let looked = async {
                let table = node.database.store.table(name).await?;
                let readable = columns(rule, &table).map_err(|problem| StoreError::Refused(problem.message))?;
                let claims = policies.claims(&serde_json::Map::new(), role).into();
                let role = AsRole { role: (**role).into(), claims, readable, era: 0 };
                node.judges.sheet(node, &table, &role).await
            };
            match tokio::time::timeout(START, looked).await {
                Ok(Ok(_)) => {}
                Ok(Err(StoreError::Refused(why))) => return Err(format!("[[rule]] of `{name}`, rls: {why}")),
                Ok(Err(error)) => tracing::warn!(table = %name, "the table's policies cannot be looked at: {error}"),
                Err(_) => tracing::warn!(table = %name, "the database does not say what the table's policies are"),
            }
        }
    }
    Ok(())
}
