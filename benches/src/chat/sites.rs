//! The servers, each on a database of its own with people and rooms in it.
//!
//! People are made by SQL: a password's hash takes a thousand times as long as a message, and nobody logs in here. Their tokens are
//! signed with the server's secret, as a log-in would have it do.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, anyhow, ensure};
use axum::serve::ListenerExt;
use rowcast::auth::rules::Rules;
use rowcast::auth::{Algorithm, Auth, Issuer, Key, Settings as AuthSettings, Tokens, Trust};
use rowcast::gateway::{Database, Gateway, LogPlace};
use rowcast::postgres::PostgresSettings;
use rowcast_chat::{Chat, FilesPlace, Settings};
use serde_json::Map;
use servers::Postgres;
use tempfile::TempDir;

use super::Shape;
use crate::Scale;
use crate::process::Server;

pub(super) const COOKIE: &str = "rowcast";
const SECRET: &str = "a secret of more than thirty-two bytes, to measure with";
/// In a site's folder: where its database is.
const URL: &str = "url";
const SLOT: &str = "slot";

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Socketio,
    /// With a receipt of the sender's that is stored after each message.
    SocketioWithReceipt,
    Rowcast,
}

impl Side {
    pub(super) fn is_rowcast(self) -> bool {
        self == Self::Rowcast
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Socketio => "npm socket.io and pg",
            Self::SocketioWithReceipt => "the same, with a stored receipt",
            Self::Rowcast => "Rowcast",
        }
    }
}

/// A server with its people.
pub(super) struct Site {
    pub(super) side: Side,
    pub(super) shape: Shape,
    pub(super) server: Server,
    database: servers::Database,
    _folder: TempDir,
}

impl Site {
    pub(super) async fn start(scale: &Scale, side: Side, shape: Shape, postgres: &Postgres) -> Result<Self> {
        let (database, folder) = (postgres.database().await?, TempDir::new()?);
        std::fs::write(folder.path().join(URL), database.url())?;
        std::fs::write(folder.path().join(SLOT), &database.name)?;
        let server = match (side, &scale.binary) {
            (Side::Rowcast, None) => Server::start(&["chat", &folder.path().display().to_string()])?,
            (Side::Rowcast, Some(program)) => binary(program, folder.path(), &database)?,
            _ => {
                database.run(SCHEMA).await;
                database.run(&filling_peer(shape)).await;
                Server::announced(node(side, &database)?)?
            }
        };
        let site = Self { side, shape, server, database, _folder: folder };
        if side.is_rowcast() {
            site.wait_for_tables().await?;
            site.database.run(&filling(shape)).await;
        }
        Ok(site)
    }

    /// The binary listens before it has made its tables.
    async fn wait_for_tables(&self) -> Result<()> {
        let client = self.database.connect().await?;
        let deadline = Instant::now() + Duration::from_secs(30);
        let sql = "select to_regclass('chat_files') is not null";
        while !client.query_one(sql, &[]).await?.get::<_, bool>(0) {
            ensure!(Instant::now() < deadline, "the chat does not make its tables");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// How many messages are stored.
    pub(super) async fn stored(&self) -> Result<u64> {
        let table = if self.side.is_rowcast() { "chat_messages" } else { "messages" };
        let sql = format!("select count(*) from {table}");
        let count: i64 = self.database.connect().await?.query_one(&sql, &[]).await?.get(0);
        Ok(u64::try_from(count)?)
    }
}

pub(super) fn user(n: usize) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

pub(super) fn room(n: usize) -> String {
    format!("00000000-0000-4000-9000-{n:012}")
}

/// What somebody's cookie holds.
pub(super) fn token(person: usize) -> Result<String> {
    let claims = Map::from_iter([("sub".to_owned(), user(person).into())]);
    Ok(issuer()?.0.issue(claims, SystemTime::now())?)
}

fn issuer() -> Result<(Issuer, Key)> {
    Ok(Issuer::secret(SECRET.as_bytes(), None, &[Algorithm::Hs256])?)
}

/// What the process does: the library's gateway with the chat, behind axum's own server.
pub(crate) async fn serve(folder: &Path) -> Result<()> {
    let read = |name| std::fs::read_to_string(folder.join(name));
    let settings = PostgresSettings { slot: read(SLOT)?, publication: read(SLOT)?, ..PostgresSettings::default() };
    let chat = Chat::new(Settings { files: FilesPlace::Folder(folder.join("files")), ..Settings::default() })?;
    let (issuer, key) = issuer()?;
    let rules = Rules::new(rowcast_chat::rules(), None, None);
    let auth = Auth {
        tokens: Tokens::new(Trust { keys: vec![key], ..Trust::default() }),
        rules: rules.map_err(|errors| anyhow!("the chat's rules: {errors:?}"))?,
        issuer: Some(issuer),
        settings: AuthSettings { cookie: Some(COOKIE.into()), ..AuthSettings::default() },
        ..Auth::default()
    };
    let builder = Gateway::builder()
        .database(Database::postgres("app", read(URL)?.parse()?, settings))
        .log(LogPlace::Directory(folder.join("log"), Default::default()))
        .auth(auth);
    let gateway = chat.prepare(builder).start().await?;
    let app = gateway.router().merge(chat.routes(&gateway)).into_make_service_with_connect_info::<SocketAddr>();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening {}", listener.local_addr()?);
    axum::serve(listener.tap_io(|socket| _ = socket.set_nodelay(true)), app).await?;
    Ok(())
}

fn binary(program: &Path, folder: &Path, database: &servers::Database) -> Result<Server> {
    let (config, data) = (folder.join("rowcast.toml"), folder.join("data"));
    let (url, slot) = (database.url(), &database.name);
    let text = format!(
        "[database]\nurl = \"{url}\"\n[postgres]\nslot = \"{slot}\"\npublication = \"{slot}\"\n\
         [auth]\nsecret = \"{SECRET}\"\ncookie = \"{COOKIE}\"\n[chat]\nenabled = true\n"
    );
    std::fs::write(&config, text)?;
    let mut command = Command::new(program);
    command.arg("serve").arg("--config").arg(config).arg("--data").arg(data).args(["--log-level", "error"]);
    Server::listening(command)
}

fn peer() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/chat")
}

/// Installs the peer; false where there is no Node or no registry.
pub(super) fn install_peer() -> bool {
    let is_there = peer().join("node_modules/pg").is_dir();
    let mut install = Command::new("npm");
    install.args(["ci", "--no-audit", "--no-fund", "--silent"]).current_dir(peer());
    is_there || install.status().is_ok_and(|status| status.success())
}

fn node(side: Side, database: &servers::Database) -> Result<Command> {
    ensure!(!side.is_rowcast(), "Rowcast is no peer of itself");
    let mut command = Command::new("node");
    command.arg("server.js").arg(database.url()).args((side == Side::SocketioWithReceipt).then_some("receipt"));
    command.current_dir(peer()).env("NODE_ENV", "production");
    Ok(command)
}

/// The peer's tables, with the indexes that it needs.
const SCHEMA: &str = "
    create table members (room uuid, user_id uuid, primary key (room, user_id));
    create index on members (user_id);
    create table messages (id bigserial primary key, room uuid not null, sender uuid not null, body text not null,
        created_at timestamptz not null default now());
    create index on messages (room, id);
    create table receipts (room uuid, user_id uuid, delivered bigint not null default 0, primary key (room, user_id))";

/// Words of SQL for the `n`th user or room, as [`user`] and [`room`] call them.
fn sql_id(kind: char, n: &str) -> String {
    format!("('00000000-0000-4000-{kind}000-' || lpad(({n})::text, 12, '0'))")
}

fn filling_peer(shape: Shape) -> String {
    let Shape { people, size, .. } = shape;
    let (user, room) = (sql_id('8', "n"), sql_id('9', &format!("n / {size}")));
    let everybody = format!("select {room}::uuid, {user}::uuid from generate_series(0, {people} - 1) n");
    format!("insert into members {everybody}; insert into receipts (room, user_id) {everybody}; analyze")
}

fn filling(shape: Shape) -> String {
    let Shape { people, size, .. } = shape;
    let (user, of_room) = (sql_id('8', "n"), sql_id('9', &format!("n / {size}")));
    let (room, maker) = (sql_id('9', "n"), sql_id('8', &format!("n * {size}")));
    let (kind, role) = if size == 2 { ("direct", "member") } else { ("group", "admin") };
    let everybody = format!("from generate_series(0, {people} - 1) n");
    let rooms = format!("from generate_series(0, {people} / {size} - 1) n");
    let mut sql = format!(
        "insert into chat_accounts (user_id, email, password_hash, verified_at, link)
             select {user}, n || '@example.com', 'nobody logs in', now(), {user} {everybody};
         insert into chat_profiles (id, name) select {user}, 'Person ' || n {everybody};
         insert into chat_rooms (id, kind, name, created_by) select {room}, '{kind}', 'Room ' || n, {maker} {rooms};
         insert into chat_members (room, user_id, role, name) select {of_room}, {user}, '{role}', 'Person ' || n {everybody};
         insert into chat_receipts (room, user_id) select {of_room}, {user} {everybody};"
    );
    if size == 2 {
        let other = sql_id('8', "n # 1");
        sql += &format!(
            "insert into chat_contacts (owner, contact, state) select {user}, {other}, 'accepted' {everybody};"
        );
    }
    sql + "analyze"
}
