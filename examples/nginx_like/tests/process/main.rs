//! The binary as a process: its command line, its signals, and the article's scenario over real sockets and DNS.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[cfg(feature = "kubernetes")]
#[path = "../../../../lb-discovery/tests/support/api_server/mod.rs"]
mod api_server;
mod command_line;
#[path = "../../../../lb-discovery/tests/support/dns_server.rs"]
mod dns_server;
#[cfg(feature = "kubernetes")]
mod kubernetes;
#[cfg(feature = "kubernetes")]
#[path = "../../../../lb-discovery/tests/kubernetes/objects.rs"]
mod objects;
mod proxy;
mod scenario;
mod signals;
mod sockets;
