//! First bytes over real sockets: PROXY headers, ClientHellos, hostile peers.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod hostile;
mod preread;
mod proxy_protocol;
mod sni;
