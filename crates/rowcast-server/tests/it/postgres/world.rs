//! A PostgreSQL, a Rowcast on it through a cable, and their troubles.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use servers::{Cable, Database, Postgres, PostgresOptions, Stop};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::client::message::Reason;
use crate::ear::{MARKER, Part, Stage, Truth};
use crate::server::Server;

/// How changes are captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Wal,
    Outbox,
}

const SCHEMA: &str = "
    create table items (id int primary key, v bigint not null, team int not null, note text);
    create table \"Entries \"\"é\"\"\" (writer int, n bigint, filler text, primary key (writer, n));
    alter table items replica identity full;
    create role app login; grant all on all tables in schema public to app;";

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) postgres: Postgres,
    pub(crate) database: Database,
    pub(crate) quiet: watch::Sender<bool>,
    cable: Cable,
    tally: Mutex<BTreeMap<&'static str, u32>>,
    _folder: TempDir,
}

impl Stage for World {
    fn server(&self) -> &Server {
        &self.server
    }

    fn quiet(&self) -> &watch::Sender<bool> {
        &self.quiet
    }

    fn channels(&self) -> Vec<(Part, String)> {
        vec![
            (Part::Items, "table:items".into()),
            (Part::Team, "table:public.items".into()),
            (Part::Entries, "table:\"Entries \"\"é\"\"\"".into()),
            (Part::Room, "room:history".into()),
            (Part::Jobs, "notify:jobs".into()),
        ]
    }

    fn may_miss(&self, part: Part, _reason: Reason) -> bool {
        part == Part::Jobs
    }
}

impl World {
    pub(crate) async fn new(mode: Mode) -> Self {
        let level = if mode == Mode::Wal { "logical" } else { "replica" };
        let postgres = Postgres::start_with(&PostgresOptions::default().set("wal_level", level)).expect("PostgreSQL");
        let database = postgres.database().await.expect("a database");
        database.run(SCHEMA).await;
        let cable = Cable::to(postgres.port()).await.expect("a cable");
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("postgres://postgres@127.0.0.1:{}/{}", cable.port(), database.name);
        let settings = [
            ("postgres.notify", "jobs"),
            ("postgres.dead_after", "3s"),
            ("postgres.capture", if mode == Mode::Wal { "wal" } else { "outbox" }),
            ("postgres.transaction_memory", "64KiB"),
        ];
        let server = Server::on(&url, folder.path(), &settings);
        server.restart().await.expect("Rowcast");
        let (quiet, tally) = (watch::Sender::new(false), Mutex::default());
        Self { server, postgres, database, quiet, cable, tally, _folder: folder }
    }

    /// Breaks one thing after the other.
    pub(crate) async fn trouble(&self, mut random: StdRng, long: Duration) {
        let until = Instant::now() + long;
        while Instant::now() < until {
            // The length of a calm is part of the history; nothing waits for it.
            tokio::time::sleep(Duration::from_millis(random.random_range(200..1_500))).await;
            let what = self.one_trouble(&mut random).await;
            *self.tally.lock().expect("not poisoned").entry(what).or_default() += 1;
        }
    }

    async fn one_trouble(&self, random: &mut StdRng) -> &'static str {
        let pause = Duration::from_millis(random.random_range(1..800));
        match random.random_range(0..12) {
            0..=2 => {
                self.server.kill9().await.expect("killed");
                tokio::time::sleep(pause / 4).await;
                self.server.restart().await.expect("started again");
                "kill -9 of Rowcast"
            }
            3 => {
                self.server.terminate().await.expect("ended");
                self.server.restart().await.expect("started again");
                "restart of Rowcast"
            }
            4..=5 => {
                self.postgres.stop(Stop::Immediate).expect("stopped");
                tokio::time::sleep(pause / 2).await;
                self.postgres.run().expect("started again");
                "crash of PostgreSQL"
            }
            6..=7 => {
                let sql =
                    "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'rowcast%'";
                self.database.run(sql).await;
                "terminated backends"
            }
            8..=9 => {
                self.cable.cut();
                tokio::time::sleep(pause).await;
                self.cable.mend();
                "cut cable"
            }
            10 => {
                self.cable.silence();
                tokio::time::sleep(pause * 4).await;
                self.cable.mend();
                "silent cable"
            }
            _ => {
                // A transaction that is open for a while: what commits meanwhile commits out of the order of ids.
                let client = self.database.connect().await.expect("connected");
                client.batch_execute("begin; select pg_current_xact_id()").await.expect("begun");
                tokio::time::sleep(pause).await;
                "long transaction"
            }
        }
    }

    /// Nothing breaks any more, and the writers end.
    pub(crate) async fn calm(&self) {
        self.quiet.send_replace(true);
        self.server.up().await.expect("up");
    }

    /// Writes the markers until they are heard, and reads the tables.
    pub(crate) async fn end(&self) -> Truth {
        let client = self.database.connect().await.expect("connected");
        let marker = format!(
            "begin; insert into items values ({MARKER}, 1, 1, 'end'); insert into \"Entries \"\"é\"\"\" values ({MARKER}, 1, ''), ({MARKER}, 2, '');
             select rowcast.publish('room:history', 'tick', '[{MARKER}, 1]'); commit"
        );
        client.batch_execute(&marker).await.expect("the markers");
        let items = client.query("select id::int8, v, team::int8 from items", &[]).await.expect("items");
        let entries = client
            .query("select writer::int8, n from \"Entries \"\"é\"\"\" order by 1, 2", &[])
            .await
            .expect("entries");
        Truth {
            items: items.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect(),
            entries: entries.iter().map(|row| (row.get(0), row.get(1))).collect(),
        }
    }

    pub(crate) fn tally(&self) -> String {
        format!("{:?}", self.tally.lock().expect("not poisoned"))
    }
}
