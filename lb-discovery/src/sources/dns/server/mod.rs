//! One question to one name server.

pub(crate) mod aliases;
pub(crate) mod answer;
pub(crate) mod error;
pub(crate) mod name_server;
pub(crate) mod sockets;
