//! `rowcast tail --database …`: no server is needed, and nothing is left in the database.

use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use reqwest::Url;
use rowcast::gateway::{Database, Gateway};
use rowcast::mysql::{self, MysqlSettings};
use rowcast::postgres::{Capture, Identity, Live, PostgresSettings};
use rowcast::source::Source;
use rowcast::source::postgres::PostgresSource;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Tail;
use crate::config::{Config, DatabaseUrl};
use crate::database;

/// Follows the table through a gateway of its own, until the changes have been counted or ctrl-C is pressed.
pub(super) async fn run(tail: &Tail, config: &Config, colour: bool) -> anyhow::Result<ExitCode> {
    if tail.since.is_some() {
        bail!("--since goes with a server's log, which a --database alone does not have; leave one of the two out");
    }
    let (database, leave) = target(tail, config)?;
    let gateway = Gateway::builder().database(database).start().await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("a port of this machine")?;
    let url = Url::parse(&format!("http://{}", listener.local_addr()?)).context("an address is a URL")?;
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be heard")?;
    let serving = tokio::spawn(axum::serve(listener, gateway.router()).into_future());
    let ended = tokio::select! {
        ended = super::follow_server(tail, url, colour) => ended,
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::SUCCESS),
        _ = terminate.recv() => Ok(ExitCode::SUCCESS),
    };
    serving.abort();
    gateway.stop().await;
    if let Some(mut source) = leave {
        source.teardown().await?;
    }
    ended
}

/// The database, and what has to be removed from it afterwards.
fn target(tail: &Tail, config: &Config) -> anyhow::Result<(Database, Option<PostgresSource>)> {
    let url = match database::named(config)? {
        DatabaseUrl::Sqlite(_) => return Ok((database::to_serve(config)?, None)),
        DatabaseUrl::Mysql(url) => {
            let settings = MysqlSettings {
                include: vec![tail.table().to_owned()],
                // Another replica: one that is configured may be in use by a server.
                server_id: Some(rand::random_range(1 << 16..=u32::MAX)),
                // An outbox has one reader, and would have to be set up: a short look leaves nothing behind.
                capture: mysql::Capture::Binlog,
                temporary: true,
                spool: None,
                ..database::mysql_settings(config)
            };
            return Ok((Database::mysql("tail", database::mysql_address(url)?, settings), None));
        }
        DatabaseUrl::Postgres(url) => url,
    };
    let address = database::address(url)?;
    let own = format!("rowcast_tail_{:08x}", rand::random::<u32>());
    let settings = PostgresSettings {
        include: vec![tail.table().to_owned()],
        slot: own.clone(),
        publication: own.clone(),
        temporary: true,
        // Without a slot of its own it would take the changes away from whoever else reads the outbox.
        capture: Capture::Wal,
        identity: Identity::Leave,
        ..database::postgres_settings(config)
    };
    let source = PostgresSource::new(&own, address.clone(), settings.clone(), Arc::new(Live::default()));
    Ok((Database::postgres("tail", address, settings), Some(source)))
}
