//! What is known of clients of the root namespace that may come back: their subscriptions, and from where each goes on.
//!
//! In memory, and in a file beside the log, so that a restart changes nothing: a line for each change of a client, the newest counts. A line
//! is written before the client hears what it is about. The file is written anew when most of it is of no use any more.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::AHashMap;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::auth::Person;

/// Lines of no use that are put up with.
const SPARE_LINES: usize = 10_000;
/// The file's name, in the log's folder.
const FILE: &str = "socketio.sessions";

/// The clients that may come back.
pub(crate) struct Records {
    state: Mutex<State>,
    window: Duration,
    most: usize,
}

#[derive(Default)]
struct State {
    all: AHashMap<Arc<str>, Known>,
    /// When each went, the oldest first.
    went: VecDeque<(Instant, Arc<str>)>,
    next_owner: u64,
    file: Option<Book>,
}

struct Known {
    record: Record,
    owner: u64,
    gone: Option<Instant>,
}

struct Book {
    path: PathBuf,
    file: File,
    lines: usize,
}

/// One client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Its socket's id.
    pub(super) sid: String,
    /// Whose it is; anybody's where that was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) person: Option<Person>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) follows: Vec<Followed>,
    /// The last word that made sure of everything before it: its position and its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sure: Option<(String, u64)>,
    /// How many such words there have been.
    #[serde(default)]
    pub(super) words: u64,
    /// More than one push has been followed.
    #[serde(default)]
    pub(super) mixed: bool,
    /// Two subscriptions may hear of the same event: its position does not say which of them has been told.
    #[serde(default)]
    pub(super) shared: bool,
}

/// One subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Followed {
    /// Its id; a push's own for what is configured.
    pub(super) id: String,
    /// The native message, for the client's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) wish: Option<String>,
    /// For a push: everything up to here needs no telling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<String>,
}

/// The right to change a record: of the connection that has it at the moment.
#[derive(Debug)]
pub(super) struct Owner {
    pid: Arc<str>,
    number: u64,
}

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    pid: std::borrow::Cow<'a, str>,
    /// `None`: it does not come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    record: Option<std::borrow::Cow<'a, Record>>,
}

impl Record {
    pub(super) fn person(&self) -> &Person {
        self.person.as_ref().unwrap_or(&Person::Trusted)
    }
}

impl Records {
    /// Lost with the process.
    pub(crate) fn memory(window: Duration, most: usize) -> Self {
        Self { state: Mutex::default(), window, most }
    }

    /// In the log's folder. What is in it has gone now, as far as time is concerned. Blocks.
    pub(crate) fn open(folder: &Path, window: Duration, most: usize) -> io::Result<Self> {
        let path = folder.join(FILE);
        let mut all: AHashMap<Arc<str>, Known> = AHashMap::new();
        let now = Instant::now();
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        // The last line may have been cut short.
        for line in text.lines().filter_map(|line| serde_json::from_str::<Line<'_>>(line).ok()) {
            match line.record {
                Some(record) => {
                    let known = Known { record: record.into_owned(), owner: 0, gone: Some(now) };
                    all.insert(line.pid.as_ref().into(), known);
                }
                None => drop(all.remove(&*line.pid)),
            }
        }
        let went = all.keys().map(|pid| (now, pid.clone())).collect();
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        let mut state = State { all, went, next_owner: 1, file: Some(Book { path, file, lines: 0 }) };
        state.rewrite()?;
        Ok(Self { state: Mutex::new(state), window, most })
    }

    /// Takes a client in.
    pub(super) fn begin(&self, pid: &Arc<str>, record: Record) -> Owner {
        let mut state = self.state.lock();
        state.expire(self.window, self.most);
        state.next_owner += 1;
        let owner = state.next_owner;
        state.write(pid, Some(&record));
        state.all.insert(pid.clone(), Known { record, owner, gone: None });
        Owner { pid: pid.clone(), number: owner }
    }

    /// Changes what is known of a client, unless another connection has it by now.
    pub(super) fn change(&self, owner: &Owner, change: impl FnOnce(&mut Record)) {
        let mut state = self.state.lock();
        let Some(known) = state.all.get_mut(&owner.pid).filter(|known| known.owner == owner.number) else { return };
        let mut record = known.record.clone();
        change(&mut record);
        if record != known.record {
            known.record = record.clone();
            state.write(&owner.pid, Some(&record));
        }
    }

    /// The client has gone. It comes back only if nobody wanted it to go.
    pub(super) fn leave(&self, owner: &Owner, may_come_back: bool) {
        let mut state = self.state.lock();
        let now = Instant::now();
        let Some(known) = state.all.get_mut(&owner.pid).filter(|known| known.owner == owner.number) else { return };
        if may_come_back {
            known.gone = Some(now);
            state.went.push_back((now, owner.pid.clone()));
        } else {
            state.forget(&owner.pid);
        }
        state.expire(self.window, self.most);
    }

    /// What is known of a client that comes back, if it is the same one's: it is the new connection's now. Where the old one has not noticed yet that it is
    /// dead, it changes nothing any more.
    pub(super) fn claim(&self, pid: &str, person: &Person) -> Option<(Record, Owner)> {
        let mut state = self.state.lock();
        state.expire(self.window, self.most);
        let state = &mut *state;
        let (pid, known) = state.all.get_key_value(pid).map(|(pid, _)| pid.clone()).and_then(|pid| {
            let known = state.all.get_mut(&pid).filter(|known| known.record.person() == person)?;
            Some((pid, known))
        })?;
        state.next_owner += 1;
        (known.owner, known.gone) = (state.next_owner, None);
        Some((known.record.clone(), Owner { pid, number: state.next_owner }))
    }
}

impl State {
    fn expire(&mut self, window: Duration, most: usize) {
        while let Some((since, pid)) = self.went.front()
            && (self.went.len() > most || since.elapsed() > window)
        {
            // It may have come back, and gone again since.
            let (since, pid) = (*since, pid.clone());
            self.went.pop_front();
            if self.all.get(&pid).is_some_and(|known| known.gone == Some(since)) {
                self.forget(&pid);
            }
        }
    }

    fn forget(&mut self, pid: &Arc<str>) {
        self.all.remove(pid);
        self.write(pid, None);
    }

    fn write(&mut self, pid: &str, record: Option<&Record>) {
        let Some(book) = &mut self.file else { return };
        let mut text = line(pid, record);
        text.push('\n');
        book.lines += 1;
        if let Err(error) = book.file.write_all(text.as_bytes()) {
            tracing::warn!(%error, "Socket.IO clients cannot be noted; they will not be recovered after a restart");
            // A file that does not say everything says something wrong.
            let _ = fs::remove_file(&book.path);
            self.file = None;
        } else if book.lines > 2 * self.all.len() + SPARE_LINES
            && let Err(error) = self.rewrite()
        {
            tracing::warn!(%error, "the file of Socket.IO clients cannot be made smaller");
        }
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let Some(book) = &mut self.file else { return Ok(()) };
        let mut text = String::new();
        for (pid, known) in &self.all {
            text.push_str(&line(pid, Some(&known.record)));
            text.push('\n');
        }
        let unfinished = book.path.with_extension("sessions.new");
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&unfinished, &book.path)?;
        // What is written from now on goes behind it.
        book.file = OpenOptions::new().append(true).open(&book.path)?;
        book.lines = self.all.len();
        Ok(())
    }
}

fn line(pid: &str, record: Option<&Record>) -> String {
    let line = Line { pid: pid.into(), record: record.map(std::borrow::Cow::Borrowed) };
    serde_json::to_string(&line).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    fn record(sid: &str) -> Record {
        Record { sid: sid.into(), ..Record::default() }
    }

    #[test]
    fn a_restart_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let records = Records::open(folder.path(), WINDOW, 10).expect("opened");
        let (a, b, c) = (Arc::from("a"), Arc::from("b"), Arc::from("c"));
        let owner = records.begin(&a, record("1"));
        let left = records.begin(&b, record("2"));
        records.begin(&c, record("3"));
        let follows = vec![Followed { id: "x".into(), wish: None, from: Some("1-2".into()) }];
        records.change(&owner, |record| record.follows = follows.clone());
        records.leave(&left, false);
        drop(records);
        // As a kill leaves it.
        let mut torn = OpenOptions::new().append(true).open(folder.path().join(FILE)).expect("the file");
        torn.write_all(b"{\"pid\":\"c\",\"rec").expect("written");
        for _ in 0..2 {
            let records = Records::open(folder.path(), WINDOW, 10).expect("opened");
            assert_eq!(
                records.claim("a", &Person::Trusted).expect("known").0,
                Record { follows: follows.clone(), ..record("1") }
            );
            assert_eq!(records.claim("c", &Person::Trusted).expect("known").0, record("3"));
            assert!(records.claim("b", &Person::Trusted).is_none(), "it has left");
        }
    }

    #[test]
    fn a_connection_that_was_overtaken_changes_nothing() {
        let records = Records::memory(WINDOW, 10);
        let pid = Arc::from("a");
        let old = records.begin(&pid, record("1"));
        let (_, new) = records.claim("a", &Person::Trusted).expect("known");
        records.change(&old, |record| record.sid = "2".into());
        records.leave(&old, false);
        assert_eq!(records.claim("a", &Person::Trusted).expect("still known").0.sid, "1");
        records.leave(&new, false);
        assert!(records.claim("a", &Person::Trusted).is_some(), "it was claimed again since");
    }

    #[test]
    fn a_client_comes_back_only_as_the_one_that_it_was() {
        let records = Records::memory(WINDOW, 10);
        let person = |user: &str| Person::User { tenant: "acme".into(), user: user.into() };
        let owner = records.begin(&"a".into(), Record { person: Some(person("anna")), ..record("1") });
        records.leave(&owner, true);
        for other in [person("bert"), Person::Anonymous, Person::Trusted] {
            assert!(records.claim("a", &other).is_none(), "{other:?}");
        }
        assert!(records.claim("a", &person("anna")).is_some(), "the others took nothing away");
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let records = Records::memory(WINDOW, 2);
        for pid in ["a", "b", "c"] {
            let owner = records.begin(&pid.into(), record(pid));
            records.leave(&owner, true);
        }
        assert!(
            records.claim("a", &Person::Trusted).is_none()
                && records.claim("b", &Person::Trusted).is_some()
                && records.claim("c", &Person::Trusted).is_some()
        );
        let none = Records::memory(Duration::ZERO, 2);
        let owner = none.begin(&"a".into(), record("a"));
        none.leave(&owner, true);
        std::thread::sleep(Duration::from_millis(1));
        assert!(none.claim("a", &Person::Trusted).is_none());
    }

    #[test]
    fn the_file_does_not_grow_for_ever() {
        let folder = tempfile::tempdir().expect("a folder");
        let records = Records::open(folder.path(), WINDOW, 10).expect("opened");
        let owner = records.begin(&"a".into(), record("a"));
        for n in 0..2 * SPARE_LINES as u64 {
            records.change(&owner, |record| record.words = n + 1);
        }
        let text = fs::read_to_string(folder.path().join(FILE)).expect("the file");
        assert!(text.lines().count() < SPARE_LINES + 10);
        let records = Records::open(folder.path(), WINDOW, 10).expect("opened");
        assert_eq!(records.claim("a", &Person::Trusted).expect("known").0.words, 2 * SPARE_LINES as u64);
    }
}
