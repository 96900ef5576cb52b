//! The decision: the plan to serve and the statuses to report. Pure.

use std::collections::BTreeMap;
use std::fmt;

use super::stores::Stores;
use crate::addresses::{AddressRequest, Grant, Mode, Owner, allocate};
use crate::config::Config;
use crate::gateway::{Evaluation, ReadPolicies, read_policies};
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

/// The last valid settings of objects.
#[derive(Debug, Default)]
pub struct LastValid {
    services: ReadServices,
    policies: ReadPolicies,
}

impl LastValid {
    /// The policies of the Gateway API, as the last decision read them.
    pub(crate) const fn policies(&self) -> &ReadPolicies {
        &self.policies
    }
}

/// Decides what is served. The addresses of all kinds of objects are decided in one place.
pub fn decide(stores: &Stores, config: &Config, last: &mut LastValid, mode: Mode) -> Decision {
    let rules = ServiceRules(config);
    let services = last.services.read(stores.services.values(), rules);
    last.policies = read_policies(&stores.gateway.policies, &last.policies);
    let controller = &config.gateway_controller;
    let gateways = Evaluation::new(
        &stores.gateway,
        &stores.services,
        &last.policies,
        controller,
        config.max_ports,
    );
    let requests = services.iter().map(|service| service.request.clone());
    let of_gateways = gateways.requests(&config.pools);
    let requests: Vec<AddressRequest> = requests.chain(of_gateways).collect();
    let grants = allocate(&config.pools, &requests, mode);
    let mut plan = Plan::default();
    for service in &services {
        if let Some(grant) = grants.get(&service.request.owner) {
            rules.plan(service, grant, &mut plan);
        }
    }
    gateways.add_to(&mut plan, &grants, config.reach);
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
            for problem in service.problems.lines() {
                writeln!(f, "problem of {}: {problem}", service.request.owner)?;
            }
        }
        Ok(())
    }
}
