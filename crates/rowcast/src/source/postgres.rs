//! PostgreSQL as a source.

pub mod pgoutput;
