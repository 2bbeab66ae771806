//! A moment of the database: what a transaction sees from its beginning on, and where the source stands when it has told all
//! of it. Why this is exact: docs/adr/0008.

use std::sync::Arc;

use mysql_async::prelude::Queryable;
use mysql_async::{Column, Conn, Error, Row};

use super::lock::Locked;
use super::pool::{Lent, within};
use super::refused::{is_altered, refused};
use super::{Server, StoreError, quote};
use crate::event::{Mark, Place, Table};
use crate::mysql::catalog::Described;
use crate::mysql::{BinlogPlace, Kind, Mode, OutboxPlace, sequence};

/// Begins a transaction whose first moment is now, not its first statement.
const BEGIN: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
/// MariaDB: the end of the last transaction that the snapshot holds; without a snapshot, of the last one that was committed.
const SNAPSHOT_STATUS: &str = "SHOW STATUS WHERE Variable_name IN ('binlog_snapshot_file', 'binlog_snapshot_position')";

/// What can be seen in a transaction that reads.
#[derive(Debug)]
pub(super) struct Moment {
    pub(super) described: Arc<Described>,
    pub(super) mark: Mark,
    pub(super) place: Place,
}

impl Server {
    /// Begins a transaction that sees this moment of the table until it ends.
    pub(super) async fn begin_reading(&self, lent: &mut Lent, asked: &Table) -> Result<Moment, StoreError> {
        let described = self.same(asked).await?;
        let (mark, place) = match self.mode() {
            Mode::Outbox => {
                let mut writer = self.pool.for_a_moment().await?;
                let seq = numbered(sequence::begin_snapshot(lent, &mut writer, &self.database)).await?;
                writer.back();
                (Mark::UpTo(seq), OutboxPlace(seq).place())
            }
            Mode::Binlog if self.about().await?.is_mariadb() => {
                within(lent.query_drop(BEGIN)).await?;
                let place = snapshot_place(lent).await?;
                (Mark::UpTo(place.tx()), place.place())
            }
            Mode::Binlog => {
                let mut locked = Locked::take(self, asked).await?;
                let begun = self.begin_locked(lent, &mut locked, &described).await;
                locked.release().await;
                let place = begun?;
                let (mark, place) = (Mark::UpTo(place.tx()), place.place());
                self.live.ask();
                return Ok(Moment { described, mark, place });
            }
        };
        self.check(lent, &described).await?;
        self.live.ask();
        Ok(Moment { described, mark, place })
    }

    /// Begins the transaction while nobody writes to the table, and returns where the binlog ends.
    async fn begin_locked(
        &self,
        lent: &mut Lent,
        locked: &mut Locked<'_>,
        described: &Described,
    ) -> Result<BinlogPlace, StoreError> {
        within(lent.query_drop(BEGIN)).await?;
        let place = self.end_of_binlog(locked.conn()).await?;
        // Looked at while it is locked: nobody can alter it between the moment and this.
        self.check(lent, described).await?;
        Ok(place)
    }

    /// Whether the table is as it was described. From now on it stays so until the transaction ends.
    pub(super) async fn check(&self, conn: &mut Conn, described: &Described) -> Result<(), StoreError> {
        let table = &described.table;
        let hidden: String = (table.columns.iter().zip(&described.columns))
            .filter(|(_, detail)| detail.invisible)
            .map(|(column, _)| format!(", {}", quote(&column.name)))
            .collect();
        let sql = format!("SELECT *{hidden} FROM {} LIMIT 0", quote(&table.name.name));
        let looked = async {
            let result = conn.query_iter(sql).await?;
            let same = is_as_described(result.columns_ref(), described);
            result.drop_result().await?;
            Ok(same)
        };
        match tokio::time::timeout(super::pool::ANSWER, looked).await {
            Err(_) => Err(super::pool::silent()),
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(self.altered(&table.name)),
            Ok(Err(error)) => Err(self.refused_on(&table.name, error)),
        }
    }

    /// The source's place once it has read what this connection has just committed.
    pub(super) async fn place_after_commit(&self, conn: &mut Conn) -> Result<Place, StoreError> {
        let place = match self.mode() {
            Mode::Outbox => {
                let mut writer = self.pool.for_a_moment().await?;
                let seq = numbered(sequence::sequence(conn, &mut writer, &self.database)).await?;
                writer.back();
                OutboxPlace(seq).place()
            }
            Mode::Binlog if self.about().await?.is_mariadb() => snapshot_place(conn).await?.place(),
            Mode::Binlog => self.end_of_binlog(conn).await?.place(),
        };
        self.live.ask();
        Ok(place)
    }

    /// MySQL: where its binlog ends.
    async fn end_of_binlog(&self, conn: &mut Conn) -> Result<BinlogPlace, StoreError> {
        let sql =
            if self.about().await?.version >= (8, 2, 0) { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" };
        let row: Option<Row> = match tokio::time::timeout(super::pool::ANSWER, conn.query_first(sql)).await {
            Err(_) => return Err(super::pool::silent()),
            Ok(Err(Error::Server(answer))) if answer.code == 1227 => {
                return Err(StoreError::Refused(format!(
                    "the binlog's end may not be read: GRANT REPLICATION CLIENT ON *.* to this user ({})",
                    answer.message
                )));
            }
            Ok(answer) => answer.map_err(refused)?,
        };
        let place = row.and_then(|row| Some((row.get_opt(0)?.ok()?, row.get_opt(1)?.ok()?)));
        place.map(|(file, position)| at(file, position)).ok_or_else(off)
    }
}

/// Waits for the outbox to be numbered.
async fn numbered(asked: impl Future<Output = Result<u64, Error>>) -> Result<u64, StoreError> {
    match tokio::time::timeout(super::pool::ANSWER, asked).await {
        Err(_) => Err(super::pool::silent()),
        Ok(Err(error)) if is_altered(&error) => {
            Err(StoreError::Unavailable("capture is not set up in this database; run `rowcast setup` first".to_owned()))
        }
        Ok(answer) => answer.map_err(refused),
    }
}

async fn snapshot_place(conn: &mut Conn) -> Result<BinlogPlace, StoreError> {
    let rows: Vec<(String, String)> = within(conn.query(SNAPSHOT_STATUS)).await?;
    let value =
        |name: &str| rows.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone());
    let file = value("binlog_snapshot_file").filter(|file| !file.is_empty());
    let position = value("binlog_snapshot_position").and_then(|position| position.parse().ok());
    file.zip(position).map(|(file, position)| at(file, position)).ok_or_else(off)
}

fn at(file: String, position: u64) -> BinlogPlace {
    BinlogPlace { file: file.into(), position, gtid: None, server: None }
}

fn off() -> StoreError {
    StoreError::Refused(
        "the server's binlog is off: set `log_bin` there, or `mysql.capture = \"outbox\"` here".to_owned(),
    )
}

/// The columns of a `SELECT *`, which leaves out what is invisible, and then those.
fn is_as_described(columns: &[Column], described: &Described) -> bool {
    let all = || described.table.columns.iter().zip(&described.columns);
    let wanted = all().filter(|(_, detail)| !detail.invisible).chain(all().filter(|(_, detail)| detail.invisible));
    let wanted: Vec<_> = wanted.map(|(column, _)| column).collect();
    columns.len() == wanted.len()
        && columns
            .iter()
            .zip(wanted)
            .all(|(found, known)| found.name_str() == *known.name && may_be(found, &Kind::of(&known.declared)))
}

/// Whether a column of this type may have been described like that.
fn may_be(found: &Column, kind: &Kind) -> bool {
    use mysql_async::consts::{ColumnFlags, ColumnType as Type};
    let flags = found.flags();
    match (kind, found.column_type()) {
        (Kind::Int { bytes, unsigned }, kind) => {
            let size = match kind {
                Type::MYSQL_TYPE_TINY => 1,
                Type::MYSQL_TYPE_SHORT => 2,
                Type::MYSQL_TYPE_INT24 => 3,
                Type::MYSQL_TYPE_LONG => 4,
                Type::MYSQL_TYPE_LONGLONG => 8,
                _ => return false,
            };
            *bytes == size && *unsigned == flags.contains(ColumnFlags::UNSIGNED_FLAG)
        }
        (Kind::Year, kind) => kind == Type::MYSQL_TYPE_YEAR,
        (Kind::Decimal { scale, .. }, kind) => kind == Type::MYSQL_TYPE_NEWDECIMAL && *scale == found.decimals(),
        (Kind::Float, kind) => kind == Type::MYSQL_TYPE_FLOAT,
        (Kind::Double, kind) => kind == Type::MYSQL_TYPE_DOUBLE,
        (Kind::Bit(_), kind) => kind == Type::MYSQL_TYPE_BIT,
        (Kind::Enum(_), _) => flags.contains(ColumnFlags::ENUM_FLAG),
        (Kind::Set(_), _) => flags.contains(ColumnFlags::SET_FLAG),
        (Kind::Date, kind) => matches!(kind, Type::MYSQL_TYPE_DATE | Type::MYSQL_TYPE_NEWDATE),
        (Kind::Time(digits), kind) => kind == Type::MYSQL_TYPE_TIME && *digits == found.decimals(),
        (Kind::DateTime(digits), kind) => kind == Type::MYSQL_TYPE_DATETIME && *digits == found.decimals(),
        (Kind::Timestamp(digits), kind) => kind == Type::MYSQL_TYPE_TIMESTAMP && *digits == found.decimals(),
        (_, kind) => !matches!(
            kind,
            Type::MYSQL_TYPE_TINY
                | Type::MYSQL_TYPE_SHORT
                | Type::MYSQL_TYPE_INT24
                | Type::MYSQL_TYPE_LONG
                | Type::MYSQL_TYPE_LONGLONG
                | Type::MYSQL_TYPE_YEAR
                | Type::MYSQL_TYPE_NEWDECIMAL
                | Type::MYSQL_TYPE_FLOAT
                | Type::MYSQL_TYPE_DOUBLE
                | Type::MYSQL_TYPE_BIT
                | Type::MYSQL_TYPE_DATE
                | Type::MYSQL_TYPE_TIME
                | Type::MYSQL_TYPE_DATETIME
                | Type::MYSQL_TYPE_TIMESTAMP
        ),
    }
}

/// Whether a log that has the source at `log` holds everything that was seen when the place was `moment`.
pub(super) fn reached(log: &Place, moment: &Place) -> bool {
    match (BinlogPlace::of(log), BinlogPlace::of(moment)) {
        (Some(log), Some(moment)) => {
            let same = log.server.is_none() || moment.server.is_none() || log.server == moment.server;
            same && log.tx() >= moment.tx()
        }
        (None, None) => match (OutboxPlace::of(log), OutboxPlace::of(moment)) {
            (Some(log), Some(moment)) => log >= moment,
            _ => false,
        },
        _ => false,
    }
}
