//! People who are connected: each has a live connection to hear by, and says what they are told to say.
//!
//! All of them are in one thread, whichever server they are connected to. To Rowcast they speak as its pages do: by requests on a
//! second connection. To Socket.IO by the one that they have.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use super::ledger::Ledger;
use super::sites::{COOKIE, Site, room, token, user};
use crate::load::{Client, Frame, client_frame, find, number, parse};

/// Connections that are being opened at the same time.
const OPENING: usize = 64;
/// What somebody is told to say while an earlier message is on its way; who is told more is too slow, and the bench fails.
const WORDS_MAX: usize = 64;
/// Makes a message as long as many are.
const PAD: &str = "It is said at some length, so that it is about as long as what people write to each other.";
/// What pages follow.
const FOLLOW: &str = r#"{"type":"subscribe","id":"m","channel":"table:chat_messages","snapshot":false}"#;

/// Everybody who is connected to a site.
pub(super) struct People {
    say: Vec<mpsc::Sender<u64>>,
    tasks: Vec<JoinHandle<()>>,
    ledger: Rc<Ledger>,
}

impl People {
    /// Connects all of a site. Wants to be called inside a `LocalSet`.
    pub(super) async fn gather(site: &Site, ledger: &Rc<Ledger>) -> Result<Self> {
        let lines = stream::iter(0..site.shape.people).map(|person| Line::open(site, person)).buffered(OPENING);
        let lines: Vec<Line> = lines.try_collect().await.context("gathering people")?;
        let buffer = Rc::new(RefCell::new(vec![0; 256 << 10]));
        let (mut say, mut tasks) = (Vec::new(), Vec::new());
        for line in lines {
            let (told, words) = mpsc::channel(WORDS_MAX);
            say.push(told);
            let Line { person, read, rest, write, mouth } = line;
            let ear = Ear { person, read, rest, write: write.clone(), buffer: buffer.clone(), ledger: ledger.clone() };
            tasks.push(watched(person, ear.listen(), ledger));
            tasks.push(watched(person, mouth.speak(words), ledger));
        }
        Ok(Self { say, tasks, ledger: ledger.clone() })
    }

    /// Has somebody say a message.
    pub(super) fn say(&self, person: usize, message: u64) {
        if self.say[person].try_send(message).is_err() {
            self.ledger.fail(format!(
                "person {person} cannot say message {message}: too many wait, or the connection has ended"
            ));
        }
    }
}

impl Drop for People {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// A task whose end is the bench's.
fn watched(person: usize, work: impl Future<Output = Result<()>> + 'static, ledger: &Rc<Ledger>) -> JoinHandle<()> {
    let ledger = ledger.clone();
    tokio::task::spawn_local(async move {
        if let Err(error) = work.await {
            ledger.fail(format!("person {person}: {error:#}"));
        }
    })
}

type Writing = Rc<Mutex<OwnedWriteHalf>>;

/// Somebody's connections.
struct Line {
    person: usize,
    read: OwnedReadHalf,
    rest: Vec<u8>,
    write: Writing,
    mouth: Mouth,
}

/// How somebody speaks.
enum Mouth {
    /// A request for each message, answered before the next.
    Rest { http: TcpStream, head: String },
    /// A frame for each message.
    Socketio { write: Writing, room: String },
}

impl Line {
    async fn open(site: &Site, person: usize) -> Result<Self> {
        let (address, room) = (site.server.address, room(person / site.shape.size));
        let (client, http) = if site.side.is_rowcast() {
            let identity = format!("Origin: http://{address}\r\nCookie: {COOKIE}={}\r\n", token(person)?);
            let mut client = Client::open(address, "/v1/ws", &identity).await?;
            client.say(FOLLOW).await?;
            client.wait_for(b"\"subscribed\"").await?;
            (client, Some((connect(address).await?, identity)))
        } else {
            let path = format!("/socket.io/?EIO=4&transport=websocket&userId={}", user(person));
            let mut client = Client::open(address, &path, "").await?;
            client.wait_for(b"\"sid\"").await?;
            client.say("40").await?;
            client.wait_for(b"[\"ready\"]").await?;
            (client, None)
        };
        let (stream, rest) = client.into_parts();
        let (read, write) = stream.into_split();
        let write = Rc::new(Mutex::new(write));
        let mouth = match http {
            Some((http, identity)) => {
                let line = format!("POST /chat/api/rooms/{room}/messages HTTP/1.1\r\nHost: {address}\r\n");
                Mouth::Rest { http, head: format!("{line}{identity}Content-Type: application/json\r\n") }
            }
            None => Mouth::Socketio { write: write.clone(), room },
        };
        Ok(Self { person, read, rest, write, mouth })
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Mouth {
    async fn speak(mut self, mut words: mpsc::Receiver<u64>) -> Result<()> {
        while let Some(message) = words.recv().await {
            match &mut self {
                Self::Rest { http, head } => {
                    let body = format!(r#"{{"nonce":"message-{message}","body":"{message} {PAD}"}}"#);
                    let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
                    http.write_all(request.as_bytes()).await?;
                    answered(http).await?;
                }
                Self::Socketio { write, room } => {
                    let text = format!(r#"42["message",{{"room":"{room}","body":"{message} {PAD}"}}]"#);
                    write.lock().await.write_all(&client_frame(1, text.as_bytes())).await?;
                }
            }
        }
        Ok(())
    }
}

/// Reads an answer, which has to be that the message was made.
async fn answered(http: &mut TcpStream) -> Result<()> {
    const LENGTH: &[u8] = b"content-length: ";
    let mut answer = Vec::with_capacity(1024);
    loop {
        if let Some(end) = find(&answer, b"\r\n\r\n") {
            let length = find(&answer[..end], LENGTH).and_then(|at| number(&answer[at + LENGTH.len()..]));
            let length = length.context("an answer without its length")?;
            if answer.len() >= end + 4 + length as usize {
                let is_made = answer.starts_with(b"HTTP/1.1 201");
                ensure!(is_made, "the server refused: {}", String::from_utf8_lossy(&answer));
                return Ok(());
            }
        }
        ensure!(http.read_buf(&mut answer).await? > 0, "the server has closed the connection");
    }
}

/// How somebody hears.
struct Ear {
    person: usize,
    read: OwnedReadHalf,
    rest: Vec<u8>,
    write: Writing,
    buffer: Rc<RefCell<Vec<u8>>>,
    ledger: Rc<Ledger>,
}

impl Ear {
    async fn listen(mut self) -> Result<()> {
        loop {
            self.read.readable().await?;
            let answers = {
                let buffer = self.buffer.clone();
                let mut buffer = buffer.borrow_mut();
                match self.read.try_read(&mut buffer) {
                    Ok(0) => anyhow::bail!("the server has closed the connection"),
                    Ok(count) => self.take(&buffer[..count]),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
                    Err(error) => return Err(error.into()),
                }
            };
            for answer in answers {
                self.write.lock().await.write_all(&answer).await?;
            }
        }
    }

    /// Returns the answers to pings.
    fn take(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let now = Instant::now();
        self.rest.extend_from_slice(bytes);
        let mut answers = Vec::new();
        let used = parse(&self.rest, |frame| match frame {
            Frame::Text(b"2") => answers.push(client_frame(1, b"3")),
            Frame::Text(text) => self.ledger.hear(self.person, text, now),
            Frame::Ping => answers.push(client_frame(10, b"")),
        });
        self.rest.drain(..used);
        answers
    }
}
