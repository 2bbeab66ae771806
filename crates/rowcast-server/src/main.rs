//! The binary `rowcast`: reads its command line, and starts one command.
mod config;
fn main() {
    let _ = config::Config::read(&config::Layers::defaults());
}
