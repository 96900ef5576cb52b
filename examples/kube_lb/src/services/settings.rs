//! Settings of a Service by annotations.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use lb_proxy::lb_core::policy::PolicyKind;

use crate::plan::{
    CheckKind, CheckPlan, DrainPlan, PolicyPlan, ProxyHeader, Reach, SessionPlan, UpstreamPlan,
};

/// The time between two probes unless an annotation sets another.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

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

impl ServiceSettings {
    /// Changes the settings of sessions that are set here.
    pub fn apply_to_sessions(&self, sessions: &mut SessionPlan) {
        sessions.client_sessions = self.client_sessions.or(sessions.client_sessions);
        sessions.client_rate = self.client_rate.or(sessions.client_rate);
        sessions.tries = self.connect_tries.or(sessions.tries);
        sessions.removal_deadline = self.port_drain.or(sessions.removal_deadline);
        if let Some(timeout) = self.connect_timeout {
            sessions.connect_timeout = timeout;
        }
        match self.idle_timeout {
            None => {}
            Some(IdleTimeout::Never) => sessions.idle_timeout = None,
            Some(IdleTimeout::After(time)) => sessions.idle_timeout = Some(time),
        }
    }

    /// Changes the settings of an upstream that are set here.
    pub fn apply_to_upstream(&self, upstream: &mut UpstreamPlan) {
        if let Some(reach) = self.reach {
            upstream.backends.reach = reach;
        }
        if let Some(kind) = self.policy {
            upstream.policy = PolicyPlan { kind };
        }
        upstream.proxy_header = self.proxy_header.or(upstream.proxy_header);
        if let Some(kind) = self.check.clone() {
            let interval = self.check_interval.unwrap_or(CHECK_INTERVAL);
            upstream.check = Some(CheckPlan { kind, interval });
        }
        if let Some(drain) = self.drain {
            upstream.drain = drain;
        }
    }
}

/// How long a session may be silent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IdleTimeout {
    /// This long.
    After(Duration),
    /// Without a limit.
    Never,
}
