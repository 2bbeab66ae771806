//! Rowcast makes a SQL database live in every browser.

pub mod auth;
pub mod event;
pub mod filter;
pub mod gateway;
pub mod hub;
pub mod ingest;
pub mod log;
pub mod mysql;
pub mod postgres;
pub mod presence;
pub mod protocol;
pub mod session;
pub mod source;
mod sqlite;
pub mod store;
pub mod transport;

pub use transport::socketio;
