//! The byte stream to a server, whatever carries it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_rustls::client;

use super::super::address::Vigilance;

/// Bytes to and from a server: plain or encrypted.
pub(crate) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    Tls {
        stream: Box<client::TlsStream<TcpStream>>,
        /// What binds a password exchange to this channel, where the certificate has such a thing.
        binding: Option<Vec<u8>>,
    },
}

/// Sends small messages at once, and notices a dead line.
pub(super) fn watch(stream: &TcpStream, vigilance: &Vigilance) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    if vigilance.keepalives {
        let keepalive = TcpKeepalive::new().with_time(vigilance.idle).with_interval(vigilance.interval);
        socket.set_tcp_keepalive(&keepalive.with_retries(vigilance.count))?;
    }
    #[cfg(target_os = "linux")]
    if !vigilance.user_timeout.is_zero() {
        socket.set_tcp_user_timeout(Some(vigilance.user_timeout))?;
    }
    Ok(())
}

impl Stream {
    pub(crate) fn binding(&self) -> Option<&[u8]> {
        match self {
            Self::Tls { binding, .. } => binding.as_deref(),
            _ => None,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buf),
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buf),
            Self::Tls { stream, .. } => Pin::new(stream).poll_read(context, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls { stream, .. } => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls { stream, .. } => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls { stream, .. } => Pin::new(stream).poll_shutdown(context),
        }
    }
}

impl TlsStream for Stream {
    fn channel_binding(&self) -> ChannelBinding {
        self.binding().map_or_else(ChannelBinding::none, |bytes| ChannelBinding::tls_server_end_point(bytes.to_vec()))
    }
}

/// Tells tokio-postgres that nothing is left to be done for TLS.
pub(super) struct Ready;

impl TlsConnect<Stream> for Ready {
    type Stream = Stream;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Stream>>;

    fn connect(self, stream: Stream) -> Self::Future {
        std::future::ready(Ok(stream))
    }
}
