//! Connection state recovery on the log: from where each subscription of a client goes on when its connection has broken.
//!
//! A client gives back the last argument of the last event that had a text there. Where one push is all that it follows, each of its
//! frames has its position there, and the newest says everything. Where it follows more, frames that the hub carries have one, too: they
//! come in the log's order. But what a subscription reads for itself (a snapshot, what it has missed) does not, and an answer cannot. So
//! the server says a word when all subscriptions are carried by the hub, an event `position` with the position and a number: a client that
//! gives that back, or a later position, has everything before it. One that gives back less is not recovered: it begins anew. Where two
//! subscriptions may hear of the same event, or one conflates, a position alone proves nothing, and a word follows whatever is told.

use std::sync::Arc;

use super::push::PUSHED;
use super::records::{Followed, Owner, Record, Records};
use crate::auth::Person;
use crate::event::Position;
use crate::session::CONFLATED;

/// A client's subscriptions, as they are kept.
pub(super) struct Recovery {
    records: Arc<Records>,
    pid: Arc<str>,
    sid: Arc<str>,
    person: Person,
    /// `None` until there is something to keep.
    owner: Option<Owner>,
    /// The subscriptions: ids as in the record, and what each is about.
    follows: Vec<(String, String)>,
    /// Two are about the same, or one conflates.
    shared: bool,
    /// Something was told that no word has followed.
    untold: bool,
    /// More than one push has been followed.
    mixed: bool,
    sure: bool,
    words: u64,
}

/// Where a client that comes back goes on.
pub(super) struct Plan {
    /// What it follows, and after which position.
    pub(super) starts: Vec<(Followed, Position)>,
    /// One push is all.
    pub(super) alone: bool,
}

/// What a client gives back.
struct Offset {
    position: Position,
    word: Option<u64>,
}

impl Offset {
    fn parse(text: &str) -> Option<Self> {
        let (position, word) = match text.split_once('!') {
            None => (text, None),
            Some((position, word)) => (position, Some(word.parse().ok()?)),
        };
        Some(Self { position: position.parse().ok()?, word })
    }
}

impl Record {
    fn is_alone(&self) -> bool {
        !self.mixed && matches!(&*self.follows, [follow] if follow.id.starts_with(PUSHED))
    }

    /// Where a client goes on that gives this back; `None` where that is not known.
    pub(super) fn plan(&self, offset: Option<&str>) -> Option<Plan> {
        // What is there and cannot be read is not of the log.
        let offset = offset.map(Offset::parse);
        if offset.as_ref().is_some_and(Option::is_none) && !self.follows.is_empty() {
            return None;
        }
        let offset = offset.flatten();
        if self.is_alone() {
            let follow = self.follows.first()?.clone();
            let from: Position = follow.from.as_ref()?.parse().ok()?;
            let from = offset.map_or(from, |offset| from.max(offset.position));
            return Some(Plan { starts: vec![(follow, from)], alone: true });
        }
        if self.follows.is_empty() {
            return Some(Plan { starts: Vec::new(), alone: false });
        }
        let ((sure, word), offset) = (self.sure.as_ref()?, offset?);
        let proven = match offset.word {
            Some(said) => said == *word,
            None => !self.shared && offset.position > sure.parse().ok()?,
        };
        let starts = self.follows.iter().cloned().map(|follow| (follow, offset.position));
        proven.then(|| Plan { starts: starts.collect(), alone: false })
    }
}

impl Recovery {
    pub(super) fn new(records: Arc<Records>, pid: Arc<str>, sid: Arc<str>, person: Person) -> Self {
        Self {
            records,
            pid,
            sid,
            person,
            owner: None,
            follows: Vec::new(),
            shared: false,
            untold: false,
            mixed: false,
            sure: false,
            words: 0,
        }
    }

    /// Goes on with what is known.
    pub(super) fn again(
        records: Arc<Records>,
        pid: Arc<str>,
        record: &Record,
        owner: Owner,
        subject: impl Fn(&Followed) -> String,
    ) -> Self {
        let follows = record.follows.iter().map(|follow| (follow.id.clone(), subject(follow))).collect();
        let mut recovery = Self {
            records,
            pid,
            sid: record.sid.as_str().into(),
            person: record.person().clone(),
            owner: Some(owner),
            follows,
            shared: record.shared,
            untold: false,
            mixed: record.mixed,
            sure: true,
            words: record.words,
        };
        recovery.doubt();
        recovery
    }

    /// Whether this subscription would be the only one there has been.
    pub(super) fn is_first(&self) -> bool {
        self.follows.is_empty() && !self.mixed
    }

    /// A subscription begins; a push after a position.
    pub(super) fn follow(&mut self, id: &str, subject: String, wish: Option<String>, from: Option<Position>) {
        self.mixed |= !self.follows.is_empty() || !id.starts_with(PUSHED);
        self.follows.push((id.to_owned(), subject));
        self.look();
        self.sure = false;
        let from = from.map(|from| from.to_string());
        let follow = Followed { id: id.to_owned(), wish, from };
        let (mixed, shared) = (self.mixed, self.shared);
        self.change(|record| {
            record.follows.push(follow);
            (record.mixed, record.shared) = (mixed, shared);
            record.sure = None;
        });
    }

    /// A subscription has ended.
    pub(super) fn unfollow(&mut self, id: &str) {
        self.follows.retain(|(known, _)| known != id);
        if self.shared {
            // What was told so far proves nothing.
            self.doubt();
        }
        self.look();
        let shared = self.shared;
        self.change(|record| {
            record.follows.retain(|follow| follow.id != id);
            record.shared = shared;
        });
    }

    /// A subscription reads the log for itself: what the client gives back says less than it has.
    pub(super) fn doubt(&mut self) {
        if std::mem::take(&mut self.sure) {
            self.change(|record| record.sure = None);
        }
    }

    /// Whether any two are about the same, or one tells of events later than the others do. Once it is so, a position that was given out proves nothing until the next word.
    fn look(&mut self) {
        let mut subjects: Vec<&String> = self.follows.iter().map(|(_, subject)| subject).collect();
        subjects.sort_unstable();
        self.shared =
            subjects.windows(2).any(|pair| pair[0] == pair[1]) || subjects.iter().any(|one| *one == CONFLATED);
    }

    /// Something is told.
    pub(super) fn tell(&mut self) {
        self.untold = true;
    }

    /// Whether no word is wanted, whatever is told next.
    pub(super) fn is_sure(&self) -> bool {
        !self.shared && !self.doubts()
    }

    /// Whether a word is wanted.
    pub(super) fn doubts(&self) -> bool {
        self.mixed && !self.follows.is_empty() && (!self.sure || (self.shared && self.untold))
    }

    /// What a client is to give back that has everything up to here; `None` while nothing is sure.
    pub(super) fn offset(&self, position: &str) -> Option<String> {
        (self.mixed && self.sure).then(|| format!("{position}!{}", self.words))
    }

    /// All subscriptions are carried by the hub, and everything up to here has been handed over. Returns what the client is to give back.
    pub(super) fn reassure(&mut self, position: Position) -> String {
        self.untold = false;
        let position = position.to_string();
        if let Some(offset) = self.offset(&position) {
            return offset;
        }
        self.words += 1;
        self.sure = true;
        let words = self.words;
        let offset = format!("{position}!{words}");
        self.change(|record| (record.sure, record.words) = (Some((position, words)), words));
        offset
    }

    pub(super) fn end(self, may_come_back: bool) {
        if let Some(owner) = &self.owner {
            self.records.leave(owner, may_come_back);
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut Record)) {
        match &self.owner {
            Some(owner) => self.records.change(owner, change),
            None => {
                let mut record =
                    Record { sid: self.sid.to_string(), person: Some(self.person.clone()), ..Record::default() };
                change(&mut record);
                self.owner = Some(self.records.begin(&self.pid, record));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(id: &str, from: Option<&str>) -> Followed {
        Followed { id: id.into(), wish: None, from: from.map(str::to_owned) }
    }

    #[track_caller]
    fn check(record: &Record, offset: Option<&str>, expected: Option<&[&str]>) {
        let plan = record.plan(offset);
        let starts = plan.map(|plan| plan.starts.iter().map(|(_, at)| at.to_string()).collect::<Vec<_>>());
        let starts = starts.as_ref().map(|all| all.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(starts.as_deref(), expected, "{offset:?}");
    }

    #[test]
    fn one_push_goes_on_after_what_the_client_has() {
        let record = Record { follows: vec![follow("push:a", Some("1-10"))], ..Record::default() };
        check(&record, None, Some(&["1-10"]));
        check(&record, Some("1-12"), Some(&["1-12"]));
        // Of an earlier connection.
        check(&record, Some("1-3"), Some(&["1-10"]));
        check(&record, Some("a title"), None);
    }

    #[test]
    fn several_subscriptions_go_on_only_if_the_client_has_everything_before() {
        let follows = vec![follow("push:a", Some("1-10")), follow("x", None)];
        let mut record = Record { follows, mixed: true, ..Record::default() };
        check(&record, Some("1-20"), None);
        record.sure = Some(("1-15".into(), 2));
        check(&record, None, None);
        check(&record, Some("1-15"), None);
        check(&record, Some("1-15!1"), None);
        check(&record, Some("1-15!2"), Some(&["1-15", "1-15"]));
        check(&record, Some("1-16"), Some(&["1-16", "1-16"]));
        record.shared = true;
        check(&record, Some("1-16"), None);
        check(&record, Some("1-17!2"), Some(&["1-17", "1-17"]));
        check(&Record::default(), Some("x.1"), Some(&[]));
    }
}
