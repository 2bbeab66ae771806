//! What row-level security costs: one change of a table among subscriptions of so many users, each with its own claims, beside the same rule in
//! Rowcast's words.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use rowcast::auth::rules::{Roles, RuleSpec, Rules};
use rowcast::auth::{Auth, Identity, Standing};
use rowcast::event::TableName;
use rowcast::gateway::{Database, Gateway, LogPlace};
use rowcast::postgres::{Address, PostgresSettings};
use rowcast::protocol::ServerMessage;
use rowcast::protocol::encode::Wire;
use rowcast::session::{Node, Session};
use serde_json::{Map, json};
use servers::Postgres;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::Scale;
use crate::table::{Table, number, ratio};

const SCHEMA: &str = "
    CREATE ROLE member NOLOGIN;
    CREATE TABLE messages (id serial PRIMARY KEY, owner int, body text);
    GRANT SELECT ON messages TO member;
    ALTER TABLE messages ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON messages USING (owner = -1 OR owner = (current_setting('request.jwt.claims', true)::json ->> 'n')::int);";

pub(crate) fn run(scale: &Scale) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    println!("{}", runtime.block_on(changes(scale))?);
    Ok(())
}

async fn changes(scale: &Scale) -> Result<Table> {
    let changes = scale.pick(2_000_u64, 20);
    let head = ["what", "users", "subscriptions", "ms from commit to the last of them", "changes/s", "× rule"];
    let mut out = Table::new("row-level security: a change that everybody sees", &head);
    for (users, each) in scale.pick(vec![(1, 1), (1, 100), (10, 10), (100, 1), (1_000, 1)], vec![(1, 3), (3, 1)]) {
        let mut floor = 0.0;
        for (rls, name) in
            [(false, "rule `owner = -1 or owner = claims.n`"), (true, "`rls = true`, the same as a policy")]
        {
            let (delay, took) = one(rls, users, each, changes).await?;
            floor = if rls { floor } else { took };
            out.row([
                name.to_owned(),
                users.to_string(),
                (users * each).to_string(),
                number(delay * 1e3),
                number(changes as f64 / took),
                ratio(took, floor),
            ]);
        }
    }
    out.note("In process, without sockets; PostgreSQL on the same cores. The delay is the median of changes one by one; changes/s is of as many in single commits.");
    Ok(out)
}

/// Seconds from a commit to the last who hears of it, and for all changes.
async fn one(rls: bool, users: u64, each: u64, changes: u64) -> Result<(f64, f64)> {
    // Roles are the server's.
    let server = Postgres::start()?;
    let database = server.database().await?;
    database.run(SCHEMA).await;
    let gateway = start(&database, rls).await?;
    let node = gateway.node();
    // A client that finds no room waits: what it was told is counted a moment later.
    let (heard, mut all_heard) = mpsc::channel(4096);
    let mut clients = JoinSet::new();
    for n in 0..users * each {
        let session = subscribe(&node, n % users).await?;
        clients.spawn(listen(session, heard.clone()));
    }
    let client = database.connect().await?;
    let mut delays = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        client.batch_execute("INSERT INTO messages (owner, body) VALUES (-1, 'a message of usual length')").await?;
        wait(&mut all_heard, users * each).await?;
        delays.push(began.elapsed().as_secs_f64());
    }
    delays.sort_by(f64::total_cmp);
    let began = Instant::now();
    for _ in 0..changes {
        client.batch_execute("INSERT INTO messages (owner, body) VALUES (-1, 'a message of usual length')").await?;
    }
    wait(&mut all_heard, users * each * changes).await?;
    let took = began.elapsed().as_secs_f64();
    clients.abort_all();
    gateway.stop().await;
    Ok((delays[delays.len() / 2], took))
}

async fn wait(heard: &mut mpsc::Receiver<usize>, count: u64) -> Result<()> {
    let mut left = count;
    while left > 0 {
        let some =
            tokio::time::timeout(Duration::from_secs(60), heard.recv()).await.context("nobody hears anything")?;
        left -= some.context("all have gone")? as u64;
    }
    Ok(())
}

async fn start(database: &servers::Database, rls: bool) -> Result<Gateway> {
    let table = Some(TableName::bare("messages"));
    let rule = match rls {
        true => RuleSpec { table, rls, role: Some(Roles::One("member".into())), ..RuleSpec::default() },
        false => RuleSpec { table, read: Some("owner = -1 or owner = claims.n".into()), ..RuleSpec::default() },
    };
    let rules = Rules::new(vec![rule], None, None).map_err(|wrong| anyhow::anyhow!("{wrong:?}"))?;
    let address: Address = database.url().parse()?;
    let database = Database::postgres("rules", address, PostgresSettings::default());
    let auth = Auth { rules, ..Auth::default() };
    Ok(Gateway::builder().database(database).log(LogPlace::Memory).auth(auth).start().await?)
}

async fn subscribe(node: &Arc<Node>, n: u64) -> Result<Session> {
    let claims = Map::from_iter([("n".to_owned(), n.into())]);
    let identity = Arc::unwrap_or_clone(Identity::anonymous());
    let identity = Arc::new(Identity { standing: Standing::Known, claims, ..identity });
    let mut session = Session::open(node.clone(), Wire::Text, "bench", String::new(), identity)?;
    let wish = json!({ "type": "subscribe", "id": "s", "channel": "table:messages" });
    if session.receive(&wish.to_string()).is_err() {
        bail!("the session ends");
    }
    let mut out: Vec<Bytes> = Vec::new();
    loop {
        if session.next(&mut out).await.is_err() {
            bail!("the session ends");
        }
        for frame in out.drain(..) {
            match serde_json::from_slice(&frame).context("a message")? {
                ServerMessage::Snapshot { .. } | ServerMessage::Position { .. } => {}
                ServerMessage::Subscribed { .. } => return Ok(session),
                other => bail!("{other:?}"),
            }
        }
    }
}

/// Counts the changes that a client is told.
async fn listen(mut session: Session, heard: mpsc::Sender<usize>) {
    let mut out: Vec<Bytes> = Vec::new();
    while session.next(&mut out).await.is_ok() {
        let is_change = |frame: &Bytes| matches!(serde_json::from_slice(frame), Ok(ServerMessage::Change { .. }));
        let count = out.drain(..).filter(is_change).count();
        if count > 0 && heard.send(count).await.is_err() {
            return;
        }
    }
}
