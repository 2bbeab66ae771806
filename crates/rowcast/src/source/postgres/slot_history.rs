//! Whether a server's history contains what the log has read.

use crate::postgres::{Lsn, WalPlace};

/// The server that answers now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Server {
    /// What `IDENTIFY_SYSTEM` calls the system identifier.
    pub(super) system: u64,
    pub(super) timeline: u32,
    /// Everything up to here is on its disk.
    pub(super) flushed: Lsn,
    /// `server_version_num`.
    pub(super) version: u32,
    /// Whether it follows another server.
    pub(super) standby: bool,
    pub(super) database: String,
}

impl Server {
    /// Why what was read up to `place` is not part of this server's history. `branches` is what `TIMELINE_HISTORY` says of
    /// the server's timeline, where it has branched off.
    pub(super) fn contradicts(&self, place: &WalPlace, branches: Option<&str>) -> Option<String> {
        if place.system != self.system {
            return Some("this is another database server than the one that was read, or it was made anew".to_owned());
        }
        if place.timeline != self.timeline {
            let end = branches.and_then(|text| branch_end(text, place.timeline));
            return match end {
                Some(end) if place.lsn <= end => None,
                Some(end) => Some(format!(
                    "another server has taken over at {end}, and what was committed after that on the old one is not part of its history"
                )),
                None => Some("the database server has another history than the one that was read".to_owned()),
            };
        }
        // A log may hold what a crash has cost the server.
        (place.lsn > self.flushed).then(|| {
            "the database is older than what was read of it, as after restoring a backup or losing its last transactions"
                .to_owned()
        })
    }
}

/// Where a timeline ended, by lines such as `1  0/3000060  no recovery target specified`.
fn branch_end(history: &str, timeline: u32) -> Option<Lsn> {
    history.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        (fields.next()?.parse() == Ok(timeline)).then_some(())?;
        fields.next()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Server {
        Server { system: 7, timeline: 3, flushed: Lsn(0x500), ..Server::default() }
    }

    #[track_caller]
    fn check(place: &str, reason: Option<&str>) {
        let history = "1\t0/100\tno recovery target specified\n\n2\t0/200\tat restore point \"x\"\n";
        let found = server().contradicts(&place.parse().expect(place), Some(history));
        match (found, reason) {
            (None, None) => {}
            (Some(found), Some(reason)) => assert!(found.contains(reason), "{found}"),
            (found, _) => panic!("{place}: {found:?}"),
        }
    }

    #[test]
    fn a_place_of_the_same_history_is_good() {
        check("wal:7/3/0/500", None);
        check("wal:7/2/0/200", None);
        check("wal:7/1/0/FF", None);
    }

    #[test]
    fn a_place_of_another_history_is_not() {
        check("wal:8/3/0/1", Some("another database server"));
        check("wal:7/3/0/501", Some("restoring a backup"));
        check("wal:7/2/0/201", Some("taken over at 0/200"));
        check("wal:7/4/0/1", Some("another history"));
    }
}
