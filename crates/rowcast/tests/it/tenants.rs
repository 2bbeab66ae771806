//! Tenants that share a gateway: what each may have, and that none sees anything of another.

mod apart;
mod limits;
mod world;
