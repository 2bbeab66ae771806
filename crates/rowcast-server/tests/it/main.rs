//! Tests of the binary: the real server, real sockets, real database files.

mod bench;
mod classes;
mod client;
mod commands;
mod demo;
mod doors;
mod ear;
mod events;
mod faults;
mod herd;
mod histories;
mod influx;
mod ingest;
mod ingest_chaos;
mod ingest_killed;
mod load;
mod mysql;
mod peer;
mod peers;
mod postgres;
mod program;
mod roaming;
mod server;
mod simulate;
mod socketio;
mod speedometer;
