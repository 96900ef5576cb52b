//! Requests to an API server.

pub(crate) mod access;
mod client;
pub(crate) mod requests;
