//! Says what it hears, over WebSocket: on the connections that `rowcast serve` has, for test suites such as Autobahn's.
//!
//! ```sh
//! cargo run --release -p websocket-echo -- --listen 127.0.0.1:9001
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rowcast::transport::Origins;
use rowcast::transport::plain::{Settings, WebSocket, route};
use tokio::net::{TcpListener, TcpStream};

/// A WebSocket server that says what it hears.
#[derive(Debug, Parser)]
struct Options {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// The path of the WebSocket.
    #[arg(long, default_value = "/")]
    path: String,
    /// How often a client is pinged, in ms.
    #[arg(long, default_value_t = 25_000)]
    ping_interval: u64,
    /// How long a client may be silent after a ping, in ms.
    #[arg(long, default_value_t = 20_000)]
    ping_timeout: u64,
    /// How long a client may take to ask for a WebSocket, in ms.
    #[arg(long, default_value_t = 45_000)]
    connect_timeout: u64,
    /// The largest message, in bytes.
    #[arg(long, default_value_t = 1_000_000)]
    max_payload: usize,
    /// How long a write may make no progress, in ms.
    #[arg(long, default_value_t = 30_000)]
    write_timeout: u64,
    /// Takes compressed messages (RFC 7692).
    #[arg(long)]
    deflate: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let settings = Settings {
        max_payload: options.max_payload,
        ping_interval: Duration::from_millis(options.ping_interval),
        ping_timeout: Duration::from_millis(options.ping_timeout),
        write_timeout: Duration::from_millis(options.write_timeout),
        deflate: options.deflate,
    };
    let router = route(&options.path, &settings, &Origins::Any, echo);

    let mut server = Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_millis(options.connect_timeout));
    let listener = TcpListener::bind(options.listen).await?;
    println!("listening on ws://{}{}", listener.local_addr()?, options.path);
    loop {
        let (stream, _): (TcpStream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (server, service) = (server.clone(), TowerToHyperService::new(router.clone()));
        tokio::spawn(async move {
            // A client that goes away in the middle of a request is no concern of ours.
            let _ = server.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
        });
    }
}

async fn echo(mut socket: WebSocket) {
    while let Some(message) = socket.next().await {
        if socket.send(&message).await.is_err() {
            return;
        }
    }
}
