//! The binary as a process: its command line, its signals, and the article's scenario over real sockets and DNS.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod accepting;
mod command_line;
mod dns_chaos;
#[path = "../../../../lb-discovery/tests/support/dns_server.rs"]
mod dns_server;
mod first_bytes;
mod hash;
mod proxy;
mod scenario;
mod service;
mod signals;
mod sockets;
