//! Sources made of other sources.

pub(crate) mod filter;
pub(crate) mod map;
pub(crate) mod merge;
