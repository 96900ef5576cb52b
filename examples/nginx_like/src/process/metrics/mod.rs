//! Metrics of the process, beside those that lb-proxy has of the server.

pub(super) mod collector;
mod proc_files;
mod reloads;

pub(crate) use reloads::ReloadRecord;
