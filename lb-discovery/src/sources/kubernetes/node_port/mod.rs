//! The nodes of a cluster, at the node port of a Service.

mod snapshot;
pub(crate) mod source;
