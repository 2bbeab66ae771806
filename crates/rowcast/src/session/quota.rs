//! What tenants, users and addresses may have: connections, subscriptions, and so much in a second of what they send and read.
//!
//! Knows who counts together. Leaves how much is left to `account`, and when it is given back to `shares`.

mod account;
mod shares;
mod tally;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

use ahash::AHashMap;
use parking_lot::Mutex;

use crate::auth::Identity;
use account::Account;
pub use account::{Allowance, Rate};
pub use shares::{Accounts, Excess};
pub(super) use shares::{Place, Shares};
pub use tally::Tallied;
use tally::Tallies;

/// What each of them may have. What is not said has no limit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Allowances {
    /// Each tenant.
    pub tenant: Allowance,
    /// Each user of a tenant.
    pub user: Allowance,
    /// Each IPv4 address, and each IPv6 network of 64 bits.
    pub address: Allowance,
    /// Instead of `tenant`, for tenants of these names.
    pub tenants: BTreeMap<String, Allowance>,
}

/// Who counts together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Whose {
    Tenant(Arc<str>),
    /// A tenant's user.
    User(Arc<str>, Arc<str>),
    Address(IpAddr),
}

/// Keeps an account of everybody who has something, or has had it a moment ago.
#[derive(Debug, Default)]
pub struct Quotas {
    allowances: Allowances,
    accounts: Mutex<Known>,
    tallies: Tallies,
}

#[derive(Debug, Default)]
struct Known {
    accounts: AHashMap<Whose, Arc<Account>>,
    /// When there are so many, those that say nothing any more are forgotten.
    look_at: usize,
}

/// Fewer accounts than these are not looked through.
const LOOK_AT: usize = 1_024;

impl Quotas {
    /// With these limits.
    pub fn new(allowances: Allowances) -> Self {
        Self { allowances, ..Self::default() }
    }

    /// Who pays for a client. `None` where nothing is counted.
    pub fn accounts(&self, identity: &Identity, address: Option<IpAddr>) -> Option<Arc<Accounts>> {
        let Allowances { tenant, user, address: one, tenants } = &self.allowances;
        let is_of = |name: &Arc<str>| Whose::User(identity.tenant.clone(), name.clone());
        // A tenant is counted even where it has no limits: its operator wants to see it.
        let of_tenant = (!identity.tenant.is_empty()).then(|| Whose::Tenant(identity.tenant.clone()));
        let of_user = identity.user.as_ref().filter(|_| user.limits()).map(is_of);
        let of_address = address.filter(|_| one.limits()).map(|address| Whose::Address(network(address)));
        if of_tenant.is_none() && of_user.is_none() && of_address.is_none() {
            return None;
        }
        let mut known = self.accounts.lock();
        let tenant = of_tenant.map(|whose| {
            let allowance = tenants.get(&*identity.tenant).unwrap_or(tenant);
            known.find(whose, || Account::new("tenant", allowance, Some(self.tallies.of(&identity.tenant))))
        });
        let user = of_user.map(|whose| known.find(whose, || Account::new("user", user, None)));
        let address = of_address.map(|whose| known.find(whose, || Account::new("address", one, None)));
        Some(Arc::new(Accounts::new(tenant, user, address)))
    }

    /// What the tenants have and have had, by name; those beyond the first thousand under one.
    pub fn tenants(&self) -> BTreeMap<Arc<str>, Tallied> {
        self.tallies.all()
    }

    /// Forgets those that say nothing any more.
    pub fn tidy(&self) {
        self.accounts.lock().tidy();
    }

    /// Of how many something is known.
    pub fn known(&self) -> usize {
        self.accounts.lock().accounts.len()
    }
}

impl Known {
    fn find(&mut self, whose: Whose, new: impl FnOnce() -> Account) -> Arc<Account> {
        if let Some(account) = self.accounts.get(&whose) {
            return account.clone();
        }
        if self.accounts.len() >= self.look_at.max(LOOK_AT) {
            self.tidy();
        }
        let account = Arc::new(new());
        self.accounts.insert(whose, account.clone());
        account
    }

    fn tidy(&mut self) {
        self.tidy_at(Instant::now());
    }

    fn tidy_at(&mut self, now: Instant) {
        // Nobody gets hold of one meanwhile: they are given out with the list locked.
        self.accounts.retain(|_, account| Arc::strong_count(account) > 1 || !account.is_fresh(now));
        // Twice as many: each is looked at a few times in its life, however many there are.
        self.look_at = self.accounts.len() * 2;
        if self.accounts.capacity() > LOOK_AT.max(self.accounts.len() * 4) {
            self.accounts.shrink_to_fit();
        }
    }
}

/// What one customer of a provider has: an IPv4 address, or an IPv6 network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}
