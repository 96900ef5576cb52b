//! From a name to addresses or to the servers of a service.

pub(crate) mod answer;
pub(crate) mod questions;
pub(crate) mod srv;
