//! Rules: what a client receives is what SQL says that it may see, at every position.

mod history;
mod membership;
mod reading;
mod world;
mod writing;
