//! Makes a proxy of a configuration.

mod kubernetes;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use lb_core::policy::PolicyKind;
use lb_core::{AdminState, Backend, FailLimit, Priority, Snapshot, Weight};
use lb_discovery::{Discovery, Dns, DriverConfig, Map, OnEmpty, Resolver, Static};
use lb_proxy::{Listener, Proxy, Retry, Timeouts};

use crate::config::{
    AddressFamilies, Config, Host, Listen, Method, Server, Span, Upstream, UpstreamServer,
};
use crate::error::StartError;

/// One query of a name server may take this long; a lost packet is asked for again after it.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);

/// The proxy that `config` describes. Nothing is opened.
pub(crate) fn proxy(config: &Config) -> Result<Proxy, StartError> {
    let stream = config.stream.as_ref().ok_or(StartError::NoServer)?;
    let upstreams: Vec<lb_proxy::Upstream> = stream
        .upstreams
        .iter()
        .map(upstream)
        .collect::<Result<_, _>>()?;
    // nginx waits for ever on SIGQUIT, and not at all on SIGTERM, which does not drain.
    let mut proxy = Proxy::builder().drain_timeout(None);
    for server in &stream.servers {
        check_timeouts(server)?;
        for listen in &server.listens {
            proxy = proxy.listener(listener(server, listen, &upstreams[server.upstream]));
        }
    }
    if stream.servers.is_empty() {
        return Err(StartError::NoServer);
    }
    Ok(proxy.build()?)
}

fn upstream(config: &Upstream) -> Result<lb_proxy::Upstream, StartError> {
    let resolver = LazyResolver::new(config);
    let mut upstream = lb_proxy::Upstream::builder(config.name.as_str())
        .policy(policy(config.method).build())
        // In nginx a name that is gone takes its servers along; any other failure keeps them.
        .discovery_config(DriverConfig::default().on_empty(OnEmpty::Apply));
    for server in &joined(&config.servers) {
        upstream = upstream.discovery(source(server, &resolver)?);
    }
    for line in &config.kubernetes {
        upstream = upstream.discovery(kubernetes::source(line)?);
    }
    Ok(upstream.build()?)
}

/// Joins servers that are listed more than once: a backend is known by its address, so the shares add up in its weight.
fn joined(servers: &[UpstreamServer]) -> Vec<UpstreamServer> {
    let mut joined: Vec<UpstreamServer> = Vec::with_capacity(servers.len());
    for server in servers {
        let same = |other: &&mut UpstreamServer| {
            let place = |s: &UpstreamServer| (s.host.clone(), s.port, s.backup, s.down);
            place(other) == place(server)
        };
        match joined.iter_mut().find(same) {
            Some(first) => first.weight = first.weight.saturating_add(server.weight.get()),
            None => joined.push(server.clone()),
        }
    }
    joined
}

const fn policy(method: Method) -> PolicyKind {
    match method {
        Method::RoundRobin => PolicyKind::WeightedRoundRobin,
        Method::LeastConn => PolicyKind::LeastConn,
        Method::Random => PolicyKind::Random,
        Method::RandomTwo => PolicyKind::RandomTwo,
    }
}

fn source(
    server: &UpstreamServer,
    resolver: &LazyResolver<'_>,
) -> Result<Box<dyn Discovery>, StartError> {
    Ok(match &server.host {
        Host::Ip(ip) => {
            let backend = configured(Backend::new(SocketAddr::new(*ip, server.port)), server);
            Box::new(Static::new(Snapshot::from_backends([backend])))
        }
        Host::Name(name) => {
            let dns = Dns::new(resolver.get()?, name, server.port);
            let dns = dns.map_err(|source| StartError::Discovery {
                source,
                span: server.span.clone(),
            })?;
            let server = server.clone();
            Box::new(Map::new(dns, move |backend| configured(backend, &server)))
        }
    })
}

/// Gives `backend` what its `server` line says.
fn configured(backend: Backend, server: &UpstreamServer) -> Backend {
    let max_fails = NonZeroU32::new(server.max_fails);
    backend
        .with_weight(Weight::new(server.weight.get()))
        .with_max_conns(server.max_conns)
        .with_fail_limit(max_fails.map(|max| FailLimit::new(max, server.fail_timeout)))
        .with_priority(if server.backup {
            Priority::BACKUP
        } else {
            Priority::PRIMARY
        })
        .with_admin(if server.down {
            AdminState::Drain
        } else {
            AdminState::Ready
        })
}

fn listener(server: &Server, listen: &Listen, upstream: &lb_proxy::Upstream) -> Listener {
    let timeouts = Timeouts::default()
        .connect(server.connect_timeout)
        .idle(Some(server.timeout))
        .half_closed(Some(server.timeout));
    let tries = if server.next_upstream {
        server.next_upstream_tries
    } else {
        Some(NonZeroU32::MIN)
    };
    let retry = Retry::default()
        .tries(tries)
        .deadline(server.next_upstream_timeout);
    Listener::new(listen.addr, upstream)
        .backlog(listen.backlog)
        .ipv6_only(listen.ipv6only)
        .reuse_port(listen.reuseport)
        .nodelay(server.tcp_nodelay)
        .timeouts(timeouts)
        .retry(retry)
}

fn check_timeouts(server: &Server) -> Result<(), StartError> {
    let timeouts = [
        ("proxy_connect_timeout", server.connect_timeout),
        ("proxy_timeout", server.timeout),
    ];
    match timeouts.iter().find(|(_, timeout)| timeout.is_zero()) {
        Some(&(directive, _)) => Err(StartError::Zero {
            directive,
            span: server.span.clone(),
        }),
        None => Ok(()),
    }
}

/// The resolver of an upstream, made when the first name needs it: a machine without a usable `/etc/resolv.conf` can
/// still balance over addresses.
struct LazyResolver<'a> {
    config: &'a Upstream,
    made: std::cell::OnceCell<Resolver>,
}

impl<'a> LazyResolver<'a> {
    const fn new(config: &'a Upstream) -> Self {
        Self {
            config,
            made: std::cell::OnceCell::new(),
        }
    }

    fn get(&self) -> Result<Resolver, StartError> {
        if let Some(resolver) = self.made.get() {
            return Ok(resolver.clone());
        }
        let resolver = self.make()?;
        Ok(self.made.get_or_init(|| resolver).clone())
    }

    fn make(&self) -> Result<Resolver, StartError> {
        let timeout = self.config.resolver_timeout.min(QUERY_TIMEOUT);
        let mut builder = Resolver::builder().timeout(timeout);
        let mut span: &Span = &self.config.span;
        if let Some(resolver) = &self.config.resolver {
            span = &resolver.span;
            builder = builder
                .name_servers(&resolver.name_servers)
                .ipv4(resolver.families != AddressFamilies::Ipv6)
                .ipv6(resolver.families != AddressFamilies::Ipv4);
            if let Some(valid) = resolver.valid {
                builder = builder.valid(valid);
            }
        }
        builder.build().map_err(|source| StartError::Discovery {
            source,
            span: span.clone(),
        })
    }
}
