//! The loads of all backends of a tier, for policies that need more than those of two.

pub(crate) mod board;
