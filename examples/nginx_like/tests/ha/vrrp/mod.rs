//! Two balancers behind an address that keepalived moves.

mod faults;
mod network;
mod node;
mod orphans;
mod planned;
