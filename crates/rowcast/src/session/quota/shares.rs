//! What one client has of what its tenant, its user and its address may have. Given back when it is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::account::{Account, Kind, take_one};
use super::tally::{Reason, Tally};
use crate::hub::Closing;
use crate::protocol::{Code, Problem};
use crate::session::bucket::Bucket;
use crate::session::node::away;

/// Who goes on with so many times what it may send, beside what it may send, is closed.
const PATIENCE: f64 = 9.0;

/// Who pays for a client: its tenant, its user, its address. Whoever has a limit has to agree.
#[derive(Debug)]
pub struct Accounts([Option<Arc<Account>>; 3]);

/// A message is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Excess {
    /// It may come again later.
    Later(Problem),
    /// There is no end of them: the connection is closed.
    Enough(Closing),
}

impl Accounts {
    pub(super) fn new(tenant: Option<Arc<Account>>, user: Option<Arc<Account>>, address: Option<Arc<Account>>) -> Self {
        Self([tenant, user, address])
    }

    fn each(&self) -> impl Iterator<Item = &Account> {
        self.0.iter().flatten().map(|account| &**account)
    }

    fn tally(&self) -> Option<&Tally> {
        self.0[0].as_ref()?.tally.as_deref()
    }

    fn refused(&self, reason: Reason) {
        if let Some(tally) = self.tally() {
            tally.refused(reason);
        }
    }

    /// Takes a message of so many bytes, unless somebody has sent too much already.
    pub fn message(&self, bytes: usize) -> Result<(), Problem> {
        self.send(bytes, Instant::now()).map_err(|(_, problem)| problem)
    }

    pub(super) fn send(&self, bytes: usize, now: Instant) -> Result<(), (Kind, Problem)> {
        for kind in [Kind::Messages, Kind::Bytes] {
            self.look(kind, now).map_err(|problem| (kind, problem))?;
        }
        self.charge_at(Kind::Messages, 1.0, now);
        self.charge_at(Kind::Bytes, bytes as f64, now);
        if let Some(tally) = self.tally() {
            tally.sent(1, bytes);
        }
        Ok(())
    }

    /// So many further messages were in it: they are owed.
    pub fn further_messages(&self, count: usize) {
        self.charge_at(Kind::Messages, count as f64, Instant::now());
        if let Some(tally) = self.tally() {
            tally.sent(count, 0);
        }
    }

    /// More of a body that was let in. Returns how long to wait before the next part is read: one that is larger than what may be sent
    /// at once goes on at the rate.
    pub fn further_bytes(&self, bytes: usize) -> Duration {
        let now = Instant::now();
        self.charge_at(Kind::Bytes, bytes as f64, now);
        if let Some(tally) = self.tally() {
            tally.sent(0, bytes);
        }
        let owed = |account: &Account| account.wait(Kind::Bytes, now).max(account.wait(Kind::Messages, now));
        self.each().map(owed).max().unwrap_or_default()
    }

    /// Whether rows may be read now.
    pub fn may_read_rows(&self) -> Result<(), Problem> {
        self.look(Kind::Rows, Instant::now())
    }

    /// So many rows were read.
    pub fn rows_read(&self, count: usize) {
        self.charge_at(Kind::Rows, count as f64, Instant::now());
    }

    /// How long until rows may be read.
    pub fn wait_for_rows(&self) -> Duration {
        let now = Instant::now();
        self.each().map(|account| account.wait(Kind::Rows, now)).max().unwrap_or_default()
    }

    /// Whether all agree. When each of several refuses, the one says so that does it for longest.
    fn look(&self, kind: Kind, now: Instant) -> Result<(), Problem> {
        let waits = self.each().map(|account| (account.wait(kind, now), account));
        let Some((wait, account)) = waits.max_by_key(|(wait, _)| *wait).filter(|(wait, _)| !wait.is_zero()) else {
            return Ok(());
        };
        self.refused(Reason::Rate(kind));
        let hint = "what was asked for is not done; ask again when retry_ms has passed";
        // Not a moment too early, for one that comes back exactly then.
        let wait = wait + Duration::from_millis(1);
        Err(Problem::new(Code::RateLimited, account.sentence(kind)).hint(hint).retry_after(wait))
    }

    fn charge_at(&self, kind: Kind, amount: f64, now: Instant) {
        self.each().for_each(|account| {
            account.bucket(kind).charge(amount, now);
        });
    }

    fn take(
        &self,
        number: impl Fn(&Account) -> &AtomicUsize,
        limit: impl Fn(&Account) -> Option<usize>,
    ) -> Result<(), &Account> {
        for (n, account) in self.0.iter().enumerate() {
            let Some(account) = account else { continue };
            if !take_one(number(account), limit(account)) {
                self.0[..n].iter().flatten().for_each(|taken| give_back(number(taken)));
                return Err(account);
            }
        }
        Ok(())
    }

    /// Whether one more would be let in just now.
    pub fn has_room(&self) -> Result<(), Problem> {
        let full = |account: &&Account| {
            let limit = account.allowance.connections;
            limit.is_some_and(|limit| account.connections.load(Ordering::Acquire) >= limit)
        };
        self.each().find(full).map_or(Ok(()), |account| Err(self.no_room(account, away())))
    }

    fn no_room(&self, account: &Account, away: Duration) -> Problem {
        self.refused(Reason::Connections);
        let limit = account.allowance.connections.unwrap_or_default();
        let message = format!("this {} has its {limit} connections", account.whose);
        let problem = Problem::new(Code::TooManyConnections, message).hint("close one of them first");
        problem.retry_after(away).of_caller()
    }

    /// A subscription more.
    pub(in crate::session) fn subscribe(self: &Arc<Self>) -> Result<Place, Problem> {
        let taken = self.take(|account| &account.subscriptions, |account| account.allowance.subscriptions);
        if let Err(account) = taken {
            self.refused(Reason::Subscriptions);
            let limit = account.allowance.subscriptions.unwrap_or_default();
            let message = format!("this {} has its {limit} subscriptions", account.whose);
            return Err(Problem::new(Code::TooManySubscriptions, message)
                .hint("unsubscribe from one first")
                .of_caller());
        }
        if let Some(tally) = self.tally() {
            tally.subscriptions.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Place(Some(self.clone())))
    }

    /// The same accounts, whoever asked for them.
    fn are(&self, others: &Self) -> bool {
        let same = |(a, b): (&Option<Arc<Account>>, &Option<Arc<Account>>)| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        self.0.iter().zip(&others.0).all(same)
    }
}

fn give_back(number: &AtomicUsize) {
    number.fetch_sub(1, Ordering::AcqRel);
}

/// One subscription's. Nothing, where nothing is counted.
#[derive(Debug, Default)]
pub(in crate::session) struct Place(Option<Arc<Accounts>>);

impl Drop for Place {
    fn drop(&mut self) {
        let Some(accounts) = &self.0 else { return };
        accounts.each().for_each(|account| give_back(&account.subscriptions));
        if let Some(tally) = accounts.tally() {
            tally.subscriptions.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// One connection's.
#[derive(Debug)]
pub(in crate::session) struct Shares {
    accounts: Arc<Accounts>,
    /// What is left of the patience with it; `None` while it keeps to what it may.
    patience: Option<Bucket>,
}

impl Shares {
    /// One connection more.
    pub(in crate::session) fn take(accounts: Arc<Accounts>) -> Result<Box<Self>, Problem> {
        let taken = accounts.take(|account| &account.connections, |account| account.allowance.connections);
        if let Err(account) = taken {
            return Err(accounts.no_room(account, away()));
        }
        if let Some(tally) = accounts.tally() {
            tally.connections.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Box::new(Self { accounts, patience: None }))
    }

    pub(in crate::session) fn accounts(&self) -> &Arc<Accounts> {
        &self.accounts
    }

    /// Whether these pay already.
    pub(in crate::session) fn are_of(&self, accounts: &Accounts) -> bool {
        self.accounts.are(accounts)
    }

    /// Takes a message of so many bytes.
    pub(in crate::session) fn message(&mut self, bytes: usize) -> Result<(), Excess> {
        self.message_at(bytes, Instant::now())
    }

    pub(super) fn message_at(&mut self, bytes: usize, now: Instant) -> Result<(), Excess> {
        let Err((kind, problem)) = self.accounts.send(bytes, now) else { return Ok(()) };
        let amount = if kind == Kind::Bytes { bytes as f64 } else { 1.0 };
        if self.is_patient(kind, amount, now) {
            return Err(Excess::Later(problem));
        }
        self.accounts.refused(Reason::Closed);
        let message = format!("{}, and goes on sending more than ten times as much", problem.message);
        Err(Excess::Enough(Closing { reason: "rate_limited", message, retry_ms: 60_000 }))
    }

    /// Counts what is refused, in seconds of what might have been sent.
    fn is_patient(&mut self, kind: Kind, amount: f64, now: Instant) -> bool {
        let rates = self.accounts.each().filter_map(|account| account.allowance.rate(kind));
        let Some(rate) = rates.min_by(|a, b| a.per_second.total_cmp(&b.per_second)) else { return true };
        let burst = (rate.burst / rate.per_second).max(1.0);
        let patience = self.patience.get_or_insert_with(|| Bucket::new(PATIENCE, PATIENCE * burst, now));
        patience.charge(amount / rate.per_second, now).is_zero()
    }
}

impl Drop for Shares {
    fn drop(&mut self) {
        self.accounts.each().for_each(|account| give_back(&account.connections));
        if let Some(tally) = self.accounts.tally() {
            tally.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
