//! PostgreSQL against the store's contract, with a source that shares its `Live`.

use std::sync::Arc;

use async_trait::async_trait;
use rowcast::postgres::{Capture, Live, PostgresSettings};
use rowcast::source::Source;
use rowcast::source::postgres::PostgresSource;
use rowcast::store::Store;
use rowcast::store::postgres::PostgresStore;

use crate::delivery_contract::delivery_contract;
use crate::pg_source::Pg;
use crate::source_contract::{Database, Writer};
use crate::store_contract::{StoredDatabase, store_contract};
use crate::write_contract::write_contract;

/// A database with a source and a store that know of each other.
struct Both {
    pg: Pg,
    live: Arc<Live>,
}

impl Both {
    async fn new(capture: Capture) -> Self {
        Self { pg: Pg::new(capture).await, live: Arc::new(Live::default()) }
    }
}

#[async_trait]
impl Database for Both {
    fn source(&self, batch_rows: usize) -> Box<dyn Source> {
        let settings = PostgresSettings { batch_rows, ..self.pg.settings.clone() };
        Box::new(PostgresSource::new("test", self.pg.address(), settings, self.live.clone()))
    }

    fn writer(&self) -> Box<dyn Writer> {
        self.pg.writer()
    }

    async fn leftovers(&self) -> Vec<String> {
        self.pg.leftovers().await
    }
}

impl StoredDatabase for Both {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(PostgresStore::open(self.pg.address(), self.pg.settings.clone(), self.live.clone()))
    }
}

mod wal {
    use super::*;

    store_contract!(Both::new(Capture::Wal).await);
    delivery_contract!(Both::new(Capture::Wal).await);
    write_contract!(Both::new(Capture::Wal).await);
}

mod outbox {
    use super::*;

    store_contract!(Both::new(Capture::Outbox).await);
    delivery_contract!(Both::new(Capture::Outbox).await);
    write_contract!(Both::new(Capture::Outbox).await);
}
