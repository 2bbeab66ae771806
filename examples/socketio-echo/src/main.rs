//! Says what it hears, over Socket.IO: what the official test suite of the protocol is run against.
//!
//! ```sh
//! cargo run --release -p socketio-echo -- --listen 127.0.0.1:3000 --ping-interval 300 --ping-timeout 200
//! ```
//!
//! In the namespaces `/` and `/custom`: a client is sent `auth` with what it has said of itself, `message` is answered by
//! `message-back`, and `message-with-ack` by an acknowledgement, each with the same arguments.

use std::net::SocketAddr;
use std::time::Duration;

use axum::serve::ListenerExt;
use clap::{Parser, ValueEnum};
use rowcast::protocol::engineio::Eio;
use rowcast::socketio::{Ack, Arguments, EngineSettings, Io, Settings, Socket};
use rowcast::transport::Origins;
use tokio::net::TcpListener;

/// The test suite waits for one message, and only then begins to wait for the next: of two that come at once, it misses the second.
const AUTH_DELAY: Duration = Duration::from_millis(20);

/// A Socket.IO server that says what it hears.
#[derive(Debug, Parser)]
struct Options {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// The path of Socket.IO.
    #[arg(long, default_value = "/socket.io/")]
    path: String,
    /// How often the server pings, in ms.
    #[arg(long, default_value_t = 25_000)]
    ping_interval: u64,
    /// How long an answer to a ping may take, in ms.
    #[arg(long, default_value_t = 20_000)]
    ping_timeout: u64,
    /// How long a client may take until it is in a namespace, in ms.
    #[arg(long, default_value_t = 45_000)]
    connect_timeout: u64,
    /// How long the change from polling to WebSocket may take, in ms.
    #[arg(long, default_value_t = 10_000)]
    upgrade_timeout: u64,
    /// The largest message, in bytes.
    #[arg(long, default_value_t = 1_000_000)]
    max_payload: usize,
    /// Transports that are served.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["polling", "websocket"])]
    transports: Vec<Transport>,
    /// Refuses clients of Engine.IO 3, which Socket.IO 1.x and 2.x speak.
    #[arg(long)]
    no_eio3: bool,
    /// For how many ms a connection that broke can be taken up again.
    #[arg(long)]
    recovery: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Transport {
    Polling,
    Websocket,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let settings = Settings {
        engine: EngineSettings {
            path: options.path.clone(),
            ping_interval: Duration::from_millis(options.ping_interval),
            ping_timeout: Duration::from_millis(options.ping_timeout),
            upgrade_timeout: Duration::from_millis(options.upgrade_timeout),
            max_payload: options.max_payload,
            polling: options.transports.contains(&Transport::Polling),
            websocket: options.transports.contains(&Transport::Websocket),
            eio3: !options.no_eio3,
            ..EngineSettings::default()
        },
        connect_timeout: Duration::from_millis(options.connect_timeout),
        recovery: options.recovery.map(Duration::from_millis),
        ..Settings::default()
    };
    settings.engine.check().and_then(|()| settings.check()).map_err(anyhow::Error::msg)?;
    let io = Io::new(settings);
    for name in ["/", "/custom"] {
        let namespace = io.namespace(name);
        namespace.on_connect(async |socket: Socket| {
            if socket.handshake().eio() == Eio::V4 {
                tokio::time::sleep(AUTH_DELAY).await;
            }
            let auth = socket.auth().unwrap_or_else(|| serde_json::json!({}));
            let _ = socket.emit("auth", &auth);
        });
        namespace.on_any(async |socket: Socket, event: String, arguments: Arguments, ack: Ack| match event.as_str() {
            "message" => socket.emit_arguments("message-back", &arguments),
            "message-with-ack" => ack.send_arguments(&arguments),
            _ => {}
        });
    }

    let listener = TcpListener::bind(options.listen).await?;
    println!("listening on http://{}{}", listener.local_addr()?, options.path);
    let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
    let router = io.router_for(&Origins::Any, &Default::default());
    axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
