//! Objects of the API, reduced to the fields that the sources use.

pub(crate) mod condition;
pub(crate) mod families;
pub(crate) mod name;
pub(crate) mod node;
pub(crate) mod pod;
pub(crate) mod port;
pub(crate) mod projection;
pub(crate) mod service;
pub(crate) mod slice;
pub(crate) mod workload;
