//! Rules: what a client receives is what SQL says that it may see, at every position.

mod changing;
mod databases;
mod history;
mod membership;
mod policies;
mod presence;
mod reading;
mod ticks;
mod unseen;
mod world;
mod writing;
