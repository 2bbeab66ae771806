//! MySQL and MariaDB against the stores' contracts, with a source that shares its `Live`.

use std::sync::Arc;

use async_trait::async_trait;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rowcast::mysql::{Capture, Live, MysqlSettings};
use rowcast::source::Source;
use rowcast::source::mysql::MysqlSource;
use rowcast::store::Store;
use rowcast::store::mysql::MysqlStore;
use servers::MysqlDatabase;

use super::address;
use crate::delivery_contract::delivery_contract;
use crate::source_contract::{Database, Writer};
use crate::store_contract::{StoredDatabase, store_contract};
use crate::write_contract::write_contract;

/// A database with a source and a store that know of each other.
struct Both {
    database: MysqlDatabase,
    settings: MysqlSettings,
    live: Arc<Live>,
}

impl Both {
    async fn new(capture: Capture) -> Self {
        let settings = MysqlSettings { capture, ..MysqlSettings::default() };
        let database = MysqlDatabase::new().await.expect("a database");
        Self { database, settings, live: Arc::new(Live::default()) }
    }
}

struct Writing {
    url: String,
    conn: Option<Conn>,
}

#[async_trait]
impl Writer for Writing {
    async fn try_run(&mut self, sql: &str) -> Result<(), String> {
        if self.conn.is_none() {
            let opts = mysql_async::Opts::from_url(&self.url).map_err(|error| error.to_string())?;
            self.conn = Some(Conn::new(opts).await.map_err(|error| error.to_string())?);
        }
        let conn = self.conn.as_mut().expect("connected");
        let done = conn.query_drop(sql).await;
        if done.is_err() {
            // What was begun before the error is not there for the next one.
            conn.query_drop("ROLLBACK").await.map_err(|error| error.to_string())?;
        }
        done.map_err(|error| error.to_string())
    }
}

#[async_trait]
impl Database for Both {
    fn source(&self, batch_rows: usize) -> Box<dyn Source> {
        let settings = MysqlSettings { batch_rows, ..self.settings.clone() };
        Box::new(MysqlSource::new("test", address(&self.database.url()), settings, self.live.clone()))
    }

    fn writer(&self) -> Box<dyn Writer> {
        Box::new(Writing { url: self.database.url(), conn: None })
    }

    fn quote(&self, name: &str) -> String {
        format!("`{name}`")
    }

    async fn leftovers(&self) -> Vec<String> {
        let mut conn = self.database.connect().await.expect("connected");
        let sql = "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME LIKE '\\_rowcast%'";
        conn.query(sql).await.expect("asked")
    }
}

impl StoredDatabase for Both {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(MysqlStore::open(address(&self.database.url()), self.settings.clone(), self.live.clone()))
    }
}

mod binlog {
    use super::*;

    store_contract!(Both::new(Capture::Binlog).await;
        tables_are_found_by_any_spelling snapshots_are_ordered_and_limited large_snapshots_come_in_chunks
        refused_rows_are_told_and_the_others_stand an_altered_table_is_noticed
        many_inserters_each_learn_their_own series_are_of_buckets
    );
    delivery_contract!(Both::new(Capture::Binlog).await;
        nothing_is_there_before_the_first_delivery a_delivery_whose_answer_was_lost_is_not_written_again
        what_does_not_become_a_row_is_kept dead_letters_are_paged_and_counted
        a_record_whose_key_is_known_is_passed_over a_conflict_needs_a_unique_key
        a_mended_record_takes_its_dead_letter_away deliverers_at_once_write_each_record_once
        a_table_that_is_there_is_left_as_it_is every_kind_of_column_can_be_made
    );
    write_contract!(Both::new(Capture::Binlog).await;
        of_what_fails_nothing_stands a_check_is_of_the_rows_as_they_stand_then what_is_required_holds_at_the_commit
        rows_come_back_with_what_the_database_gave_them a_constraint_is_told_with_its_kind
    );
}

mod outbox {
    use super::*;

    store_contract!(Both::new(Capture::Outbox).await);
    delivery_contract!(Both::new(Capture::Outbox).await);
    write_contract!(Both::new(Capture::Outbox).await);
}
