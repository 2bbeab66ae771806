//! Messages of PostgreSQL's protocol over a stream, one by one: for everything before replication starts.

use bytes::BytesMut;
use postgres_protocol::message::backend::{Header, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::connect::Stream;
use super::WireError;

/// A stream with what was read from it and not yet understood.
pub(super) struct Pipe {
    pub(super) stream: Stream,
    pub(super) unread: BytesMut,
}

/// A message that is not among [`Message`]: the server agrees to copy both ways.
pub(super) const COPY_BOTH: u8 = b'W';
/// Another: the server does not know all that we asked for, and goes on without it.
const NEGOTIATE: u8 = b'v';

/// What the server says.
pub(super) enum Heard {
    Message(Message),
    CopyBoth,
}

impl Pipe {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, unread: BytesMut::with_capacity(16 << 10) }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        self.stream.write_all(bytes).await.map_err(WireError::io)?;
        self.stream.flush().await.map_err(WireError::io)
    }

    /// The next message that is not just for our information. A server's error is an `Err`.
    pub(super) async fn hear(&mut self) -> Result<Heard, WireError> {
        loop {
            match self.next().await? {
                Heard::Message(Message::ErrorResponse(body)) => return Err(WireError::said(body.fields())),
                Heard::Message(Message::NoticeResponse(_)) => {}
                heard => return Ok(heard),
            }
        }
    }

    async fn next(&mut self) -> Result<Heard, WireError> {
        loop {
            if let Some(header) = Header::parse(&self.unread).map_err(WireError::io)? {
                let length = 1 + usize::try_from(header.len()).unwrap_or_default();
                if self.unread.len() >= length {
                    match header.tag() {
                        COPY_BOTH | NEGOTIATE => {
                            let _ = self.unread.split_to(length);
                            if header.tag() == COPY_BOTH {
                                return Ok(Heard::CopyBoth);
                            }
                            continue;
                        }
                        _ => {
                            let message = Message::parse(&mut self.unread).map_err(WireError::io)?;
                            if let Some(message) = message {
                                return Ok(Heard::Message(message));
                            }
                        }
                    }
                }
            }
            if self.stream.read_buf(&mut self.unread).await.map_err(WireError::io)? == 0 {
                return Err(WireError::io(std::io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}
