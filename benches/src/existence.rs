//! Whether a stranger can tell by the time of a refusal that something is there which it may not see.
//!
//! Each pair of questions is asked in turns, over HTTP, by a client of another tenant; the answers are the same byte for byte.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, anyhow, ensure};
use reqwest::{Client, Url};
use rowcast::auth::rules::{RuleSpec, Rules};
use rowcast::auth::{Auth, Expect, Issuer, Tokens, Trust};
use rowcast::event::TableName;
use rowcast::gateway::{Database, Gateway, LogPlace};
use rowcast::session::Session;
use rowcast::source::sqlite::SqliteSettings;
use serde_json::{Map, json};
use tempfile::TempDir;

use crate::Scale;
use crate::table::{Table, number, ratio};

const SECRET: &[u8] = b"a secret of more than thirty-two bytes, to measure with";

/// Each pair: what is measured, what is there and hidden, and what is not there at all.
const PAIRS: [(&str, &str, &str); 4] = [
    ("a table without a rule for the client", "/v1/tables/payrolls", "/v1/tables/nothings"),
    ("a row of another tenant, by its key", "/v1/tables/tasks?where=id=7", "/v1/tables/tasks?where=id=-7"),
    ("a hidden column", "/v1/tables/tasks?where=salary>1", "/v1/tables/tasks?where=absent>1"),
    ("a room with 1,000 members", "/v1/presence/room:crowd", "/v1/presence/room:nobody"),
];

pub(crate) fn run(scale: &Scale) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    println!("{}", runtime.block_on(measure(scale))?);
    Ok(())
}

async fn measure(scale: &Scale) -> Result<Table> {
    let times = scale.pick(20_000, 50);
    let folder = TempDir::new()?;
    let path = folder.path().join("existence.db");
    fill(&path)?;
    let (issuer, key) = Issuer::secret(SECRET, None, &[])?;
    let gateway = start(&path, key).await?;
    let token = |tenant: &str| {
        let claims = Map::from_iter([("sub".to_owned(), "ann".into()), ("tenant".to_owned(), tenant.into())]);
        issuer.issue(claims, SystemTime::now())
    };
    let _crowd = crowd(&gateway, &token("theirs")?, scale.pick(1_000, 10)).await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let base: Url = format!("http://{}", listener.local_addr()?).parse()?;
    let router = gateway.router();
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let stranger = Stranger { client: Client::builder().no_proxy().build()?, base, token: token("ours")? };
    let head = ["what is hidden", "there µs", "not there µs", "× not there", "× by chance"];
    let mut out = Table::new(format!("existence: the median of {times} refusals, there and not there in turns"), &head);
    for (what, there, not) in PAIRS {
        let (first, second) = (stranger.ask(there).await?.0, stranger.ask(not).await?.0);
        let same = |text: &str, path: &str| text.replace(name_in(path), "…");
        ensure!(same(&first, there) == same(&second, not), "{what}: {first} is not {second}");
        let mut took = [const { Vec::new() }; 3];
        for turn in 0..times {
            // Whoever comes first has an advantage or a disadvantage: each in its turn.
            for which in [0, 1, 2].map(|which| (which + turn) % 3) {
                took[which].push(stranger.ask([there, not, not][which]).await?.1);
            }
        }
        let [are, are_not, again] = took.map(median);
        out.row([what.to_owned(), number(are), number(are_not), ratio(are, are_not), ratio(again, are_not)]);
    }
    out.note("× by chance: the same question that is not there, asked twice in each turn. Over HTTP, one connection, this machine.");
    server.abort();
    Ok(out)
}

/// What a question names, which its answer may repeat.
fn name_in(path: &str) -> &str {
    let name = path.rsplit(['/', ':']).next().unwrap_or(path);
    name.split_once("where=").map_or(name, |(_, filter)| filter.split(['=', '>']).next().unwrap_or(filter))
}

struct Stranger {
    client: Client,
    base: Url,
    token: String,
}

impl Stranger {
    /// The answer, and how many microseconds it took.
    async fn ask(&self, path: &str) -> Result<(String, f64)> {
        let url = self.base.join(path)?;
        let request = self.client.get(url).bearer_auth(&self.token).build()?;
        let began = Instant::now();
        let response = self.client.execute(request).await?;
        let (status, text) = (response.status(), response.text().await?);
        Ok((format!("{status} {text}"), micros(began.elapsed())))
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

async fn start(path: &Path, key: rowcast::auth::Key) -> Result<Gateway> {
    let expect = Expect { tenant: Some("tenant".into()), ..Expect::default() };
    let rules = vec![
        RuleSpec {
            table: Some(TableName::bare("tasks")),
            read: Some("tenant_id = claims.tenant".into()),
            columns: Some(vec!["id".into(), "tenant_id".into(), "title".into()]),
            ..RuleSpec::default()
        },
        RuleSpec {
            channel: Some("room:{room}".into()),
            subscribe: Some("claims.sub = 'ann'".into()),
            ..RuleSpec::default()
        },
    ];
    let auth = Auth {
        tokens: Tokens::new(Trust { keys: vec![key], expect, ..Trust::default() }),
        rules: Rules::new(rules, None, None).map_err(|wrong| anyhow!("{wrong:?}"))?,
        ..Auth::default()
    };
    let database = Database::sqlite("existence", path, SqliteSettings::default());
    Ok(Gateway::builder().database(database).log(LogPlace::Memory).auth(auth).start().await?)
}

/// Sessions of the other tenant that are present in one of its rooms.
async fn crowd(gateway: &Gateway, token: &str, count: usize) -> Result<Vec<Session>> {
    let node = gateway.node();
    let auth = node.auth.as_ref().context("identity is on")?;
    let identity = auth.tokens.verify(token, SystemTime::now()).await?;
    let mut crowd = Vec::new();
    for _ in 0..count {
        let wire = rowcast::protocol::encode::Wire::Text;
        let mut session = Session::open(node.clone(), wire, "bench", String::new(), identity.clone())?;
        let track = json!({ "type": "track", "channel": "room:crowd", "state": {} });
        ensure!(session.receive(&track.to_string()).is_ok(), "the session ends");
        crowd.push(session);
    }
    Ok(crowd)
}

fn fill(path: &Path) -> Result<()> {
    let database = rusqlite::Connection::open(path)?;
    database.execute_batch(
        "CREATE TABLE tasks (id INTEGER PRIMARY KEY, tenant_id TEXT, title TEXT, salary INTEGER);
         CREATE TABLE payrolls (id INTEGER PRIMARY KEY, salary INTEGER);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
         INSERT INTO tasks SELECT i, CASE WHEN i % 2 THEN 'theirs' ELSE 'ours' END, 'a task', i FROM n;
         INSERT INTO payrolls SELECT id, salary FROM tasks;",
    )?;
    Ok(())
}
