//! The tests of the library, in one binary.

mod rooms;
//! The crate's integration tests, in one binary.

mod filter;
//! What the rooms of Rowcast promise, checked against the real thing.

mod log_contract;
mod log_crash;
mod log_damage;
mod log_events;
mod log_local;
