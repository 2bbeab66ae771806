//! Rowcast on PostgreSQL: the real binary, a real server, and what may happen to either.

mod ear;
mod history;
mod world;
mod writer;
