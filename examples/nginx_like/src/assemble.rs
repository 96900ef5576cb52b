//! Makes a proxy of a configuration.

mod kept;
mod kubernetes;

use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use lb_core::policy::PolicyKind;
use lb_core::{AdminState, Backend, FailLimit, Priority, Snapshot, Weight};
use lb_discovery::{Discovery, Dns, DriverConfig, Map, OnEmpty, Resolver, Static};
use lb_proxy::client_hello::ClientHelloReader;
use lb_proxy::proxy_protocol::{ProxyProtocol, SendProxy, Untrusted, Version};
use lb_proxy::server_names::ServerNames;
use lb_proxy::{
    Access, Connection, HalfClose, Hooks, Keepalive, Limits, Listener, Proxy, Retry, SocketOptions,
    Source, Timeouts, Workers,
};

use crate::config::{
    AddressFamilies, Config, HashKey, Host, Listen, Method, Server, Span, Stream, Upstream,
    UpstreamServer, WorkerProcesses,
};
use crate::error::StartError;
use crate::inherited::Inherited;
pub(crate) use kept::Kept;

/// One query of a name server may take this long; a lost packet is asked for again after it.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);

/// The proxy that `config` describes. Nothing is opened.
pub(crate) fn proxy(
    config: &Config,
    kept: &mut Kept,
    mut inherited: Inherited,
) -> Result<Proxy, StartError> {
    let stream = config.stream.as_ref().ok_or(StartError::NoServer)?;
    kept.take_upstreams(&stream.upstreams)?;
    kept.take_zones(&stream.client_zones);
    // SIGTERM does not drain.
    let workers = workers(config.worker_processes);
    let mut proxy = Proxy::builder()
        .drain_timeout(config.worker_shutdown_timeout)
        .workers(match workers {
            NonZeroUsize::MIN => Workers::Here,
            several => Workers::Threads(several),
        })
        .limits(Limits::default().sessions(Some(sessions(config, workers))));
    for server in &stream.servers {
        check_timeouts(server)?;
        for listen in &server.listens {
            let upstream = kept.upstream(server.upstream);
            let opened = match inherited.at(listen.addr) {
                Some(socket) => {
                    Listener::from_std(socket, upstream).map_err(|source| StartError::System {
                        call: format!("getsockname() of the inherited socket {}", listen.addr),
                        source,
                    })?
                }
                None => Listener::new(listen.addr, upstream),
            };
            let mut listener = listener(opened, server, listen, kept);
            if server.ssl_preread {
                let by_name = server.by_name.clone();
                for &upstream in by_name.values() {
                    proxy = proxy.upstream(kept.upstream(upstream));
                }
                listener = listener.prelude(Arc::new(
                    ClientHelloReader::new()
                        .upstreams(by_name.map(|upstream| kept.upstream(upstream).clone()))
                        .limit(server.preread_buffer_size)
                        .timeout(server.preread_timeout),
                ));
            }
            if let Some(keys) = Keys::of(server, stream) {
                listener = listener.hooks(Arc::new(keys));
            }
            proxy = proxy.listener(listener);
        }
    }
    inherited.warn_of_rest();
    if stream.servers.is_empty() {
        return Err(StartError::NoServer);
    }
    Ok(proxy.build()?)
}

/// A worker is a thread. One alone is the main thread.
fn workers(wanted: WorkerProcesses) -> NonZeroUsize {
    match wanted {
        WorkerProcesses::Auto => available_parallelism().unwrap_or(NonZeroUsize::MIN),
        WorkerProcesses::Count(count) => count,
    }
}

/// nginx counts connections to clients and to servers, and each worker has its share. Here the workers share one sum,
/// and what is too much waits to be accepted.
fn sessions(config: &Config, workers: NonZeroUsize) -> NonZeroUsize {
    let of_worker = usize::try_from(config.worker_connections.get()).unwrap_or(usize::MAX);
    NonZeroUsize::new(of_worker.saturating_mul(workers.get()) / 2).unwrap_or(NonZeroUsize::MIN)
}

fn upstream(config: &Upstream) -> Result<lb_proxy::Upstream, StartError> {
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

fn listener(listener: Listener, server: &Server, listen: &Listen, kept: &Kept) -> Listener {
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
    let options = SocketOptions::default().nodelay(server.tcp_nodelay);
    let probed = server.socket_keepalive.then(Keepalive::default);
    let source = server.bind.into_iter().fold(Source::any(), Source::addr);
    let mut listener = listener
        .backlog(listen.backlog)
        .ipv6_only(listen.ipv6only)
        .reuse_port(listen.reuseport)
        .client_options(options.keepalive(listen.so_keepalive))
        .backend_options(options.keepalive(probed))
        .source(source)
        .timeouts(timeouts)
        .retry(retry);
    if !server.half_close {
        listener = listener.half_close(HalfClose::End);
    }
    if listen.proxy_protocol {
        // As in nginx, everybody must send a header, and it is a matter of its own whose are believed.
        let protocol = ProxyProtocol::required(server.real_ip_from.clone())
            .untrusted(Untrusted::Disbelieve)
            .timeout(server.proxy_protocol_timeout);
        listener = listener.prelude(Arc::new(protocol));
    }
    if let Some(version) = server.proxy_protocol {
        let send = match version {
            Version::V2 => SendProxy::v2(),
            _ => SendProxy::v1(),
        };
        listener = listener.send_proxy(send.local_destination(true));
    }
    if !server.access.is_empty() {
        listener = listener.access(access(server));
    }
    for limit in &server.client_limits {
        // The configuration names no zone that it does not have.
        if let Some(zone) = kept.zone(&limit.zone) {
            listener = listener.limit_clients(zone, limit.sessions);
        }
    }
    listener
}

fn access(server: &Server) -> Access {
    let rules = server.access.iter();
    rules.fold(Access::new(), |access, rule| match rule.allows {
        true => access.allow(rule.network),
        false => access.deny(rule.network),
    })
}

/// Hands the key of `hash` to the policy.
#[derive(Debug)]
struct Keys {
    default: Option<HashKey>,
    by_name: ServerNames<Option<HashKey>>,
}

impl Keys {
    /// `None` if no upstream of `server` has a key.
    fn of(server: &Server, stream: &Stream) -> Option<Self> {
        let key = |upstream: usize| match &stream.upstreams[upstream].method {
            Method::Hash { key, .. } => Some(key.clone()),
            _ => None,
        };
        let keys = Self {
            default: key(server.upstream),
            by_name: server.by_name.clone().map(key),
        };
        let hashes = keys.default.is_some() || keys.by_name.values().any(Option::is_some);
        hashes.then_some(keys)
    }
}

impl Hooks for Keys {
    fn hash_key(&self, connection: &Connection) -> lb_proxy::HashKey {
        let name = connection.server_name();
        let by_name = name.and_then(|name| self.by_name.find(name));
        match by_name.unwrap_or(&self.default) {
            Some(key) => {
                lb_proxy::HashKey::from_bytes(&key.of(connection.client, connection.local))
            }
            None => lb_proxy::HashKey::none(),
        }
    }
}

fn check_timeouts(server: &Server) -> Result<(), StartError> {
    let timeouts = [
        ("proxy_connect_timeout", server.connect_timeout),
        ("proxy_timeout", server.timeout),
        ("proxy_protocol_timeout", server.proxy_protocol_timeout),
        ("preread_timeout", server.preread_timeout),
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

#[cfg(test)]
mod tests;
