//! Rowcast makes a SQL database live in every browser.

pub mod event;
pub mod filter;
pub mod ingest;
pub mod log;
pub mod source;
pub mod store;
