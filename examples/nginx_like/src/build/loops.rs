//! Servers that lead back to the listener that they serve.
//!
//! nginx takes such a configuration, and so does a start: a rule may keep the connections away. `-t` refuses it. Only
//! what the text shows is found: addresses, and `localhost`. Names are looked up while serving, when a client's
//! connections to own listeners are counted.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use lb_proxy::LocalAddresses;
use tracing::error;

use crate::config::listen::Listen;
use crate::config::main::Config;
use crate::config::server::Server;
use crate::config::stream::Stream;
use crate::config::upstream::block::Upstream;
use crate::config::upstream::server::UpstreamServer;
use crate::syntax::address::Host;
use crate::syntax::span::Span;

/// A way back to a listener.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Loop {
    /// What the first connection goes to.
    to: SocketAddr,
    /// The listeners on the way, the one that it leads back to last.
    listeners: Vec<SocketAddr>,
    span: Span,
}

impl std::error::Error for Loop {}

impl fmt::Display for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            to,
            listeners,
            span,
        } = self;
        let (back_to, between) = listeners.split_last().ok_or(fmt::Error)?;
        write!(f, "server \"{to}\" leads back to \"listen {back_to}\"")?;
        for (i, listener) in between.iter().enumerate() {
            let before = if i == 0 { " by way of " } else { ", " };
            write!(f, "{before}\"listen {listener}\"")?;
        }
        write!(f, " in {span}")
    }
}

/// The first loop of `config`, if it has any.
pub(crate) fn find(config: &Config) -> Option<Loop> {
    let stream = config.stream.as_ref()?;
    // Without an answer of the kernel, loopback addresses are all that is known to be local.
    let local = LocalAddresses::now().unwrap_or_default();
    let graph = Graph::of(stream, &local);
    let mut endless = graph.endless().into_iter();
    endless.find_map(|server| graph.loop_of(server))
}

/// Logs the first loop of `config`, which is served as it is.
pub(crate) fn warn_of(config: &Config) {
    if let Some(found) = find(config) {
        error!("{found}");
    }
}

/// Which servers pass to listeners of which.
struct Graph<'a> {
    servers: &'a [Server],
    /// What each upstream leads to.
    upstreams: Vec<Vec<Edge<'a>>>,
}

/// A way from an upstream to a listener.
#[derive(Clone, Copy)]
struct Edge<'a> {
    by: &'a UpstreamServer,
    to: SocketAddr,
    listener: SocketAddr,
    /// The number of the server that has the listener.
    server: usize,
}

impl<'a> Graph<'a> {
    fn of(stream: &'a Stream, local: &LocalAddresses) -> Self {
        let mut listens: HashMap<u16, Vec<(usize, &Listen)>> = HashMap::new();
        for (number, server) in stream.servers.iter().enumerate() {
            for listen in &server.listens {
                let port = listen.addr.port();
                listens.entry(port).or_default().push((number, listen));
            }
        }
        let edges = |upstream: &'a Upstream| {
            let mut edges = Vec::new();
            for by in upstream.servers.iter().filter(|server| !server.down) {
                let Some(listens) = listens.get(&by.port) else {
                    continue;
                };
                for ip in ips(&by.host) {
                    let to = SocketAddr::new(ip, by.port);
                    let reached = listens.iter().filter(|(_, l)| reaches(to, l, local));
                    edges.extend(reached.map(|&(server, listen)| Edge {
                        by,
                        to,
                        listener: listen.addr,
                        server,
                    }));
                }
            }
            edges
        };
        Self {
            servers: &stream.servers,
            upstreams: stream.upstreams.iter().map(edges).collect(),
        }
    }

    /// A way from a server back to it. A client with a name stays one with that name, so where names decide, only what
    /// is sure to go on for one of them counts.
    fn loop_of(&self, server: usize) -> Option<Loop> {
        let own = &self.servers[server];
        let unnamed = &self.upstreams[own.upstream];
        self.back_to(server, unnamed.iter(), |_| true).or_else(|| {
            let named = own
                .by_name
                .values()
                .filter(|_| own.settings.ssl_preread.enabled);
            let named = named.flat_map(|&upstream| &self.upstreams[upstream]);
            self.back_to(server, named, |next| !goes_by_names(next))
        })
    }

    /// The shortest way back to `server` that begins with one of `first` and goes on by the default of servers that
    /// `counts` admits.
    fn back_to<'e>(
        &'e self,
        server: usize,
        first: impl Iterator<Item = &'e Edge<'a>>,
        counts: impl Fn(&Server) -> bool,
    ) -> Option<Loop> {
        // The edge that first led to each server, and the server that it comes from.
        let mut seen: HashMap<usize, (&Edge<'_>, Option<usize>)> = HashMap::new();
        let mut ahead = VecDeque::new();
        let mut edges: Vec<_> = first.collect();
        let mut from = None;
        loop {
            for edge in edges {
                if let Entry::Vacant(new) = seen.entry(edge.server) {
                    new.insert((edge, from));
                    ahead.push_back(edge.server);
                }
            }
            if seen.contains_key(&server) {
                break;
            }
            let at = ahead.pop_front()?;
            let next = &self.servers[at];
            edges = match counts(next) {
                true => self.upstreams[next.upstream].iter().collect(),
                false => Vec::new(),
            };
            from = Some(at);
        }
        let mut way = Vec::new();
        let mut at = Some(server);
        while let Some((edge, from)) = at.and_then(|at| seen.get(&at)) {
            way.push(*edge);
            at = *from;
        }
        let first = way.last()?;
        Some(Loop {
            to: first.to,
            listeners: way.iter().rev().map(|edge| edge.listener).collect(),
            span: first.by.span.clone(),
        })
    }

    /// The servers from which connections can go on for ever. In most configurations there are none.
    fn endless(&self) -> Vec<usize> {
        let all = 0..self.servers.len();
        let mut sources = vec![Vec::new(); all.len()];
        let mut ways = vec![0_usize; all.len()];
        for (from, server) in self.servers.iter().enumerate() {
            let upstreams = server.by_name.values().chain([&server.upstream]);
            for edge in upstreams.flat_map(|&upstream| &self.upstreams[upstream]) {
                sources[edge.server].push(from);
                ways[from] += 1;
            }
        }
        let mut ends: Vec<usize> = all.clone().filter(|&server| ways[server] == 0).collect();
        while let Some(end) = ends.pop() {
            for &source in &sources[end] {
                ways[source] -= 1;
                if ways[source] == 0 {
                    ends.push(source);
                }
            }
        }
        all.filter(|&server| ways[server] > 0).collect()
    }
}

fn goes_by_names(server: &Server) -> bool {
    server.settings.ssl_preread.enabled && !server.by_name.is_empty()
}

fn ips(host: &Host) -> Vec<IpAddr> {
    match host {
        Host::Ip(ip) => vec![*ip],
        // RFC 6761, section 6.3.
        Host::Name(name) if name.trim_end_matches('.').eq_ignore_ascii_case("localhost") => {
            vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
        }
        Host::Name(_) | Host::Service(_) => Vec::new(),
    }
}

fn reaches(to: SocketAddr, listen: &Listen, local: &LocalAddresses) -> bool {
    let refuses_ipv4 = listen.addr.is_ipv6() && listen.ipv6only;
    let is_ipv4 = to.ip().to_canonical().is_ipv4();
    !(refuses_ipv4 && is_ipv4) && local.lead_to(listen.addr, to)
}

#[cfg(test)]
mod tests;
