//! A WebSocket client of `/v1/ws`.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error as WsError, Message as Frame};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::message::{Hello, Message};
use crate::server::{DEADLINE, Server};

/// What comes next on a connection.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
pub(crate) enum Heard {
    Message(Message),
    /// The connection has ended; with the code of the close frame, if there was one.
    Closed(Option<u16>),
}

/// One connection, greeted.
pub(crate) struct WebSocket {
    socket: WebSocketStream<TcpStream>,
    pub(crate) hello: Hello,
}

impl WebSocket {
    /// Connects; fails where the server is away or refuses.
    pub(crate) async fn open(server: &Server) -> Result<Self> {
        Self::open_with(server, None, &[]).await
    }

    /// Connects with a receive buffer of that size, and with more headers.
    pub(crate) async fn open_with(server: &Server, buffer: Option<u32>, headers: &[(&str, &str)]) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        let stream = socket.connect(([127, 0, 0, 1], server.port()).into()).await?;
        stream.set_nodelay(true)?;
        let mut request = format!("ws://127.0.0.1:{}/v1/ws", server.port()).into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(reqwest::header::HeaderName::try_from(*name)?, value.parse()?);
        }
        let connected = tokio::time::timeout(DEADLINE, client_async(request, stream)).await;
        let (socket, _) = connected.context("no answer to the handshake")??;
        Self::greeted(socket).await
    }

    async fn greeted(mut socket: WebSocketStream<TcpStream>) -> Result<Self> {
        let first = tokio::time::timeout(DEADLINE, hear(&mut socket)).await.context("no hello")??;
        match first {
            Heard::Message(Message::Hello(hello)) => {
                ensure!(hello.protocol == 1, "{hello:?}");
                Ok(Self { socket, hello })
            }
            other => bail!("the first message is not `hello` but {other:?}"),
        }
    }

    pub(crate) async fn say(&mut self, message: Value) -> Result<()> {
        self.send(Frame::text(message.to_string())).await
    }

    pub(crate) async fn send(&mut self, frame: Frame) -> Result<()> {
        Ok(tokio::time::timeout(DEADLINE, self.socket.send(frame)).await.context("the server does not read")??)
    }

    /// Waits for what comes next. Dropping the future loses nothing.
    pub(crate) async fn hear(&mut self) -> Result<Heard> {
        hear(&mut self.socket).await
    }

    /// The next message that is no `position`, which comes whenever it likes; an end is an error.
    pub(crate) async fn next(&mut self) -> Result<Message> {
        loop {
            let heard = tokio::time::timeout(DEADLINE, self.hear()).await.context("the server says nothing")??;
            match heard {
                Heard::Message(Message::Position(_)) => {}
                Heard::Message(message) => return Ok(message),
                Heard::Closed(code) => bail!("the connection ended with {code:?}"),
            }
        }
    }

    /// Hears that there is nothing more: whatever the server had to say before comes before the answer to a ping.
    pub(crate) async fn expect_nothing(&mut self) -> Result<()> {
        self.say(json!({"type": "ping", "ref": "nothing more"})).await?;
        match self.next().await? {
            Message::Pong(pong) if pong.reference.as_deref() == Some("nothing more") => Ok(()),
            other => bail!("something came after the last word: {other:?}"),
        }
    }

    /// Reads to the end and returns the last message and the close code.
    pub(crate) async fn read_to_end(&mut self) -> Result<(Option<Message>, Option<u16>)> {
        let mut last = None;
        loop {
            match tokio::time::timeout(DEADLINE, self.hear()).await.context("the connection does not end")?? {
                Heard::Message(message) => last = Some(message),
                Heard::Closed(code) => return Ok((last, code)),
            }
        }
    }
}

async fn hear(socket: &mut WebSocketStream<TcpStream>) -> Result<Heard> {
    loop {
        match socket.next().await {
            None => return Ok(Heard::Closed(None)),
            Some(Ok(Frame::Text(text))) => {
                let message = Message::read(&text)?;
                message.check()?;
                return Ok(Heard::Message(message));
            }
            Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => {}
            Some(Ok(Frame::Close(frame))) => {
                // Answers the close frame; the peer may be gone already.
                let _ = tokio::time::timeout(Duration::from_secs(1), socket.flush()).await;
                return Ok(Heard::Closed(frame.map(|frame| frame.code.into())));
            }
            Some(Ok(other)) => bail!("not a text frame: {other:?}"),
            Some(Err(WsError::Io(_) | WsError::Protocol(_) | WsError::ConnectionClosed)) => {
                return Ok(Heard::Closed(None));
            }
            Some(Err(error)) => return Err(error.into()),
        }
    }
}
