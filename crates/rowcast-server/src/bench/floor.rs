//! The floor: about the least that a server on TCP can do for each delivery.
//!
//! One thread, one epoll; a message is framed once and written to every socket; messages that came together are one
//! write. It checks nothing of its clients.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use anyhow::{Context, Result};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};

use super::crowd::websocket;

const LISTENER: Token = Token(0);
const CONTROL: Token = Token(1);
const FIRST: usize = 2;
/// A client that has so much to read still is let go.
const PENDING_MAX: usize = 64 << 20;
/// Its key is the one that the clients of this measurement send (RFC 6455, 1.3).
const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                           Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Serves until standard input ends.
pub(crate) fn run() -> Result<()> {
    // Whoever started it holds the other end.
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let (listener, control) = (TcpListener::bind(any)?, TcpListener::bind(any)?);
    println!("control {}\nlistening {}", control.local_addr()?, listener.local_addr()?);
    Floor { poll: Poll::new()?, listener, control, next: FIRST, clients: Vec::new(), controls: HashMap::new() }.serve()
}

struct Floor {
    poll: Poll,
    listener: TcpListener,
    control: TcpListener,
    /// Tokens of control connections and clients: clients' places in `clients` follow.
    next: usize,
    clients: Vec<Option<Client>>,
    controls: HashMap<Token, Control>,
}

struct Client {
    stream: TcpStream,
    live: bool,
    pending: Vec<u8>,
}

/// Lines of messages: before each batch a line with their number.
struct Control {
    stream: TcpStream,
    lines: Vec<u8>,
}

impl Floor {
    fn serve(mut self) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; 64 << 10];
        self.poll.registry().register(&mut self.listener, LISTENER, Interest::READABLE)?;
        self.poll.registry().register(&mut self.control, CONTROL, Interest::READABLE)?;
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    CONTROL => self.accept_control()?,
                    token if self.controls.contains_key(&token) => self.obey(token, &mut buffer)?,
                    token => {
                        let place = token.0 - FIRST;
                        let client = self.clients.get_mut(place).and_then(Option::as_mut);
                        if client.is_some_and(|client| client.serve(&mut buffer).is_err()) {
                            self.clients[place] = None;
                        }
                    }
                }
            }
        }
    }

    fn token(&mut self) -> Token {
        self.next += 1;
        Token(self.next - 1)
    }

    fn accept(&mut self) -> Result<()> {
        while let Some(mut stream) = accepted(&self.listener)? {
            stream.set_nodelay(true)?;
            let token = self.token();
            register(self.poll.registry(), &mut stream, token)?;
            self.clients.resize_with(token.0 - FIRST, || None);
            self.clients.push(Some(Client { stream, live: false, pending: Vec::new() }));
        }
        Ok(())
    }

    fn accept_control(&mut self) -> Result<()> {
        while let Some(mut stream) = accepted(&self.control)? {
            let token = self.token();
            register(self.poll.registry(), &mut stream, token)?;
            self.controls.insert(token, Control { stream, lines: Vec::new() });
        }
        Ok(())
    }

    fn obey(&mut self, token: Token, buffer: &mut [u8]) -> Result<()> {
        loop {
            let control = self.controls.get_mut(&token).context("a control connection")?;
            match control.stream.read(buffer) {
                Ok(0) => {
                    self.controls.remove(&token);
                    return Ok(());
                }
                Ok(count) => control.lines.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            let frames = control.frames();
            if !frames.is_empty() {
                for place in &mut self.clients {
                    if place.as_mut().is_some_and(|client| client.live && client.send(&frames).is_err()) {
                        *place = None;
                    }
                }
            }
        }
    }
}

impl Control {
    /// The whole batches that have come, framed.
    fn frames(&mut self) -> Vec<u8> {
        let (mut out, mut used) = (Vec::new(), 0);
        while let Some((frames, size)) = batch(&self.lines[used..]) {
            out.extend_from_slice(&frames);
            used += size;
        }
        self.lines.drain(..used);
        out
    }
}

fn batch(lines: &[u8]) -> Option<(Vec<u8>, usize)> {
    let line =
        |from: usize| memchr::memchr(b'\n', &lines[from..]).map(|end| (&lines[from..from + end], from + end + 1));
    let (count, mut used) = line(0)?;
    let count: usize = std::str::from_utf8(count).ok()?.parse().ok()?;
    let mut out = Vec::new();
    for _ in 0..count {
        let (text, after) = line(used)?;
        websocket::write_text(&mut out, text);
        used = after;
    }
    Some((out, used))
}

impl Client {
    fn serve(&mut self, buffer: &mut [u8]) -> Result<()> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => anyhow::bail!("gone"),
                Ok(_) if !self.live => {
                    self.live = true;
                    self.send(SWITCHING)?;
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        if self.pending.is_empty() {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        self.send(&pending)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        while self.pending.is_empty() && !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.pending.extend_from_slice(rest);
        anyhow::ensure!(self.pending.len() <= PENDING_MAX, "it does not read");
        Ok(())
    }
}

fn accepted(listener: &TcpListener) -> Result<Option<TcpStream>> {
    match listener.accept() {
        Ok((stream, _)) => Ok(Some(stream)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn register(registry: &Registry, stream: &mut TcpStream, token: Token) -> Result<()> {
    Ok(registry.register(stream, token, Interest::READABLE | Interest::WRITABLE)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_framed_when_it_is_whole() {
        let lines = b"2\none\ntwo\n1\nth";
        assert_eq!(batch(lines), Some((b"\x81\x03one\x81\x03two".to_vec(), 10)));
        assert_eq!(batch(&lines[10..]), None);
        assert_eq!(batch(b"2\none\ntw"), None);
    }
}
