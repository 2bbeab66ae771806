//! What was emitted: counted for people, and written down for those who compare.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Context;

use super::spoil::Kind;

/// What was emitted until now.
#[derive(Debug)]
pub(super) struct Tally {
    since: Instant,
    good: AtomicU64,
    malformed: AtomicU64,
    clients: AtomicU64,
    ledger: Option<Mutex<BufWriter<File>>>,
    is_ledger_broken: AtomicBool,
}

impl Tally {
    /// With a file to write to, if one is given: a line `12 good`, `13 malformed nan` or `14 good extra` for each record. A record
    /// that is sent to several clients, or again, is there as often.
    pub(super) fn new(ledger: Option<&Path>) -> anyhow::Result<Self> {
        let open = |path: &Path| {
            let file = File::options().create(true).append(true).open(path);
            file.with_context(|| format!("the ledger {} cannot be written", path.display()))
        };
        Ok(Self {
            since: Instant::now(),
            good: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
            clients: AtomicU64::new(0),
            ledger: ledger.map(open).transpose()?.map(|file| Mutex::new(BufWriter::new(file))),
            is_ledger_broken: AtomicBool::new(false),
        })
    }

    pub(super) fn client(&self) {
        self.clients.fetch_add(1, Ordering::Relaxed);
    }

    /// These are on their way. Written down before they are, so that none is received that is not there.
    pub(super) fn emitted(&self, records: &[(u64, Option<Kind>)]) {
        let malformed = records.iter().filter(|(_, kind)| !is_good(*kind)).count() as u64;
        self.good.fetch_add(records.len() as u64 - malformed, Ordering::Relaxed);
        self.malformed.fetch_add(malformed, Ordering::Relaxed);
        let Some(ledger) = &self.ledger else { return };
        let mut ledger = ledger.lock().expect("no writer panics");
        let mut write = || -> std::io::Result<()> {
            for (n, kind) in records {
                let word = if is_good(*kind) { "good" } else { "malformed" };
                match kind {
                    None => writeln!(ledger, "{n} {word}")?,
                    Some(kind) => writeln!(ledger, "{n} {word} {}", kind.name())?,
                }
            }
            ledger.flush()
        };
        if let Err(error) = write()
            && !self.is_ledger_broken.swap(true, Ordering::Relaxed)
        {
            eprintln!("warning: the ledger cannot be written: {error}");
        }
    }

    /// Records until now.
    pub(super) fn count(&self) -> u64 {
        self.good.load(Ordering::Relaxed) + self.malformed.load(Ordering::Relaxed)
    }

    /// For people.
    pub(super) fn sentence(&self) -> String {
        let malformed = self.malformed.load(Ordering::Relaxed);
        let seconds = self.since.elapsed().as_secs_f64();
        let records = self.count();
        let mut text = format!("{records} records in {seconds:.1} s ({:.0}/s)", records as f64 / seconds.max(0.001));
        if malformed > 0 {
            text.push_str(&format!(", {malformed} of them malformed"));
        }
        match self.clients.load(Ordering::Relaxed) {
            0 => {}
            1 => text.push_str(", to 1 client"),
            clients => text.push_str(&format!(", to {clients} clients")),
        }
        text
    }
}

fn is_good(kind: Option<Kind>) -> bool {
    kind.is_none_or(Kind::is_good)
}
