//! Sockets: connecting, accepting, readiness, options, addresses.

pub(crate) mod acceptor;
pub(crate) mod bind_source;
pub(crate) mod connect;
mod ephemeral_ports;
pub(crate) mod handshake;
pub(crate) mod local;
pub(crate) mod options;
mod port_search;
pub(crate) mod stream;
pub(crate) mod tcp_info;
pub(crate) mod unix;
