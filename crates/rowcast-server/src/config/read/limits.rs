//! `[limits.tenant]`, `[limits.user]`, `[limits.address]`, and `[limits.tenants.NAME]` for those tenants that have others.

use std::collections::BTreeMap;

use rowcast::gateway::{Allowance, Allowances, Rate};
use toml_edit::{InlineTable, Value};

use super::super::layers::did_you_mean;
use super::super::units;
use super::{Reader, shown};

/// Of each section; those of bytes are sizes.
const KEYS: [&str; 8] = [
    "connections",
    "subscriptions",
    "messages_per_second",
    "messages_burst",
    "bytes_per_second",
    "bytes_burst",
    "rows_per_second",
    "rows_burst",
];

/// The most of anything.
const MOST: u64 = 1 << 40;

/// The values of a section's keys, in their order.
type Amounts = [u64; KEYS.len()];

impl Reader<'_> {
    pub(super) fn allowances(&mut self) -> Allowances {
        let mut section = |name: &str| KEYS.map(|key| self.amount(&format!("limits.{name}.{key}"), key));
        let (tenant, user, address) = (section("tenant"), section("user"), section("address"));
        let tenants = self.tenants(&tenant);
        Allowances { tenant: allowance(&tenant), user: allowance(&user), address: allowance(&address), tenants }
    }

    fn amount(&mut self, path: &str, key: &str) -> u64 {
        if key.starts_with("bytes") { self.bytes(path, 0, MOST) } else { self.number(path, 0, MOST) }
    }

    fn tenants(&mut self, others: &Amounts) -> BTreeMap<String, Allowance> {
        const KEY: &str = "limits.tenants";
        let value = &self.setting(KEY).value;
        let Some(sections) = value.as_inline_table() else {
            self.wrong(KEY, format!("expected sections, got {}", shown(value)), "write [limits.tenants.acme]");
            return BTreeMap::new();
        };
        let mut tenants = BTreeMap::new();
        for (name, section) in sections.iter() {
            match section.as_inline_table() {
                Some(section) => {
                    tenants.insert(name.to_owned(), allowance(&self.tenant(&format!("{KEY}.{name}"), section, others)));
                }
                None => {
                    let what = format!("{name} is {}, not a section", shown(section));
                    self.wrong(KEY, what, format!("write [limits.tenants.{name}]"));
                }
            }
        }
        tenants
    }

    /// What is not said is as with the other tenants.
    fn tenant(&mut self, path: &str, section: &InlineTable, others: &Amounts) -> Amounts {
        let mut amounts = *others;
        for (key, value) in section.iter() {
            let origin = self.setting("limits.tenants").origin.clone();
            let path = format!("{path}.{key}");
            let Some(place) = KEYS.iter().position(|known| *known == key) else {
                let fix = did_you_mean(key, KEYS.into_iter());
                self.mistakes.push(&origin, &path, "there is no such key", fix);
                continue;
            };
            match read(key, value) {
                Some(amount) => amounts[place] = amount,
                None => {
                    let kind = if key.starts_with("bytes") { "size" } else { "number" };
                    self.mistakes.push(
                        &origin,
                        &path,
                        format!("expected a {kind}, got {}", shown(value)),
                        "0: no limit",
                    );
                }
            }
        }
        amounts
    }
}

fn read(key: &str, value: &Value) -> Option<u64> {
    let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
    let size = || value.as_str().filter(|_| key.starts_with("bytes")).and_then(|text| units::bytes(text).ok());
    number.or_else(size).filter(|amount| *amount <= MOST)
}

fn allowance(amounts: &Amounts) -> Allowance {
    let [connections, subscriptions, messages, messages_burst, bytes, bytes_burst, rows, rows_burst] = *amounts;
    let count = |n: u64| (n > 0).then_some(n as usize);
    let rate = |per_second: u64, burst: u64| {
        let burst = if burst == 0 { per_second * 2 } else { burst };
        (per_second > 0).then_some(Rate { per_second: per_second as f64, burst: burst as f64 })
    };
    Allowance {
        connections: count(connections),
        subscriptions: count(subscriptions),
        messages: rate(messages, messages_burst),
        bytes: rate(bytes, bytes_burst),
        rows: rate(rows, rows_burst),
    }
}
