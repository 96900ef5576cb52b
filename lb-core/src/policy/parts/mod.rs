//! Parts of policies.

pub(crate) mod alias_table;
pub(crate) mod bound;
pub(crate) mod hrw;
pub(crate) mod indices;
pub(crate) mod least;
pub(crate) mod ring;
pub(crate) mod sequence;
