//! Two balancers that announce one address to a router, which spreads connections over them.

mod faults;
mod network;
mod node;
