//! The balancer as its callers see it: its settings, its policies, and recordings of a real nginx.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod balancer;
mod golden;
mod policies;
mod support;
