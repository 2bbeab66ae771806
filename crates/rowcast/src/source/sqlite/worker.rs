//! The thread that does all of a source's work on the database, and the loop that it runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use super::begin::begin;
use super::install;
use super::lock::Lock;
use super::prune::Prune;
use super::reader::{Found, Next, Read, Reader};
use crate::event::{Batch, Origin, Place, Table};
use crate::source::{SourceError, SourceStatus};
use crate::sqlite::SqliteSettings;
use crate::sqlite::bell::{Bell, Rung};
use crate::sqlite::file::{DatabaseFile, Failure, Outcome};
use crate::sqlite::outbox::{self, OutboxPlace};
use crate::sqlite::watch::Watch;

/// For so long after the last write, the file is looked at most often.
const ACTIVE: Duration = Duration::from_millis(100);
/// The first look after a hint that something is being written: until a commit can be seen, further ones take a quarter of the time that
/// has passed.
const SOON: Duration = Duration::from_micros(50);
/// How long another writer may delay the fitting of triggers to a new schema, while changes wait to be read.
const FITTING: Duration = Duration::from_millis(100);
/// How long to wait after something failed.
const AFTER_FAILURE: Duration = Duration::from_millis(250);

/// Where batches go.
pub(crate) type Batches = Sender<Result<Batch, SourceError>>;

type Reply<T> = oneshot::Sender<Outcome<T>>;

/// What the thread is asked to do.
pub(crate) enum Command {
    Setup(Reply<Vec<String>>),
    Teardown(Reply<Vec<String>>),
    Start { log: Option<Place>, batches: Batches, reply: Reply<()> },
    Confirm(Place),
}

/// What the thread has.
pub(crate) struct Worker {
    name: Arc<str>,
    path: PathBuf,
    settings: SqliteSettings,
    bell: Arc<Bell>,
    status: Arc<Mutex<SourceStatus>>,
    database: Option<(DatabaseFile, Connection)>,
    /// Of the database's files.
    watch: Option<Watch>,
    lock: Option<Lock>,
    reading: Option<Reading>,
    /// Why a table is not captured.
    refused: Option<String>,
}

/// A reading that goes on.
struct Reading {
    reader: Reader,
    batches: Batches,
    /// The place that the next batch continues.
    after: Option<Place>,
    /// What is handed out as soon as somebody takes it.
    ready: Option<Result<Batch, SourceError>>,
    prune: Prune,
    /// When something was last written.
    written: Instant,
    /// Since when something is being written that is not found yet.
    stirred: Option<Instant>,
    /// When to try again what failed.
    pause: Option<Instant>,
    /// Triggers have to be fitted to the schema.
    unfit: bool,
}

impl Worker {
    pub(crate) fn new(
        name: Arc<str>,
        path: PathBuf,
        settings: SqliteSettings,
        bell: Arc<Bell>,
        status: Arc<Mutex<SourceStatus>>,
    ) -> Self {
        Self {
            name,
            path,
            settings,
            bell,
            status,
            database: None,
            watch: None,
            lock: None,
            reading: None,
            refused: None,
        }
    }

    /// Works until nobody can ask for anything any more.
    pub(crate) fn run(mut self, commands: &Receiver<Command>) {
        loop {
            loop {
                match commands.try_recv() {
                    Ok(command) => self.obey(command),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            let rest = self.step();
            let hints = self.reading.as_ref().is_some_and(|reading| reading.wants_hints(&self.settings));
            if let (Rung::Stirred, Some(reading)) = (self.bell.wait(rest, hints), &mut self.reading) {
                reading.stirred.get_or_insert_with(Instant::now);
            }
        }
    }

    fn obey(&mut self, command: Command) {
        // Who asked and has gone needs no answer.
        match command {
            Command::Setup(reply) => drop(reply.send(self.setup())),
            Command::Teardown(reply) => drop(reply.send(self.teardown())),
            Command::Start { log, batches, reply } => drop(reply.send(self.start(log, batches))),
            Command::Confirm(place) => {
                if let (Some(reading), Some(place)) = (&mut self.reading, OutboxPlace::of(&place))
                    && place.id == reading.reader.place().id
                {
                    reading.prune.confirm(place.seq);
                }
            }
        }
    }

    fn open(&mut self) -> Outcome<&(DatabaseFile, Connection)> {
        if self.database.is_none() {
            let database = DatabaseFile::open(&self.path, &self.settings)?;
            self.bell.hang(database.0.path());
            self.watch = Watch::of(database.0.path(), &self.bell);
            self.database = Some(database);
        }
        Ok(self.database.as_ref().expect("the database has just been opened"))
    }

    fn setup(&mut self) -> Outcome<Vec<String>> {
        let settings = self.settings.clone();
        let (_, writer) = self.open()?;
        let installed = install::install(writer, &settings)?;
        if let Some(reading) = &mut self.reading {
            reading.reader.forget();
        }
        self.note(&installed);
        Ok(installed.sql)
    }

    fn note(&mut self, installed: &install::Installed) {
        if let Some(problem) = &installed.problem {
            tracing::warn!(source = &*self.name, "{problem}");
        }
        self.refused = installed.problem.clone();
        let mut status = self.status.lock();
        status.tables = installed.tables.clone();
        status.tables.sort_unstable();
        status.problem = installed.problem.clone();
    }

    fn teardown(&mut self) -> Outcome<Vec<String>> {
        self.open()?;
        self.take_lock()?;
        self.reading = None;
        let (_, writer) = self.open()?;
        let sql = install::remove(writer)?;
        if let Some(lock) = self.lock.take() {
            lock.remove();
        }
        *self.status.lock() = super::fresh_status();
        Ok(sql)
    }

    fn take_lock(&mut self) -> Outcome<()> {
        if self.lock.is_none() {
            let (file, _) = self.open()?;
            self.lock = Some(Lock::take(file)?);
        }
        Ok(())
    }

    fn start(&mut self, log: Option<Place>, batches: Batches) -> Outcome<()> {
        self.reading = None;
        self.open()?;
        self.take_lock()?;
        self.fit_before_start()?;
        let (file, writer) = self.open()?;
        let (file, begin) = (file.clone(), begin(writer, log.as_ref())?);
        let reader = Reader::new(&file, &self.settings, begin.place.clone())?;
        let mut reading = Reading {
            reader,
            batches,
            after: log,
            ready: None,
            prune: Prune::default(),
            written: Instant::now(),
            stirred: None,
            pause: None,
            unfit: false,
        };
        if let Some(changes) = begin.first {
            reading.ready = Some(Ok(reading.batch(&self.name, Read { changes, place: begin.place })));
        }
        self.reading = Some(reading);
        self.show();
        Ok(())
    }

    /// Begins again for the same taker, because somebody has changed Rowcast's own tables.
    fn start_again(&mut self) -> Outcome<()> {
        let Some(reading) = &self.reading else { return Ok(()) };
        tracing::warn!(source = &*self.name, "the outbox is not as it was left; clients begin anew");
        let (after, batches) = (reading.after.clone(), reading.batches.clone());
        self.start(after, batches)
    }

    /// Changes of the schema while nobody read leave their resets in the outbox.
    fn fit_before_start(&mut self) -> Outcome<()> {
        let settings = self.settings.clone();
        let (_, writer) = self.open()?;
        if outbox::id(writer)?.is_some() && !install::is_current(writer)? {
            let installed = install::install(writer, &settings)?;
            self.note(&installed);
        } else if outbox::id(writer)?.is_some() {
            let captured = install::captured(writer)?;
            self.status.lock().tables = names(captured);
        }
        Ok(())
    }

    /// Does what can be done now. Returns how long there is nothing to do unless the bell rings.
    fn step(&mut self) -> Duration {
        const FOREVER: Duration = Duration::from_secs(3600);
        let Some(reading) = &mut self.reading else { return FOREVER };
        if !reading.hand_out() {
            self.reading = None;
            return FOREVER;
        }
        let Some((_, writer)) = &self.database else { return FOREVER };
        reading.prune.step(writer, self.settings.prune_rows, self.settings.busy_timeout);
        if let Some(pause) = reading.pause.take_if(|pause| *pause > Instant::now()) {
            reading.pause = Some(pause);
            return pause.saturating_duration_since(Instant::now());
        }
        reading.pause = None;
        match self.advance() {
            Ok(true) => Duration::ZERO,
            Ok(false) => self.reading.as_ref().map_or(FOREVER, |reading| reading.rest(reading.pace(&self.settings))),
            Err(failure) => self.fail(failure),
        }
    }

    /// Looks what was written, and reads the next batch unless one still waits. Returns whether there was one.
    fn advance(&mut self) -> Outcome<bool> {
        let Some(reading) = &mut self.reading else { return Ok(false) };
        let found = reading.reader.look()?;
        if found != Found::Nothing {
            (reading.written, reading.stirred) = (Instant::now(), None);
        } else {
            // Nothing was committed after all.
            reading.stirred = reading.stirred.filter(|since| since.elapsed() < ACTIVE);
        }
        reading.unfit |= found == Found::OtherSchema;
        if reading.unfit {
            self.fit()?;
        }
        let Some(reading) = &mut self.reading else { return Ok(false) };
        let next = if reading.ready.is_none() { reading.reader.next()? } else { Next::Nothing };
        let any = match next {
            Next::Nothing => false,
            Next::Read(read) => {
                reading.ready = Some(Ok(reading.batch(&self.name, read)));
                true
            }
            Next::Hole => {
                self.start_again()?;
                true
            }
        };
        if any || found != Found::Nothing {
            self.show();
        }
        Ok(any)
    }

    /// Fits the triggers to the schema. A writer in the way is waited for another time.
    fn fit(&mut self) -> Outcome<()> {
        let (Some((_, writer)), Some(reading)) = (&self.database, &mut self.reading) else { return Ok(()) };
        writer.busy_timeout(FITTING)?;
        let installed = install::install(writer, &self.settings);
        writer.busy_timeout(self.settings.busy_timeout)?;
        let installed = match installed {
            Err(failure) if failure.is_busy() => return Ok(()),
            installed => installed?,
        };
        let same_outbox = outbox::id(writer)?.as_deref() == Some(&*reading.reader.place().id);
        if !same_outbox && reading.ready.is_some() {
            return Ok(());
        }
        reading.unfit = false;
        reading.reader.forget();
        self.note(&installed);
        if same_outbox { Ok(()) } else { self.start_again() }
    }

    fn fail(&mut self, failure: Failure) -> Duration {
        let Some(reading) = &mut self.reading else { return AFTER_FAILURE };
        self.status.lock().problem = Some(failure.message.clone());
        reading.ready.get_or_insert(Err(failure.into()));
        reading.pause = Some(Instant::now() + AFTER_FAILURE);
        Duration::ZERO
    }

    fn show(&self) {
        let Some(reading) = &self.reading else { return };
        let mut status = self.status.lock();
        status.place = Some(reading.reader.place().to_place().0.into());
        status.lag_events = Some(reading.reader.behind());
        status.problem.clone_from(&self.refused);
    }
}

fn names(captured: Vec<(i64, Table)>) -> Vec<String> {
    let mut names: Vec<String> = captured.into_iter().map(|(_, table)| table.name.name.into()).collect();
    names.sort_unstable();
    names
}

impl Reading {
    fn batch(&mut self, source: &Arc<str>, read: Read) -> Batch {
        let place = read.place.to_place();
        let after = self.after.replace(place.clone());
        Batch { origin: Some(Origin { source: source.clone(), after, place }), changes: read.changes }
    }

    /// Hands out what is ready, if there is room. Returns false when nobody will ever take it.
    fn hand_out(&mut self) -> bool {
        let Some(ready) = self.ready.take() else { return !self.batches.is_closed() };
        match self.batches.try_send(ready) {
            Ok(()) => true,
            Err(TrySendError::Full(ready)) => {
                self.ready = Some(ready);
                true
            }
            Err(TrySendError::Closed(_)) => false,
        }
    }

    /// Whether a hint is followed at once: not while there is so much to read that it is better read together.
    fn wants_hints(&self, settings: &SqliteSettings) -> bool {
        self.stirred.is_none() && self.written.elapsed() >= settings.poll_active
    }

    /// How long until the next look: longer, the longer nothing was written.
    fn pace(&self, settings: &SqliteSettings) -> Duration {
        if let Some(stirred) = self.stirred.map(|since| since.elapsed()) {
            return (stirred / 4).max(SOON).min(settings.poll_active);
        }
        let quiet = self.written.elapsed();
        if quiet < ACTIVE {
            settings.poll_active
        } else {
            (quiet / 20).clamp(settings.poll_active, settings.poll_idle.max(settings.poll_active))
        }
    }

    /// At most `longest`, and not beyond the next thing to remove from the outbox.
    fn rest(&self, longest: Duration) -> Duration {
        let due = self.prune.due().map(|due| due.saturating_duration_since(Instant::now()));
        due.map_or(longest, |due| due.min(longest))
    }
}
