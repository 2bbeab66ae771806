//! How much of the write-ahead log the slot holds back, and what is said of it.

use crate::postgres::WalBudget;

/// What follows from what is held back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    /// Too much; a sentence for people.
    Warn(String),
    /// So much that the slot is given up; the reason.
    Stop(String),
}

/// Judges so many bytes of the write-ahead log.
pub(super) fn judge(budget: WalBudget, slot: &str, retained: u64) -> Verdict {
    if let Some(stop) = budget.stop.filter(|stop| retained >= *stop) {
        return Verdict::Stop(format!(
            "the replication slot `{slot}` held back {} of the server's write-ahead log, and is allowed {}",
            size(retained),
            size(stop)
        ));
    }
    match budget.warn {
        Some(warn) if retained >= warn => Verdict::Warn(format!(
            "the replication slot `{slot}` holds back {} of the server's write-ahead log (a warning is wanted from {} on): \
             Rowcast reads more slowly than the database writes, or a long transaction is open",
            size(retained),
            size(warn)
        )),
        _ => Verdict::Fine,
    }
}

/// `1.5 GiB`.
fn size(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.iter().find(|(shift, _)| bytes >> shift > 0) {
        Some((shift, unit)) => format!("{:.1} {unit}", bytes as f64 / (1u64 << shift) as f64),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn much_is_warned_of_and_too_much_is_given_up() {
        let budget = WalBudget { warn: Some(1 << 20), stop: Some(3 << 29) };
        assert_eq!(judge(budget, "s", 1000), Verdict::Fine);
        let Verdict::Warn(text) = judge(budget, "s", 5 << 20) else { panic!("a warning") };
        assert!(text.contains("`s` holds back 5.0 MiB") && text.contains("from 1.0 MiB on"), "{text}");
        let Verdict::Stop(text) = judge(budget, "s", 3 << 29) else { panic!("given up") };
        assert!(text.contains("1.5 GiB"), "{text}");
        assert_eq!(judge(WalBudget { warn: None, stop: None }, "s", u64::MAX), Verdict::Fine);
    }
}
