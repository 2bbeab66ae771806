//! Many clients in one thread, as cheap as can be: one epoll, one buffer, no allocation for a delivery.

mod client;
mod heard;
mod http;
mod target;
pub(crate) mod websocket;

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use client::{Client, ComeBack};
pub(crate) use heard::{Heard, now_us};
pub(crate) use target::{Protocol, Target};

/// Connections that are being opened at the same time.
const OPENING: usize = 512;
/// Nothing happens for so long: the server does not answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is read at once.
const BUFFER: usize = 256 << 10;

/// Clients that are connected and subscribed.
pub(crate) struct Crowd {
    poll: Poll,
    events: Events,
    target: Arc<Target>,
    clients: Vec<Option<Connected>>,
    /// How many of them are subscribed.
    live: usize,
    /// How many the server sent away, and what it said to the first.
    lost: usize,
    complaint: Option<String>,
    /// Those that were told to come back, and when that is.
    later: Vec<(Instant, usize)>,
    /// How often that was said.
    put_off: usize,
    buffer: Vec<u8>,
    pub(crate) heard: Heard,
}

struct Connected {
    stream: TcpStream,
    client: Client,
}

impl Crowd {
    /// Connects so many clients, and returns once each of them is subscribed.
    pub(crate) fn gather(target: &Target, count: usize) -> Result<Self> {
        let mut crowd = Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            target: Arc::new(target.clone()),
            clients: Vec::with_capacity(count),
            live: 0,
            lost: 0,
            complaint: None,
            later: Vec::new(),
            put_off: 0,
            buffer: vec![0; BUFFER],
            heard: Heard::default(),
        };
        crowd.more(count)?;
        Ok(crowd)
    }

    /// Connects so many more.
    pub(crate) fn more(&mut self, count: usize) -> Result<()> {
        let wanted = self.clients.len() + count;
        let mut last = (self.live, Instant::now());
        while self.live < wanted {
            while self.clients.len() < wanted && self.clients.len() < self.live + self.later.len() + OPENING {
                self.clients.push(None);
                self.connect(self.clients.len() - 1)?;
            }
            let now = Instant::now();
            for at in self.later.extract_if(.., |(due, _)| *due <= now).map(|(_, at)| at).collect::<Vec<_>>() {
                self.connect(at)?;
            }
            self.turn(Duration::from_millis(if self.later.is_empty() { 100 } else { 5 }))?;
            if self.lost > 0 {
                bail!("client {} of {wanted}: {}", self.live + 1, self.complaint.as_deref().unwrap_or("closed"));
            }
            if self.live > last.0 || !self.later.is_empty() {
                last = (self.live, Instant::now());
            } else if last.1.elapsed() > PATIENCE {
                bail!("{} of {wanted} clients are subscribed, and the server says no more", self.live);
            }
        }
        Ok(())
    }

    fn connect(&mut self, at: usize) -> Result<()> {
        let mut stream = TcpStream::connect(self.target.address).context("cannot connect")?;
        stream.set_nodelay(true)?;
        self.poll.registry().register(&mut stream, Token(at), Interest::READABLE | Interest::WRITABLE)?;
        self.clients[at] = Some(Connected { stream, client: Client::new(&self.target) });
        Ok(())
    }

    /// How many are connected.
    pub(crate) fn len(&self) -> usize {
        self.clients.len() - self.lost
    }

    /// How many the server sent away.
    pub(crate) fn lost(&self) -> usize {
        self.lost
    }

    /// How often it said that a client should come back later.
    pub(crate) fn put_off(&self) -> usize {
        self.put_off
    }

    /// What it said to the first of them.
    pub(crate) fn complaint(&self) -> Option<&str> {
        self.complaint.as_deref()
    }

    /// Waits for something to read, at most so long, and reads it.
    pub(crate) fn turn(&mut self, at_most: Duration) -> Result<()> {
        match self.poll.poll(&mut self.events, Some(at_most)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        for event in &self.events {
            let Some(connected) = self.clients.get_mut(event.token().0).and_then(Option::as_mut) else { continue };
            let before = connected.client.live;
            if let Err(error) = connected.serve(&mut self.buffer, &mut self.heard) {
                self.clients[event.token().0] = None;
                if let Some(ComeBack(after)) = error.downcast_ref::<ComeBack>().filter(|_| !before) {
                    self.later.push((Instant::now() + *after, event.token().0));
                    self.put_off += 1;
                    continue;
                }
                self.lost += 1;
                self.live -= usize::from(before);
                self.complaint.get_or_insert_with(|| format!("{error:#}"));
            } else {
                self.live += usize::from(connected.client.live && !before);
            }
        }
        Ok(())
    }
}

impl Connected {
    fn serve(&mut self, buffer: &mut [u8], heard: &mut Heard) -> Result<()> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(count) => {
                    heard.bytes += count as u64;
                    self.client.take(&buffer[..count], now_us(), heard)?;
                    // Less than there was room for: it was all, and the next bytes make an event of their own.
                    if count < buffer.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        while !self.client.out.is_empty() {
            match self.stream.write(&self.client.out) {
                Ok(count) => {
                    self.client.out.drain(..count);
                    self.client.out.shrink_to_fit();
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
