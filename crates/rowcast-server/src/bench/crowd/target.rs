//! Where clients connect, what they speak, and what they ask for.

use std::net::SocketAddr;

use clap::ValueEnum;

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// Rowcast's own, over WebSocket: /v1/ws
    Native,
    /// Server-Sent Events: /v1/stream
    Sse,
    /// Socket.IO 5 over a WebSocket of Engine.IO 4
    Socketio,
    /// Socket.IO 5 over long-polling
    Polling,
    /// A WebSocket that hears everything, such as those of npm's ws
    Ws,
}

impl Protocol {
    /// As on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Sse => "sse",
            Self::Socketio => "socketio",
            Self::Polling => "polling",
            Self::Ws => "ws",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Native => "/v1/ws",
            Self::Sse => "/v1/stream?channel=table:bench",
            Self::Socketio | Self::Polling => "/socket.io/",
            Self::Ws => "/",
        }
    }

    fn subscribe(self) -> Option<&'static str> {
        match self {
            Self::Native => Some(r#"{"type":"subscribe","id":"s","channel":"table:bench","snapshot":false}"#),
            // The event's name is the type.
            Self::Socketio | Self::Polling => Some(r#"{"id":"s","channel":"table:bench","snapshot":false}"#),
            // Its path says it; a client hears once the server has said that it is so.
            Self::Sse => Some(""),
            Self::Ws => None,
        }
    }
}

/// One server's door.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) protocol: Protocol,
    host: String,
    path: String,
    /// What is said to subscribe; `None`: nothing, and a client hears from the start.
    pub(crate) subscribe: Option<String>,
}

impl Target {
    /// The protocol's own path and subscription.
    pub(crate) fn new(address: SocketAddr, protocol: Protocol) -> Self {
        let (path, subscribe) = (protocol.path().to_owned(), protocol.subscribe().map(ToOwned::to_owned));
        Self { address, protocol, host: address.to_string(), path, subscribe }
    }

    /// Another path than the protocol's own.
    pub(crate) fn at(self, host: String, path: Option<String>) -> Self {
        Self { host, path: path.unwrap_or(self.path), ..self }
    }

    /// Another subscription than the table `bench`; an empty one: none.
    pub(crate) fn subscribing(self, text: Option<String>) -> Self {
        match text {
            Some(text) => Self { subscribe: (!text.is_empty()).then_some(text), ..self },
            None => self,
        }
    }

    /// The first request.
    pub(crate) fn request(&self) -> String {
        let Self { host, path, .. } = self;
        let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                       Sec-WebSocket-Version: 13\r\n";
        match self.protocol {
            Protocol::Native | Protocol::Ws => format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{upgrade}\r\n"),
            Protocol::Socketio => {
                format!("GET {path}{}EIO=4&transport=websocket HTTP/1.1\r\nHost: {host}\r\n{upgrade}\r\n", self.query())
            }
            Protocol::Sse => format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\r\n"),
            Protocol::Polling => {
                format!("GET {path}{}EIO=4&transport=polling HTTP/1.1\r\nHost: {host}\r\n\r\n", self.query())
            }
        }
    }

    /// Appends a poll, or the post of packets.
    pub(crate) fn poll(&self, out: &mut Vec<u8>, session: &str, post: &[u8]) {
        let Self { host, path, .. } = self;
        let method = if post.is_empty() { "GET" } else { "POST" };
        let line = format!("{method} {path}{}EIO=4&transport=polling&sid={session} HTTP/1.1", self.query());
        out.extend_from_slice(format!("{line}\r\nHost: {host}\r\n").as_bytes());
        if !post.is_empty() {
            let head = format!("Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {}\r\n", post.len());
            out.extend_from_slice(head.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(post);
    }

    fn query(&self) -> char {
        if self.path.contains('?') { '&' } else { '?' }
    }
}
