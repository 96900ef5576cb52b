//! Pools of addresses, and which object has which address and port. Pure.
//!
//! - `range`: ranges of addresses as users write them;
//! - `pool`: pools, and which namespaces may use them;
//! - `request`: what an object asks for, and what it gets;
//! - `ledger`: the owners of addresses and ports;
//! - `search`: the search for free addresses;
//! - `allocate`: the decision.
//!
//! Services and Gateways ask with the same [`AddressRequest`] and one call of [`allocate`] decides for all of them. The objects'
//! own status is the memory: [`AddressRequest::held`] is what it says. So the result depends on the objects alone, and neither on
//! the order of events nor on restarts:
//!
//! 1. a port of an address that an object holds stays its port, as long as the pools allow the address;
//! 2. then come the ports that objects have added at addresses that they hold;
//! 3. then the addresses that objects request;
//! 4. then those that the program chooses.
//!
//! Within each step the oldest object is first, then the kind, namespace and name decide.

mod allocate;
mod ledger;
mod pool;
mod range;
mod request;
mod search;

pub use allocate::{Mode, allocate};
pub use pool::{Pool, Pools, PoolsError};
pub use range::{Range, RangeError};
pub use request::{AddressRequest, Family, Grant, Held, Owner, OwnerKind, Problem};

#[cfg(test)]
mod tests;
