//! One client: what it says until it is subscribed, and how it reads deliveries.
//!
//! Knows bytes in and bytes out. Leaves the socket to `crowd`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use memchr::memmem;

use super::heard::Heard;
use super::http::{self, Body, Head};
use super::websocket::{self, Frame};
use super::{Protocol, Target};

/// Which answer of a polling server is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    Packets,
    Ok,
}

/// The server has too much to do, and wants to be asked again after so long.
#[derive(Debug, thiserror::Error)]
#[error("the server wants to be asked again in {0:?}")]
pub(crate) struct ComeBack(pub(crate) Duration);

/// One client's conversation.
pub(crate) struct Client {
    target: Arc<Target>,
    /// Frame, event or answer whose end is still to come.
    rest: Vec<u8>,
    /// What is to be sent.
    pub(crate) out: Vec<u8>,
    /// Whether it will hear every delivery from now on.
    pub(crate) live: bool,
    /// How a stream's body is framed, once its head was read.
    stream: Option<Body>,
    /// An event in several chunks.
    event: Vec<u8>,
    /// Polling: the session, what to post next, and what is awaited.
    session: String,
    post: Vec<u8>,
    awaited: Awaited,
}

impl Client {
    /// A client that has its first request ready.
    pub(crate) fn new(target: &Arc<Target>) -> Self {
        let mut client = Self {
            target: Arc::clone(target),
            rest: Vec::new(),
            out: Vec::new(),
            live: false,
            stream: None,
            event: Vec::new(),
            session: String::new(),
            post: Vec::new(),
            awaited: Awaited::Packets,
        };
        client.out.extend_from_slice(client.target.request().as_bytes());
        client
    }

    /// Reads what has come.
    pub(crate) fn take(&mut self, bytes: &[u8], now: u64, heard: &mut Heard) -> Result<()> {
        if self.rest.is_empty() {
            let used = self.parse(bytes, now, heard)?;
            self.rest.extend_from_slice(&bytes[used..]);
            return Ok(());
        }
        let mut rest = std::mem::take(&mut self.rest);
        rest.extend_from_slice(bytes);
        let used = self.parse(&rest, now, heard)?;
        rest.drain(..used);
        // Thousands of clients keep no buffer that they do not need.
        self.rest = if rest.is_empty() { Vec::new() } else { rest };
        Ok(())
    }

    fn parse(&mut self, bytes: &[u8], now: u64, heard: &mut Heard) -> Result<usize> {
        if self.target.protocol == Protocol::Polling {
            return self.answers(bytes, now, heard);
        }
        let mut used = 0;
        if self.stream.is_none() {
            let Some(head) = http::head(bytes)? else { return Ok(0) };
            let wanted = if self.target.protocol == Protocol::Sse { 200 } else { 101 };
            accepted(&head, wanted, bytes)?;
            self.stream = Some(head.body);
            used = head.size;
            self.opened();
        }
        Ok(used
            + match self.target.protocol {
                Protocol::Sse => self.stream(&bytes[used..], now, heard)?,
                _ => self.frames(&bytes[used..], now, heard)?,
            })
    }

    /// After the head.
    fn opened(&mut self) {
        let target = Arc::clone(&self.target);
        if let (Protocol::Native | Protocol::Ws, Some(text)) = (target.protocol, &target.subscribe) {
            self.say(text.as_bytes());
        }
        self.live = match target.protocol {
            Protocol::Ws => true,
            Protocol::Native | Protocol::Sse => target.subscribe.is_none(),
            Protocol::Socketio | Protocol::Polling => false,
        };
    }

    fn say(&mut self, text: &[u8]) {
        match self.target.protocol {
            Protocol::Polling => {
                if !self.post.is_empty() {
                    self.post.push(0x1e);
                }
                self.post.extend_from_slice(text);
            }
            _ => websocket::write(&mut self.out, 1, text),
        }
    }

    fn frames(&mut self, bytes: &[u8], now: u64, heard: &mut Heard) -> Result<usize> {
        let mut used = 0;
        while let Some((frame, size)) = websocket::frame(&bytes[used..]) {
            used += size;
            match frame {
                Frame::Text(text) => self.text(text, now, heard)?,
                Frame::Ping(payload) => websocket::write(&mut self.out, 10, payload),
                Frame::Close(code) => bail!("the server closed with {code}"),
                Frame::Other => {}
            }
        }
        Ok(used)
    }

    /// A message, or a packet of Engine.IO.
    fn text(&mut self, text: &[u8], now: u64, heard: &mut Heard) -> Result<()> {
        if heard.message(text, now) {
            return Ok(());
        }
        match self.target.protocol {
            Protocol::Socketio | Protocol::Polling => self.packet(text),
            Protocol::Native | Protocol::Sse => {
                let is = |word: &[u8]| memmem::find(text, word).is_some();
                ensure!(self.live || !is(b"\"type\":\"error\""), "the server refused: {}", said(text));
                self.live |= is(b"\"subscribed\"");
                Ok(())
            }
            Protocol::Ws => Ok(()),
        }
    }

    fn packet(&mut self, text: &[u8]) -> Result<()> {
        match text {
            [b'0', ..] => {
                self.session = session(text).unwrap_or_default();
                self.say(b"40");
            }
            [b'2', ..] => self.say(b"3"),
            [b'4', b'0', ..] => match self.target.subscribe.clone() {
                Some(what) => self.say(format!("420[\"subscribe\",{what}]").as_bytes()),
                None => self.live = true,
            },
            [b'4', b'3', ..] => {
                ensure!(memmem::find(text, b"\"error\"").is_none(), "the server refused: {}", said(text));
                self.live = true;
            }
            [b'1', ..] | [b'4', b'1' | b'4', ..] => bail!("the server closed: {}", said(text)),
            _ => {}
        }
        Ok(())
    }

    fn stream(&mut self, bytes: &[u8], now: u64, heard: &mut Heard) -> Result<usize> {
        if self.stream != Some(Body::Chunked) {
            self.events(bytes, now, heard)?;
            return Ok(bytes.len());
        }
        let mut used = 0;
        while let Some((data, size)) = http::chunk(&bytes[used..])? {
            ensure!(!data.is_empty(), "the server ended the stream");
            self.events(data, now, heard)?;
            used += size;
        }
        Ok(used)
    }

    fn events(&mut self, data: &[u8], now: u64, heard: &mut Heard) -> Result<()> {
        let mut earlier = std::mem::take(&mut self.event);
        let all = if earlier.is_empty() {
            data
        } else {
            earlier.extend_from_slice(data);
            &earlier
        };
        let mut start = 0;
        while let Some(end) = memmem::find(&all[start..], b"\n\n") {
            self.text(&all[start..start + end], now, heard)?;
            start += end + 2;
        }
        self.event = all[start..].to_vec();
        Ok(())
    }

    fn answers(&mut self, bytes: &[u8], now: u64, heard: &mut Heard) -> Result<usize> {
        let mut used = 0;
        while let Some(head) = http::head(&bytes[used..])? {
            let Some((body, size)) = http::body(&head, &bytes[used..])? else { break };
            accepted(&head, 200, &bytes[used..])?;
            used += size;
            if self.awaited == Awaited::Packets {
                for packet in body.split(|byte| *byte == 0x1e) {
                    self.text(packet, now, heard)?;
                }
            }
            // One request at a time: what is to be said goes first, and then it is asked again.
            let post = std::mem::take(&mut self.post);
            self.awaited = if post.is_empty() { Awaited::Packets } else { Awaited::Ok };
            self.target.poll(&mut self.out, &self.session, &post);
        }
        Ok(used)
    }
}

fn accepted(head: &Head, wanted: u16, bytes: &[u8]) -> Result<()> {
    match (head.status, head.retry) {
        (429 | 503, Some(retry)) => Err(ComeBack(retry).into()),
        (status, _) => {
            ensure!(status == wanted, "the server refused: {}", said(bytes));
            Ok(())
        }
    }
}

/// `sid` of an open packet.
fn session(text: &[u8]) -> Option<String> {
    let open: serde_json::Value = serde_json::from_slice(text.get(1..)?).ok()?;
    Some(open.get("sid")?.as_str()?.to_owned())
}

/// The beginning of what a server says, for people.
fn said(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
