//! `upstream` blocks: servers, methods, and Kubernetes, which nginx_like adds.

pub(crate) mod block;
pub(crate) mod error;
pub(crate) mod kubernetes;
pub(crate) mod method;
pub(crate) mod server;
