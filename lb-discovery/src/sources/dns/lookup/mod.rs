//! From a name to addresses, or to the servers of a service.

pub(crate) mod addresses;
pub(crate) mod host;
pub(crate) mod questions;
pub(crate) mod srv;
