//! The backends of one priority, and which priority gets a connection.

pub(crate) mod health;
pub(crate) mod identity;
pub(crate) mod slow_start;
pub(crate) mod subset;
pub(crate) mod tier;
pub(crate) mod zone;
