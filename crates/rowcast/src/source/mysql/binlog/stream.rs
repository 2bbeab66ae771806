//! Events as the server sends them, each with the place where it ends.
//!
//! Counts positions in 64 bits, of which the events have only the lower 32; leaves what events mean to `reading`.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStream, BinlogStreamRequest, Conn, Error};
use tokio::task::coop::unconstrained;
use tokio::time::timeout;

use super::bytes::{Bytes, Malformed};
use crate::mysql::{Address, Server};
use crate::source::SourceError;

/// An event's number is not written by the server, but made up for us.
const ARTIFICIAL: u16 = 0x20;
/// An event that whoever does not know it may pass over.
pub(super) const IGNORABLE: u16 = 0x80;
/// Seconds after which the server gives a connection up that takes nothing.
const WRITE_SECONDS: u32 = 60;
/// The largest packet that a server sends.
const PACKET_MAX: usize = 1 << 30;

pub(super) mod kind {
    pub(crate) const QUERY: u8 = 2;
    pub(crate) const ROTATE: u8 = 4;
    pub(crate) const FORMAT: u8 = 15;
    pub(crate) const XID: u8 = 16;
    pub(crate) const TABLE_MAP: u8 = 19;
    pub(crate) const INCIDENT: u8 = 26;
    pub(crate) const HEARTBEAT: u8 = 27;
    pub(crate) const XA_PREPARE: u8 = 38;
    pub(crate) const PAYLOAD: u8 = 40;
    pub(crate) const HEARTBEAT_2: u8 = 41;
    pub(crate) const MARIADB_GTID: u8 = 162;
    pub(crate) const QUERY_COMPRESSED: u8 = 165;
}

/// Why there is no next event.
#[derive(Debug)]
pub(super) enum Broken {
    /// The connection ended, or the server refused to go on.
    Driver(Error),
    /// Nothing was heard for too long.
    Silent,
    /// The server has ended the stream.
    Ended,
    Malformed(Malformed),
}

impl From<Malformed> for Broken {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error)
    }
}

/// An event.
#[derive(Debug)]
pub(super) struct Event {
    event: mysql_async::binlog::events::Event,
    pub(super) kind: u8,
    pub(super) flags: u16,
    /// Seconds since 1970.
    pub(super) time: u32,
    /// It was made up for us, and has no place of its own.
    pub(super) artificial: bool,
}

impl Event {
    pub(super) fn body(&self) -> &[u8] {
        self.event.data()
    }
}

/// A stream of events.
pub(super) struct Stream {
    stream: BinlogStream,
    dead_after: Duration,
    pub(super) file: Box<str>,
    /// Behind the last event.
    pub(super) position: u64,
    /// When the server made the file.
    pub(super) made: Option<u32>,
    /// Bytes of events that are still to come out of a compressed one.
    inner: u64,
    begun: bool,
}

impl Stream {
    /// Asks the server for everything behind a place.
    pub(super) async fn open(
        address: &Address,
        server: &Server,
        id: u32,
        file: &str,
        position: u64,
        dead_after: Duration,
    ) -> Result<Self, SourceError> {
        let failed = |error: Error| SourceError::Retry {
            message: format!("the binlog of {address} cannot be asked for: {error}"),
            cause: Some(error.into()),
        };
        let options = address.options().max_allowed_packet(Some(PACKET_MAX));
        let mut conn = match timeout(dead_after, Conn::new(options)).await {
            Ok(conn) => conn.map_err(failed)?,
            Err(_) => return Err(SourceError::retry(format!("{address} does not answer"))),
        };
        let heartbeat = (dead_after / 2).as_nanos().clamp(1_000_000, 1_000_000_000_000);
        let mut variables = format!(
            "SET @master_heartbeat_period = {heartbeat}, @source_heartbeat_period = {heartbeat}, @@session.net_write_timeout = {WRITE_SECONDS}"
        );
        if server.is_mariadb() {
            variables.push_str(", @mariadb_slave_capability = 4");
        } else {
            let uuid = uuid::Uuid::new_v4();
            variables.push_str(&format!(
                ", @source_binlog_checksum = 'CRC32', @slave_uuid = '{uuid}', @replica_uuid = '{uuid}'"
            ));
        }
        conn.query_drop(variables).await.map_err(failed)?;
        let mut request = BinlogStreamRequest::new(id).with_filename(file.as_bytes()).with_pos(position);
        if !server.is_mariadb() && position > u64::from(u32::MAX) {
            // Only this command takes more than 32 bits.
            request = request.with_gtid();
        }
        let stream = match timeout(dead_after, conn.get_binlog_stream(request)).await {
            Ok(stream) => stream.map_err(failed)?,
            Err(_) => return Err(SourceError::retry(format!("{address} does not answer"))),
        };
        Ok(Self { stream, dead_after, file: file.into(), position, made: None, inner: 0, begun: false })
    }

    /// The next event, if it is there already.
    pub(super) fn ready(&mut self) -> Result<Option<Event>, Broken> {
        match unconstrained(self.stream.next()).now_or_never() {
            None => Ok(None),
            Some(next) => self.take(next).map(Some),
        }
    }

    /// The next event. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Event, Broken> {
        match timeout(self.dead_after, self.stream.next()).await {
            Ok(next) => self.take(next),
            Err(_) => Err(Broken::Silent),
        }
    }

    fn take(&mut self, next: Option<Result<mysql_async::binlog::events::Event, Error>>) -> Result<Event, Broken> {
        let event = next.ok_or(Broken::Ended)?.map_err(Broken::Driver)?;
        let header = event.header();
        let (kind, flags, size) = (header.event_type_raw(), header.flags_raw(), u64::from(header.event_size()));
        let artificial = flags & ARTIFICIAL != 0 || header.log_pos() == 0;
        let event = Event { event, kind, flags, time: header.timestamp(), artificial };
        if self.inner > 0 {
            // The driver says nothing when it cannot unpack a transaction.
            if matches!(kind, 33 | 34 | 42 | kind::ROTATE | kind::FORMAT | kind::PAYLOAD) || size > self.inner {
                return Err(Malformed("a compressed transaction cannot be unpacked").into());
            }
            self.inner -= size;
            return Ok(event);
        }
        match kind {
            kind::ROTATE => self.rotate(&event)?,
            kind::HEARTBEAT | kind::HEARTBEAT_2 => {}
            kind::FORMAT => {
                self.made = Some(header.timestamp());
                if !artificial {
                    self.advance(header.log_pos(), size);
                }
            }
            _ if artificial => {}
            _ => {
                self.advance(header.log_pos(), size);
                if kind == kind::PAYLOAD {
                    self.inner = unpacked_size(event.body())?;
                }
            }
        }
        Ok(event)
    }

    fn advance(&mut self, low: u32, size: u64) {
        let next = self.position + size;
        if next as u32 == low {
            self.position = next;
            return;
        }
        // What the server keeps to itself lies between.
        let mut next = self.position & !u64::from(u32::MAX) | u64::from(low);
        if next < self.position {
            next += 1 << 32;
        }
        self.position = next;
    }

    fn rotate(&mut self, event: &Event) -> Result<(), Malformed> {
        // The first one repeats what was asked for, and has a checksum that nobody takes away.
        if !std::mem::replace(&mut self.begun, true) && event.artificial {
            return Ok(());
        }
        let mut body = Bytes(event.body());
        let position = body.u64()?;
        let file = std::str::from_utf8(body.0).map_err(|_| Malformed("a file whose name is no text"))?;
        if *file != *self.file || position > self.position {
            self.file = file.into();
            self.position = position;
        }
        Ok(())
    }
}

/// The size of what a compressed transaction holds: fields behind their type, until the one that ends them.
fn unpacked_size(body: &[u8]) -> Result<u64, Malformed> {
    let mut bytes = Bytes(body);
    let (mut packed, mut unpacked, mut compressed) = (0, None, true);
    loop {
        let field = bytes.packed()?;
        if field == 0 {
            break;
        }
        let mut value = Bytes(bytes.packed_bytes()?);
        match field {
            1 => packed = value.packed()?,
            2 => compressed = value.packed()? != 255,
            3 => unpacked = Some(value.packed()?),
            _ => {}
        }
    }
    Ok(if compressed { unpacked.unwrap_or(packed) } else { packed })
}
