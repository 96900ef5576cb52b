//! The plan of the proxy: addresses and ports, the targets of their connections, and settings. Pure data.
//!
//! - `listener`: an address and port, its routes and the settings of its sessions;
//! - `target`: weighted references to upstreams, and refusals in proportion;
//! - `upstream`: backends, policy, health check, drain;
//! - `describe`: the plan as text, for `--plan`.
//!
//! The planners (`services`, and one for the Gateway API) add to one plan. They never compete for an address: the grants of
//! [`addresses`](crate::addresses) say which ports are whose, and [`Plan::listen`] refuses a second owner.

mod describe;
mod listener;
mod target;
mod upstream;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

pub use listener::{ListenerPlan, RouteName, Routing, SessionPlan};
pub use target::{Destination, NamedTargets, Targets, WeightedTarget};
pub use upstream::{
    CheckKind, CheckPlan, DrainPlan, PolicyPlan, ProxyHeader, Reach, ServiceTarget, UpstreamPlan,
};

/// What the proxy serves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    listeners: BTreeMap<SocketAddr, ListenerPlan>,
    upstreams: BTreeMap<Arc<str>, UpstreamPlan>,
}

/// Another object listens on the address already. The planners ask for grants first, so this is a mistake of a planner.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{addr} is served for another object already")]
pub struct AddressTaken {
    addr: SocketAddr,
}

impl Plan {
    /// Adds a listener.
    ///
    /// # Errors
    ///
    /// [`AddressTaken`] if there is one with that address.
    pub fn listen(&mut self, addr: SocketAddr, listener: ListenerPlan) -> Result<(), AddressTaken> {
        match self.listeners.contains_key(&addr) {
            true => Err(AddressTaken { addr }),
            false => {
                self.listeners.insert(addr, listener);
                Ok(())
            }
        }
    }

    /// Adds an upstream, or replaces the one of that name.
    pub fn upstream(&mut self, name: impl Into<Arc<str>>, upstream: UpstreamPlan) {
        self.upstreams.insert(name.into(), upstream);
    }

    /// The listeners by address and port.
    pub const fn listeners(&self) -> &BTreeMap<SocketAddr, ListenerPlan> {
        &self.listeners
    }

    /// The upstreams by name.
    pub const fn upstreams(&self) -> &BTreeMap<Arc<str>, UpstreamPlan> {
        &self.upstreams
    }
}
