//! Changes of this machine's network: links, addresses and default routes that are lost and return.
//!
//! A [`NetworkWatch`] listens to the kernel's routing protocol (`NETLINK_ROUTE`, rtnetlink(7)) on Linux. It needs no rights.
//! [`Handle::follow_network`](crate::Handle::follow_network) lets a server act on it: backends are not blamed for an outage of
//! this machine's own network, and sessions end whose local address has moved to another machine.
//!
//! ```no_run
//! # use lb_proxy::{Handle, network_watch::NetworkWatch};
//! # async fn follow(handle: Handle) -> std::io::Result<()> {
//! let watch = NetworkWatch::open()?;
//! tokio::spawn(async move { handle.follow_network(watch).await });
//! # Ok(())
//! # }
//! # let _ = follow;
//! ```
//!
//! `socket` speaks to the kernel, `message` reads what it sends, `state` has what was last known, [`NetworkWatch`] joins them.

mod event;
mod message;
mod socket;
mod state;
mod watch;

pub use event::{NetworkEvent, NetworkPart};
pub use watch::NetworkWatch;
