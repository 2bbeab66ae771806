//! A cable between a client and a server, to be cut or to go silent.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What becomes of bytes on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// They arrive.
    Whole,
    /// They are lost, and nobody says so: a firewall that forgot the connection.
    Silent,
    /// Connections are closed, and new ones refused.
    Cut,
}

/// Forwards connections to a port of this machine.
#[derive(Debug)]
pub struct Cable {
    port: u16,
    state: Arc<watch::Sender<State>>,
}

impl Cable {
    /// A cable to `port` of 127.0.0.1.
    pub async fn to(port: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", crate::port::free_port()?)).await?;
        let state = Arc::new(watch::Sender::new(State::Whole));
        let own = listener.local_addr()?.port();
        tokio::spawn(accept(listener, SocketAddr::from(([127, 0, 0, 1], port)), state.clone()));
        Ok(Self { port: own, state })
    }

    /// The port of this end.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Closes every connection, and refuses new ones.
    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Loses everything on the connections that are open, for good, and on new ones until mended.
    pub fn silence(&self) {
        self.state.send_replace(State::Silent);
    }

    /// New connections get through. Those that were cut or went silent do not come back.
    pub fn mend(&self) {
        self.state.send_replace(State::Whole);
    }
}

async fn accept(listener: TcpListener, to: SocketAddr, state: Arc<watch::Sender<State>>) {
    while let Ok((near, _)) = listener.accept().await {
        if *state.borrow() != State::Cut {
            tokio::spawn(forward(near, to, state.subscribe()));
        }
    }
}

async fn forward(mut near: TcpStream, to: SocketAddr, mut state: watch::Receiver<State>) {
    let Ok(mut far) = TcpStream::connect(to).await else { return };
    let (mut up, mut down) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let change = async {
            // The sender lives as long as the listener.
            let _ = state.wait_for(|state| *state != State::Whole).await;
        };
        let moved = tokio::select! {
            biased;
            () = change => break,
            read = near.read(&mut up) => carry(read, &up, &mut far).await,
            read = far.read(&mut down) => carry(read, &down, &mut near).await,
        };
        if moved.is_err() {
            return;
        }
    }
    if *state.borrow() == State::Silent {
        // Both ends stay open, and hear nothing more.
        let _ = state.wait_for(|state| *state == State::Cut).await;
    }
}

async fn carry(read: std::io::Result<usize>, bytes: &[u8], to: &mut TcpStream) -> std::io::Result<()> {
    match read? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        count => to.write_all(&bytes[..count]).await,
    }
}
