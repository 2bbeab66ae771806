//! The chat over real gateways, on real databases, with real sockets and a real mail server.

mod accounts;
mod browser;
mod codes;
mod foreign;
mod live;
mod mail;
mod mail_tls;
mod postbox;
mod talk;
mod upgrade;
mod world;
