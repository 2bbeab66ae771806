//! Tests of the binary: the real server, real sockets, real database files.

mod client;
mod commands;
mod demo;
mod doors;
mod faults;
mod histories;
mod ingest;
mod postgres;
mod program;
mod server;
