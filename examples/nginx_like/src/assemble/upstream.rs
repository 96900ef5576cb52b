//! Makes an upstream of an `upstream` block.

use std::cell::OnceCell;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use lb_core::policy::PolicyKind;
use lb_core::{AdminState, Backend, FailLimit, Priority, Snapshot, Weight};
use lb_discovery::{Discovery, Dns, DriverConfig, Map, OnEmpty, Resolver, Static};

use super::kubernetes;
use crate::config::{AddressFamilies, Host, Method, Span, Upstream, UpstreamServer};
use crate::error::StartError;

/// One query of a name server may take this long; a lost packet is asked for again after it.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);

/// The upstream that `config` describes.
pub(super) fn upstream(config: &Upstream) -> Result<lb_proxy::Upstream, StartError> {
    let resolver = LazyResolver::new(config);
    let mut upstream = lb_proxy::Upstream::builder(config.name.as_str())
        .policy(policy(&config.method).build())
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
/// Those of a service have the weights of its records.
fn joined(servers: &[UpstreamServer]) -> Vec<UpstreamServer> {
    let mut joined: Vec<UpstreamServer> = Vec::with_capacity(servers.len());
    for server in servers {
        let same = |other: &&mut UpstreamServer| {
            let place = |s: &UpstreamServer| (s.host.clone(), s.port, s.backup, s.down);
            place(other) == place(server) && !matches!(server.host, Host::Service(_))
        };
        match joined.iter_mut().find(same) {
            Some(first) => first.weight = first.weight.saturating_add(server.weight.get()),
            None => joined.push(server.clone()),
        }
    }
    joined
}

const fn policy(method: &Method) -> PolicyKind {
    match method {
        Method::RoundRobin => PolicyKind::WeightedRoundRobin,
        Method::Hash {
            consistent: false, ..
        } => PolicyKind::NginxHash,
        Method::Hash {
            consistent: true, ..
        } => PolicyKind::Ketama,
        Method::LeastConn => PolicyKind::LeastConn,
        Method::LeastTime => PolicyKind::LeastTime,
        Method::Random => PolicyKind::Random,
        Method::RandomTwo => PolicyKind::RandomTwo,
    }
}

fn source(
    server: &UpstreamServer,
    resolver: &LazyResolver<'_>,
) -> Result<Box<dyn Discovery>, StartError> {
    let invalid = |source| StartError::Discovery {
        source,
        span: server.span.clone(),
    };
    Ok(match &server.host {
        Host::Ip(ip) => {
            let backend = configured(Backend::new(SocketAddr::new(*ip, server.port)), server);
            Box::new(Static::new(Snapshot::from_backends([backend])))
        }
        Host::Name(name) => {
            let dns = Dns::new(resolver.get()?, name, server.port).map_err(invalid)?;
            let server = server.clone();
            Box::new(Map::new(dns, move |backend| configured(backend, &server)))
        }
        Host::Service(name) => {
            let dns = Dns::service(resolver.get()?, name).map_err(invalid)?;
            let server = server.clone();
            let change = move |backend| configured_service(backend, &server);
            Box::new(Map::filter_map(dns, change))
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

/// Gives a `backend` of a service what its `server` line says, if it is used at all.
///
/// As in nginx the records of the lowest priority are primaries and all others backups; if the line itself is for
/// backups, those are the backups and the others are not used. A configured weight replaces those of the records.
fn configured_service(backend: Backend, server: &UpstreamServer) -> Option<Backend> {
    let (tier, weight) = (backend.priority, backend.weight);
    let preferred = tier == Priority::PRIMARY;
    if server.backup && !preferred {
        return None;
    }
    let mut backend = configured(backend, server);
    if server.weight == NonZeroU16::MIN {
        backend = backend.with_weight(weight);
    }
    if !preferred {
        backend = backend.with_priority(Priority::BACKUP);
    }
    Some(backend)
}

/// The resolver of an upstream, made when the first name needs it: a machine without a usable `/etc/resolv.conf` can
/// still balance over addresses.
struct LazyResolver<'a> {
    config: &'a Upstream,
    made: OnceCell<Resolver>,
}

impl<'a> LazyResolver<'a> {
    const fn new(config: &'a Upstream) -> Self {
        Self {
            config,
            made: OnceCell::new(),
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

#[cfg(test)]
mod tests;
