//! `rowcast demo`: a database, a stream into it, and a page that shows it, out of nothing.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use rowcast::auth::rules::RuleSpec;
use rowcast::event::TableName;
use rowcast::gateway::Database;
use rowcast::ingest::pull::{Feed, HttpFeed, Pull};
use rowcast::store::TableSpec;
use rusqlite::Connection;
use tokio_util::sync::CancellationToken;

use crate::cli::Demo;
use crate::config::{Config, Layers};
use crate::listen::Bound;
use crate::serve::{self, Node};
use crate::{database, logs, say, simulate};

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS readings (id INTEGER PRIMARY KEY, time INTEGER NOT NULL, speed INTEGER NOT NULL);
    CREATE INDEX IF NOT EXISTS readings_time ON readings (time);
";

/// `rowcast demo`.
pub(crate) async fn run(layers: Layers, demo: &Demo) -> anyhow::Result<()> {
    let (mut config, is_open) = with_chat(layers)?;
    logs::install(&config.logging);
    let path = config.data.join("demo.db");
    let bound = Bound::bind(&config.listen).await?;
    make_database(&config.data, &path)?;
    if is_open {
        config.rules.rules.extend(open_rules(&path, &config.tables)?);
    }
    let config = &config;
    let rate = Duration::from_millis(demo.rate_ms);
    let mut pulls = serve::pulls(config);
    if let Some(address) = bound.addresses().next() {
        pulls.push(pull(address, rate)?);
    }
    let stopping = CancellationToken::new();
    let database = Database::sqlite("demo", &path, database::sqlite_settings(config));
    let node =
        Node { config, database, log: "demo-log", pulls, also: simulate::demo(rate, stopping.clone()), stopping };
    node.run(bound, |addresses| welcome(addresses, &path)).await
}

/// What is configured, and a chat that asks nobody for a code. Where it is not said who may do what, everybody may do what they could
/// without a chat.
fn with_chat(mut layers: Layers) -> anyhow::Result<(Config, bool)> {
    let is_open = Config::read(&layers)?.auth.is_none();
    layers.say("demo", "chat.enabled", true);
    layers.say("demo", "chat.verify_email", false);
    if is_open {
        layers.say("demo", "auth.anonymous", true);
        layers.say("demo", "auth.admin", "true");
    }
    Ok((Config::read(&layers)?, is_open))
}

/// Everybody may do everything with the tables that are not the chat's, and with the other rooms.
fn open_rules(path: &Path, configured: &[TableSpec]) -> anyhow::Result<Vec<RuleSpec>> {
    let yes = || Some("true".to_owned());
    let database = Connection::open(path)?;
    let mut tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?;
    let mut names = tables.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<BTreeSet<_>, _>>()?;
    names.extend(configured.iter().map(|table| table.name.name.to_string()));
    let is_another = |name: &String| !["sqlite_", "_rowcast_", "chat_"].iter().any(|own| name.starts_with(own));
    let table = |name: String| RuleSpec {
        table: Some(TableName::bare(&name)),
        read: yes(),
        insert: yes(),
        shared: true,
        ..RuleSpec::default()
    };
    let rooms = RuleSpec { channel: Some("room:*".into()), subscribe: yes(), publish: yes(), ..RuleSpec::default() };
    Ok(names.into_iter().filter(is_another).map(table).chain([rooms]).collect())
}

fn make_database(folder: &Path, path: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    let make = || Connection::open(path)?.execute_batch(SCHEMA);
    make().with_context(|| format!("the demo's database {} cannot be made", path.display()))
}

/// Fetches the demo's own stream like anybody's.
fn pull(address: SocketAddr, rate: Duration) -> anyhow::Result<Pull> {
    let url = format!("http://{}/stream", reachable(address)).parse().context("the demo's own address")?;
    let mut feed = HttpFeed::new(url);
    feed.idle_timeout = feed.idle_timeout.max(rate * 3);
    Ok(Pull::new("simulator", Feed::Http(feed), TableName::bare("readings")))
}

/// Every interface is reached on this machine by its own address.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        ip if !ip.is_unspecified() => address,
        IpAddr::V4(_) => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port()),
        IpAddr::V6(_) => SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), address.port()),
    }
}

fn welcome(addresses: &[SocketAddr], path: &Path) {
    let Some(address) = addresses.first().map(|address| reachable(*address)) else { return };
    let path = path.display();
    say(&format!(
        "
A simulated car drives, and its speed is stored in the table `readings` of {path}.

  watch it            http://{address}/
  chat about it       http://{address}/chat
  add a row yourself  sqlite3 {path} \"insert into readings (time, speed) values (unixepoch() * 1000, 50)\"
  or by HTTP          curl -H 'Content-Type: application/json' -d '{{\"time\":'$(date +%s)'000,\"speed\":50}}' http://{address}/v1/tables/readings
  follow the changes  curl -N 'http://{address}/v1/stream?channel=table:readings'
  in words            rowcast tail 'speed > 40' --table readings --url http://{address}
  the raw stream      curl -N http://{address}/stream

Ctrl-C ends it; what was stored stays.
"
    ));
}
