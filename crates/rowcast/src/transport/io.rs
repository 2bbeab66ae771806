//! The connection below a client: a plain TCP stream where it is one, or whatever else carries HTTP. Writes many shared frames at once.

use std::future::poll_fn;
use std::io::{ErrorKind, IoSlice, Result};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::upgrade::downcast;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::hub::{Lane, advance};

/// Frames that go out with one call.
const SLICES_MAX: usize = 64;
/// Thrown away at once.
const DRAIN_BYTES: usize = 2 << 10;
/// Thrown away before others get their turn.
const DRAINS_MAX: u32 = 16;

#[derive(Debug)]
pub(crate) enum Io {
    /// The hub may write to it, too.
    Tcp(Arc<Lane>),
    /// TLS, or a server of the user's own.
    Other(Box<TokioIo<Upgraded>>),
}

impl From<TcpStream> for Io {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(Arc::new(Lane::new(stream)))
    }
}

impl Io {
    /// With the bytes that were read beyond the handshake.
    pub(crate) fn of(upgraded: Upgraded) -> (Self, Bytes) {
        match downcast::<TokioIo<TcpStream>>(upgraded) {
            Ok(parts) => (Self::from(parts.io.into_inner()), parts.read_buf),
            Err(upgraded) => (Self::Other(Box::new(TokioIo::new(upgraded))), Bytes::new()),
        }
    }

    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        match self {
            Self::Tcp(lane) => lane.poll_read(cx, into),
            Self::Other(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }

    /// What the hub may write to, where it is a plain TCP connection.
    pub(crate) fn lane(&self) -> Option<&Arc<Lane>> {
        match self {
            Self::Tcp(lane) => Some(lane),
            Self::Other(_) => None,
        }
    }

    /// Writes frames from the `done`th on, after what the hub has left half written. Ready when all are written; they are taken out then.
    pub(crate) fn poll_write_all(
        &mut self,
        cx: &mut Context<'_>,
        frames: &mut Vec<Bytes>,
        done: &mut usize,
    ) -> Poll<Result<()>> {
        if let Some(lane) = self.lane() {
            // There is none while a frame of ours is half written.
            let rest = lane.take_rest();
            if !rest.is_empty() {
                frames.splice(*done..*done, rest);
            }
        }
        while *done < frames.len() {
            let Poll::Ready(written) = self.poll_write_some(cx, &frames[*done..]) else {
                self.set_busy(true);
                return Poll::Pending;
            };
            match written? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                written => advance(frames, done, written),
            }
        }
        frames.clear();
        *done = 0;
        self.set_busy(false);
        self.poll_flush(cx)
    }

    fn set_busy(&self, busy: bool) {
        if let Some(lane) = self.lane() {
            lane.set_busy(busy);
        }
    }

    /// Writes all frames, however slowly they are taken, as long as some of them is within `stall`.
    ///
    /// To be awaited to its end: what is half written when the future is dropped cannot be continued.
    pub(crate) async fn write_all(&mut self, frames: &mut Vec<Bytes>, stall: Duration) -> Result<()> {
        let mut done = 0;
        // The usual case: the kernel takes all of it at once, and no timer is set.
        match poll_fn(|cx| Poll::Ready(self.poll_write_all(cx, frames, &mut done))).await {
            Poll::Ready(written) => written,
            // In a box: most connections never need the room.
            Poll::Pending => Box::pin(self.write_slowly(frames, done, stall)).await,
        }
    }

    async fn write_slowly(&mut self, frames: &mut Vec<Bytes>, mut done: usize, stall: Duration) -> Result<()> {
        loop {
            let before = left(frames, done);
            let writing = poll_fn(|cx| match self.poll_write_all(cx, frames, &mut done) {
                // Some of it is written: the client reads, if slowly.
                Poll::Pending if left(frames, done) != before => Poll::Ready(Ok(false)),
                Poll::Pending => Poll::Pending,
                Poll::Ready(written) => Poll::Ready(written.map(|()| true)),
            });
            match timeout(stall, writing).await {
                Ok(Ok(false)) => {}
                Ok(written) => return written.map(|_| ()),
                Err(_) => return Err(ErrorKind::TimedOut.into()),
            }
        }
    }

    fn poll_write_some(&mut self, cx: &mut Context<'_>, frames: &[Bytes]) -> Poll<Result<usize>> {
        let stream = match self {
            Self::Tcp(lane) => return lane.poll_write(cx, frames),
            Self::Other(stream) => Pin::new(stream),
        };
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = frames.len().min(SLICES_MAX);
        for (slice, frame) in slices.iter_mut().zip(frames) {
            *slice = IoSlice::new(frame);
        }
        stream.poll_write_vectored(cx, &slices[..count])
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self {
            // A TCP stream has nothing to flush.
            Self::Tcp(_) => Poll::Ready(Ok(())),
            Self::Other(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    /// Closes, and reads what the client still sends until it has closed, too: with unread bytes, a connection that is closed takes its last
    /// words with it.
    pub(crate) async fn shut(mut self, within: Duration) {
        let shutting = async {
            poll_fn(|cx| self.poll_shutdown(cx)).await?;
            poll_fn(|cx| self.poll_drain(cx)).await;
            Result::Ok(())
        };
        let _ = timeout(within, shutting).await;
    }

    /// Reads and throws away. Ready when the client has closed, or is gone.
    pub(crate) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut room = [std::mem::MaybeUninit::uninit(); DRAIN_BYTES];
        for _ in 0..DRAINS_MAX {
            let mut into = ReadBuf::uninit(&mut room);
            match ready!(self.poll_read(cx, &mut into)) {
                Ok(()) if !into.filled().is_empty() => {}
                _ => return Poll::Ready(()),
            }
        }
        // Others get their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self {
            Self::Tcp(lane) => Poll::Ready(SockRef::from(lane.stream()).shutdown(Shutdown::Write)),
            Self::Other(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// What of the frames is to be written: which is the first, and how much of it.
fn left(frames: &[Bytes], done: usize) -> (usize, usize) {
    (done, frames.get(done).map_or(0, Bytes::len))
}
