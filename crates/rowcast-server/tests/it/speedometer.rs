//! The third of the systems that Rowcast brings together, as `examples/speedometer` has it: a simulator's stream, checked, stored in
//! MariaDB and told to pages as `newData`. What its user checks, sentence by sentence: a test each, named after it.

mod database;
mod sentences;
mod site;
mod source;

pub(crate) use database::{Data, Kind};
pub(crate) use site::{Simulator, Site, now_ms};
