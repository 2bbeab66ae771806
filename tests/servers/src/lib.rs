//! Private database servers for tests and measurements: in temporary folders, on free ports, with the settings that a test
//! asks for. They end with the test.

mod cable;
mod folder;
mod pgbouncer;
mod port;
mod postgres;

pub use cable::Cable;
pub use pgbouncer::PgBouncer;
pub use postgres::{Database, MADE_POSTGRES, Postgres, PostgresOptions, SHARED_POSTGRES, Stop, made};
