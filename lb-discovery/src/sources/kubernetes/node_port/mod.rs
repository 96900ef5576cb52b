//! The nodes of a cluster, at the node port of a Service.

pub(crate) mod snapshot;
pub(crate) mod source;
