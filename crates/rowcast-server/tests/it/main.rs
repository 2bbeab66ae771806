//! Tests of the binary: the real server, real sockets, real database files.

mod commands;
mod demo;
mod doors;
mod ingest;
mod program;
