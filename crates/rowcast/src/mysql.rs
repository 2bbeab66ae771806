//! What the source and the store of MySQL and MariaDB have in common: how a server is reached, how its types become values,
//! what its catalog says, and what Rowcast installs in it.
//!
//! Knows no traits. Leaves reading changes to `source`, and rows to `store`.

pub mod address;
pub mod catalog;
pub(crate) mod civil;
mod connect;
pub mod doctor;
pub mod install;
pub mod kind;
pub mod live;
pub mod place;
pub(crate) mod sequence;
pub mod settings;
pub(crate) mod shape;
pub(crate) mod text;

pub use address::{Address, ConnectError, Defaults, Flavor, Server};
pub use kind::Kind;
pub use live::{Live, Mode};
pub use place::{BinlogPlace, OutboxPlace};
pub use settings::{Capture, MysqlSettings};
