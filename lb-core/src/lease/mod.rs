//! Leases: references to a backend's state, which are its connections in flight.

pub(crate) mod connection_limit;
pub(crate) mod lease;
pub(crate) mod reference;
