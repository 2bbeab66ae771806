//! The database that the points are stored in, to look into and to stop.

use anyhow::{Context, Result};
use mysql_async::prelude::Queryable;
use servers::{Database, Mysql, MysqlDatabase, Postgres, Stop};

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Mariadb,
    Postgres,
}

/// A database of its own, on a server of its own where it is to be stopped.
#[derive(Debug)]
pub(crate) enum Data {
    Mariadb(MysqlDatabase, Option<Mysql>),
    Postgres(Database, Option<Postgres>),
}

impl Data {
    /// On the server that tests share.
    pub(crate) async fn shared(kind: Kind) -> Result<Self> {
        Ok(match kind {
            Kind::Mariadb => Self::Mariadb(MysqlDatabase::new().await?, None),
            Kind::Postgres => Self::Postgres(Database::new().await?, None),
        })
    }

    /// On a server that can be stopped.
    pub(crate) async fn own(kind: Kind) -> Result<Self> {
        Ok(match kind {
            Kind::Mariadb => {
                let server = Mysql::start()?;
                Self::Mariadb(server.database().await?, Some(server))
            }
            Kind::Postgres => {
                let server = Postgres::start()?;
                Self::Postgres(server.database().await?, Some(server))
            }
        })
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Mariadb(database, _) => database.url(),
            Self::Postgres(database, _) => database.url(),
        }
    }

    /// Keys of the configuration that keep tests on one server apart.
    pub(crate) fn settings(&self) -> Vec<(&str, &str)> {
        match self {
            Self::Mariadb(..) => Vec::new(),
            Self::Postgres(database, _) => {
                vec![("postgres.slot", &database.name), ("postgres.publication", &database.name)]
            }
        }
    }

    pub(crate) fn stop(&self, how: Stop) -> Result<()> {
        match self {
            Self::Mariadb(_, server) => server.as_ref().context("it is shared")?.stop(how),
            Self::Postgres(_, server) => server.as_ref().context("it is shared")?.stop(how),
        }
    }

    pub(crate) fn run_again(&self) -> Result<()> {
        match self {
            Self::Mariadb(_, server) => server.as_ref().context("it is shared")?.run(),
            Self::Postgres(_, server) => server.as_ref().context("it is shared")?.run(),
        }
    }

    /// The two columns of all rows, in the order of their ids. Before the table is there: none.
    pub(crate) async fn pairs(&self, first: &str, second: &str) -> Result<Vec<(String, String)>> {
        match self {
            Self::Mariadb(database, _) => {
                let mut connection = database.connect().await?;
                let there = "select count(*) from information_schema.tables where table_schema = database() and table_name = 'Data'";
                if connection.query_first::<i64, _>(there).await? == Some(0) {
                    return Ok(Vec::new());
                }
                let sql = format!("select cast(`{first}` as char), cast(`{second}` as char) from `Data` order by id");
                let rows = connection.query(sql).await?;
                connection.disconnect().await?;
                Ok(rows)
            }
            Self::Postgres(database, _) => {
                let client = database.connect().await?;
                let there = client.query_one(r#"select to_regclass('"Data"') is not null"#, &[]).await?;
                if !there.get::<_, bool>(0) {
                    return Ok(Vec::new());
                }
                let sql = format!(r#"select "{first}"::text, "{second}"::text from "Data" order by id"#);
                Ok(client.query(&sql, &[]).await?.iter().map(|row| (row.get(0), row.get(1))).collect())
            }
        }
    }
}
