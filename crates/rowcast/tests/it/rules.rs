//! Rules: what a client receives is what SQL says that it may see, at every position.

mod databases;
mod history;
mod membership;
mod presence;
mod reading;
mod world;
mod writing;
