//! A Kubernetes API server, and the objects that it serves.

mod api_server;
pub mod objects;

pub use api_server::{ApiServer, Backup, Fault, Request};
