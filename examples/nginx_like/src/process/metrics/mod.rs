//! Metrics of the process, beside those that lb-proxy has of the server.

pub(crate) mod collector;
mod reloads;

pub(crate) use reloads::LoadCounters;
