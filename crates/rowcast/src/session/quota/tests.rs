//! What is counted, against a model that counts in whole numbers.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::protocol::{Code, Problem};

/// A message, and 256 bytes, are earned in one of these.
const TICK: Duration = Duration::from_millis(125);

fn rate(per_tick: u32, burst: u32) -> Option<Rate> {
    Some(Rate { per_second: f64::from(per_tick) * 8.0, burst: f64::from(burst) })
}

fn allowances() -> Allowances {
    let allowance = |n| Allowance {
        connections: Some(n),
        subscriptions: Some(2 * n),
        messages: rate(1, 3 * n as u32),
        bytes: rate(256, 1024 * n as u32),
        rows: None,
    };
    let tenants = [("big".to_owned(), Allowance { connections: Some(6), ..Allowance::default() })].into();
    Allowances { tenant: allowance(4), user: allowance(2), address: allowance(3), tenants }
}

fn someone(tenant: &str, user: Option<&str>) -> Identity {
    let identity = (*Identity::anonymous()).clone();
    Identity { tenant: tenant.into(), user: user.map(Into::into), ..identity }
}

#[derive(Debug, Clone)]
enum Act {
    Connect { tenant: usize, user: usize, address: u8 },
    Leave(usize),
    Subscribe(usize),
    Unsubscribe(usize),
    Send(usize, u16),
    Wait(u8),
    Tidy,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..4_usize, 0..3_usize, 0..4_u8).prop_map(|(tenant, user, address)| Act::Connect { tenant, user, address }),
        2 => (0..20_usize).prop_map(Act::Leave),
        4 => (0..20_usize).prop_map(Act::Subscribe),
        2 => (0..20_usize).prop_map(Act::Unsubscribe),
        8 => (0..20_usize, 0..2_000_u16).prop_map(|(n, bytes)| Act::Send(n, bytes)),
        2 => (1..10_u8).prop_map(Act::Wait),
        1 => Just(Act::Tidy),
    ]
}

/// What the model knows of one payer.
#[derive(Debug, Clone)]
struct Purse {
    allowance: Allowance,
    connections: usize,
    subscriptions: usize,
    messages: i64,
    bytes: i64,
}

impl Purse {
    fn new(allowance: Allowance) -> Self {
        let burst = |rate: Option<Rate>| rate.map_or(0, |rate| rate.burst as i64);
        let (messages, bytes) = (burst(allowance.messages), burst(allowance.bytes));
        Self { allowance, connections: 0, subscriptions: 0, messages, bytes }
    }

    fn earn(&mut self, ticks: i64) {
        let earn = |have: &mut i64, rate: Option<Rate>| {
            if let Some(Rate { per_second, burst }) = rate {
                *have = (*have + ticks * per_second as i64 / 8).min(burst as i64);
            }
        };
        earn(&mut self.messages, self.allowance.messages);
        earn(&mut self.bytes, self.allowance.bytes);
    }

    fn has(&self) -> bool {
        let enough = |have, rate: Option<Rate>| rate.is_none() || have > 0;
        enough(self.messages, self.allowance.messages) && enough(self.bytes, self.allowance.bytes)
    }
}

#[derive(Default)]
struct Model(BTreeMap<String, Purse>);

impl Model {
    fn payers(&mut self, tenant: &str, user: Option<&str>, address: IpAddr) -> Vec<String> {
        let allowances = allowances();
        let mut payers = vec![(format!("address {address}"), allowances.address)];
        if !tenant.is_empty() {
            let own = allowances.tenants.get(tenant).copied().unwrap_or(allowances.tenant);
            payers.push((format!("tenant {tenant}"), own));
        }
        payers.extend(user.map(|user| (format!("user {tenant}/{user}"), allowances.user)));
        for (name, allowance) in &payers {
            self.0.entry(name.clone()).or_insert_with(|| Purse::new(*allowance));
        }
        payers.into_iter().map(|(name, _)| name).collect()
    }

    fn all(&self, payers: &[String], has: impl Fn(&Purse) -> bool) -> bool {
        payers.iter().all(|name| has(&self.0[name]))
    }

    fn each(&mut self, payers: &[String], change: impl Fn(&mut Purse)) {
        payers.iter().for_each(|name| change(self.0.get_mut(name).expect("known")));
    }
}

struct Client {
    shares: Box<Shares>,
    places: Vec<Place>,
    payers: Vec<String>,
}

fn check(acts: Vec<Act>) -> Result<(), TestCaseError> {
    let quotas = Quotas::new(allowances());
    let mut model = Model::default();
    let mut clients: Vec<Client> = Vec::new();
    // Later than any account is made.
    let mut now = Instant::now() + Duration::from_secs(3_600);
    for act in acts {
        match act {
            Act::Connect { tenant, user, address } => {
                let (tenant, user) = (["", "acme", "globex", "big"][tenant], [None, Some("ann"), Some("bob")][user]);
                // Two addresses of one network, and two of others.
                let address = ["2001:db8::1", "2001:db8::2", "10.0.0.1", "10.0.0.2"][usize::from(address)];
                let address: IpAddr = address.parse().expect("an address");
                let payers = model.payers(tenant, user, network(address));
                let expected = model.all(&payers, |purse| Some(purse.connections) != purse.allowance.connections);
                let accounts = quotas.accounts(&someone(tenant, user), Some(address)).expect("addresses have a limit");
                let taken = Shares::take(accounts);
                prop_assert_eq!(taken.is_ok(), expected, "{:?}", model.0);
                match taken {
                    Ok(shares) => {
                        model.each(&payers, |purse| purse.connections += 1);
                        clients.push(Client { shares, places: Vec::new(), payers });
                    }
                    Err(problem) => {
                        prop_assert_eq!((problem.code, problem.retry_ms.is_some()), (Code::TooManyConnections, true))
                    }
                }
            }
            Act::Leave(n) if n < clients.len() => {
                let client = clients.swap_remove(n);
                let subscriptions = client.places.len();
                model.each(&client.payers, |purse| {
                    (purse.connections, purse.subscriptions) =
                        (purse.connections - 1, purse.subscriptions - subscriptions);
                });
            }
            Act::Subscribe(n) if n < clients.len() => {
                let client = &mut clients[n];
                let expected =
                    model.all(&client.payers, |purse| Some(purse.subscriptions) != purse.allowance.subscriptions);
                let place = client.shares.accounts().subscribe();
                prop_assert_eq!(place.is_ok(), expected, "{:?}", model.0);
                if let Ok(place) = place {
                    client.places.push(place);
                    model.each(&client.payers, |purse| purse.subscriptions += 1);
                }
            }
            Act::Unsubscribe(n) if n < clients.len() && !clients[n].places.is_empty() => {
                clients[n].places.pop();
                model.each(&clients[n].payers, |purse| purse.subscriptions -= 1);
            }
            Act::Send(n, bytes) if n < clients.len() => {
                let payers = clients[n].payers.clone();
                let expected = model.all(&payers, Purse::has);
                let sent = clients[n].shares.message_at(usize::from(bytes), now);
                prop_assert_eq!(sent.is_ok(), expected, "{:?}", model.0);
                if sent.is_ok() {
                    model.each(&payers, |purse| {
                        (purse.messages, purse.bytes) = (purse.messages - 1, purse.bytes - i64::from(bytes));
                    });
                }
            }
            Act::Wait(ticks) => {
                now += TICK * u32::from(ticks);
                model.0.values_mut().for_each(|purse| purse.earn(i64::from(ticks)));
            }
            Act::Tidy => quotas.accounts.lock().tidy_at(now),
            _ => {}
        }
    }
    drop(clients);
    // Nothing is left of those who are gone, as soon as they have paid.
    quotas.accounts.lock().tidy_at(now + Duration::from_secs(3_600));
    prop_assert_eq!(quotas.known(), 0);
    for (name, tallied) in quotas.tenants() {
        prop_assert_eq!((tallied.connections, tallied.subscriptions), (0, 0), "{}", name);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn everybody_gets_exactly_what_he_may_have(acts in proptest::collection::vec(act(), 0..120)) {
        check(acts)?;
    }
}

fn one(allowance: Allowance) -> (Quotas, Arc<Accounts>) {
    let quotas = Quotas::new(Allowances { user: allowance, ..Allowances::default() });
    let accounts = quotas.accounts(&someone("acme", Some("ann")), None).expect("counted");
    (quotas, accounts)
}

#[test]
fn who_comes_back_when_told_to_is_let_in() {
    let (_quotas, accounts) =
        one(Allowance { messages: Some(Rate { per_second: 3.0, burst: 5.0 }), ..Allowance::default() });
    let mut now = Instant::now() + Duration::from_secs(1);
    let mut refused = 0;
    for _ in 0..50 {
        if let Err((_, Problem { code, message, retry_ms, .. })) = accounts.send(1, now) {
            assert_eq!((code, &*message), (Code::RateLimited, "this user may send 3 messages a second"));
            refused += 1;
            now += Duration::from_millis(retry_ms.expect("when to come back"));
            accounts.send(1, now).expect("as it was told");
        }
    }
    assert_eq!(refused, 45);
}

#[test]
fn who_sends_ten_times_as_much_is_closed_and_who_sends_a_bit_too_much_is_not() {
    let allowance = Allowance { messages: Some(Rate { per_second: 10.0, burst: 20.0 }), ..Allowance::default() };
    let closed_after = |per_second: u32| {
        let (_quotas, accounts) = one(allowance);
        let mut shares = Shares::take(accounts).expect("room");
        let start = Instant::now() + Duration::from_secs(1);
        (0..60 * per_second).find(|n| {
            let at = start + Duration::from_secs(1) * *n / per_second;
            matches!(shares.message_at(1, at), Err(Excess::Enough(closing)) if closing.reason == "rate_limited")
        })
    };
    assert_eq!(closed_after(90), None);
    let closed = closed_after(200).expect("closed");
    assert!((180..800).contains(&closed), "after {closed} messages");
}

#[test]
fn a_user_of_another_tenant_is_another_user() {
    let (quotas, _) = one(Allowance { connections: Some(1), ..Allowance::default() });
    let connect = |tenant| Shares::take(quotas.accounts(&someone(tenant, Some("ann")), None).expect("counted"));
    let first = connect("acme").expect("room");
    let problem = connect("acme").expect_err("one already");
    assert_eq!(problem.message, "this user has its 1 connections");
    let _other = connect("globex").expect("another one");
    drop(first);
    connect("acme").expect("room again");
}

#[test]
fn those_who_are_gone_are_forgotten() {
    let allowance = Allowance { messages: Some(Rate { per_second: 1e6, burst: 1.0 }), ..Allowance::default() };
    let quotas = Quotas::new(Allowances { address: allowance, ..Allowances::default() });
    for n in 0..50_000_u32 {
        let address = std::net::Ipv4Addr::from_bits(n).into();
        let accounts = quotas.accounts(&Identity::anonymous(), Some(address)).expect("counted");
        accounts.message(1).expect("the first");
    }
    assert!(quotas.known() <= 4 * LOOK_AT, "{} are known", quotas.known());
}

#[test]
fn tenants_beyond_the_first_thousand_are_one() {
    let quotas = Quotas::default();
    let counted: Vec<_> =
        (0..1_500).map(|n| quotas.accounts(&someone(&format!("t{n}"), None), None).expect("counted")).collect();
    counted.iter().for_each(|accounts| accounts.message(10).expect("no limit"));
    let tenants = quotas.tenants();
    assert_eq!((tenants.len(), tenants["other"].messages, tenants["t7"].bytes), (1_001, 500, 10));
}

#[test]
fn where_nothing_is_limited_nothing_is_counted() {
    let quotas = Quotas::default();
    assert!(quotas.accounts(&someone("", Some("ann")), Some("10.0.0.1".parse().expect("an address"))).is_none());
    assert_eq!(quotas.known(), 0);
}
