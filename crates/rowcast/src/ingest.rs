//! Rows and messages in: decoded, made to fit their table, written in batches, told where they stand.
//!
//! Never announces a row: it writes, and the database announces. Leaves HTTP's statuses and messages to `transport`.

pub mod coerce;
pub mod decode;
pub mod flow;
mod guard;
mod intake;
pub mod letters;
pub mod load;
pub mod once;
pub mod pipe;
pub mod pull;
pub mod shape;
pub mod spool;

pub use decode::Format;
pub use guard::{BindGuard, Guard};
pub use pipe::{Asked, Cause, Failure, Ingest, Rejected, Report};
