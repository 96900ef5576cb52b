//! Sources that must be polled.

pub(crate) mod lookup;
pub(crate) mod source;
mod timing;
mod watch;
