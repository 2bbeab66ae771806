//! A node over the NOTIFY channels of a fresh database, mounted into a program of axum's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::StatusCode;
use axum::routing::get;
use futures_util::{SinkExt, StreamExt};
use rowcast::auth::Auth;
use rowcast::event::{Place, Table, TableName};
use rowcast::filter::Dialect;
use rowcast::gateway::{Limits, Origins};
use rowcast::hub::Hub;
use rowcast::log::memory::MemoryLog;
use rowcast::log::{Log, Retention};
use rowcast::postgres::NotifySettings;
use rowcast::session::Node;
use rowcast::source::Source;
use rowcast::source::notify::NotifySource;
use rowcast::store::{History, Insert, Inserted, Select, SeriesQuery, Snapshot, Store, StoreError};
use rowcast::transport::{Door, Doors, DropIns, router};
use servers::Database;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;

pub(super) struct World {
    pub(super) database: Database,
    pub(super) node: Arc<Node>,
    address: SocketAddr,
    stop: CancellationToken,
    tasks: Vec<AbortHandle>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl World {
    pub(super) async fn new(drop_ins: DropIns, allow: &[&str]) -> Self {
        Self::with(drop_ins, allow, None).await
    }

    /// The same where clients show tokens.
    pub(super) async fn with(drop_ins: DropIns, allow: &[&str], auth: Option<Auth>) -> Self {
        drop_ins.check().expect("drop-ins that can be served");
        let database = Database::new().await.expect("a database");
        let settings = NotifySettings {
            channels: drop_ins.channels().into_iter().collect(),
            allow: allow.iter().map(|pattern| (*pattern).to_owned()).collect(),
            probe_every: Duration::from_secs(1),
        };
        let address = database.url().parse().expect("an address");
        let (mut source, ears) = NotifySource::new("main:notify", address, settings, Duration::from_secs(4));
        let log: Arc<dyn Log> = Arc::new(MemoryLog::new(Retention::default()));
        source.start(None).await.expect("started");
        let pumped = log.clone();
        let pump = tokio::spawn(async move {
            while let Ok(batch) = source.next().await {
                pumped.append(batch).await.expect("appended");
            }
        });
        let (hub, stop) = (Hub::new(log.clone()), CancellationToken::new());
        tokio::spawn(hub.clone().run(stop.clone()));
        let no_tables =
            rowcast::session::Database { store: Arc::new(NoTables), source: "main".into(), ears: Some(ears) };
        let mut node = Node::new(hub, log, no_tables, Limits::default());
        node.auth = auth.map(Arc::new);
        let node = Arc::new(node);
        let doors = Doors {
            proxies: rowcast::gateway::Proxies::default(),
            influx: None,
            socketio: None,
            node: node.clone(),
            origins: Origins::SameHost,
            status: Arc::new(|| serde_json::Value::Null),
            drop_ins: Arc::new(drop_ins),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let app = axum::Router::new().route("/own", get(async || "the program's own")).merge(router(doors, &Door::ALL));
        let served = axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>());
        let serve = tokio::spawn(async move {
            served.await.expect("served");
        });
        Self { database, node, address, stop, tasks: vec![pump.abort_handle(), serve.abort_handle()] }
    }

    pub(super) async fn run(&self, sql: &str) {
        self.database.run(sql).await;
    }

    pub(super) fn authority(&self) -> String {
        self.address.to_string()
    }

    pub(super) async fn socket(&self, path: &str) -> Socket {
        self.socket_with(path, &[]).await.unwrap_or_else(|status| panic!("{path}: {status}"))
    }

    pub(super) async fn socket_at(&self, path: String) -> Socket {
        self.socket(&path).await
    }

    /// An open socket, or the answer that was given instead.
    pub(super) async fn socket_with(&self, path: &str, headers: &[(&'static str, &str)]) -> Result<Socket, StatusCode> {
        let mut request = format!("ws://{}{path}", self.address).into_client_request().expect("a request");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a value"));
        }
        match connect_async(request).await {
            Ok((socket, _)) => Ok(Socket(socket)),
            Err(Error::Http(response)) => Err(response.status()),
            Err(error) => panic!("{path}: {error}"),
        }
    }

    pub(super) async fn refusal(&self, path: &str, headers: &[(&'static str, &str)]) -> StatusCode {
        match self.socket_with(path, headers).await {
            Ok(_) => panic!("{path} was opened"),
            Err(status) => status,
        }
    }

    /// What the server answers to a plain request: head and body.
    pub(super) async fn get(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.address).await.expect("connected");
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        (head.to_owned(), body.to_owned())
    }
}

/// A plain WebSocket.
pub(super) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub(super) async fn text(&mut self) -> String {
        match self.next().await {
            Message::Text(text) => text.to_string(),
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.expect("sent");
    }

    /// The code that the server closes with.
    pub(super) async fn end(&mut self) -> u16 {
        loop {
            if let Message::Close(frame) = self.next().await {
                return frame.expect("a close frame with a code").code.into();
            }
        }
    }

    async fn next(&mut self) -> Message {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(20), self.0.next()).await;
            match next.expect("a frame in time").expect("an open socket").expect("a frame") {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }
}

/// Of the database, only NOTIFY is looked at here.
struct NoTables;

fn none<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("this test has no tables".into()))
}

#[async_trait]
impl Store for NoTables {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn tables(&self) -> Result<Vec<Arc<Table>>, StoreError> {
        none()
    }

    async fn table(&self, _name: &TableName) -> Result<Arc<Table>, StoreError> {
        none()
    }

    async fn snapshot(&self, _select: Select) -> Result<Snapshot, StoreError> {
        none()
    }

    fn reached(&self, _log: Option<&Place>, _snapshot: &Place) -> bool {
        false
    }

    async fn insert(&self, _insert: Insert) -> Result<Inserted, StoreError> {
        none()
    }

    async fn write(&self, _writes: Vec<rowcast::store::Write>) -> Result<rowcast::store::Written, StoreError> {
        none()
    }

    async fn series(&self, _query: SeriesQuery) -> Result<History, StoreError> {
        none()
    }

    async fn create(&self, _tables: &[rowcast::store::TableSpec]) -> Result<Vec<String>, StoreError> {
        none()
    }

    async fn add_columns(
        &self,
        _table: &TableName,
        _columns: &[rowcast::store::ColumnSpec],
    ) -> Result<Vec<String>, StoreError> {
        none()
    }

    async fn progress(&self, _source: &str) -> Result<Option<rowcast::store::Progress>, StoreError> {
        none()
    }

    async fn dead_letters(
        &self,
        _which: rowcast::store::DeadLetters,
    ) -> Result<Vec<rowcast::store::DeadLetter>, StoreError> {
        none()
    }

    async fn dead_letter_counts(&self) -> Result<Vec<(String, u64)>, StoreError> {
        none()
    }

    async fn bury(&self, _ids: &[u64]) -> Result<u64, StoreError> {
        none()
    }
}
