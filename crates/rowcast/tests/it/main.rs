//! What the rooms of Rowcast promise, checked against the real thing: the crate's integration tests, in one binary.

mod filter;
mod hub;
mod ingest;
mod ingest_pull;
mod log_contract;
mod log_crash;
mod log_damage;
mod log_events;
mod log_local;
mod pg_connect;
mod pg_doctor;
mod pg_filter;
mod pg_install;
mod pg_wire;
mod protocol_vectors;
mod rooms;
mod scratch;
mod settle;
mod snapshots;
mod source_contract;
mod sqlite;
mod sqlite_replace;
mod sqlite_schema;
mod sqlite_store;
mod store_contract;
