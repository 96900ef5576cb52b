//! Listeners that are not distinct.
//!
//! Listeners on one port conflict if their protocols differ, or if both protocol and host name are the same. TCP and UDP are
//! apart. Of conflicting listeners of one object none is accepted. Between objects the Gateway's listeners come
//! first, then those of the ListenerSets in their precedence, and the later ones are not accepted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use super::host_pattern::HostPattern;
use super::listener::GatewayListener;
use super::protocol::Protocol;

/// Why a listener is not distinct.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ConflictKind {
    Hostname,
    /// Port and protocol are all that distinguishes such listeners.
    Listener,
    Protocol,
}

impl ConflictKind {
    /// The reason in the API.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Hostname => "HostnameConflict",
            Self::Listener => "ListenerConflict",
            Self::Protocol => "ProtocolConflict",
        }
    }
}

/// A conflict with another listener.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Conflict {
    pub(crate) kind: ConflictKind,
    port: i32,
    /// The name of the other listener, if it is in the same object. What other objects have is not told.
    with: Option<String>,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ConflictKind::Hostname => "the same host name",
            ConflictKind::Listener => "the same port and protocol",
            ConflictKind::Protocol => "another protocol",
        };
        let port = self.port;
        match &self.with {
            Some(name) => write!(f, "the listener {name:?} has {what} on port {port}"),
            None => write!(f, "a listener with precedence has {what} on port {port}"),
        }
    }
}

/// Finds the conflicts among the listeners of a Gateway. `objects` are the listeners of each object, in their precedence.
///
/// O(n log n) besides those of one object with each other, of which the API server accepts 64: of ListenerSets there may be thousands.
pub(crate) fn find_conflicts(listeners: &mut [GatewayListener<'_>], objects: &[Range<usize>]) {
    let mut accepted: BTreeMap<i32, AcceptedListeners> = BTreeMap::new();
    for object in objects {
        let mut found: Vec<(usize, Conflict)> = Vec::new();
        let (early, mut rest) = (&*listeners, Vec::new());
        for i in object.clone() {
            let others = accepted.get(&early[i].spec.port);
            match others.and_then(|others| others.conflict(&early[i])) {
                Some(kind) => found.push((i, conflict(&early[i], kind, None))),
                None => rest.push(i),
            }
        }
        let mut by_port: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
        for &i in &rest {
            by_port.entry(early[i].spec.port).or_default().push(i);
        }
        for &i in &rest {
            let siblings = by_port[&early[i].spec.port]
                .iter()
                .filter(|&&other| other != i);
            let conflicts = siblings.filter_map(|&other| {
                let kind = conflict_of(&early[i], &early[other])?;
                Some((kind, early[other].spec.name.clone()))
            });
            let first = conflicts.min_by_key(|(kind, _)| *kind != ConflictKind::Protocol);
            match first {
                Some((kind, with)) => found.push((i, conflict(&early[i], kind, Some(with)))),
                None => accepted
                    .entry(early[i].spec.port)
                    .or_default()
                    .add(i, &early[i]),
            }
        }
        for (i, conflict) in found {
            listeners[i].conflict = Some(conflict);
        }
    }
    for of_port in accepted.into_values() {
        for i in of_port.overlapping() {
            listeners[i].is_overlapping = true;
        }
    }
}

/// The accepted listeners of one port: their indices by protocol and host name.
#[derive(Default)]
struct AcceptedListeners(BTreeMap<Protocol, BTreeMap<HostPattern, usize>>);

impl AcceptedListeners {
    fn add(&mut self, index: usize, listener: &GatewayListener<'_>) {
        let of_protocol = self.0.entry(listener.protocol).or_default();
        of_protocol.insert(listener.host.clone(), index);
    }

    /// The conflict of another listener with one of them; of several, that of the protocols.
    fn conflict(&self, listener: &GatewayListener<'_>) -> Option<ConflictKind> {
        let conflicts = self.0.iter().filter_map(|(&protocol, hosts)| {
            let kind = conflict_of_protocols(listener.protocol, protocol)?;
            let is_one = kind != ConflictKind::Hostname || hosts.contains_key(&listener.host);
            is_one.then_some(kind)
        });
        conflicts.min_by_key(|kind| *kind != ConflictKind::Protocol)
    }

    /// The indices of those of TLS that have host names in common with others.
    fn overlapping(&self) -> BTreeSet<usize> {
        let of_tls = self.0.iter().filter(|(protocol, _)| protocol.is_tls());
        let overlapping = of_tls.flat_map(|(_, hosts)| {
            hosts.iter().flat_map(|(host, &index)| {
                let wider = host.wider().filter_map(|wider| hosts.get(&wider).copied());
                wider.flat_map(move |wider| [index, wider])
            })
        });
        overlapping.collect()
    }
}

fn conflict(of: &GatewayListener<'_>, kind: ConflictKind, with: Option<String>) -> Conflict {
    Conflict {
        kind,
        port: of.spec.port,
        with,
    }
}

/// Whether two listeners of one port are not distinct.
fn conflict_of(a: &GatewayListener<'_>, b: &GatewayListener<'_>) -> Option<ConflictKind> {
    let kind = conflict_of_protocols(a.protocol, b.protocol)?;
    (kind != ConflictKind::Hostname || a.host == b.host).then_some(kind)
}

/// How listeners of one port and these protocols conflict; by their host names only if these are equal.
fn conflict_of_protocols(a: Protocol, b: Protocol) -> Option<ConflictKind> {
    use Protocol::{Other, Tcp, Udp};
    match (a, b) {
        // Listeners of unknown protocols are not served, and may not be on TCP.
        (Other, _) | (_, Other) => None,
        (Tcp, Tcp) | (Udp, Udp) => Some(ConflictKind::Listener),
        (Udp, _) | (_, Udp) => None,
        // Both modes of TLS count as protocols: one port cannot have both.
        (one, other) if one != other => Some(ConflictKind::Protocol),
        _ => Some(ConflictKind::Hostname),
    }
}
