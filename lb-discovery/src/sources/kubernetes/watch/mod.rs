//! Following objects: a list, then what changes, and the stream of sets that comes of it.

pub(crate) mod follow;
pub(crate) mod list_watch;
pub(crate) mod object_store;
mod short_watches;
mod version;
