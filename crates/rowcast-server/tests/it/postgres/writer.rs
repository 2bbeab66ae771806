//! A program that writes, and knows nothing of Rowcast.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use tokio_postgres::{Client, Error, NoTls};

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
        while !*self.world.quiet.borrow() {
            let Ok(client) = self.connect().await else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            // As the application's own role, which has no rights to what is Rowcast's.
            while !*self.world.quiet.borrow() {
                match self.transaction(&client).await {
                    Ok(done) => committed += u64::from(done),
                    Err(error) if client.is_closed() || error.is_closed() => break,
                    Err(error) => assert!(is_expected(&error), "a write failed: {error:?}"),
                }
            }
        }
        committed
    }

    /// Straight to the database: what happens to Rowcast's cable is nothing to it.
    async fn connect(&self) -> Result<Client, Error> {
        let url = self.world.database.url().replace("postgres@", "app@");
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    async fn transaction(&mut self, client: &Client) -> Result<bool, Error> {
        self.begun += 1;
        let (writer, n) = (self.number, self.begun);
        client.batch_execute("begin").await?;
        let written = self.statements(client).await;
        if let Err(error) = written {
            client.batch_execute("rollback").await?;
            return Err(error);
        }
        client
            .batch_execute(&format!(
                "insert into \"Entries \"\"é\"\"\" values ({writer}, {n}, repeat('x', {}));
                 select rowcast.publish('room:history', 'tick', '[{writer}, {n}]');
                 select pg_notify('jobs', '{writer}:{n}')",
                self.random.random_range(0..4_000)
            ))
            .await?;
        let commit = self.random.random_bool(0.85);
        client.batch_execute(if commit { "commit" } else { "rollback" }).await?;
        Ok(commit)
    }

    async fn statements(&mut self, client: &Client) -> Result<(), Error> {
        let count = if self.random.random_bool(0.03) { 600 } else { self.random.random_range(0..6) };
        for _ in 0..count {
            let (id, team) = (self.random.random_range(0..40), self.random.random_range(0..4));
            let sql = match self.random.random_range(0..10) {
                0..=5 => format!(
                    "insert into items values ({id}, 1, {team}, 'a') on conflict (id) do update set v = items.v + 1, team = {team}"
                ),
                6..=7 => format!("update items set v = v + 1, note = repeat('ü', {}) where id = {id}", team * 700),
                8 => format!("delete from items where id = {id}"),
                _ => format!(
                    "savepoint s; update items set v = v + 100 where id = {id}; insert into items values (1000 + {id}, 1, 0, 'no') on conflict do nothing; rollback to s"
                ),
            };
            client.batch_execute(&sql).await?;
            if self.random.random_bool(0.05) {
                tokio::time::sleep(Duration::from_millis(self.random.random_range(0..30))).await;
            }
        }
        Ok(())
    }
}

/// What PostgreSQL says to writers that are in each other's way, or while it ends.
fn is_expected(error: &Error) -> bool {
    let expected = ["40P01", "40001", "57P01", "57P02", "57P03"];
    error.code().is_none_or(|code| expected.contains(&code.code()))
}
