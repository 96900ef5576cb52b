//! Builds the descriptions that lb-proxy serves from a configuration.

mod bind_source;
pub(crate) mod error;
mod hash_key;
mod health_check;
mod host_cache;
pub(crate) mod inherited;
mod kubernetes;
mod listener;
pub(crate) mod loops;
pub(crate) mod proxy;
pub(crate) mod reload_state;
mod resolvers;
mod route;
mod session;
mod targets;
pub(crate) mod upstream;
mod virtual_servers;
