//! `upstream` blocks: servers, methods and what nginx_like adds of Kubernetes.

pub(crate) mod block;
pub(crate) mod hash_key;
pub(crate) mod kubernetes;
