//! Private database servers for tests and measurements: in temporary folders, on free ports, with the settings that a test
//! asks for. They end with the test.

mod cable;
mod folder;
mod mosquitto;
mod mysql;
mod pgbouncer;
mod port;
mod postgres;

pub use cable::Cable;
pub use mosquitto::Mosquitto;
pub use mysql::{MADE_MYSQL, Mysql, MysqlDatabase, MysqlOptions, SHARED_MYSQL, made_mysql};
pub use pgbouncer::PgBouncer;
pub use port::free_port;
pub use postgres::{Database, MADE_POSTGRES, Postgres, PostgresOptions, SHARED_POSTGRES, Stop, made};
