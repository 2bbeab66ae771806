//! A client's connection, as far as the hub writes to it by itself: while the client's own task has nothing to say.
//!
//! One of the two writes at a time. The task lends the connection when it goes to sleep and takes it back before it writes; what the hub
//! could not write to its end is left for the task. So a frame costs a system call, and no task is woken for it.

use std::io::{ErrorKind, IoSlice, Result};
use std::net::Shutdown;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use parking_lot::{Mutex, MutexGuard};
use socket2::SockRef;
use tokio::io::{Interest, ReadBuf};
use tokio::net::TcpStream;

/// Frames that go out with one call.
const SLICES_MAX: usize = 64;

/// A TCP connection.
#[derive(Debug)]
pub struct Lane {
    state: Mutex<State>,
    stream: TcpStream,
}

#[derive(Debug, Default)]
struct State {
    /// The hub may write.
    lent: bool,
    /// The task is in the midst of a frame.
    busy: bool,
    /// What the hub has begun to write.
    rest: Vec<Bytes>,
}

/// The right to write to a connection that was lent.
#[derive(Debug)]
pub(super) struct Lent<'l> {
    stream: &'l TcpStream,
    state: MutexGuard<'l, State>,
}

impl Lane {
    /// A connection that is not lent.
    pub fn new(stream: TcpStream) -> Self {
        Self { state: Mutex::default(), stream }
    }

    /// The connection.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Ends the connection under whoever reads or writes.
    pub fn cut(&self) {
        let _ = SockRef::from(&self.stream).shutdown(Shutdown::Both);
    }

    /// Lends the connection to the hub, unless something is half written.
    pub fn lend(&self) {
        let mut state = self.state.lock();
        state.lent = !state.busy && state.rest.is_empty();
    }

    /// Takes the connection back. What the hub has left comes before whatever is written next.
    pub fn take_back(&self) {
        self.state.lock().lent = false;
    }

    /// The same, with what the hub has left.
    pub fn take_rest(&self) -> Vec<Bytes> {
        let mut state = self.state.lock();
        state.lent = false;
        std::mem::take(&mut state.rest)
    }

    /// Whether the hub has left something to write.
    pub fn has_rest(&self) -> bool {
        !self.state.lock().rest.is_empty()
    }

    /// Says whether the task is in the midst of a frame.
    pub fn set_busy(&self, busy: bool) {
        self.state.lock().busy = busy;
    }

    /// Reads, as the task.
    pub fn poll_read(&self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            match self.stream.try_read_buf(into) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read.map(|_| ())),
            }
        }
    }

    /// Writes some of these, as the task.
    pub fn poll_write(&self, cx: &mut Context<'_>, frames: &[Bytes]) -> Poll<Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            let written = self.stream.try_io(Interest::WRITABLE, || send(&self.stream, frames));
            match written {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    /// The right to write, if the connection is lent. Waits for another who writes.
    pub(super) fn lent(&self) -> Option<Lent<'_>> {
        let state = self.state.lock();
        state.lent.then_some(Lent { stream: &self.stream, state })
    }
}

impl Lent<'_> {
    /// Writes these. Returns whether all of it is written; the task has to be woken otherwise, for the rest.
    pub(super) fn write(&mut self, mut frames: Vec<Bytes>) -> bool {
        let mut done = 0;
        while done < frames.len() {
            // An error is left for the task to find.
            let Ok(written @ 1..) = send(self.stream, &frames[done..]) else {
                frames.drain(..done);
                (self.state.rest, self.state.lent) = (frames, false);
                return false;
            };
            advance(&mut frames, &mut done, written);
        }
        true
    }

    /// The same for a single one, which takes no memory.
    pub(super) fn write_one(&mut self, mut frame: Bytes) -> bool {
        while !frame.is_empty() {
            let Ok(written @ 1..) = send(self.stream, std::slice::from_ref(&frame)) else {
                (self.state.rest, self.state.lent) = (vec![frame], false);
                return false;
            };
            frame.advance(written);
        }
        true
    }
}

/// Gives the kernel what it takes at once. Asks the connection itself, whose state with the runtime is in no cache.
fn send(stream: &TcpStream, frames: &[Bytes]) -> Result<usize> {
    let socket = SockRef::from(stream);
    match frames {
        [one] => socket.send(one),
        many => {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = many.len().min(SLICES_MAX);
            for (slice, frame) in slices.iter_mut().zip(many) {
                *slice = IoSlice::new(frame);
            }
            socket.send_vectored(&slices[..count])
        }
    }
}

/// Takes what is written off the frames from the `done`th on.
pub(crate) fn advance(frames: &mut [Bytes], done: &mut usize, mut written: usize) {
    while let Some(frame) = frames.get_mut(*done) {
        if written < frame.len() {
            frame.advance(written);
            return;
        }
        written -= frame.len();
        // Given back at once: a large one is shared by many.
        *frame = Bytes::new();
        *done += 1;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (Lane, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let there = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("a connection");
        let (here, _) = listener.accept().await.expect("a client");
        (Lane::new(here), there)
    }

    #[tokio::test]
    async fn only_what_is_lent_is_written_to() {
        let (lane, mut there) = pair().await;
        assert!(lane.lent().is_none());
        lane.lend();
        assert!(lane.lent().expect("lent").write(vec!["one ".into(), "two ".into()]));
        assert!(lane.lent().expect("lent").write_one("three".into()));
        lane.take_back();
        assert!(lane.lent().is_none());
        lane.set_busy(true);
        lane.lend();
        assert!(lane.lent().is_none(), "something is half written");
        let mut read = [0; 13];
        there.read_exact(&mut read).await.expect("bytes");
        assert_eq!(&read, b"one two three");
    }

    #[tokio::test]
    async fn what_the_client_does_not_take_is_left_for_the_task() {
        let (lane, mut there) = pair().await;
        lane.lend();
        let frames: Vec<Bytes> = (0..1000_u32).map(|n| vec![n as u8; 64 << 10].into()).collect();
        assert!(!lane.lent().expect("lent").write(frames));
        assert!(lane.lent().is_none(), "the task comes first");
        let rest = lane.take_rest();
        let left: usize = rest.iter().map(Bytes::len).sum();
        assert!(left > 0 && left < 1000 * (64 << 10));
        drop(lane);
        // What was written and what is left is all of it, in order.
        let mut got = Vec::new();
        there.read_to_end(&mut got).await.expect("bytes");
        got.extend(rest.concat());
        assert_eq!(got.len(), 1000 * (64 << 10));
        assert!(got.chunks(64 << 10).enumerate().all(|(n, chunk)| chunk.iter().all(|byte| *byte == n as u8)));
    }
}
