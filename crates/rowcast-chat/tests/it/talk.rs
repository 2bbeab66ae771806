//! People who talk: each test is a story of what two do, and what a third does not hear of it.

mod blocks;
mod contacts;
mod files;
mod forged;
mod groups;
mod orphans;
pub(crate) mod people;
mod quota;
mod ranges;
mod restart;
mod story;
mod writing;
