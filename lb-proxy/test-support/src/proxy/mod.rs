//! A running [`Proxy`](lb_proxy::Proxy), upstreams for it, and a relay between four sockets.

mod link;
mod running;
mod upstreams;

pub use link::{Ended, Link, Side};
pub use running::{RunningProxy, reload, session, session_with};
pub use upstreams::{eager, in_flight, pool, removable, round_robin, upstream};
