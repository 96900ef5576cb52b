//! Host names that the system's resolver looks up.

mod lookup;
pub(crate) mod source;
