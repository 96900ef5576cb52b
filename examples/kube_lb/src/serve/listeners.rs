//! Descriptions of listeners.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use lb_proxy::access::{Access, ClientZone, Network, Rate};
use lb_proxy::client_hello::ClientHelloReader;
use lb_proxy::events::Connection;
use lb_proxy::routing::{RouteAction, Split, SplitTarget};
use lb_proxy::server_names::{ServerNameError, ServerNames};
use lb_proxy::{Listener, Retry, Timeouts, Upstream};

use super::upstreams::Upstreams;
use crate::plan::{Destination, ListenerPlan, Routing, SessionPlan, Targets};

/// What listeners keep from one reload to the next, by address.
#[derive(Default)]
pub(super) struct Listeners {
    known: BTreeMap<SocketAddr, Kept>,
}

#[derive(Default)]
struct Kept {
    /// The counts of clients, and the rate that they have.
    zone: Option<(Option<NonZeroU32>, ClientZone)>,
    /// The splits among targets, whose turns go on.
    splits: HashMap<Targets, Arc<Split>>,
}

/// A listener, and the upstreams that only its route function names.
pub(super) struct DescribedListener {
    pub(super) listener: Listener,
    pub(super) routed: Vec<Upstream>,
}

impl Listeners {
    /// Forgets the listeners that the plan does not have.
    pub(super) fn retain(&mut self, is_planned: impl Fn(&SocketAddr) -> bool) {
        self.known.retain(|addr, _| is_planned(addr));
    }

    /// Describes the listener on `addr`. `nowhere`: the upstream to name where the route function always decides.
    pub(super) fn describe(
        &mut self,
        addr: SocketAddr,
        plan: &ListenerPlan,
        upstreams: &Upstreams,
        nowhere: &Upstream,
    ) -> Result<DescribedListener, ServerNameError> {
        let kept = self.known.entry(addr).or_default();
        let used: Vec<_> = plan.routing.targets().collect();
        kept.splits.retain(|targets, _| used.contains(&targets));
        let mut routed = Vec::new();
        let mut split = |targets: &Targets| {
            let mut split = Split::new(shares(targets, upstreams));
            if let Some(previous) = kept.splits.get(targets) {
                split = split.continuing(previous);
            }
            let split = Arc::new(split);
            kept.splits.insert(targets.clone(), Arc::clone(&split));
            routed.extend(split.shares().iter().filter_map(upstream_of).cloned());
            split
        };
        let listener = match &plan.routing {
            Routing::Plain(targets) => match only(targets, upstreams) {
                // Without a function a reload can tell that the listener is the same.
                Some(only) => {
                    let others = targets.upstreams().filter_map(|name| upstreams.get(name));
                    routed.extend(others.cloned());
                    Listener::new(addr, only)
                }
                None => {
                    let split = split(targets);
                    Listener::new(addr, nowhere)
                        .route(move |_: &Connection| RouteAction::Split(Arc::clone(&split)))
                }
            },
            Routing::Tls { names, other } => {
                let mut table = ServerNames::new();
                for named in names {
                    let split = split(&named.targets);
                    for host in &named.hosts {
                        table.insert(host, Arc::clone(&split))?;
                    }
                }
                let other = other.as_ref().map(split);
                by_name(Listener::new(addr, nowhere), table, other)
            }
        };
        let listener = sessions(listener, &plan.sessions, kept)
            .label(format!("{}, {}", plan.owner, plan.part));
        // Two listeners may have one port, as [::]:80 and 0.0.0.0:80 would.
        let listener = listener.ipv6_only(addr.is_ipv6());
        // IPv4 addresses of a local network can be bound without it, and others are reported.
        let listener = listener.freebind(addr.is_ipv6());
        Ok(DescribedListener { listener, routed })
    }
}

/// The weights and targets of a split.
fn shares(targets: &Targets, upstreams: &Upstreams) -> Vec<(u32, SplitTarget)> {
    let shares = targets.0.iter().map(|target| {
        let to = match &target.destination {
            Destination::Refuse(reason) => SplitTarget::Refuse(reason.to_string().into()),
            Destination::Upstream(name) => match upstreams.get(name) {
                Some(upstream) => SplitTarget::Upstream(upstream.clone()),
                None => SplitTarget::Refuse(format!("there is no upstream {name}").into()),
            },
        };
        (target.weight, to)
    });
    shares.collect()
}

fn upstream_of(share: &(u32, SplitTarget)) -> Option<&Upstream> {
    match &share.1 {
        SplitTarget::Upstream(upstream) => Some(upstream),
        _ => None,
    }
}

/// The upstream that every connection goes to, if there is one.
fn only<'a>(targets: &Targets, upstreams: &'a Upstreams) -> Option<&'a Upstream> {
    let mut weighted = targets.0.iter().filter(|target| target.weight > 0);
    let (Some(only), None) = (weighted.next(), weighted.next()) else {
        return None;
    };
    match &only.destination {
        Destination::Upstream(name) => upstreams.get(name),
        Destination::Refuse(_) => None,
    }
}

/// Reads the ClientHello, and chooses by the name in it.
fn by_name(
    listener: Listener,
    table: ServerNames<Arc<Split>>,
    other: Option<Arc<Split>>,
) -> Listener {
    let listener = listener.preread(Arc::new(ClientHelloReader::new()));
    listener.route(move |connection: &Connection| {
        let name = connection.server_name_bytes();
        let found = name.and_then(|name| table.find(name));
        match found.or(other.as_ref()) {
            Some(split) => RouteAction::Split(Arc::clone(split)),
            None => RouteAction::Refuse("no route has this server name".into()),
        }
    })
}

fn sessions(listener: Listener, plan: &SessionPlan, kept: &mut Kept) -> Listener {
    let timeouts = Timeouts::default()
        .connect(plan.connect_timeout)
        .idle(plan.idle_timeout);
    let mut listener = listener
        .timeouts(timeouts)
        .retry(Retry::default().tries(plan.tries.map(NonZeroU32::get)))
        .removal_deadline(plan.removal_deadline);
    if let Some(sources) = &plan.sources {
        listener = listener.access(admit_only(sources));
    }
    if plan.client_sessions.is_none() && plan.client_rate.is_none() {
        kept.zone = None;
        return listener;
    }
    let zone = match &kept.zone {
        Some((rate, zone)) if *rate == plan.client_rate => zone.clone(),
        _ => {
            let rate = plan.client_rate.map(|rate| Rate::per_second(rate.get()));
            let zone = ClientZone::builder().rate(rate).build();
            kept.zone = Some((plan.client_rate, zone.clone()));
            zone
        }
    };
    listener.limit_clients(
        &zone,
        plan.client_sessions.map_or(u32::MAX, NonZeroU32::get),
    )
}

/// Admits the clients of these networks.
fn admit_only(sources: &[IpNet]) -> Access {
    let network = |network: IpNet| Network::new(network.addr(), network.prefix_len());
    let mut access = Access::new();
    for source in sources.iter().copied().filter_map(network) {
        access = access.allow(source);
    }
    let everything = [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())];
    for all in everything.into_iter().filter_map(network) {
        access = access.deny(all);
    }
    access
}
