//! The library against real databases: contracts first, then what is particular to each kind.

mod source_contract;
mod sqlite;
mod sqlite_replace;
mod sqlite_schema;
mod sqlite_store;
mod store_contract;
