//! What annotations set.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use lb_proxy::lb_core::policy::PolicyKind;

use crate::plan::{CheckKind, DrainPlan, ProxyHeader, Reach};

/// The settings of one Service. `None`: the annotation is not set.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ServiceSettings {
    /// The addresses that it requests.
    pub addresses: Vec<IpAddr>,
    /// The pool.
    pub pool: Option<String>,
    /// How its pods are reached.
    pub reach: Option<Reach>,
    /// The policy.
    pub policy: Option<PolicyKind>,
    /// The PROXY header.
    pub proxy_header: Option<ProxyHeader>,
    /// The time for one attempt to connect.
    pub connect_timeout: Option<Duration>,
    /// How many backends a session tries.
    pub connect_tries: Option<NonZeroU32>,
    /// How long a session may be silent.
    pub idle_timeout: Option<IdleTimeout>,
    /// Sessions of one client.
    pub client_sessions: Option<NonZeroU32>,
    /// New connections of one client a second.
    pub client_rate: Option<NonZeroU32>,
    /// What a check does.
    pub check: Option<CheckKind>,
    /// The time between two probes.
    pub check_interval: Option<Duration>,
    /// What happens to the sessions of removed backends.
    pub drain: Option<DrainPlan>,
    /// How long sessions go on after a port was removed.
    pub port_drain: Option<Duration>,
}

/// How long a session may be silent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IdleTimeout {
    /// This long.
    After(Duration),
    /// Without a limit.
    Never,
}
