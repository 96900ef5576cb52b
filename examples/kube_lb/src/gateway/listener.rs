//! A listener of a Gateway or a ListenerSet as it is evaluated.

use super::api::gateway::ListenerSpec;
use super::conflict::Conflict;
use super::host_pattern::HostPattern;
use super::protocol::{Protocol, SupportedKinds};

/// The object that a listener is written in, by its index in the [view](super::view::View).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ListenerOwner {
    Gateway,
    Set(usize),
}

/// A listener of a Gateway or a ListenerSet.
#[derive(Debug)]
pub(crate) struct GatewayListener<'a> {
    pub(crate) spec: &'a ListenerSpec,
    /// The index of its Gateway.
    pub(crate) gateway: usize,
    pub(crate) owner: ListenerOwner,
    pub(crate) protocol: Protocol,
    /// `None` if it is out of range, which the API server refuses.
    pub(crate) port: Option<u16>,
    pub(crate) host: HostPattern,
    /// Whether its host name is none. It is not accepted then.
    has_invalid_host: bool,
    pub(crate) kinds: SupportedKinds,
    pub(crate) conflict: Option<Conflict>,
    /// Whether another listener of TLS on its port has a host name in common with it.
    pub(crate) is_overlapping: bool,
    /// The most ports of its Gateway, if it is not served because that has so many already.
    pub(crate) above_limit: Option<usize>,
}

impl<'a> GatewayListener<'a> {
    pub(crate) fn new(spec: &'a ListenerSpec, gateway: usize, owner: ListenerOwner) -> Self {
        let protocol = Protocol::of(spec);
        let hostname = spec.hostname.as_deref().filter(|name| !name.is_empty());
        let hostname = hostname.filter(|_| protocol.has_hostnames());
        let parsed = hostname.map(HostPattern::parse);
        let has_invalid_host = parsed == Some(None);
        let host = match (parsed.flatten(), hostname) {
            (Some(pattern), _) => pattern,
            // Equal to that of no valid listener.
            (None, Some(text)) => HostPattern::Exact(text.into()),
            (None, None) => HostPattern::Any,
        };
        Self {
            spec,
            gateway,
            owner,
            protocol,
            port: u16::try_from(spec.port).ok().filter(|&port| port > 0),
            has_invalid_host,
            host,
            kinds: SupportedKinds::of(spec, protocol),
            conflict: None,
            is_overlapping: false,
            above_limit: None,
        }
    }

    /// Whether it is not accepted.
    pub(crate) const fn is_rejected(&self) -> bool {
        self.conflict.is_some()
            || self.protocol.route_kind().is_none()
            || self.has_invalid_host
            || self.port.is_none()
            || self.above_limit.is_some()
    }

    /// Why it is not accepted: the reason of the API, and a text. A conflict comes first.
    pub(crate) fn rejection(&self) -> Option<(&'static str, String)> {
        if let Some(conflict) = &self.conflict {
            return Some((conflict.kind.reason(), conflict.to_string()));
        }
        if self.protocol.route_kind().is_none() {
            let text = match self.protocol {
                Protocol::TlsTerminate => {
                    "TLS is not terminated here: use tls.mode Passthrough".to_owned()
                }
                _ => format!(
                    "the protocol {:?} is not supported: use TCP, or TLS with tls.mode Passthrough",
                    self.spec.protocol
                ),
            };
            return Some(("UnsupportedProtocol", text));
        }
        if self.has_invalid_host {
            let name = self.spec.hostname.as_deref().unwrap_or_default();
            return Some(("Invalid", format!("{name:?} is no host name")));
        }
        let problem = match (self.port, self.above_limit) {
            (Some(_), None) => return None,
            (Some(port), Some(most)) => {
                format!("port {port} is above the limit of {most} ports a Gateway")
            }
            (None, _) => format!("there is no port {}", self.spec.port),
        };
        Some(("PortUnavailable", problem))
    }
}
