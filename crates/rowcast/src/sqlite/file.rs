//! Opening a database file, and saying clearly why that failed.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::SqliteSettings;

/// What failed, as a sentence, and whether it may work later.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) retry: bool,
    pub(crate) cause: Option<Box<dyn Error + Send + Sync>>,
}

pub(crate) type Outcome<T> = Result<T, Failure>;

impl Failure {
    /// A person has to change something first.
    pub(crate) fn stop(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry: false, cause: None }
    }

    /// It may work when tried again.
    pub(crate) fn retry(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry: true, cause: None }
    }

    fn caused(self, cause: impl Error + Send + Sync + 'static) -> Self {
        Self { cause: Some(Box::new(cause)), ..self }
    }

    /// Whether another connection was in the way.
    pub(crate) fn is_busy(&self) -> bool {
        let cause = self.cause.as_ref().and_then(|cause| cause.downcast_ref::<rusqlite::Error>());
        cause.is_some_and(is_busy)
    }
}

/// Whether the error says that another connection was in the way.
pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        let failure = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::retry("the SQLite database is locked by another program's transaction")
            }
            Some(ErrorCode::DiskFull) => Self::retry("the disk that holds the SQLite database is full"),
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::OutOfMemory) => {
                Self::retry(format!("the SQLite database could not be used: {error}"))
            }
            _ => Self::stop(format!("SQLite refused: {error}")),
        };
        failure.caused(error)
    }
}

/// A database file that is known to be one, by its canonical path.
#[derive(Debug, Clone)]
pub(crate) struct DatabaseFile {
    path: PathBuf,
}

impl DatabaseFile {
    /// Finds the file, or makes it, and sees that it is a SQLite database in write-ahead logging that can be written to.
    pub(crate) fn open(path: &Path, settings: &SqliteSettings) -> Outcome<(Self, Connection)> {
        refuse_special(path)?;
        let connection = connect(path, settings.create, settings.busy_timeout)?;
        check_usable(path, &connection, settings)?;
        let canonical = path.canonicalize().map_err(|error| unreachable_file(path).caused(error))?;
        Ok((Self { path: canonical }, connection))
    }

    /// Another connection to it.
    pub(crate) fn connect(&self, busy_timeout: Duration) -> Outcome<Connection> {
        connect(&self.path, false, busy_timeout)
    }

    /// The canonical path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file that stands beside the database: its name with something appended, as SQLite itself does.
    pub(crate) fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(suffix);
        path.into()
    }
}

fn refuse_special(path: &Path) -> Outcome<()> {
    let text = path.to_string_lossy();
    if text.is_empty() || text == ":memory:" {
        return Err(Failure::stop(
            "a database in memory cannot be shared with other programs; give the path of a file instead of `:memory:`",
        ));
    }
    if text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("file:")) {
        return Err(Failure::stop(format!("`{text}` is a URI; give the plain path of the database file")));
    }
    if path.is_dir() {
        return Err(Failure::stop(format!("`{text}` is a folder; give the path of a database file in it")));
    }
    Ok(())
}

fn unreachable_file(path: &Path) -> Failure {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder {
        Some(folder) if !folder.is_dir() => {
            Failure::stop(format!("there is no folder `{}` for the database; make it first", folder.display()))
        }
        _ if !path.exists() => Failure::stop(format!("there is no database file `{}`", path.display())),
        _ => Failure::stop(format!("the database file `{}` cannot be opened; see its permissions", path.display())),
    }
}

fn connect(path: &Path, create: bool, busy_timeout: Duration) -> Outcome<Connection> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    flags.set(OpenFlags::SQLITE_OPEN_CREATE, create);
    let connection = Connection::open_with_flags(path, flags).map_err(|error| unreachable_file(path).caused(error))?;
    connection.busy_timeout(busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.execute_batch("PRAGMA synchronous=NORMAL").map_err(|error| explain(path, error))?;
    Ok(connection)
}

fn check_usable(path: &Path, connection: &Connection, settings: &SqliteSettings) -> Outcome<()> {
    let mode: String = connection
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .and_then(|mode| connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(mode)))
        .map_err(|error| explain(path, error))?;
    let encoding: String = connection.query_row("PRAGMA encoding", [], |row| row.get(0))?;
    if encoding != "UTF-8" {
        return Err(Failure::stop(format!(
            "`{}` keeps its text as {encoding}, whose order differs from that of UTF-8; Rowcast needs a UTF-8 database: dump it \
             and load it into a new one",
            path.display()
        )));
    }
    if connection.is_readonly("main")? {
        return Err(Failure::stop(format!(
            "the database file `{}` can only be read; Rowcast must be able to write to it and to its folder",
            path.display()
        )));
    }
    if mode.eq_ignore_ascii_case("wal") { Ok(()) } else { switch_to_wal(path, connection, &mode, settings) }
}

/// Why the first statement on a file failed.
fn explain(path: &Path, error: rusqlite::Error) -> Failure {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            Failure::stop(format!("`{}` is not a SQLite database (or is an encrypted one)", path.display()))
                .caused(error)
        }
        Some(ErrorCode::CannotOpen) => unreachable_file(path).caused(error),
        _ => error.into(),
    }
}

fn switch_to_wal(path: &Path, connection: &Connection, mode: &str, settings: &SqliteSettings) -> Outcome<()> {
    let path = path.display();
    if !settings.switch_to_wal {
        return Err(Failure::stop(format!(
            "`{path}` is in journal mode `{mode}`; Rowcast needs write-ahead logging: run `PRAGMA journal_mode=WAL` once, \
             or allow Rowcast to do it"
        )));
    }
    let now: String = connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0)).map_err(|error| {
        if is_busy(&error) {
            Failure::retry(format!("`{path}` cannot be switched to write-ahead logging while another program uses it"))
                .caused(error)
        } else {
            error.into()
        }
    })?;
    if now.eq_ignore_ascii_case("wal") {
        return Ok(());
    }
    Err(Failure::stop(format!(
        "`{path}` cannot be switched to write-ahead logging, which Rowcast needs; its file system may not allow it"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_refused(path: &Path, settings: &SqliteSettings, part: &str) {
        let failure = DatabaseFile::open(path, settings).expect_err(part);
        assert!(failure.message.contains(part), "{}", failure.message);
        assert!(!failure.retry);
    }

    #[test]
    fn what_is_no_usable_database_is_refused_with_a_sentence() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = SqliteSettings::default();
        check_refused(Path::new(":memory:"), &settings, "in memory");
        check_refused(Path::new("file:x.db?mode=ro"), &settings, "URI");
        check_refused(folder.path(), &settings, "is a folder");
        check_refused(&folder.path().join("no/x.db"), &settings, "there is no folder");
        let must_exist = SqliteSettings { create: false, ..settings.clone() };
        check_refused(&folder.path().join("x.db"), &must_exist, "there is no database file");
        let text = folder.path().join("text.db");
        std::fs::write(&text, "this is not a database ".repeat(100)).expect("a file");
        check_refused(&text, &settings, "is not a SQLite database");
    }

    #[test]
    fn another_encoding_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.db");
        let sql = "PRAGMA encoding='UTF-16le'; CREATE TABLE t(a)";
        Connection::open(&path).and_then(|c| c.execute_batch(sql)).expect("a database");
        check_refused(&path, &SqliteSettings::default(), "UTF-16le");
    }

    #[test]
    fn another_journal_mode_is_switched_or_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.db");
        Connection::open(&path).and_then(|c| c.execute_batch("CREATE TABLE t(a)")).expect("a database");
        let keep = SqliteSettings { switch_to_wal: false, ..SqliteSettings::default() };
        check_refused(&path, &keep, "journal mode `delete`");
        let (_, connection) = DatabaseFile::open(&path, &SqliteSettings::default()).expect("opened");
        let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).expect("a mode");
        assert_eq!(mode, "wal");
    }
}
