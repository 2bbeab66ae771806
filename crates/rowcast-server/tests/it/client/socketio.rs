//! A client of Socket.IO 5 over a WebSocket, in the root namespace.

use anyhow::{Context, Result, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::{Error as WsError, Message as Frame};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::message::Message;
use super::websocket::Heard;
use crate::server::{DEADLINE, Server};

/// One connection, with the root namespace's answer.
pub(crate) struct SocketIo(WebSocketStream<TcpStream>);

impl SocketIo {
    /// Connects; fails where the server is away or refuses.
    pub(crate) async fn open(server: &Server) -> Result<Self> {
        Self::open_with(server, None).await
    }

    /// Connects with a receive buffer of that size.
    pub(crate) async fn open_with(server: &Server, buffer: Option<u32>) -> Result<Self> {
        let connected = tokio::time::timeout(DEADLINE, Self::connect(server, buffer)).await;
        connected.context("no answer to the handshake")?
    }

    async fn connect(server: &Server, buffer: Option<u32>) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        let stream = socket.connect(([127, 0, 0, 1], server.port()).into()).await?;
        let url = format!("ws://127.0.0.1:{}/socket.io/?EIO=4&transport=websocket", server.port());
        let mut client = Self(client_async(url, stream).await?.0);
        let open = client.text().await?.context("no first packet")?;
        ensure!(open.starts_with("0{"), "the first packet is `{open}`");
        client.0.send(Frame::text("40")).await?;
        let answer = client.text().await?.context("no answer of the namespace")?;
        ensure!(answer.starts_with("40{"), "the namespace answers `{answer}`");
        Ok(client)
    }

    pub(crate) async fn emit(&mut self, event: &str, argument: Value) -> Result<()> {
        Ok(self.0.send(Frame::text(format!("42[\"{event}\",{argument}]"))).await?)
    }

    /// Leaves the namespace, as `disconnect` does.
    pub(crate) async fn close(mut self) {
        let _ = self.0.send(Frame::text("41")).await;
        let _ = self.0.close(None).await;
    }

    /// Waits for what comes next. Dropping the future loses nothing.
    pub(crate) async fn hear(&mut self) -> Result<Heard> {
        let Some(packet) = self.text().await? else { return Ok(Heard::Closed(None)) };
        let Some(json) = packet.strip_prefix("42") else { bail!("not an event: `{packet}`") };
        let mut arguments: Vec<Value> = serde_json::from_str(json)?;
        let [Value::String(name), Value::Object(message), offset @ ..] = &mut arguments[..] else {
            bail!("not an event with an object: `{packet}`");
        };
        ensure!(matches!(offset, [] | [Value::String(_)]), "more than a position follows: `{packet}`");
        message.insert("type".into(), Value::String(std::mem::take(name)));
        let message = Message::read(&Value::Object(std::mem::take(message)).to_string())?;
        message.check()?;
        Ok(Heard::Message(message))
    }

    /// The next packet that is no ping; `None` when the connection has ended.
    async fn text(&mut self) -> Result<Option<String>> {
        loop {
            match self.0.next().await {
                Some(Ok(Frame::Text(text))) if text == "2" => self.0.send(Frame::text("3")).await?,
                Some(Ok(Frame::Text(text))) if text == "1" || text == "41" => return Ok(None),
                Some(Ok(Frame::Text(text))) => return Ok(Some(text.to_string())),
                None | Some(Ok(Frame::Close(_))) => return Ok(None),
                Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => {}
                Some(Ok(other)) => bail!("not a text frame: {other:?}"),
                Some(Err(WsError::Io(_) | WsError::Protocol(_) | WsError::ConnectionClosed)) => return Ok(None),
                Some(Err(error)) => return Err(error.into()),
            }
        }
    }
}
