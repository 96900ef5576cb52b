//! Builds an upstream from an `upstream` block.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;

use lb_core::policy::{LeastTime, PolicyKind};
use lb_core::{
    AdminState, Backend, BalancerConfig, CommonOutage, FailLimit, OnAllEjected, Policy, Priority,
    SlowStart, Snapshot, Weight,
};
use lb_discovery::{Dns, DriverConfig, Map, OnEmpty, Source, Static};

use super::error::BuildError;
use super::hash_key;
use super::health_check;
use super::kubernetes;
use super::resolvers::{SystemResolver, UpstreamResolvers};
use crate::config::resolver::Resolver;
use crate::config::stream::Stream;
use crate::config::upstream::block::Upstream;
use crate::config::upstream::kubernetes::Kubernetes;
use crate::config::upstream::method::{ExpectedTime, Method};
use crate::config::upstream::server::UpstreamServer;
use crate::syntax::address::Host;
use crate::variables::table::Variables;

/// The upstreams that `config` describes, in its order.
pub(super) fn upstreams(
    config: &[Upstream],
    variables: &Arc<Variables>,
) -> Result<Vec<lb_proxy::Upstream>, BuildError> {
    let system = SystemResolver::default();
    let upstreams = config
        .iter()
        .map(|config| upstream(config, variables, &system));
    upstreams.collect()
}

/// The error of each upstream that cannot be built.
pub(crate) fn errors_of_upstreams(stream: &Stream) -> Vec<BuildError> {
    let system = SystemResolver::default();
    let upstreams = stream.upstreams.iter();
    upstreams
        .filter_map(|config| upstream(config, &stream.variables, &system).err())
        .collect()
}

/// The upstream that `config` describes.
fn upstream(
    config: &Upstream,
    variables: &Arc<Variables>,
    system: &SystemResolver,
) -> Result<lb_proxy::Upstream, BuildError> {
    let resolvers = UpstreamResolvers::new(config, system);
    let mut upstream = lb_proxy::Upstream::builder(config.name.as_str())
        .policy(policy(&config.method))
        .fingerprint(fingerprint(config))
        .essential(config.essential)
        .balancer_config(balancing(config))
        // As in nginx, a name that does not exist any more removes its servers; any other failure keeps them.
        .discovery_config(DriverConfig::default().on_empty(OnEmpty::Apply));
    if let Method::Hash { key, .. } = &config.method {
        upstream = upstream.hash_key(hash_key::parts(key, variables));
    }
    for server in sources(&joined(&config.servers), &resolvers)? {
        upstream = upstream.discovery(server);
    }
    for line in &config.kubernetes {
        upstream = upstream.discovery(kubernetes::source(line)?);
    }
    for check in &config.checks {
        upstream = health_check::add(upstream, check);
    }
    Ok(upstream.build()?)
}

/// The settings around the policy. nginx never forgives an ejection before its time, and refuses while all are ejected.
fn balancing(config: &Upstream) -> BalancerConfig {
    let outage = config.forgives.then(CommonOutage::default);
    let balancing = BalancerConfig::default()
        .common_outage(outage)
        .on_all_ejected(OnAllEjected::Refuse);
    match config.slow_start {
        // As in NGINX Plus the share grows from nothing.
        Some(time) => balancing.slow_start(SlowStart::new(time).min_percent(0)),
        None => balancing,
    }
}

/// What the identities of the sources leave out: the parameters of servers with names, the resolver, and how Kubernetes is
/// reached. The identity of addresses includes their parameters. Places in the text make no difference.
fn fingerprint(config: &Upstream) -> String {
    let named = config.servers.iter();
    let named = named.filter(|server| !is_fixed(server));
    let servers: Vec<_> = named.map(UpstreamServer::without_span).collect();
    let kubernetes: Vec<_> = config
        .kubernetes
        .iter()
        .map(Kubernetes::without_span)
        .collect();
    let resolver = config.resolver.as_ref().map(Resolver::without_span);
    format!(
        "{servers:?} {kubernetes:?} {resolver:?} {:?}",
        config.resolver_timeout
    )
}

/// Joins servers that are listed more than once: a backend is identified by its address, so its weight is the sum, and its
/// `max_conns` too, unless one of them has no limit. Servers of a service are not joined, because they have the weights of its records.
fn joined(servers: &[UpstreamServer]) -> Vec<UpstreamServer> {
    let mut joined: Vec<UpstreamServer> = Vec::with_capacity(servers.len());
    let mut seen = HashMap::new();
    for server in servers {
        let identity = (
            &server.host,
            server.port,
            server.backup,
            server.down,
            server.resolve,
        );
        match seen.get(&identity) {
            Some(&first) if !matches!(server.host, Host::Service(_)) => {
                let first: &mut UpstreamServer = &mut joined[first];
                first.weight = first.weight.saturating_add(server.weight.get());
                first.max_conns = first
                    .max_conns
                    .zip(server.max_conns)
                    .map(|(one, other)| one.saturating_add(other.get()));
            }
            _ => {
                seen.insert(identity, joined.len());
                joined.push(server.clone());
            }
        }
    }
    joined
}

fn policy(method: &Method) -> Arc<dyn Policy> {
    let kind = match method {
        Method::RoundRobin => PolicyKind::WeightedRoundRobin,
        Method::Hash {
            consistent: false, ..
        } => PolicyKind::NginxHash,
        Method::Hash {
            consistent: true, ..
        } => PolicyKind::Ketama,
        Method::LeastConn => PolicyKind::LeastConn,
        Method::LeastTime { time, in_flight } => {
            let policy = match time {
                ExpectedTime::Connect => LeastTime::connect(),
                ExpectedTime::FirstByte => LeastTime::first_byte(),
                ExpectedTime::LastByte => LeastTime::last_byte(),
            };
            return Arc::new(policy.in_flight(*in_flight));
        }
        Method::Random => PolicyKind::Random,
        Method::RandomTwo => PolicyKind::RandomTwo,
    };
    kind.build()
}

/// The sources of `servers`, in their order. Consecutive addresses are one source: a task follows each source, which
/// thousands of addresses do not need.
fn sources(
    servers: &[UpstreamServer],
    resolvers: &UpstreamResolvers<'_>,
) -> Result<Vec<Box<dyn Source>>, BuildError> {
    let runs = servers.chunk_by(|one, next| is_fixed(one) && is_fixed(next));
    runs.map(|run| source(run, resolvers)).collect()
}

/// Whether the server is looked up nowhere.
const fn is_fixed(server: &UpstreamServer) -> bool {
    matches!(server.host, Host::Ip(_) | Host::Unix(_))
}

/// The source of one server, or of several that are addresses.
fn source(
    run: &[UpstreamServer],
    resolvers: &UpstreamResolvers<'_>,
) -> Result<Box<dyn Source>, BuildError> {
    // Set here, so that the driver need not set it in each backend while sessions wait.
    let source: Arc<str> = Arc::from("static");
    let mut addrs = Vec::with_capacity(run.len());
    for server in run {
        let invalid = |source| BuildError::Discovery {
            source,
            span: server.span.clone(),
        };
        match &server.host {
            Host::Ip(ip) => {
                let backend = Backend::new(SocketAddr::new(*ip, server.port));
                addrs.push(configured(backend, server).source(Arc::clone(&source)));
            }
            Host::Unix(path) => {
                let backend = Backend::unix(path.as_path());
                addrs.push(configured(backend, server).source(Arc::clone(&source)));
            }
            Host::Name(name) => {
                let resolver = resolvers.of(server)?;
                let dns = Dns::try_new(resolver, name, server.port).map_err(invalid)?;
                let server = server.clone();
                return Ok(Box::new(Map::new(dns, move |b| configured(b, &server))));
            }
            Host::Service(name) => {
                let dns = Dns::try_service(resolvers.of(server)?, name).map_err(invalid)?;
                let server = server.clone();
                let change = move |backend| configured_service(backend, &server);
                return Ok(Box::new(Map::filter_map(dns, change)));
            }
        }
    }
    let fixed = Static::new(Snapshot::from_backends(addrs)).labelled(source);
    // Computed here, because the driver asks for it while sessions wait.
    let _ = fixed.identity();
    Ok(Box::new(fixed))
}

/// Applies the parameters of a `server` to its `backend`.
fn configured(backend: Backend, server: &UpstreamServer) -> Backend {
    let max_fails = NonZeroU32::new(server.max_fails);
    backend
        .weight(Weight::new(server.weight.get()))
        .max_conns(server.max_conns.map_or(0, NonZeroU32::get))
        .fail_limit(max_fails.map(|max| FailLimit::new(max, server.fail_timeout)))
        .priority(if server.backup {
            Priority::BACKUP
        } else {
            Priority::PRIMARY
        })
        .admin(if server.down {
            AdminState::Drain
        } else {
            AdminState::Ready
        })
}

/// Applies the parameters of a `server` to a `backend` of its service. `None` if the backend is not used.
///
/// As in nginx the records of the lowest priority are primaries and all others backups; if the `server` itself
/// is a backup, the primaries are its backups and the other records are not used. A configured weight replaces the weights
/// of the records.
fn configured_service(backend: Backend, server: &UpstreamServer) -> Option<Backend> {
    let (tier, weight) = (backend.priority, backend.weight);
    let preferred = tier == Priority::PRIMARY;
    if server.backup && !preferred {
        return None;
    }
    let mut backend = configured(backend, server);
    if server.weight == NonZeroU16::MIN {
        backend = backend.weight(weight);
    }
    if !preferred {
        backend = backend.priority(Priority::BACKUP);
    }
    Some(backend)
}

#[cfg(test)]
mod tests;
