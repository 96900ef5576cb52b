//! Routing of a port: the route that gets the connections of a listener, or of a server name.
//!
//! Of several routes on a TCP listener the one with precedence is served. A client of TLS gets the listener with the most
//! specific host name that covers the name that it asks for, and there the route with the most specific one; of several
//! routes with the same one, that with precedence. Names of a more specific listener are never served by another one's
//! routes, even if it has no route for them (listener isolation). So the table of a port has the names of routes and, as
//! refusals, those of listeners that no route has.

use std::collections::{BTreeMap, BTreeSet};

use super::attach::Route;
use super::host_pattern::HostPattern;
use super::protocol::RouteKind;
use super::view::View;

/// What is served on one port of a Gateway.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct PortPlan {
    /// The index of the Gateway.
    pub(crate) gateway: usize,
    pub(crate) port: u16,
    /// The listeners of this port, at least one.
    pub(crate) listeners: Vec<usize>,
    pub(crate) served: Served,
}

/// What connections to a port get.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Served {
    /// A reset, because no route is attached.
    Nothing,
    /// A backend of this route.
    Tcp(usize),
    /// A backend of the route for their name. `None`: a reset. Connections without one of these names are reset.
    Tls(BTreeMap<HostPattern, Option<usize>>),
}

impl Served {
    /// The routes that get connections, each once, in their precedence.
    pub(crate) fn routes(&self) -> BTreeSet<usize> {
        match self {
            Self::Nothing => BTreeSet::new(),
            Self::Tcp(route) => BTreeSet::from([*route]),
            Self::Tls(table) => table.values().copied().flatten().collect(),
        }
    }
}

/// What a route gets of a listener that it is attached to.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Claim {
    /// Whether it gets any connection.
    pub(crate) is_served: bool,
    /// The names that it does not get, and the route that gets them, or none where a more specific listener does.
    pub(crate) lost: Vec<(HostPattern, Option<usize>)>,
}

/// What is served, and what each route gets of it.
#[derive(Debug, Default)]
pub(crate) struct Serving {
    pub(crate) ports: Vec<PortPlan>,
    /// By listener and route, for all attachments.
    pub(crate) claims: BTreeMap<(usize, usize), Claim>,
}

/// Computes what is served. `routes` are in their precedence.
pub(crate) fn serve(view: &View<'_>, routes: &[Route<'_>]) -> Serving {
    let mut attached = vec![BTreeMap::<usize, Vec<&HostPattern>>::new(); view.listeners.len()];
    for (number, route) in routes.iter().enumerate() {
        let outcomes = route
            .parents
            .iter()
            .filter_map(|parent| parent.outcome.as_ref().ok());
        for attachment in outcomes.flatten() {
            let hosts = attached[attachment.listener].entry(number).or_default();
            hosts.extend(&attachment.hosts);
        }
    }
    let mut serving = Serving::default();
    for (listener, routes) in attached.iter().enumerate() {
        let claims = routes
            .keys()
            .map(|&route| ((listener, route), Claim::default()));
        serving.claims.extend(claims);
    }
    let mut ports: BTreeMap<(usize, u16), Vec<usize>> = BTreeMap::new();
    for (i, listener) in view.listeners.iter().enumerate() {
        if let Some(port) = listener.port.filter(|_| !listener.is_rejected()) {
            ports.entry((listener.gateway, port)).or_default().push(i);
        }
    }
    for ((gateway, port), listeners) in ports {
        // Listeners of one port that are not in conflict have one protocol.
        let kind = view.listeners[listeners[0]].protocol.route_kind();
        let served = match kind {
            Some(RouteKind::Tls) => serve_tls(view, &listeners, &attached, &mut serving.claims),
            _ => serve_tcp(listeners[0], &attached[listeners[0]], &mut serving.claims),
        };
        serving.ports.push(PortPlan {
            gateway,
            port,
            listeners,
            served,
        });
    }
    serving
}

type Claims = BTreeMap<(usize, usize), Claim>;

fn serve_tcp(
    listener: usize,
    routes: &BTreeMap<usize, Vec<&HostPattern>>,
    claims: &mut Claims,
) -> Served {
    let Some(&first) = routes.keys().next() else {
        return Served::Nothing;
    };
    for &route in routes.keys() {
        let claim = claims.entry((listener, route)).or_default();
        if route == first {
            claim.is_served = true;
        } else {
            claim.lost.push((HostPattern::Any, Some(first)));
        }
    }
    Served::Tcp(first)
}

fn serve_tls(
    view: &View<'_>,
    listeners: &[usize],
    attached: &[BTreeMap<usize, Vec<&HostPattern>>],
    claims: &mut Claims,
) -> Served {
    let mut table: BTreeMap<HostPattern, Option<usize>> = BTreeMap::new();
    let of_listeners = listeners.iter().map(|&other| &view.listeners[other].host);
    let of_listeners: BTreeSet<_> = of_listeners.collect();
    for &listener in listeners {
        let own = &view.listeners[listener].host;
        // A more specific listener than this one has all names of the pattern.
        let is_isolated = |pattern: &HostPattern| {
            let covering = std::iter::once(pattern.clone()).chain(pattern.wider());
            let mut more_specific = covering.take_while(|pattern| pattern != own);
            more_specific.any(|pattern| of_listeners.contains(&pattern))
        };
        for (&route, hosts) in &attached[listener] {
            let claim = claims.entry((listener, route)).or_default();
            for &host in hosts {
                if is_isolated(host) {
                    claim.lost.push((host.clone(), None));
                    continue;
                }
                match *table.entry(host.clone()).or_insert(Some(route)) {
                    Some(first) if first != route => claim.lost.push((host.clone(), Some(first))),
                    _ => claim.is_served = true,
                }
            }
        }
    }
    let is_served = table.values().any(Option::is_some);
    for &listener in listeners {
        let own = &view.listeners[listener].host;
        table.entry(own.clone()).or_insert(None);
    }
    match is_served {
        true => Served::Tls(table),
        false => Served::Nothing,
    }
}
