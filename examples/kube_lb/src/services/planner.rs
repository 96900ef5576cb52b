//! The listeners and upstreams of Services.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use ipnet::IpNet;
use lb_proxy::lb_core::policy::PolicyKind;

use super::annotations;
use super::ours::{address_request, check_ours, tcp_ports};
use super::problems::{AnnotationProblem, Problems};
use super::settings::ServiceSettings;
use super::source_ranges::source_ranges;
use crate::addresses::{AddressRequest, Grant, Owner};
use crate::config::Config;
use crate::objects::{ObjectName, Service, ServicePort};
use crate::plan::{
    ListenerPlan, Plan, PolicyPlan, Routing, ServiceTarget, SessionPlan, Targets, UpstreamPlan,
};

/// Reads Services, and remembers their last valid settings.
#[derive(Debug, Default)]
pub struct ReadServices {
    /// By UID.
    previous: BTreeMap<String, ServiceSettings>,
}

/// The rules of a configuration for one Service.
#[derive(Clone, Copy, Debug)]
pub struct ServiceRules<'a>(pub &'a Config);

/// A Service that is served, or would be if it had an address.
#[derive(Clone, Debug)]
pub struct PlannedService {
    /// The object.
    pub service: Arc<Service>,
    /// Its settings.
    pub settings: ServiceSettings,
    /// The networks whose clients are served. `None`: all.
    pub sources: Option<Vec<IpNet>>,
    /// What is wrong with its annotations and fields.
    pub problems: Problems,
    /// What it asks of the pools.
    pub request: AddressRequest,
}

/// What serving has shown.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Feedback {
    /// Why an address and port cannot be listened on.
    pub listening: BTreeMap<SocketAddr, String>,
    /// Why an upstream has no backends, if that is not simply that no pod is ready.
    pub backends: BTreeMap<Arc<str>, String>,
    /// What is wrong with an upstream in single clusters, by their names.
    pub in_clusters: BTreeMap<Arc<str>, BTreeMap<String, String>>,
    /// The clusters besides the primary one, and why they are not followed.
    pub clusters: BTreeMap<String, Option<String>>,
}

impl Feedback {
    /// Notes what is wrong with the upstream `name` in single clusters. Returns whether that has changed.
    pub fn note_clusters(&mut self, name: &Arc<str>, problems: BTreeMap<String, String>) -> bool {
        match problems.is_empty() {
            true => self.in_clusters.remove(name).is_some(),
            false if self.in_clusters.get(name) == Some(&problems) => false,
            false => {
                self.in_clusters.insert(Arc::clone(name), problems);
                true
            }
        }
    }
}

impl ReadServices {
    /// Reads those of `services` that are served.
    pub fn read<'a>(
        &mut self,
        services: impl Iterator<Item = &'a Arc<Service>>,
        rules: ServiceRules<'_>,
    ) -> Vec<PlannedService> {
        let mut seen = BTreeMap::new();
        let ours = services.filter(|service| check_ours(service, rules.0).is_ok());
        let planned = ours.map(|service| {
            let uid = service.metadata.uid.clone().unwrap_or_default();
            let planned = rules.read(service, self.previous.get(&uid));
            seen.insert(uid, planned.settings.clone());
            planned
        });
        let planned = planned.collect();
        self.previous = seen;
        planned
    }
}

impl ServiceRules<'_> {
    fn read(&self, service: &Arc<Service>, previous: Option<&ServiceSettings>) -> PlannedService {
        let (settings, mut problems) = annotations::read(&service.metadata.annotations, previous);
        let field = |name: &str, problem: String| AnnotationProblem {
            name: name.to_owned(),
            problem,
        };
        if let Some(text) = &service.spec.load_balancer_ip
            && !text.is_empty()
            && text.trim().parse::<std::net::IpAddr>().is_err()
        {
            let text: String = text.chars().take(50).collect();
            let problem = format!("{text:?} is no IP address");
            problems.add(|| field("spec.loadBalancerIP", problem));
        }
        let (sources, invalid) = source_ranges(&service.spec.load_balancer_source_ranges);
        for problem in invalid {
            problems.add(|| field("spec.loadBalancerSourceRanges", problem));
        }
        if let Some(policy) = settings.policy
            && has_affinity(service)
            && !policy.uses_key()
        {
            let problem = format!(
                "{policy} sends a client to any backend, but sessionAffinity is ClientIP: maglev is used"
            );
            problems.add(|| field("spec.sessionAffinity", problem));
        }
        PlannedService {
            request: address_request(service, &settings, self.0.max_ports),
            service: Arc::clone(service),
            settings,
            sources,
            problems,
        }
    }

    /// Adds the listeners and upstreams of `planned` that `grant` allows.
    pub fn plan(&self, planned: &PlannedService, grant: &Grant, plan: &mut Plan) {
        for (port, number) in tcp_ports(&planned.service, self.0.max_ports) {
            let granted = grant.addresses.iter().filter(|ip| grant.has(**ip, number));
            let mut granted = granted.peekable();
            if granted.peek().is_none() {
                continue;
            }
            let name = upstream_name(&planned.request.owner, number);
            plan.upstream(Arc::clone(&name), self.upstream(planned, number));
            for ip in granted {
                let listener = planned.listener(port, Arc::clone(&name));
                let listened = plan.listen(SocketAddr::new(*ip, number), listener);
                debug_assert!(listened.is_ok(), "grants give a port to one object");
            }
        }
    }

    fn upstream(&self, planned: &PlannedService, port: u16) -> UpstreamPlan {
        let Owner {
            namespace, name, ..
        } = &planned.request.owner;
        let backends = ServiceTarget {
            service: ObjectName::new(namespace, name),
            port,
            reach: self.0.reach,
        };
        let mut upstream = UpstreamPlan::new(backends);
        planned.settings.apply_to_upstream(&mut upstream);
        upstream.policy = PolicyPlan {
            kind: policy(&planned.service, &planned.settings),
        };
        upstream
    }
}

impl PlannedService {
    fn listener(&self, port: &ServicePort, upstream: Arc<str>) -> ListenerPlan {
        let mut sessions = SessionPlan {
            sources: self.sources.clone(),
            ..SessionPlan::default()
        };
        self.settings.apply_to_sessions(&mut sessions);
        let part = match port.name.as_str() {
            "" => format!("port {}", port.port),
            name => format!(
                "port {} ({})",
                port.port,
                name.chars().take(63).collect::<String>()
            ),
        };
        ListenerPlan {
            owner: self.request.owner.clone(),
            part,
            routes: Vec::new(),
            routing: Routing::Plain(Targets::only(upstream)),
            sessions,
        }
    }
}

/// The name of the upstream of a port of a Service, which metrics and logs show.
pub(super) fn upstream_name(owner: &Owner, port: u16) -> Arc<str> {
    format!("{}/{}:{port}", owner.namespace, owner.name).into()
}

fn has_affinity(service: &Service) -> bool {
    service.spec.session_affinity.as_deref() == Some("ClientIP")
}

fn policy(service: &Service, settings: &ServiceSettings) -> PolicyKind {
    match settings.policy {
        Some(policy) if policy.uses_key() || !has_affinity(service) => policy,
        _ if has_affinity(service) => PolicyKind::Maglev,
        _ => PolicyKind::WeightedRoundRobin,
    }
}
