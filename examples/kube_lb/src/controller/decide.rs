//! What is served and reported. Pure.

use std::collections::BTreeMap;
use std::fmt;

use super::stores::Stores;
use crate::addresses::{AddressRequest, Grant, Mode, Owner, allocate};
use crate::config::Config;
use crate::plan::{Plan, Reach};
use crate::services::{PlannedService, ReadServices, ServiceRules};

/// What is served, and for which objects.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// What is served.
    pub plan: Plan,
    /// The addresses and ports of all objects.
    pub grants: BTreeMap<Owner, Grant>,
    /// The Services.
    pub services: Vec<PlannedService>,
}

/// Decides what is served. The addresses of all kinds of objects are decided in one place.
pub fn decide(
    stores: &Stores,
    config: &Config,
    services: &mut ReadServices,
    mode: Mode,
) -> Decision {
    let rules = ServiceRules(config);
    let services = services.read(stores.services.values(), rules);
    let requests: Vec<AddressRequest> = services
        .iter()
        .map(|service| service.request.clone())
        .collect();
    let grants = allocate(&config.pools, &requests, mode);
    let mut plan = Plan::default();
    for service in &services {
        if let Some(grant) = grants.get(&service.request.owner) {
            rules.plan(service, grant, &mut plan);
        }
    }
    Decision {
        plan,
        grants,
        services,
    }
}

impl Decision {
    /// Whether an upstream needs the nodes of the cluster.
    pub fn needs_nodes(&self) -> bool {
        let mut upstreams = self.plan.upstreams().values();
        upstreams.any(|upstream| upstream.backends.reach == Reach::Nodes)
    }
}

/// The plan, then what objects did not get.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.plan)?;
        for (owner, grant) in &self.grants {
            for problem in &grant.problems {
                writeln!(f, "problem of {owner}: {problem}")?;
            }
            for ((ip, port), other) in &grant.lost {
                writeln!(f, "problem of {owner}: {other} has port {port} of {ip}")?;
            }
        }
        for service in &self.services {
            for problem in &service.problems {
                writeln!(f, "problem of {}: {problem}", service.request.owner)?;
            }
        }
        Ok(())
    }
}
