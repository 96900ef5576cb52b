//! Resolves the blocks as written to a [`Config`](super::main::Config): defaults, inheritance, names of upstreams.
//!
//! The checks that need more than one block are here too.

mod access_logs;
mod health_checks;
mod listens;
pub(crate) mod main;
mod own_files;
mod protocol_options;
mod stream;
mod upstreams;
mod virtual_servers;
