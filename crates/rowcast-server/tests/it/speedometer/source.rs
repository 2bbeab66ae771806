//! A stream whose bytes the test chooses.

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::server::DEADLINE;

/// A server of one stream.
pub(crate) struct Source(TcpListener);

impl Source {
    pub(crate) async fn new() -> Result<Self> {
        Ok(Self(TcpListener::bind("127.0.0.1:0").await?))
    }

    pub(crate) fn url(&self) -> Result<String> {
        Ok(format!("http://{}/stream", self.0.local_addr()?))
    }

    /// Waits for Rowcast, and has answered its request but for the body.
    pub(crate) async fn fetched(&self) -> Result<TcpStream> {
        let accepted = tokio::time::timeout(DEADLINE, self.0.accept()).await.context("nobody fetches")?;
        let (mut stream, _) = accepted?;
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await?);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await?;
        Ok(stream)
    }
}
