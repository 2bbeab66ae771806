//! Rowcast on PostgreSQL: the real binary, a real server, and what may happen to either.

mod doors;
mod history;
mod sentences;
mod world;
mod writer;
