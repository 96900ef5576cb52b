//! Sockets of connections, their options, and addresses.

pub(crate) mod connect;
mod ephemeral;
pub(crate) mod local;
pub(crate) mod network;
pub(crate) mod socket;
pub(crate) mod stream;
