//! Following objects: a list, then its changes, and the stream of sets that is computed from them.
//!
//! - `list_watch`: the lists and watches of one kind of object, versions and 410 Gone;
//! - `object_store`: the current objects; `history` is what outlives a watch;
//! - `view_follower`: from the objects of several kinds to the sets of a source.

pub(crate) mod history;
pub(crate) mod list_watch;
pub(crate) mod object_store;
mod short_watches;
mod version;
pub(crate) mod view_follower;
