//! Backends and how they are picked.

use std::fmt;
use std::time::Duration;

use lb_proxy::lb_core::policy::PolicyKind;

use crate::objects::ObjectName;

/// A pool of backends.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamPlan {
    /// Where the backends come from.
    pub backends: ServiceTarget,
    /// The policy.
    pub policy: PolicyPlan,
    /// The PROXY header that backends get.
    pub proxy_header: Option<ProxyHeader>,
    /// The active check.
    pub check: Option<CheckPlan>,
    /// What happens to the sessions of a removed backend.
    pub drain: DrainPlan,
}

impl UpstreamPlan {
    /// The backends with all settings at their defaults.
    pub fn new(backends: ServiceTarget) -> Self {
        Self {
            backends,
            policy: PolicyPlan::default(),
            proxy_header: None,
            check: None,
            drain: DrainPlan::Keep,
        }
    }
}

/// A port of a Service.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ServiceTarget {
    /// The Service.
    pub service: ObjectName,
    /// The number of the port in its specification.
    pub port: u16,
    /// How its pods are reached.
    pub reach: Reach,
}

impl ServiceTarget {
    /// What backends have as their source.
    pub fn source_label(&self) -> String {
        format!("kubernetes:{}", self.service)
    }
}

impl fmt::Display for ServiceTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            service,
            port,
            reach,
        } = self;
        let reach = match reach {
            Reach::Pods => "pods",
            Reach::Nodes => "nodes",
        };
        write!(f, "{reach} of {service}:{port}")
    }
}

/// How pods are reached.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Reach {
    /// At their own addresses.
    #[default]
    Pods,
    /// Through the nodes, at the node port.
    Nodes,
}

/// The policy of an upstream.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PolicyPlan {
    /// The policy. Those that hash take the client's address.
    pub kind: PolicyKind,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProxyHeader {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// An active check of backends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CheckPlan {
    /// What a probe does.
    pub kind: CheckKind,
    /// The time between two probes.
    pub interval: Duration,
}

/// What a probe does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CheckKind {
    /// It connects.
    Tcp,
    /// It asks for this path by HTTP, and expects a status of 2xx or 3xx.
    Http(String),
}

/// What happens to the sessions of a removed backend.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum DrainPlan {
    /// They go on until they end.
    #[default]
    Keep,
    /// They have this time to end by themselves, and are reset then, one by one over the last tenth of it.
    Within(Duration),
}
