//! Rowcast makes a SQL database live in every browser.

pub mod event;
pub mod filter;
pub mod log;
pub mod source;
mod sqlite;
pub mod store;
