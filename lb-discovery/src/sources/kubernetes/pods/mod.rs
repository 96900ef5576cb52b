//! Pods that listen on ports of their nodes.

mod snapshot;
pub(crate) mod source;
mod view;
