//! What the sessions, the accept loops and the server of one proxy share.

pub(crate) mod hops;
pub(crate) mod listener;
pub(crate) mod watch;
