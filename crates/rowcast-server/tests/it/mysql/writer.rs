//! A program that writes, and knows nothing of Rowcast.

use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Opts};
use rand::RngExt;
use rand::rngs::StdRng;

use super::world::World;

pub(crate) struct Writer {
    world: Arc<World>,
    number: u32,
    random: StdRng,
    /// Transactions begun: each writes an entry of this number, if it is committed.
    begun: u64,
}

impl Writer {
    pub(crate) fn new(world: Arc<World>, number: u32, random: StdRng) -> Self {
        Self { world, number, random, begun: 0 }
    }

    /// Writes until the world is quiet; returns how many transactions were committed for sure.
    pub(crate) async fn run(mut self) -> u64 {
        let mut committed = 0;
        while !self.world.is_quiet() {
            let Ok(mut conn) = self.connect().await else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            while !self.world.is_quiet() {
                match self.transaction(&mut conn).await {
                    Ok(done) => committed += u64::from(done),
                    Err(Error::Server(error)) if is_expected(error.code) => {}
                    Err(Error::Server(error)) if is_the_end(error.code) => break,
                    Err(Error::Server(error)) => panic!("a write failed: {error}"),
                    Err(_) => break,
                }
            }
        }
        committed
    }

    /// Straight to the database, as the application's own user, which has no rights to what is Rowcast's: what happens to
    /// Rowcast's cable is nothing to it.
    async fn connect(&self) -> Result<Conn, Error> {
        let url = self.world.database.url().replace("root@", "app@");
        Conn::new(Opts::from_url(&url).expect("a URL")).await
    }

    async fn transaction(&mut self, conn: &mut Conn) -> Result<bool, Error> {
        self.begun += 1;
        let (writer, n) = (self.number, self.begun);
        conn.query_drop("begin").await?;
        let written = self.statements(conn).await;
        if let Err(error) = written {
            conn.query_drop("rollback").await?;
            return Err(error);
        }
        let filler = self.random.random_range(0..4_000);
        let entry = format!("insert into `Entries \"é\"` values ({writer}, {n}, repeat('x', {filler}))");
        conn.query_drop(entry).await?;
        let commit = self.random.random_bool(0.85);
        conn.query_drop(if commit { "commit" } else { "rollback" }).await?;
        Ok(commit)
    }

    async fn statements(&mut self, conn: &mut Conn) -> Result<(), Error> {
        let count = if self.random.random_bool(0.03) { 600 } else { self.random.random_range(0..6) };
        for _ in 0..count {
            let (id, team) = (self.random.random_range(0..40), self.random.random_range(0..4));
            let columns = "items (id, v, team, note)";
            let sql = match self.random.random_range(0..10) {
                0..=5 => format!(
                    "insert into {columns} values ({id}, 1, {team}, 'a') on duplicate key update v = v + 1, team = {team}"
                ),
                6..=7 => format!("update items set v = v + 1, note = repeat('ü', {}) where id = {id}", team * 700),
                8 => format!("delete from items where id = {id}"),
                _ => format!(
                    "savepoint s; update items set v = v + 100 where id = {id}; insert ignore into {columns} values (1000 + {id}, 1, 0, 'no'); rollback to s"
                ),
            };
            conn.query_drop(sql).await?;
            if self.random.random_bool(0.05) {
                tokio::time::sleep(Duration::from_millis(self.random.random_range(0..30))).await;
            }
        }
        Ok(())
    }
}

/// Writers that are in each other's way: lock waits and deadlocks.
fn is_expected(code: u16) -> bool {
    matches!(code, 1205 | 1213 | 1020 | 1412)
}

/// The server ends, or ended this connection.
fn is_the_end(code: u16) -> bool {
    matches!(code, 1053 | 1077 | 1079 | 1317 | 1927 | 3169 | 4031)
}
