//! The connection below a client: a plain TCP stream where it is one, or whatever else carries HTTP. Writes many shared frames at once.

use std::future::poll_fn;
use std::io::{ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::upgrade::downcast;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Frames that go out with one call.
const SLICES_MAX: usize = 64;
/// Thrown away at once.
const DRAIN_BYTES: usize = 2 << 10;
/// Thrown away before others get their turn.
const DRAINS_MAX: u32 = 16;

#[derive(Debug)]
pub(crate) enum Io {
    Tcp(TcpStream),
    /// TLS, or a server of the user's own.
    Other(Box<TokioIo<Upgraded>>),
}

impl From<TcpStream> for Io {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl Io {
    /// With the bytes that were read beyond the handshake.
    pub(crate) fn of(upgraded: Upgraded) -> (Self, Bytes) {
        match downcast::<TokioIo<TcpStream>>(upgraded) {
            Ok(parts) => (Self::Tcp(parts.io.into_inner()), parts.read_buf),
            Err(upgraded) => (Self::Other(Box::new(TokioIo::new(upgraded))), Bytes::new()),
        }
    }

    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Other(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }

    /// Writes frames from the `done`th on. Ready when all are written; they are taken out then.
    pub(crate) fn poll_write_all(
        &mut self,
        cx: &mut Context<'_>,
        frames: &mut Vec<Bytes>,
        done: &mut usize,
    ) -> Poll<Result<()>> {
        loop {
            let written = match &frames[*done..] {
                [] => break,
                [one] => ready!(self.poll_write(cx, one))?,
                many => {
                    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                    let count = many.len().min(SLICES_MAX);
                    for (slice, frame) in slices.iter_mut().zip(many) {
                        *slice = IoSlice::new(frame);
                    }
                    ready!(self.poll_write_vectored(cx, &slices[..count]))?
                }
            };
            if written == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            advance(frames, done, written);
        }
        frames.clear();
        *done = 0;
        self.poll_flush(cx)
    }

    /// Writes all frames, however slowly they are taken, as long as some of them is within `stall`.
    ///
    /// To be awaited to its end: what is half written when the future is dropped cannot be continued.
    pub(crate) async fn write_all(&mut self, frames: &mut Vec<Bytes>, stall: Duration) -> Result<()> {
        let mut done = 0;
        // The usual case: the kernel takes all of it at once, and no timer is set.
        if let Poll::Ready(written) = poll_fn(|cx| Poll::Ready(self.poll_write_all(cx, frames, &mut done))).await {
            return written;
        }
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

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Other(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<Result<usize>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Other(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
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
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Other(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// What of the frames is to be written: which is the first, and how much of it.
fn left(frames: &[Bytes], done: usize) -> (usize, usize) {
    (done, frames.get(done).map_or(0, Bytes::len))
}

fn advance(frames: &mut [Bytes], done: &mut usize, mut written: usize) {
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
