//! Tests of the binary: the real server, real sockets, real database files.

mod client;
mod faults;
mod histories;
mod server;
