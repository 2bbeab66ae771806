//! The tests of the library, in one binary.

mod rooms;
//! The crate's integration tests, in one binary.

mod filter;
