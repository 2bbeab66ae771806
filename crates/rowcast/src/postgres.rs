//! What the sources and the store of PostgreSQL have in common: how a server is reached, how its types become values, what
//! its catalog says, and what Rowcast installs in it.
//!
//! Knows no traits. Leaves reading changes to `source`, and rows to `store`.

pub mod address;
pub(crate) mod catalog;
mod connect;
pub mod doctor;
pub mod environment;
pub mod install;
pub mod live;
pub mod lsn;
pub(crate) mod name;
pub mod outbox_place;
pub mod place;
pub mod settings;
mod tls;
pub mod types;
pub mod wire;

pub use address::Address;
pub use connect::ConnectError;
pub use environment::Environment;
pub use live::Live;
pub use lsn::Lsn;
pub use outbox_place::OutboxPlace;
pub use place::WalPlace;
pub use settings::{Capture, Identity, Mode, NotifySettings, PostgresSettings, WalBudget};
pub use types::{Kind, Types};
pub use wire::{Flow, Frame, Replication, WireError};
