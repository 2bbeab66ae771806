//! Who comes in by which door: a real gateway that asks for tokens, and clients with good ones, bad ones and none.

mod browser;
mod expiry;
mod matrix;
mod native;
mod own;
mod revoke;
mod routes;
mod secrets;
mod socketio;
pub(crate) mod world;
