//! From a plan to a running proxy.
//!
//! - `proxy`: the running server, and how a plan is applied to it;
//! - `listeners`: descriptions of listeners;
//! - `local_networks`: the IPv6 networks that are local as a whole;
//! - `probe`: which addresses this machine can listen on;
//! - `upstreams`: the upstreams, and the handles that set their backends.
//!
//! A plan is applied as a reload: sessions go on, and listeners and upstreams that stay the same keep their sockets and state. Changes of
//! endpoints need no reload.

mod listeners;
mod local_networks;
mod probe;
mod proxy;
mod upstreams;

pub use proxy::{ApplyError, RunningProxy};
