//! Servers that lead back to the listener that they serve.
//!
//! nginx accepts such a configuration, and so does the start: an access rule may refuse the connections. `-t` refuses the
//! configuration. Only loops that the text shows are found: through addresses, and `localhost`. Other names are looked up
//! while serving, where a client's connections to listeners of the same process are counted.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use lb_core::Endpoint;
use lb_proxy::settings::LocalAddresses;
use tracing::error;

use crate::config::listen::Listen;
use crate::config::main::Config;
use crate::config::server::Server;
use crate::config::stream::Stream;
use crate::config::upstream::block::Upstream;
use crate::config::upstream::server::UpstreamServer;
use crate::syntax::address::Host;
use crate::syntax::span::Span;

/// A path that leads back to a listener.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Loop {
    /// The destination of the first connection.
    to: Endpoint,
    /// The listeners on the path; the last one is where the path began.
    listeners: Vec<Endpoint>,
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

/// The loops of `config`. A loop through several listeners is one.
pub(crate) fn find(config: &Config) -> Vec<Loop> {
    let Some(stream) = &config.stream else {
        return Vec::new();
    };
    // If the kernel does not list its addresses, only loopback addresses are known to be local.
    let local = LocalAddresses::now().unwrap_or_default();
    let graph = Graph::of(stream, &local);
    let mut loops: Vec<Loop> = Vec::new();
    let mut passed = HashSet::new();
    for server in graph.endless() {
        let listens = &stream.servers[server].listens;
        if listens
            .iter()
            .any(|listen| passed.contains(&listen.endpoint()))
        {
            continue;
        }
        if let Some(found) = graph.loop_of(server) {
            passed.extend(found.listeners.iter().cloned());
            loops.push(found);
        }
    }
    loops
}

/// Logs the loops of `config`. The configuration is served all the same.
pub(crate) fn warn_of(config: &Config) {
    for found in find(config) {
        error!("{found}");
    }
}

/// The graph of servers that pass to listeners of servers.
struct Graph<'a> {
    servers: &'a [Server],
    /// The edges of each upstream.
    upstreams: Vec<Vec<Edge<'a>>>,
}

/// An edge from an upstream to a listener.
#[derive(Clone, Copy)]
struct Edge<'a> {
    by: &'a UpstreamServer,
    to: SocketAddr,
    listener: &'a Listen,
    /// The number of the server that has the listener.
    server: usize,
}

impl<'a> Graph<'a> {
    fn of(stream: &'a Stream, local: &LocalAddresses) -> Self {
        let mut listens: HashMap<u16, Vec<(usize, &Listen)>> = HashMap::new();
        for (number, server) in stream.servers.iter().enumerate() {
            // A name may choose another server of the address, or none.
            for listen in server.listens.iter().filter(|listen| listen.is_default) {
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
                for to in addrs(by) {
                    let reached = || listens.iter().filter(|(_, l)| reaches(to, l, local));
                    // An address goes before the wildcard of its family, and that one before the wildcard of both.
                    let distance = |listen: &Listen| {
                        let ip = to.ip().to_canonical();
                        let (is_any, is_ipv4) = (listen.addr.ip().is_unspecified(), ip.is_ipv4());
                        (is_any, listen.addr.is_ipv4() != is_ipv4)
                    };
                    let nearest = reached().map(|(_, listen)| distance(listen)).min();
                    let reached = reached().filter(|(_, l)| Some(distance(l)) == nearest);
                    edges.extend(reached.map(|&(server, listen)| Edge {
                        by,
                        to,
                        listener: listen,
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

    /// A path from a server back to it. A connection keeps its server name, so where names choose the upstream, only paths
    /// count that are certain for one name.
    fn loop_of(&self, server: usize) -> Option<Loop> {
        let own = &self.servers[server];
        let unnamed = own
            .upstream
            .iter()
            .flat_map(|&upstream| &self.upstreams[upstream]);
        self.back_to(server, unnamed, |_| true).or_else(|| {
            let named = own
                .by_name
                .values()
                .filter(|_| own.settings.ssl_preread.enabled);
            let named = named.flat_map(|&upstream| &self.upstreams[upstream]);
            self.back_to(server, named, |next| !chooses_by_name(next))
        })
    }

    /// The shortest path back to `server` that begins with one of `first` and continues by the default of servers that
    /// `counts` accepts.
    fn back_to<'e>(
        &'e self,
        server: usize,
        first: impl Iterator<Item = &'e Edge<'a>>,
        counts: impl Fn(&Server) -> bool,
    ) -> Option<Loop> {
        // The edge that first reached each server, and the server that the edge starts from.
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
            edges = match next.upstream.filter(|_| counts(next)) {
                Some(upstream) => self.upstreams[upstream].iter().collect(),
                None => Vec::new(),
            };
            from = Some(at);
        }
        let mut path = Vec::new();
        let mut at = Some(server);
        while let Some((edge, from)) = at.and_then(|at| seen.get(&at)) {
            path.push(*edge);
            at = *from;
        }
        let first = path.last()?;
        Some(Loop {
            to: match &first.by.host {
                Host::Unix(path) => Endpoint::Unix(path.as_path().into()),
                _ => Endpoint::Tcp(first.to),
            },
            listeners: path
                .iter()
                .rev()
                .map(|edge| edge.listener.endpoint())
                .collect(),
            span: first.by.span.clone(),
        })
    }

    /// The servers that are on a cycle or lead to one. Most configurations have none.
    fn endless(&self) -> Vec<usize> {
        let all = 0..self.servers.len();
        let mut sources = vec![Vec::new(); all.len()];
        let mut out_degrees = vec![0_usize; all.len()];
        for (from, server) in self.servers.iter().enumerate() {
            let upstreams = server.by_name.values().chain(&server.upstream);
            for edge in upstreams.flat_map(|&upstream| &self.upstreams[upstream]) {
                sources[edge.server].push(from);
                out_degrees[from] += 1;
            }
        }
        let mut ends: Vec<usize> = all
            .clone()
            .filter(|&server| out_degrees[server] == 0)
            .collect();
        while let Some(end) = ends.pop() {
            for &source in &sources[end] {
                out_degrees[source] -= 1;
                if out_degrees[source] == 0 {
                    ends.push(source);
                }
            }
        }
        all.filter(|&server| out_degrees[server] > 0).collect()
    }
}

fn chooses_by_name(server: &Server) -> bool {
    server.settings.ssl_preread.enabled && !server.by_name.is_empty()
}

/// The addresses of a server that the text shows, or the key of its path.
fn addrs(server: &UpstreamServer) -> Vec<SocketAddr> {
    let ips: Vec<IpAddr> = match &server.host {
        Host::Unix(path) => return vec![Endpoint::unix_key(path)],
        Host::Ip(ip) => vec![*ip],
        // RFC 6761, section 6.3.
        Host::Name(name) if name.trim_end_matches('.').eq_ignore_ascii_case("localhost") => {
            vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
        }
        Host::Name(_) | Host::Service(_) => Vec::new(),
    };
    ips.into_iter().map(|ip| (ip, server.port).into()).collect()
}

fn reaches(to: SocketAddr, listen: &Listen, local: &LocalAddresses) -> bool {
    if listen.unix.is_some() {
        return to == listen.addr;
    }
    let refuses_ipv4 = listen.addr.is_ipv6() && listen.ipv6only;
    let is_ipv4 = to.ip().to_canonical().is_ipv4();
    !(refuses_ipv4 && is_ipv4) && local.lead_to(listen.addr, to)
}

#[cfg(test)]
mod tests;
