//! Attempts at something that somebody may guess: few under one name, and few from one address.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::attempts::Attempts;

/// How often a name may be tried, and from an address: five times, then after waits that double, up to 15 minutes.
///
/// An attempt counts when it begins. Names are whatever is guessed at; memory is bounded.
#[derive(Debug, Default)]
pub struct Tries {
    names: Attempts<String>,
    addresses: Attempts<IpAddr>,
}

/// An attempt that has begun. Dropped, it has failed.
#[derive(Debug)]
#[must_use = "what is dropped has failed"]
pub struct Try<'t> {
    tries: &'t Tries,
    name: String,
    from: IpAddr,
    begun: Instant,
}

impl Tries {
    /// The same with so many of a name, and so many from an address, before there are waits: for what many may ask for who share one
    /// address.
    pub fn with(of_a_name: u32, from_an_address: u32) -> Self {
        Self { names: Attempts::with(of_a_name), addresses: Attempts::with(from_an_address) }
    }

    /// Begins an attempt, or says how long to wait. Of IPv6, each network of 64 bits is one address.
    pub fn begin(&self, name: &str, from: IpAddr) -> Result<Try<'_>, Duration> {
        let (name, from, begun) = (name.to_owned(), network(from), Instant::now());
        self.addresses.begin(&from, begun)?;
        if let Err(wait) = self.names.begin(&name, begun) {
            // It was not tried.
            self.addresses.take_back(&from, begun);
            return Err(wait);
        }
        Ok(Try { tries: self, name, from, begun })
    }
}

impl Try<'_> {
    /// It was right: those before it under this name are forgotten.
    pub fn was_right(self) {
        self.tries.names.forget(&self.name);
        // The others that failed from there count on: else whoever has one account could try the others without end.
        self.tries.addresses.take_back(&self.from, self.begun);
    }

    /// It came to nothing: it does not count, those before it do.
    pub fn was_none(self) {
        self.tries.names.take_back(&self.name, self.begun);
        self.tries.addresses.take_back(&self.from, self.begun);
    }
}

/// Whoever has one address of IPv6 has 2⁶⁴ of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "2001:db8::1";

    #[track_caller]
    fn begin<'t>(tries: &'t Tries, name: &str, from: &str) -> Result<Try<'t>, Duration> {
        tries.begin(name, from.parse().expect(from))
    }

    #[test]
    fn an_address_may_not_guess_at_many_names() {
        let tries = Tries::default();
        for name in ["a", "b", "c", "d"] {
            drop(begin(&tries, name, HOME).expect("free"));
        }
        begin(&tries, "own", HOME).expect("the fifth").was_right();
        drop(begin(&tries, "e", "2001:db8::2").expect("the fifth that fails"));
        begin(&tries, "f", HOME).expect_err("the network has to wait");
        begin(&tries, "f", "2001:db8:0:1::1").expect("another network").was_none();
    }

    #[test]
    fn more_may_be_allowed_from_an_address_than_of_a_name() {
        let tries = Tries::with(1, 3);
        for name in ["a", "b", "c"] {
            drop(begin(&tries, name, HOME).expect("free"));
            begin(&tries, name, "192.0.2.1").expect_err("the name has to wait");
        }
        begin(&tries, "d", HOME).expect_err("the address has to wait");
    }

    #[test]
    fn what_came_to_nothing_does_not_count() {
        let tries = Tries::default();
        for _ in 0..20 {
            begin(&tries, "ann", HOME).expect("none has failed").was_none();
        }
        for last in 0..5_u8 {
            drop(begin(&tries, "ann", &format!("192.0.2.{last}")).expect("free"));
        }
        begin(&tries, "ann", "192.0.2.9").expect_err("the name has to wait, wherever it comes from");
        begin(&tries, "bob", "192.0.2.9").expect("which has not used up the address").was_right();
    }
}
