//! A DNS server with answers that the test sets, and a forger in front of it.
//!
//! Real sockets on a free port of 127.0.0.1, the same port for UDP and TCP. The server truncates an answer that does not
//! fit into 512 bytes of UDP, follows its own CNAMEs as a recursive server does, and adds an SOA record to negative
//! answers.

mod forger;
mod handler;
mod server;
mod zone;

pub use hickory_server::proto;
pub use hickory_server::proto::op::ResponseCode;
pub use hickory_server::proto::rr::RecordType;

pub use forger::Forger;
pub use server::DnsServer;
pub use zone::Offer;
