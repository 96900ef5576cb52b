//! Tiers: the backends of one priority, and which tier gets a connection.

pub(crate) mod all_ejected;
pub(crate) mod generation;
pub(crate) mod health;
pub(crate) mod identity;
pub(crate) mod slot;
pub(crate) mod slow_start;
mod spill;
pub(crate) mod subset;
pub(crate) mod tier;
pub(crate) mod zone;
