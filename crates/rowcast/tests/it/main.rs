//! Integration tests of the library, in one binary.

mod ingest;
mod ingest_pull;
mod scratch;
