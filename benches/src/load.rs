//! A few clients in one thread: they parse frames, answer pings, and look for one number. Thousands are `rowcast bench`'s.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// Connections that are being opened at the same time.
const OPENING: usize = 64;

/// One client's connection.
pub(crate) struct Client {
    stream: TcpStream,
    /// A frame whose end is still to come.
    rest: Vec<u8>,
}

/// Microseconds since 1970.
pub(crate) fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as u64)
}

impl Client {
    /// Connects and follows the table `ticks`; returns once the server has said that it is so.
    pub(crate) async fn follow(address: SocketAddr) -> Result<Self> {
        let mut client = Self::connect(address).await?;
        client.say(r#"{"type":"subscribe","id":"s","channel":"table:ticks","snapshot":false}"#).await?;
        client.wait_for(b"\"subscribed\"").await?;
        Ok(client)
    }

    /// Connects to `/v1/ws`.
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        Self::open(address, "/v1/ws", "").await
    }

    /// Connects to a path, with further lines of the request's head, each with its end.
    pub(crate) async fn open(address: SocketAddr, path: &str, lines: &str) -> Result<Self> {
        let mut socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{lines}\r\n"
        );
        socket.write_all(request.as_bytes()).await?;
        let mut client = Self { stream: socket, rest: Vec::new() };
        client.read_head().await?;
        Ok(client)
    }

    async fn read_head(&mut self) -> Result<()> {
        loop {
            if let Some(end) = find(&self.rest, b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.rest[..end]).into_owned();
                self.rest.drain(..end + 4);
                let ok = head.starts_with("HTTP/1.1 101");
                return if ok { Ok(()) } else { Err(anyhow::anyhow!("the server refused: {head}")) };
            }
            self.read_more().await?;
        }
    }

    async fn read_more(&mut self) -> Result<()> {
        self.rest.reserve(4096);
        match self.stream.read_buf(&mut self.rest).await? {
            0 => bail!("the server has closed the connection: {}", String::from_utf8_lossy(&self.rest)),
            _ => Ok(()),
        }
    }

    /// Sends one text frame.
    pub(crate) async fn say(&mut self, text: &str) -> Result<()> {
        self.stream.write_all(&client_frame(1, text.as_bytes())).await?;
        Ok(())
    }

    /// Reads until a frame contains `needle`, and returns that frame.
    pub(crate) async fn wait_for(&mut self, needle: &[u8]) -> Result<Vec<u8>> {
        loop {
            let mut found = None;
            let mut pings = 0;
            let used = parse(&self.rest, |frame| match frame {
                Frame::Text(text) if found.is_none() && find(text, needle).is_some() => found = Some(text.to_vec()),
                Frame::Text(_) => {}
                Frame::Ping => pings += 1,
            });
            self.rest.drain(..used);
            self.answer(pings).await?;
            if let Some(found) = found {
                return Ok(found);
            }
            self.read_more().await?;
        }
    }

    async fn answer(&mut self, pings: usize) -> Result<()> {
        for _ in 0..pings {
            self.stream.write_all(&client_frame(10, b"")).await?;
        }
        Ok(())
    }

    /// The connection, and what was read of it that is not a whole frame yet.
    pub(crate) fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.rest)
    }

    /// Listens for ever, and writes down what it hears.
    async fn listen(mut self, hearing: Rc<Hearing>) -> Result<()> {
        loop {
            self.stream.readable().await?;
            let pings = {
                let mut buffer = hearing.buffer.borrow_mut();
                match self.stream.try_read(&mut buffer) {
                    Ok(0) => return Ok(()),
                    Ok(count) => self.take(&buffer[..count], &hearing),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => 0,
                    Err(error) => return Err(error.into()),
                }
            };
            self.answer(pings).await?;
        }
    }

    fn take(&mut self, bytes: &[u8], hearing: &Hearing) -> usize {
        let now = now_us();
        let mut pings = 0;
        let whole = self.rest.is_empty();
        if !whole {
            self.rest.extend_from_slice(bytes);
        }
        let all = if whole { bytes } else { &self.rest };
        let used = parse(all, |frame| match frame {
            Frame::Text(text) => hearing.hear(text, now),
            Frame::Ping => pings += 1,
        });
        if whole {
            self.rest.extend_from_slice(&bytes[used..]);
        } else {
            self.rest.drain(..used);
        }
        pings
    }
}

/// What all clients of this process have heard.
pub(crate) struct Hearing {
    buffer: RefCell<Vec<u8>>,
    delays_us: RefCell<Vec<u32>>,
    wanted: RefCell<usize>,
    enough: Notify,
}

impl Hearing {
    fn hear(&self, text: &[u8], now: u64) {
        let Some(at) = find(text, b"\"at\":").and_then(|i| number(&text[i + 5..])) else { return };
        let mut delays = self.delays_us.borrow_mut();
        delays.push(now.saturating_sub(at).min(u64::from(u32::MAX)) as u32);
        if delays.len() == *self.wanted.borrow() {
            self.enough.notify_one();
        }
    }
}

/// Clients that listen, on this thread.
pub(crate) struct Crowd {
    hearing: Rc<Hearing>,
    listeners: Vec<tokio::task::JoinHandle<Result<()>>>,
}

impl Crowd {
    /// Connects so many clients. Wants to be called inside a `LocalSet`.
    pub(crate) async fn gather(address: SocketAddr, count: usize) -> Result<Self> {
        let hearing = Rc::new(Hearing {
            buffer: RefCell::new(vec![0; 256 << 10]),
            delays_us: RefCell::default(),
            wanted: RefCell::new(usize::MAX),
            enough: Notify::new(),
        });
        let clients = stream::iter(0..count).map(|_| Client::follow(address)).buffer_unordered(OPENING);
        let clients: Vec<Client> = clients.try_collect().await.context("gathering clients")?;
        let listen = |client: Client| tokio::task::spawn_local(client.listen(hearing.clone()));
        let listeners = clients.into_iter().map(listen).collect();
        Ok(Self { hearing, listeners })
    }

    /// Forgets what was heard, and wants so many deliveries from now on.
    pub(crate) fn want(&self, count: usize) {
        let mut delays = self.hearing.delays_us.borrow_mut();
        delays.clear();
        delays.reserve(count);
        *self.hearing.wanted.borrow_mut() = count;
    }

    /// Waits for them, at most so long, and returns each one's delay in microseconds, ascending.
    pub(crate) async fn heard(&self, at_most: Duration) -> Vec<u32> {
        // What is missing then is said in the table.
        let _ = tokio::time::timeout(at_most, self.hearing.enough.notified()).await;
        let mut delays = std::mem::take(&mut *self.hearing.delays_us.borrow_mut());
        delays.sort_unstable();
        delays
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.listeners.iter().for_each(|listener| listener.abort());
    }
}

pub(crate) enum Frame<'a> {
    Text(&'a [u8]),
    Ping,
}

/// Hands out the whole frames of `bytes` and returns how many bytes they were.
pub(crate) fn parse<'a>(bytes: &'a [u8], mut each: impl FnMut(Frame<'a>)) -> usize {
    let mut used = 0;
    loop {
        let rest = &bytes[used..];
        let Some((frame, length)) = server_frame(rest) else { return used };
        used += length;
        frame.into_iter().for_each(&mut each);
    }
}

/// One frame of a server (RFC 6455, 5.2: never masked) and its length.
fn server_frame(bytes: &[u8]) -> Option<(Option<Frame<'_>>, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (start, length) = match second & 127 {
        126 => (4, u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?) as usize),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize),
        short => (2, short as usize),
    };
    let payload = bytes.get(start..start + length)?;
    let frame = match first & 15 {
        1 => Some(Frame::Text(payload)),
        9 => Some(Frame::Ping),
        _ => None,
    };
    Some((frame, start + length))
}

/// One frame of a client, masked with zeros.
pub(crate) fn client_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0x80 | opcode];
    match payload.len() {
        short @ 0..126 => out.push(0x80 | short as u8),
        long => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(long as u16).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
    out
}

pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}

pub(crate) fn number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    std::str::from_utf8(&text[..digits]).ok()?.parse().ok()
}

/// Runs on one thread, so that clients cost little.
pub(crate) fn on_one_thread<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

/// The value below which `share` of the ascending `values` lie.
pub(crate) fn percentile(values: &[u32], share: f64) -> f64 {
    let at = ((values.len() as f64 * share) as usize).min(values.len().saturating_sub(1));
    values.get(at).map_or(f64::NAN, |value| f64::from(*value))
}
