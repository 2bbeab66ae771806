//! A gateway with a chat on a fresh database of some kind.

use std::net::SocketAddr;

use rowcast::auth::rules::Rules;
use rowcast::auth::{Algorithm, Auth, Issuer, Settings as AuthSettings, Tokens, Trust};
use rowcast::gateway::{Database, Gateway, LogPlace, Proxies};
use rowcast::mysql::{Address, MysqlSettings};
use rowcast::postgres::PostgresSettings;
use rowcast::source::sqlite::SqliteSettings;
use rowcast_chat::{Chat, FilesPlace, Settings};
use tempfile::TempDir;
use tokio::task::AbortHandle;

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
    /// Goes on for as long as it is there.
    _gateway: Gateway,
    pub(crate) folder: TempDir,
    base: Base,
    serving: AbortHandle,
}

/// The database, for other programs.
enum Base {
    Sqlite,
    Postgres(servers::Database),
    Mysql(servers::MysqlDatabase),
}

impl Drop for World {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A chat that asks nobody for a code.
pub(crate) fn open() -> Settings {
    Settings { verify: false, ..Settings::default() }
}

impl World {
    /// On SQLite, and asking nobody for a code.
    pub(crate) async fn new() -> Self {
        Self::start(Kind::Sqlite, open()).await
    }

    pub(crate) async fn start(kind: Kind, settings: Settings) -> Self {
        Self::start_in(kind, settings, None).await
    }

    /// With its files where the settings say.
    pub(crate) async fn start_with(kind: Kind, settings: Settings) -> Self {
        let files = settings.files.clone();
        Self::start_in(kind, settings, Some(files)).await
    }

    async fn start_in(kind: Kind, settings: Settings, files: Option<FilesPlace>) -> Self {
        // One for the process; another test may have been faster.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a folder");
        let (base, database) = match kind {
            Kind::Sqlite => {
                let path = folder.path().join("chat.db");
                (Base::Sqlite, Database::sqlite("chat", path, SqliteSettings::default()))
            }
            Kind::Postgres => {
                let base = servers::Database::new().await.expect("a database");
                let (slot, publication) = (base.name.clone(), base.name.clone());
                let settings = PostgresSettings { slot, publication, ..PostgresSettings::default() };
                let address = base.url().parse().expect("an address");
                (Base::Postgres(base), Database::postgres("chat", address, settings))
            }
            Kind::Mysql => {
                let base = servers::MysqlDatabase::new().await.expect("a database");
                let address = Address::parse(&base.url()).expect("an address");
                (Base::Mysql(base), Database::mysql("chat", address, MysqlSettings::default()))
            }
        };
        let files = files.unwrap_or_else(|| FilesPlace::Folder(folder.path().join("files")));
        let chat = Chat::new(Settings { files, ..settings }).expect("a chat");
        let builder = Gateway::builder().database(database).log(LogPlace::Memory).auth(auth());
        let proxy = "127.0.0.1".parse().expect("a network");
        let builder = builder.proxies(Proxies::new([proxy]));
        let gateway = chat.prepare(builder).start().await.expect("started");
        let router = gateway.router().merge(chat.routes(&gateway));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let served = axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>());
        let serving = tokio::spawn(async move { served.await.expect("served") }).abort_handle();
        Self { address, _gateway: gateway, folder, base, serving }
    }

    /// Another program changes the database, as with psql.
    pub(crate) async fn run(&self, sql: &str) {
        match &self.base {
            Base::Sqlite => {
                let other = rusqlite::Connection::open(self.folder.path().join("chat.db")).expect("opened");
                other.busy_timeout(std::time::Duration::from_secs(10)).expect("set");
                other.execute_batch(sql).expect(sql);
            }
            Base::Postgres(base) => base.run(sql).await,
            Base::Mysql(base) => base.run(sql).await,
        }
    }
}

pub(crate) fn auth() -> Auth {
    let (issuer, key) = Issuer::secret(SECRET, None, &[Algorithm::Hs256]).expect("a key");
    Auth {
        tokens: Tokens::new(Trust { keys: vec![key], ..Trust::default() }),
        rules: Rules::new(rowcast_chat::rules(), None, None).expect("rules"),
        issuer: Some(issuer),
        settings: AuthSettings { cookie: Some(COOKIE.into()), ..AuthSettings::default() },
        ..Auth::default()
    }
}
