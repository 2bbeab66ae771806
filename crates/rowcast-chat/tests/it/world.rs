//! A gateway with a chat on a fresh database of some kind.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use rowcast::auth::rules::Rules;
use rowcast::auth::{Algorithm, Auth, Issuer, Key, Settings as AuthSettings, Tokens, Trust};
use rowcast::gateway::{Database, Gateway, LogPlace, Proxies};
use rowcast::log::local::LogSettings;
use rowcast::mysql::{Address, MysqlSettings};
use rowcast::postgres::PostgresSettings;
use rowcast::source::sqlite::SqliteSettings;
use rowcast_chat::{Chat, FilesPlace, Settings};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What the chat is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
    Mysql,
}

/// All of them.
pub(crate) const KINDS: [Kind; 3] = [Kind::Sqlite, Kind::Postgres, Kind::Mysql];

pub(crate) const COOKIE: &str = "rowcast";
pub(crate) const SECRET: &[u8] = b"a secret of the chat's tests, which is long enough";

/// A chat that runs. It ends with this.
pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) base: Base,
    gateway: Gateway,
    serving: Serving,
}

/// A database, for gateways and for other programs, and a folder for what goes with it.
pub(crate) struct Base {
    folder: TempDir,
    server: Server,
}

enum Server {
    Sqlite,
    Postgres(servers::Database),
    Mysql(servers::MysqlDatabase),
}

/// What serves a gateway's routes.
struct Serving {
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

/// A chat that asks nobody for a code.
pub(crate) fn open() -> Settings {
    Settings { verify: false, ..Settings::default() }
}

impl Base {
    pub(crate) async fn new(kind: Kind) -> Self {
        let server = match kind {
            Kind::Sqlite => Server::Sqlite,
            Kind::Postgres => Server::Postgres(servers::Database::new().await.expect("a database")),
            Kind::Mysql => Server::Mysql(servers::MysqlDatabase::new().await.expect("a database")),
        };
        Self { folder: tempfile::tempdir().expect("a folder"), server }
    }

    fn database(&self) -> Database {
        match &self.server {
            Server::Sqlite => Database::sqlite("chat", self.folder.path().join("chat.db"), SqliteSettings::default()),
            Server::Postgres(base) => {
                let (slot, publication) = (base.name.clone(), base.name.clone());
                let settings = PostgresSettings { slot, publication, ..PostgresSettings::default() };
                Database::postgres("chat", base.url().parse().expect("an address"), settings)
            }
            Server::Mysql(base) => {
                Database::mysql("chat", Address::parse(&base.url()).expect("an address"), MysqlSettings::default())
            }
        }
    }

    /// Where files are kept, unless settings say otherwise.
    pub(crate) fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    /// Another program changes the database, as with psql.
    pub(crate) async fn run(&self, sql: &str) {
        match &self.server {
            Server::Sqlite => {
                let other = rusqlite::Connection::open(self.folder.path().join("chat.db")).expect("opened");
                other.busy_timeout(Duration::from_secs(10)).expect("set");
                other.execute_batch(sql).expect(sql);
            }
            Server::Postgres(base) => base.run(sql).await,
            Server::Mysql(base) => base.run(sql).await,
        }
    }
}

impl World {
    /// On SQLite, and asking nobody for a code.
    pub(crate) async fn new() -> Self {
        Self::start(Kind::Sqlite, open()).await
    }

    pub(crate) async fn start(kind: Kind, settings: Settings) -> Self {
        Self::on(Base::new(kind).await, settings).await
    }

    /// On a database that may have been another one's before.
    pub(crate) async fn on(base: Base, settings: Settings) -> Self {
        let files = FilesPlace::Folder(base.files());
        Self::with(base, Settings { files, ..settings }, LogPlace::Memory).await
    }

    /// With its files where the settings say, and a log that may be kept.
    pub(crate) async fn with(base: Base, settings: Settings, log: LogPlace) -> Self {
        // One for the process; another test may have been faster.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let chat = Chat::new(settings).expect("a chat");
        let proxy = "127.0.0.1".parse().expect("a network");
        let builder = || Gateway::builder().proxies(Proxies::new([proxy])).auth(auth());
        let gateway = loop {
            match chat.prepare(builder().database(base.database()).log(log.clone())).start().await {
                Ok(gateway) => break gateway,
                // The last connection to the one before is just going.
                Err(error) if error.to_string().contains("is open in another process") => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => panic!("{error}"),
            }
        };
        let router = gateway.router().merge(chat.routes(&gateway));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let served = axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>());
        let served = served.with_graceful_shutdown(async move { drop(stopped.await) });
        let serving = Serving { stop, served: tokio::spawn(async move { served.await.expect("served") }) };
        Self { address, base, gateway, serving }
    }

    /// A log that is kept beside the database.
    pub(crate) fn kept_log(base: &Base) -> LogPlace {
        LogPlace::Directory(base.folder.path().join("log"), LogSettings::default())
    }

    /// The same chat once more, as a second process has it: with the same database and files, and a memory of its own.
    pub(crate) fn twin(&self, settings: Settings) -> Router {
        let files = FilesPlace::Folder(self.base.files());
        Chat::new(Settings { files, ..settings }).expect("a chat").routes(&self.gateway)
    }

    /// Nobody is connected any more after this.
    pub(crate) async fn stop(self) -> Base {
        let Self { base, gateway, serving, .. } = self;
        let _ = serving.stop.send(());
        serving.served.await.expect("served");
        gateway.stop().await;
        base
    }

    /// Another program changes the database, as with psql.
    pub(crate) async fn run(&self, sql: &str) {
        self.base.run(sql).await;
    }
}

/// Makes tokens that the gateway trusts, as an identity provider does.
pub(crate) fn issuer() -> (Issuer, Key) {
    Issuer::secret(SECRET, None, &[Algorithm::Hs256]).expect("a key")
}

fn auth() -> Auth {
    let (issuer, key) = issuer();
    Auth {
        tokens: Tokens::new(Trust { keys: vec![key], ..Trust::default() }),
        rules: Rules::new(rowcast_chat::rules(), None, None).expect("rules"),
        issuer: Some(issuer),
        settings: AuthSettings { cookie: Some(COOKIE.into()), ..AuthSettings::default() },
        ..Auth::default()
    }
}
