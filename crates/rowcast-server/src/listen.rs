//! Ports and connections: who gets in, for how long, and how they are let go.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Extensions, Request};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rowcast::transport::stream;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use rowcast::gateway::Listener;

use crate::config::{Listen, Listening, Offer};

/// Connections beyond the limit that are told so at the same time; further ones are closed without a word.
const REFUSED_AT_ONCE: usize = 64;

/// Seconds, at most, after which they are told to come back: not all at once.
const REFUSED_FOR: u32 = 10;

const REFUSAL: &str = r#"{"error":{"code":"too_many_connections","message":"the server has all it can take"}}"#;

/// What an HTTP/2 client says first.
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Ports that are ours, and on which nobody is let in yet.
#[derive(Debug)]
pub(crate) struct Bound(Vec<Port>);

/// One port.
#[derive(Debug)]
struct Port {
    socket: TcpListener,
    listener: Listener,
    offers: Vec<Offer>,
}

impl Bound {
    /// Takes every address, or says which one cannot be had and why.
    pub(crate) async fn bind(listen: &[Listening]) -> anyhow::Result<Self> {
        let mut bound = Vec::new();
        for one in listen {
            let address = &one.address;
            let resolved: Vec<SocketAddr> = tokio::net::lookup_host(address.to_string())
                .await
                .with_context(|| format!("cannot listen on {address}: the name has no address"))?
                .collect();
            for (socket, real) in bind_all(address, &resolved, one.backlog)? {
                let name = one.name.clone().unwrap_or_else(|| real.port().to_string());
                let listener = Listener { name: name.into(), address: real };
                bound.push(Port { socket, listener, offers: one.doors.clone() });
            }
        }
        Ok(Self(bound))
    }

    /// The real addresses: port 0 has become one.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().map(|port| port.listener.address)
    }
}

/// `localhost` has two addresses, of which a machine without IPv6 cannot bind one.
fn bind_all(address: &Listen, resolved: &[SocketAddr], backlog: u32) -> anyhow::Result<Vec<(TcpListener, SocketAddr)>> {
    let mut bound = Vec::new();
    let mut refused = None;
    for one in resolved {
        // A free port is taken once, not one for each address of the name.
        if one.port() == 0 && !bound.is_empty() {
            break;
        }
        match bind_one(*one, backlog) {
            Ok(listener) => {
                let real = listener.local_addr().context("a bound port has an address")?;
                bound.push((listener, real));
            }
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable && resolved.len() > 1 => refused = Some(error),
            Err(error) => bail!(reason(address, one.port(), &error)),
        }
    }
    match refused {
        Some(error) if bound.is_empty() => bail!(reason(address, 0, &error)),
        _ => Ok(bound),
    }
}

fn bind_one(address: SocketAddr, backlog: u32) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // What an earlier process has left behind on the port does not keep it from us.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}

fn reason(address: &Listen, port: u16, error: &std::io::Error) -> String {
    let why = match error.kind() {
        ErrorKind::AddrInUse => {
            format!("port {port} is taken by another program; stop it, or choose another port with --listen")
        }
        ErrorKind::PermissionDenied => "this user may not; ports below 1024 belong to root".into(),
        ErrorKind::AddrNotAvailable => "this machine has no such address".into(),
        _ => error.to_string(),
    };
    format!("cannot listen on {address}: {why}")
}

/// What a connection may cost before it has said anything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    /// Connections at the same time; WebSockets leave this count once they are open, and have their own limit.
    pub(crate) connections: usize,
    /// Until the first request's headers are there, and between requests.
    pub(crate) handshake: Duration,
}

/// Lets clients in until told to stop.
#[derive(Debug)]
pub(crate) struct Doorway {
    /// No more new ones.
    shut: CancellationToken,
    /// Those inside shall finish.
    closing: CancellationToken,
    /// Those inside are thrown out.
    cut: CancellationToken,
    inside: TaskTracker,
}

impl Doorway {
    /// Begins to let clients in. `router` has what a listener offers.
    pub(crate) fn open(bound: Bound, router: impl Fn(&[Offer]) -> Router, allowance: Allowance) -> Self {
        let doorway = Self {
            shut: CancellationToken::new(),
            closing: CancellationToken::new(),
            cut: CancellationToken::new(),
            inside: TaskTracker::new(),
        };
        let entrance = Arc::new(Entrance {
            protocol: protocol(allowance.handshake),
            handshake: allowance.handshake,
            seats: Arc::new(Semaphore::new(allowance.connections.min(Semaphore::MAX_PERMITS))),
            refusals: Arc::new(Semaphore::new(REFUSED_AT_ONCE)),
            closing: doorway.closing.clone(),
            cut: doorway.cut.clone(),
            inside: doorway.inside.clone(),
        });
        for Port { socket, listener, offers } in bound.0 {
            let accepting = Arc::clone(&entrance).accept(socket, Inside { router: router(&offers), listener });
            let shut = doorway.shut.clone();
            tokio::spawn(async move { shut.run_until_cancelled(accepting).await });
        }
        doorway
    }

    /// Lets no new client in; the ports are free again.
    pub(crate) fn shut(&self) {
        self.shut.cancel();
    }

    /// Waits until those inside have finished their requests, at most until `deadline`.
    pub(crate) async fn close(self, deadline: Instant) {
        self.shut();
        self.closing.cancel();
        self.inside.close();
        if tokio::time::timeout_at(deadline, self.inside.wait()).await.is_err() {
            tracing::warn!(connections = self.inside.len(), "connections are still open, and are cut");
            self.cut.cancel();
            self.inside.wait().await;
        }
    }
}

fn protocol(handshake: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(handshake).max_buf_size(64 << 10);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20))
        .max_concurrent_streams(256)
        .max_header_list_size(64 << 10);
    builder
}

/// What is behind one port.
#[derive(Clone)]
struct Inside {
    router: Router,
    listener: Listener,
}

struct Entrance {
    protocol: auto::Builder<TokioExecutor>,
    handshake: Duration,
    seats: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    closing: CancellationToken,
    cut: CancellationToken,
    inside: TaskTracker,
}

impl Entrance {
    async fn accept(self: Arc<Self>, socket: TcpListener, inside: Inside) {
        loop {
            match socket.accept().await {
                Ok((stream, peer)) => self.admit(stream, peer, &inside),
                // Of this one connection only: it went away before it was taken.
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
                Err(error) => {
                    tracing::warn!(%error, "no connection can be accepted; is `ulimit -Hn` too small?");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn admit(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, inside: &Inside) {
        // Small events must not wait for the one before to be acknowledged.
        let _ = stream.set_nodelay(true);
        match Arc::clone(&self.seats).try_acquire_owned() {
            Ok(seat) => {
                let (entrance, inside) = (Arc::clone(self), inside.clone());
                self.inside.spawn(async move {
                    // In a box, because what waits for the end as well has room for it twice.
                    let serving = Box::pin(entrance.serve(stream, peer, inside));
                    entrance.cut.run_until_cancelled(serving).await;
                    drop(seat);
                });
            }
            Err(_) => self.refuse(stream),
        }
    }

    fn refuse(&self, mut stream: TcpStream) {
        metrics::counter!("rowcast_connections_refused_total").increment(1);
        let Ok(permit) = Arc::clone(&self.refusals).try_acquire_owned() else { return };
        tokio::spawn(async move {
            let told = async {
                stream.write_all(refusal(rand::random_range(1..=REFUSED_FOR)).as_bytes()).await?;
                stream.shutdown().await?;
                // Closed with unread bytes the kernel would take the answer back.
                tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
            };
            let _ = timeout(Duration::from_secs(1), told).await;
            drop(permit);
        });
    }

    fn serve(&self, stream: TcpStream, peer: SocketAddr, inside: Inside) -> impl Future<Output = ()> + Send {
        let within = self.handshake;
        // A block, because an async fn has room twice for what it is given.
        async move {
            // hyper's own timeout begins once it knows the version; who never says it would stay for ever.
            let Ok(Ok(Some(first))) = Box::pin(timeout(within, first_bytes(&stream))).await else { return };
            let is_stream = stream::is_stream(&first);
            drop(first);
            // In boxes: the one is much larger than the other, and both stay for long.
            match is_stream {
                true => Box::pin(self.serve_stream(stream, peer, inside)).await,
                false => Box::pin(self.serve_http(stream, peer, inside)).await,
            }
        }
    }

    async fn serve_http(&self, stream: TcpStream, peer: SocketAddr, inside: Inside) {
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(inside.listener.clone());
            inside.router.clone().oneshot(request)
        });
        let connection = self.protocol.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "connection ended");
        }
    }

    /// An event stream, which needs no HTTP server once it has begun.
    fn serve_stream(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        inside: Inside,
    ) -> impl Future<Output = ()> + Send + use<> {
        let mut extensions = Extensions::new();
        extensions.insert(ConnectInfo(peer));
        extensions.insert(inside.listener);
        let serving = stream::serve(stream, inside.router, extensions, self.handshake);
        async move {
            if let Err(error) = serving.await {
                tracing::debug!(%peer, %error, "connection ended");
            }
        }
    }
}

fn refusal(retry_after: u32) -> String {
    let length = REFUSAL.len();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: {retry_after}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{REFUSAL}"
    )
}

/// Waits until the first bytes tell HTTP/1 from HTTP/2, without taking them; `None` when the client has gone.
async fn first_bytes(stream: &TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let mut said = [0; HTTP2_PREFACE.len()];
    loop {
        let length = stream.peek(&mut said).await?;
        if length == 0 {
            return Ok(None);
        }
        if length == said.len() || said[..length] != HTTP2_PREFACE[..length] {
            return Ok(Some(said[..length].to_vec()));
        }
        // Part of the HTTP/2 preface: `peek` would give the same at once.
        sleep(Duration::from_millis(5)).await;
    }
}
