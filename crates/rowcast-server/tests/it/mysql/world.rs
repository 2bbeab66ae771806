//! A MariaDB, a Rowcast on it through a cable, and their troubles.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use rand::RngExt;
use rand::rngs::StdRng;
use servers::{Cable, Mysql, MysqlDatabase, MysqlOptions, Stop};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::client::message::Reason;
use crate::ear::{MARKER, Part, Stage, Truth};
use crate::server::Server;

/// How changes are captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Binlog,
    Outbox,
}

const SCHEMA: &str = "
    create table items (id int primary key, v bigint not null, team int not null, note text) engine=innodb;
    create table `Entries \"é\"` (writer int, n bigint, filler text, primary key (writer, n)) engine=innodb";

const EVENTS: &str = r#"[{ name = "tick", table = '"Entries ""é"""', fields = ["writer", "n"] }]"#;

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) mysql: Mysql,
    pub(crate) database: MysqlDatabase,
    quiet: watch::Sender<bool>,
    mode: Mode,
    cable: Cable,
    tally: Mutex<BTreeMap<&'static str, u32>>,
    /// Binlogs were purged that Rowcast had not read.
    purged: AtomicBool,
    altered: AtomicU32,
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
        let entries = "\"Entries \"\"é\"\"\"";
        vec![
            (Part::Items, "table:items".into()),
            (Part::Team, "table:ITEMS".into()),
            (Part::Entries, format!("table:{entries}")),
            (Part::Room, "event:tick".into()),
        ]
    }

    fn may_miss(&self, part: Part, reason: Reason) -> bool {
        let altered = self.altered.load(Ordering::Relaxed) > 0 && matches!(part, Part::Items | Part::Team);
        let purged = self.purged.load(Ordering::Relaxed);
        match reason {
            Reason::Schema => altered,
            Reason::Source => purged,
            _ => false,
        }
    }
}

impl World {
    pub(crate) async fn new(mode: Mode) -> Self {
        let options = match mode {
            Mode::Binlog => MysqlOptions::default(),
            Mode::Outbox => MysqlOptions::default().without_binlog(),
        };
        let mysql = Mysql::start_with(&options).expect("a server");
        let database = mysql.database().await.expect("a database");
        database.run(SCHEMA).await;
        let app = format!(
            "create user app; grant select, insert, update, delete on {0}.items to app; grant select, insert on {0}.`Entries \"é\"` to app",
            database.name
        );
        database.run(&app).await;
        let cable = Cable::to(mysql.port()).await.expect("a cable");
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("mysql://root@127.0.0.1:{}/{}", cable.port(), database.name);
        let settings = [
            ("mysql.dead_after", "3s"),
            ("mysql.capture", if mode == Mode::Binlog { "binlog" } else { "outbox" }),
            ("mysql.transaction_memory", "64KiB"),
            ("event", EVENTS),
        ];
        let server = Server::on(&url, folder.path(), &settings);
        server.restart().await.expect("Rowcast");
        Self {
            server,
            mysql,
            database,
            quiet: watch::Sender::new(false),
            mode,
            cable,
            tally: Mutex::default(),
            purged: AtomicBool::new(false),
            altered: AtomicU32::new(0),
            _folder: folder,
        }
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
        match random.random_range(0..16) {
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
                self.mysql.stop(Stop::Immediate).expect("stopped");
                tokio::time::sleep(pause / 2).await;
                self.mysql.run().expect("started again");
                "kill -9 of MariaDB"
            }
            6 => {
                self.mysql.stop(Stop::Fast).expect("stopped");
                self.mysql.set("server-id", &random.random_range(2..1_000).to_string());
                self.mysql.run().expect("started again");
                "restart with another server id"
            }
            7 => {
                self.kill_connections().await;
                "killed connections"
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
            11..=12 if self.mode == Mode::Binlog => {
                self.database.run("flush binary logs").await;
                "rotated binlog"
            }
            13 if self.mode == Mode::Binlog => {
                self.purge(pause).await;
                "purged binlog"
            }
            14 => {
                let number = self.altered.fetch_add(1, Ordering::Relaxed);
                let sql = format!("alter table items add column extra{number} varchar(20) null default 'x'");
                self.database.run(&sql).await;
                "altered table"
            }
            _ => {
                // A transaction that is open for a while: its changes come after what commits meanwhile.
                let mut conn = self.database.connect().await.expect("connected");
                let id = random.random_range(2_000..3_000);
                let insert = format!("begin; insert into items values ({id}, 1, 1, 'long')");
                // Columns may have been added.
                let insert = insert.replace("items values", "items (id, v, team, note) values");
                let begun = conn.query_drop(insert).await.is_ok();
                tokio::time::sleep(pause).await;
                if begun {
                    // The server may refuse it: the row was there.
                    let _ = conn.query_drop("commit").await;
                }
                "long transaction"
            }
        }
    }

    async fn kill_connections(&self) {
        let mut conn = self.database.connect().await.expect("connected");
        let sql = "select id from information_schema.processlist where user = 'root' and id <> connection_id()";
        let ids: Vec<u64> = conn.query(sql).await.expect("the processes");
        for id in ids {
            // It may have gone.
            let _ = conn.query_drop(format!("kill {id}")).await;
        }
    }

    /// While Rowcast does not run, the server forgets what it has not read.
    async fn purge(&self, pause: Duration) {
        self.server.kill9().await.expect("killed");
        tokio::time::sleep(pause).await;
        self.purged.store(true, Ordering::Relaxed);
        self.database.run("flush binary logs; flush binary logs").await;
        let mut conn = self.database.connect().await.expect("connected");
        let logs: Vec<mysql_async::Row> = conn.query("show binary logs").await.expect("the binlogs");
        let last: String = logs.last().and_then(|row| row.get(0)).expect("a binlog");
        conn.query_drop(format!("purge binary logs to '{last}'")).await.expect("purged");
        self.server.restart().await.expect("started again");
    }

    /// Nothing breaks any more, and the writers end.
    pub(crate) async fn calm(&self) {
        self.quiet.send_replace(true);
        self.server.up().await.expect("up");
    }

    pub(crate) fn is_quiet(&self) -> bool {
        *self.quiet.borrow()
    }

    /// Writes the markers until they are heard, and reads the tables.
    pub(crate) async fn end(&self) -> Truth {
        let mut conn = self.database.connect().await.expect("connected");
        let marker = format!(
            "begin; insert into items (id, v, team, note) values ({MARKER}, 1, 1, 'end');
             insert into `Entries \"é\"` values ({MARKER}, 1, ''), ({MARKER}, 2, ''); commit"
        );
        conn.query_drop(marker).await.expect("the markers");
        let items: Vec<(i64, i64, i64)> = conn.query("select id, v, team from items").await.expect("items");
        let sql = "select writer, n from `Entries \"é\"` order by 1, 2";
        let entries: Vec<(i64, i64)> = conn.query(sql).await.expect("entries");
        Truth { items: items.into_iter().map(|(id, v, team)| (id, (v, team))).collect(), entries }
    }

    pub(crate) fn tally(&self) -> String {
        format!("{:?}", self.tally.lock().expect("not poisoned"))
    }
}
