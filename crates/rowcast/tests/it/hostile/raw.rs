//! A gateway on an empty database, and clients that send any bytes at all.

use std::io::Result as IoResult;
use std::time::Duration;

use rowcast::gateway::{Database, Gateway, Limits, LogPlace};
use rowcast::source::sqlite::SqliteSettings;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::AbortHandle;

/// For all that must happen.
const DEADLINE: Duration = Duration::from_secs(60);

const HANDSHAKE: &str = "GET /v1/ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

pub(super) struct World {
    gateway: Gateway,
    address: std::net::SocketAddr,
    serving: AbortHandle,
    _folder: TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl World {
    pub(super) async fn open(limits: Limits) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("app.db");
        rusqlite::Connection::open(&path).expect("a database").execute_batch("PRAGMA journal_mode = wal").expect("WAL");
        let database = Database::sqlite("app", &path, SqliteSettings::default());
        let builder = Gateway::builder().database(database).log(LogPlace::Memory).limits(limits);
        let gateway = builder.start().await.expect("started");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = gateway.router();
        let serving = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        Self { gateway, address, serving, _folder: folder }
    }

    /// A connection that has said nothing.
    pub(super) async fn connect(&self) -> Raw {
        // Little room, so that who reads nothing stands still soon.
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(8 << 10).expect("a size");
        let stream = socket.connect(self.address).await.expect("connected");
        let (read, write) = stream.into_split();
        Raw { reading: Reading { read, rest: Vec::new() }, writing: Writing { write } }
    }

    /// An open WebSocket that has heard `hello`.
    pub(super) async fn socket(&self) -> Raw {
        let mut client = self.opened("").await;
        assert_eq!(client.next_text().await.expect("a message")["type"], "hello");
        client
    }

    /// The same with compressed frames agreed on.
    pub(super) async fn compressed_socket(&self) -> Raw {
        let mut client = self.opened("Sec-WebSocket-Extensions: permessage-deflate\r\n").await;
        client.next_frame().await.expect("`hello`");
        client
    }

    async fn opened(&self, header: &str) -> Raw {
        let mut client = self.connect().await;
        client.send(format!("{HANDSHAKE}{header}\r\n").as_bytes()).await;
        let head = client.reading.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        client
    }

    /// The head of the answer to this.
    pub(super) async fn answer(&self, request: &str) -> String {
        let mut client = self.connect().await;
        client.send(request.as_bytes()).await;
        client.reading.head().await
    }

    /// Waits until so many sessions are left.
    pub(super) async fn until_only(&self, sessions: u64) {
        let waiting = async {
            while self.gateway.status()["session_count"] != sessions {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(DEADLINE, waiting).await.expect("the others are gone");
    }
}

/// One frame, as right or as wrong as one likes.
pub(super) struct Frame {
    pub(super) last: bool,
    /// 1 to 3; 0: none of them.
    pub(super) reserved: u8,
    pub(super) opcode: u8,
    pub(super) masked: bool,
    /// What the header says, where that is not so.
    pub(super) length: Option<u64>,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    pub(super) fn new(opcode: u8, payload: impl AsRef<[u8]>) -> Self {
        Self { last: true, reserved: 0, opcode, masked: true, length: None, payload: payload.as_ref().to_vec() }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let reserved = if self.reserved == 0 { 0 } else { 0x80 >> self.reserved };
        let mut bytes = vec![if self.last { 0x80 } else { 0 } | reserved | self.opcode];
        let mask_bit = if self.masked { 0x80 } else { 0 };
        match self.length.unwrap_or(self.payload.len() as u64) {
            length @ 0..126 => bytes.push(mask_bit | length as u8),
            length @ 126..=0xffff => {
                bytes.push(mask_bit | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            length => {
                bytes.push(mask_bit | 127);
                bytes.extend(length.to_be_bytes());
            }
        }
        let mask = if self.masked { [0x5a, 0xc3, 0x17, 0x88] } else { [0; 4] };
        if self.masked {
            bytes.extend(mask);
        }
        bytes.extend(self.payload.iter().enumerate().map(|(i, byte)| byte ^ mask[i % 4]));
        bytes
    }
}

/// How a connection has ended.
pub(super) struct Ended {
    /// Of the close frame; `None` when there was none.
    pub(super) code: Option<u16>,
    pub(super) reason: String,
    /// What was said before.
    pub(super) texts: Vec<Value>,
}

/// A client.
pub(super) struct Raw {
    reading: Reading,
    writing: Writing,
}

pub(super) struct Reading {
    read: OwnedReadHalf,
    rest: Vec<u8>,
}

pub(super) struct Writing {
    write: OwnedWriteHalf,
}

impl Writing {
    pub(super) async fn send(&mut self, bytes: &[u8]) -> IoResult<()> {
        self.write.write_all(bytes).await
    }
}

impl Raw {
    /// Sends bytes. The server may have closed already.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.writing.send(bytes).await;
    }

    pub(super) fn split(self) -> (Reading, Writing) {
        (self.reading, self.writing)
    }

    pub(super) async fn next_frame(&mut self) -> IoResult<(u8, Vec<u8>)> {
        self.reading.next_frame().await
    }

    pub(super) async fn next_text(&mut self) -> IoResult<Value> {
        loop {
            if let (1, payload) = self.next_frame().await? {
                return Ok(serde_json::from_slice(&payload)?);
            }
        }
    }

    pub(super) async fn read_to_end(&mut self) -> Ended {
        self.reading.read_to_end().await
    }

    /// Asks something, and is answered.
    pub(super) async fn still_works(&mut self) {
        self.send(&Frame::new(1, r#"{"type":"ping","ref":"still there"}"#).bytes()).await;
        while self.next_text().await.expect("an answer")["ref"] != "still there" {}
    }
}

impl Reading {
    /// The head of an HTTP answer.
    async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.rest.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.rest.drain(..end + 4).collect();
                return String::from_utf8(head).expect("text");
            }
            self.more().await.expect("an answer");
        }
    }

    async fn more(&mut self) -> IoResult<()> {
        let mut some = [0; 4096];
        let read = tokio::time::timeout(DEADLINE, self.read.read(&mut some)).await.expect("in time")?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        self.rest.extend_from_slice(&some[..read]);
        Ok(())
    }

    /// The next frame: opcode and payload.
    async fn next_frame(&mut self) -> IoResult<(u8, Vec<u8>)> {
        loop {
            if let Some((opcode, header, length)) = self.header()
                && self.rest.len() >= header + length
            {
                let frame: Vec<u8> = self.rest.drain(..header + length).skip(header).collect();
                return Ok((opcode, frame));
            }
            self.more().await?;
        }
    }

    fn header(&self) -> Option<(u8, usize, usize)> {
        let [first, second, rest @ ..] = &self.rest[..] else { return None };
        assert_eq!(second & 0x80, 0, "a server does not mask");
        let (size, length) = match second {
            126 => (4, usize::from(u16::from_be_bytes(rest.get(..2)?.try_into().ok()?))),
            127 => (10, u64::from_be_bytes(rest.get(..8)?.try_into().ok()?) as usize),
            short => (2, usize::from(*short)),
        };
        Some((first & 0x0f, size, length))
    }

    /// Reads until the connection has ended.
    pub(super) async fn read_to_end(&mut self) -> Ended {
        let mut ended = Ended { code: None, reason: String::new(), texts: Vec::new() };
        while let Ok((opcode, payload)) = self.next_frame().await {
            match opcode {
                1 => ended.texts.extend(serde_json::from_slice(&payload).ok()),
                8 => {
                    ended.code = payload.get(..2).map(|code| u16::from_be_bytes([code[0], code[1]]));
                    ended.reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).into_owned();
                }
                _ => {}
            }
        }
        ended
    }
}
