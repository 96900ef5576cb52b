//! Leases: the connections in flight of a backend are references to its state.

pub(crate) mod connection_limit;
pub(crate) mod limited;
pub(crate) mod pick;
pub(crate) mod reference;
