//! Values into types, key by key; whatever is wrong is noted and the rest is read on.

pub(super) mod auth;
pub(super) mod chat;
mod event;
mod influx;
pub(super) mod ingest;
mod limits;
pub(super) mod listen;
pub(super) mod rule;
pub(super) mod socketio;
pub(super) mod table;

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use axum::http::HeaderValue;
use rowcast::gateway::{Network, Proxies};
use rowcast::mysql;
use rowcast::postgres::{Capture, Identity};
use rowcast::transport::dropin::{Audiences, DropIns, Eventserv, Pgws, PostgresWebsockets};
use toml_edit::Value;

use super::layers::{Layers, Setting};
use super::mistake::{Mistakes, Origin};
use super::units::{self, Unclear};
use super::{Config, Database, DatabaseUrl, Http, Limits, Log, Logging, Mysql, Postgres, Shutdown, Spool};

const HOUR: Duration = Duration::from_secs(3_600);

pub(super) fn read(layers: &Layers) -> Result<Config, Mistakes> {
    let mut r = Reader { layers, mistakes: layers.mistakes.clone() };
    let chat = r.chat();
    let mut config = Config {
        listen: r.listen(),
        data: r.text("data").into(),
        database: r.database(),
        postgres: r.postgres(),
        mysql: r.mysql(),
        drop_ins: r.drop_ins(),
        influx: r.influx(),
        socketio: r.socketio(),
        auth: r.auth(chat.is_some()),
        chat,
        log: r.log(),
        spool: r.spool(),
        limits: r.limits(),
        allowances: r.allowances(),
        http: r.http(),
        shutdown: Shutdown {
            close_per_second: r.number("shutdown.close_per_second", 1, 1_000_000) as u32,
            retry: r.duration("shutdown.retry", Duration::ZERO, HOUR),
            spread: match r.text("shutdown.spread") == "auto" {
                true => None,
                false => Some(r.duration("shutdown.spread", Duration::ZERO, HOUR)),
            },
            timeout: r.duration("shutdown.timeout", Duration::ZERO, HOUR),
        },
        logging: Logging { json: r.choice("logging.format", ["text", "json"]) == 1, level: r.level() },
        ingest: r.ingest(),
        events: r.events(),
        tables: r.tables(),
        rules: r.rules(),
    };
    let is_on = config.auth.is_some();
    r.check_rules(&config.rules, is_on);
    r.check_chat(&mut config);
    r.check(&config);
    if r.mistakes.0.is_empty() { Ok(config) } else { Err(r.mistakes.sorted()) }
}

fn none_if_zero(n: u64) -> Option<u64> {
    (n > 0).then_some(n)
}

struct Reader<'a> {
    layers: &'a Layers,
    mistakes: Mistakes,
}

impl<'a> Reader<'a> {
    fn database(&mut self) -> Database {
        let url = self.text("database.url");
        let second = Duration::from_secs(1);
        Database {
            url: if url.is_empty() { None } else { self.parsed("database.url", &url) },
            name: self.name("database.name"),
            include: self.list("database.include"),
            exclude: self.list("database.exclude"),
            create: self.yes("database.create"),
            switch_to_wal: self.yes("database.switch_to_wal"),
            poll_active: self.duration("database.poll_active", Duration::from_millis(1), second),
            poll_idle: self.duration("database.poll_idle", Duration::from_millis(1), second * 60),
            busy_timeout: self.duration("database.busy_timeout", Duration::ZERO, HOUR),
            readers: self.number("database.readers", 1, 256) as usize,
            series_rows: self.number("database.series_rows", 1_000, 1 << 40),
        }
    }

    fn postgres(&mut self) -> Postgres {
        let (ms, second) = (Duration::from_millis(1), Duration::from_secs(1));
        let captures = [Capture::Auto, Capture::Wal, Capture::Outbox];
        let identities = [Identity::Needed, Identity::Leave, Identity::Full];
        Postgres {
            capture: captures[self.choice("postgres.capture", ["auto", "wal", "outbox"])],
            slot: self.slot("postgres.slot"),
            publication: self.slot("postgres.publication"),
            identity: identities[self.choice("postgres.replica_identity", ["needed", "leave", "full"])],
            wal_warn: none_if_zero(self.bytes("postgres.wal_warn", 0, 1 << 50)),
            wal_stop: none_if_zero(self.bytes("postgres.wal_stop", 0, 1 << 50)),
            dead_after: self.duration("postgres.dead_after", second, HOUR),
            look_every: self.duration("postgres.look_every", ms * 100, HOUR),
            transaction_memory: self.bytes("postgres.transaction_memory", 64 << 10, 1 << 40) as usize,
            poll_active: self.duration("postgres.poll_active", ms, second * 60),
            poll_idle: self.duration("postgres.poll_idle", ms, second * 60),
            notify: self.list("postgres.notify"),
            notify_allow: self.list("postgres.notify_allow"),
            notify_probe: self.duration("postgres.notify_probe", second, HOUR),
            connections: self.number("postgres.connections", 2, 1_000) as usize,
        }
    }

    fn mysql(&mut self) -> Mysql {
        let (ms, second) = (Duration::from_millis(1), Duration::from_secs(1));
        let captures = [mysql::Capture::Auto, mysql::Capture::Binlog, mysql::Capture::Outbox];
        Mysql {
            capture: captures[self.choice("mysql.capture", ["auto", "binlog", "outbox"])],
            server_id: none_if_zero(self.number("mysql.server_id", 0, u64::from(u32::MAX))).map(|id| id as u32),
            dead_after: self.duration("mysql.dead_after", second, HOUR),
            look_every: self.duration("mysql.look_every", ms * 100, HOUR),
            transaction_memory: self.bytes("mysql.transaction_memory", 64 << 10, 1 << 40) as usize,
            poll_active: self.duration("mysql.poll_active", ms, second * 60),
            poll_idle: self.duration("mysql.poll_idle", ms, second * 60),
            connections: self.number("mysql.connections", 2, 1_000) as usize,
        }
    }

    fn drop_ins(&mut self) -> DropIns {
        let channels: Vec<String> = self.list("drop_ins.pgws");
        let pgws = Pgws { path: self.path("drop_ins.pgws_path"), channels, audiences: self.audiences() };
        let eventserv = Eventserv { path: self.path("drop_ins.eventserv_path") };
        let (secret, path) =
            (self.text("drop_ins.postgres_websockets_secret"), self.path("drop_ins.postgres_websockets_path"));
        let websockets = PostgresWebsockets { path, ..PostgresWebsockets::new(secret.clone()) };
        let drop_ins = DropIns {
            pgws: (!pgws.channels.is_empty()).then_some(pgws),
            eventserv: self.yes("drop_ins.eventserv").then_some(eventserv),
            postgres_websockets: (!secret.is_empty()).then_some(websockets),
        };
        if let Err(what) = drop_ins.check() {
            self.wrong("drop_ins.pgws_path", what, "");
        }
        drop_ins
    }

    fn path(&mut self, key: &str) -> String {
        let text = self.text(key);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
        if !text.starts_with('/') || text.len() < 2 || text.ends_with('/') || !text.chars().all(plain) {
            self.wrong(key, format!("{text:?} is not a path"), r#"write for example "/ws""#);
        }
        text
    }

    fn audiences(&mut self) -> Audiences {
        let key = "drop_ins.pgws_audiences";
        let text = self.text(key);
        match text.split_once(':') {
            Some(("header", name)) => match name.parse() {
                Ok(name) => return Audiences::Header(name),
                Err(_) => self.wrong(
                    key,
                    format!("{name:?} is not a header's name"),
                    r#"write for example "header:x-audience""#,
                ),
            },
            Some(("cookie", name)) if !name.is_empty() => return Audiences::Cookie(name.to_owned()),
            Some(_) => self.wrong(
                key,
                format!("{text:?} names no audiences"),
                r#"write names, "header:NAME" or "cookie:NAME""#,
            ),
            None if text == "auto" => return Audiences::Auto,
            None if text == "tenant" => return Audiences::Tenant,
            None => {}
        }
        Audiences::These(text.split(',').map(|name| name.trim().to_owned()).collect())
    }

    /// A name that PostgreSQL takes for a replication slot, and for anything else.
    fn slot(&mut self, key: &str) -> String {
        let text = self.text(key);
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if text.is_empty() || text.len() > 50 || !text.chars().all(plain) {
            let fix = "write 1 to 50 lower-case letters, digits and underscores";
            self.wrong(key, format!("{text:?} is not a name for it"), fix);
        }
        text
    }

    fn log(&mut self) -> Log {
        let keep_age = self.duration("log.keep_age", Duration::ZERO, HOUR * 24 * 3_650);
        Log {
            on_disk: self.choice("log.place", ["memory", "disk"]) == 1,
            survives_machine: self.choice("log.durability", ["process", "machine"]) == 1,
            keep_age: (!keep_age.is_zero()).then_some(keep_age),
            keep_events: none_if_zero(self.number("log.keep_events", 0, u64::MAX)),
            keep_bytes: none_if_zero(self.bytes("log.keep_bytes", 0, 1 << 50)),
            memory: self.bytes("log.memory", 64 << 10, 1 << 40) as usize,
        }
    }

    fn spool(&mut self) -> Spool {
        Spool {
            on_disk: self.choice("spool.place", ["memory", "disk"]) == 1,
            survives_machine: self.choice("spool.durability", ["process", "machine"]) == 1,
            bytes: self.bytes("spool.bytes", 1 << 20, 1 << 50),
        }
    }

    fn limits(&mut self) -> Limits {
        let second = Duration::from_secs(1);
        Limits {
            frame_bytes: self.bytes("limits.frame_bytes", 1 << 10, 1 << 30) as usize,
            body_bytes: self.bytes("limits.body_bytes", 1 << 10, 1 << 32) as usize,
            subscriptions: self.number("limits.subscriptions", 1, 100_000) as usize,
            connections: self.number("limits.connections", 1, 10_000_000) as usize,
            handshake: self.duration("limits.handshake", second / 10, HOUR),
            queue_bytes: self.bytes("limits.queue_bytes", 4 << 10, 1 << 30) as usize,
            heartbeat: self.duration("limits.heartbeat", second / 10, HOUR),
            write_stall: self.duration("limits.write_stall", second / 10, HOUR),
            rows_max: self.number("limits.rows_max", 1, 100_000_000),
            bad_messages: self.number("limits.bad_messages", 1, 1_000_000) as u32,
            snapshots: self.number("limits.snapshots", 1, 10_000) as usize,
            snapshots_per_second: self.number("limits.snapshots_per_second", 0, 1_000_000) as u32,
            snapshots_waiting: self.number("limits.snapshots_waiting", 1, 10_000_000) as usize,
            handshakes_per_second: self.number("limits.handshakes_per_second", 0, 1_000_000) as u32,
            handshakes_burst: self.number("limits.handshakes_burst", 1, 10_000_000) as u32,
            replays: self.number("limits.replays", 1, 10_000) as usize,
            replay_bytes_per_second: self.bytes("limits.replay_bytes_per_second", 0, 1 << 40),
            presence_state_bytes: self.bytes("limits.presence_state_bytes", 2, 1 << 20) as usize,
            presence_channels: self.number("limits.presence_channels", 1, 10_000) as usize,
            presence_grace: self.duration("limits.presence_grace", Duration::ZERO, HOUR),
            presence_tick: self.duration("limits.presence_tick", Duration::ZERO, second * 10),
        }
    }

    fn http(&mut self) -> Http {
        let files = self.text("http.files");
        if !files.is_empty() && !Path::new(&files).is_dir() {
            self.wrong(
                "http.files",
                format!("there is no folder {files:?}"),
                "write the path of a folder with an index.html",
            );
        }
        let policy = self.text("http.files_policy");
        let files_policy = HeaderValue::from_str(&policy);
        if files_policy.is_err() {
            self.wrong("http.files_policy", format!("{policy:?} cannot be a header"), "");
        }
        Http {
            dead_letters: self.yes("http.dead_letters"),
            deflate: self.yes("http.deflate"),
            origins: self.origins(),
            trusted_proxies: self.trusted_proxies(),
            pages: self.yes("http.pages"),
            files: (!files.is_empty()).then(|| files.into()),
            files_policy: files_policy.ok().filter(|policy| !policy.is_empty()),
            metrics: self.yes("http.metrics"),
        }
    }

    fn trusted_proxies(&mut self) -> Proxies {
        let key = "http.trusted_proxies";
        let texts: Vec<String> = self.list(key);
        let networks = texts.iter().filter_map(|text| match text.parse::<Network>() {
            Ok(network) => Some(network),
            Err(error) => {
                self.wrong(key, error.to_string(), "");
                None
            }
        });
        let networks: Vec<Network> = networks.collect();
        Proxies::new(networks)
    }

    fn origins(&mut self) -> Vec<String> {
        let origins: Vec<String> = self.list("http.origins");
        for origin in &origins {
            let web = reqwest::Url::parse(origin).is_ok_and(|url| {
                matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == *origin
            });
            if !web && origin != "*" && origin != "same-host" {
                let what = format!("{origin:?} is not an origin");
                let fix = r#"write "same-host", "*", or scheme and host without a path: "https://app.example.com""#;
                self.wrong("http.origins", what, fix);
            }
        }
        origins
    }

    fn level(&mut self) -> String {
        let level = self.text("logging.level");
        if level.parse::<tracing_subscriber::filter::Targets>().is_err() {
            let what = format!("{level:?} is not a level");
            self.wrong(
                "logging.level",
                what,
                r#"write error, warn, info, debug or trace, or for example "info,rowcast=debug""#,
            );
        }
        level
    }

    /// What can be seen to be wrong only now that everything is read.
    fn check(&mut self, config: &Config) {
        let is_told = self.mistakes.0.iter().any(|mistake| mistake.key.starts_with("listen"));
        if config.listen.is_empty() && !is_told {
            self.wrong("listen", "there is no address to serve on", r#"write for example ["127.0.0.1:3000"]"#);
        }
        if config.data.as_os_str().is_empty() {
            self.wrong("data", "the folder has no name", r#"write for example "rowcast-data""#);
        } else if config.data.exists() && !config.data.is_dir() {
            self.wrong("data", format!("{} is not a folder", config.data.display()), "name another one");
        }
        if let Some(DatabaseUrl::Sqlite(path)) = &config.database.url {
            self.check_file(path, config.database.create);
        }
        if config.database.poll_idle < config.database.poll_active {
            self.wrong("database.poll_idle", "this is shorter than database.poll_active", "make it as long at least");
        }
        if config.postgres.poll_idle < config.postgres.poll_active {
            self.wrong("postgres.poll_idle", "this is shorter than postgres.poll_active", "make it as long at least");
        }
        if config.mysql.poll_idle < config.mysql.poll_active {
            self.wrong("mysql.poll_idle", "this is shorter than mysql.poll_active", "make it as long at least");
        }
        if config.postgres.wal_stop.zip(config.postgres.wal_warn).is_some_and(|(stop, warn)| stop < warn) {
            self.wrong("postgres.wal_stop", "this is less than postgres.wal_warn", "make it larger, or 0 for never");
        }
    }

    fn check_file(&mut self, path: &Path, create: bool) {
        let shown = path.display();
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if path.is_dir() {
            self.wrong("database.url", format!("{shown} is a folder"), "name the database file in it");
        } else if !path.exists() && !create {
            let fix = "check the path, or set database.create = true to make an empty one";
            self.wrong("database.url", format!("there is no file {shown}"), fix);
        } else if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            self.wrong("database.url", format!("there is no folder {}", folder.display()), "make it first");
        }
    }

    fn setting(&self, key: &str) -> &'a Setting {
        self.layers.settings.get(key).expect("the default configuration has every key that is read")
    }

    fn is_wrong(&self, key: &str) -> bool {
        self.mistakes.0.iter().any(|mistake| mistake.key == key)
    }

    fn wrong(&mut self, key: &str, what: impl Into<String>, fix: impl Into<String>) {
        let origin = self.setting(key).origin.clone();
        self.mistakes.push(&origin, key, what, fix);
    }

    fn noted<T>(&mut self, origin: &Origin, key: &str, read: Result<T, Unclear>) -> Option<T> {
        read.map_err(|unclear| self.mistakes.push(origin, key, unclear.what, unclear.fix)).ok()
    }

    fn text(&mut self, key: &str) -> String {
        let value = &self.setting(key).value;
        match value.as_str() {
            Some(text) => text.to_owned(),
            None => {
                self.wrong(key, format!("expected text, got {}", shown(value)), "write it in quotes");
                String::new()
            }
        }
    }

    fn name(&mut self, key: &str) -> String {
        let text = self.text(key);
        match plain_name(&text) {
            Ok(name) => name,
            Err(unclear) => {
                self.wrong(key, unclear.what, unclear.fix);
                String::new()
            }
        }
    }

    fn parsed<T: FromStr<Err = Unclear>>(&mut self, key: &str, text: &str) -> Option<T> {
        let origin = self.setting(key).origin.clone();
        self.noted(&origin, key, text.parse())
    }

    fn yes(&mut self, key: &str) -> bool {
        let value = &self.setting(key).value;
        let yes = value.as_bool();
        if yes.is_none() {
            self.wrong(key, format!("expected true or false, got {}", shown(value)), "");
        }
        yes.unwrap_or_default()
    }

    fn number(&mut self, key: &str, least: u64, most: u64) -> u64 {
        let value = &self.setting(key).value;
        match value.as_integer().and_then(|n| u64::try_from(n).ok()) {
            Some(number) if (least..=most).contains(&number) => number,
            _ => {
                let range = if most == u64::MAX { format!("{least} or more") } else { format!("{least} to {most}") };
                self.wrong(key, format!("expected a number, {range}, got {}", shown(value)), "");
                least
            }
        }
    }

    fn bytes(&mut self, key: &str, least: u64, most: u64) -> u64 {
        let value = &self.setting(key).value;
        let read = match value.as_integer() {
            Some(number) => units::bytes(&number.to_string()),
            None => units::bytes(value.as_str().unwrap_or(&shown(value))),
        };
        match read {
            Ok(bytes) if (least..=most).contains(&bytes) => return bytes,
            Ok(_) => self.wrong(key, format!("{} is out of range", shown(value)), format!("{least} to {most} bytes")),
            Err(unclear) => self.wrong(key, unclear.what, unclear.fix),
        }
        least
    }

    fn duration(&mut self, key: &str, least: Duration, most: Duration) -> Duration {
        let value = &self.setting(key).value;
        match units::duration(value.as_str().unwrap_or(&shown(value))) {
            Ok(duration) if (least..=most).contains(&duration) => return duration,
            Ok(_) => self.wrong(key, format!("{} is out of range", shown(value)), format!("{least:?} to {most:?}")),
            Err(unclear) => self.wrong(key, unclear.what, unclear.fix),
        }
        least
    }

    /// Which of the choices it is.
    fn choice<const N: usize>(&mut self, key: &str, choices: [&str; N]) -> usize {
        let text = self.text(key);
        choices.iter().position(|choice| *choice == text).unwrap_or_else(|| {
            if !self.is_wrong(key) {
                self.wrong(
                    key,
                    format!("expected {}, got {text:?}", choices.map(|c| format!("{c:?}")).join(" or ")),
                    "",
                );
            }
            0
        })
    }

    fn list<T: FromListItem>(&mut self, key: &str) -> Vec<T> {
        let value = &self.setting(key).value;
        let texts: Option<Vec<String>> = match value {
            Value::Array(array) => array.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            Value::String(text) => {
                Some(text.value().split(',').map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect())
            }
            _ => None,
        };
        let Some(texts) = texts else {
            self.wrong(key, format!("expected a list of texts, got {}", shown(value)), r#"write ["…", "…"]"#);
            return Vec::new();
        };
        let origin = self.setting(key).origin.clone();
        texts.iter().filter_map(|text| self.noted(&origin, key, T::item(text))).collect()
    }
}

/// What a list can be made of.
trait FromListItem: Sized {
    fn item(text: &str) -> Result<Self, Unclear>;
}

impl FromListItem for String {
    fn item(text: &str) -> Result<Self, Unclear> {
        Ok(text.to_owned())
    }
}

fn sentence(error: impl std::fmt::Display) -> Unclear {
    Unclear { what: error.to_string(), fix: String::new() }
}

/// A name that does not have to be quoted in metrics and lists.
fn plain_name(text: &str) -> Result<String, Unclear> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !text.is_empty() && text.len() <= 64 && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        let what = format!("{text:?} is not a name");
        Err(Unclear { what, fix: "write 1 to 64 letters, digits, dots, dashes and underscores".into() })
    }
}

/// A value as TOML has it, on one line.
fn shown(value: &Value) -> String {
    value.clone().decorated("", "").to_string().replace('\n', " ")
}
