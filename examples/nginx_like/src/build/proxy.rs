//! Builds a proxy from a configuration.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use lb_proxy::client_hello::ClientHelloReader;
use lb_proxy::proxy_protocol::{ProxyProtocol, SendProxy, Untrusted, Version};
use lb_proxy::{
    Access, BindSource, HalfClose, Keepalive, Limits, Listener, Proxy, Retry, SocketOptions,
    Timeouts, Workers,
};

use super::error::BuildError;
use super::inherited::{InheritedSockets, SocketMatch};
use super::reload_state::ReloadState;
use crate::config::listen::Listen;
use crate::config::main::{Config, WorkerProcesses};
use crate::config::server::Server;

/// A time-out of 0: in nginx it ends at the first check.
const AT_ONCE: Duration = Duration::from_nanos(1);

/// The proxy that `config` describes. Opens no socket and no log.
pub(crate) fn proxy(
    config: &Config,
    state: &mut ReloadState,
    mut inherited: InheritedSockets,
) -> Result<Proxy, BuildError> {
    let stream = config.stream.as_ref().ok_or(BuildError::NoServer)?;
    state.take_upstreams(&stream.upstreams)?;
    state.take_zones(&stream.limit_conn_zones);
    // SIGTERM does not drain.
    let workers = workers(config.worker_processes);
    let mut proxy = Proxy::builder()
        .drain_timeout(config.worker_shutdown_timeout)
        .workers(match workers {
            NonZeroUsize::MIN => Workers::CurrentRuntime,
            several => Workers::Threads(several),
        })
        .limits(Limits::default().sessions(Some(sessions(config, workers))));
    inherited.add_claimed(&state.inherited);
    for (number, server) in stream.servers.iter().enumerate() {
        for listen in &server.listens {
            let upstream = state.upstream(server.upstream);
            let opened = match inherited.listener(listen, number, upstream)? {
                SocketMatch::Listener(listener) => *listener,
                SocketMatch::None => Listener::new(listen.addr, upstream),
                SocketMatch::Covered => continue,
            };
            let mut listener = listener(opened, server, listen, state);
            if server.settings.ssl_preread.enabled {
                let reader = ClientHelloReader::new()
                    .limit(server.settings.core.preread_buffer_size)
                    .timeout(server.settings.core.preread_timeout.max(AT_ONCE));
                let by_name = server.by_name.clone();
                listener = listener
                    .preread(Arc::new(reader))
                    .server_names(by_name.map(|upstream| state.upstream(upstream).clone()));
            }
            proxy = proxy.listener(listener);
        }
    }
    inherited.warn_of_unclaimed();
    state.inherited = inherited.claimed();
    if stream.servers.is_empty() {
        return Err(BuildError::NoServer);
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

/// The limit of sessions. nginx counts connections to clients and to backends, for each worker. Here the workers share the
/// sum, and clients above the limit wait to be accepted.
fn sessions(config: &Config, workers: NonZeroUsize) -> NonZeroUsize {
    let of_worker = usize::try_from(config.worker_connections.get()).unwrap_or(usize::MAX);
    NonZeroUsize::new(of_worker.saturating_mul(workers.get()) / 2).unwrap_or(NonZeroUsize::MIN)
}

fn listener(listener: Listener, server: &Server, listen: &Listen, state: &ReloadState) -> Listener {
    let timeouts = Timeouts::default()
        .connect(server.settings.proxy.connect_timeout.max(AT_ONCE))
        .idle(Some(server.settings.proxy.timeout.max(AT_ONCE)))
        .half_closed(Some(server.settings.proxy.timeout.max(AT_ONCE)));
    let tries = if server.settings.proxy.next_upstream {
        server.settings.proxy.next_upstream_tries
    } else {
        Some(NonZeroU32::MIN)
    };
    let retry = Retry::default()
        .tries(tries)
        .deadline(server.settings.proxy.next_upstream_timeout);
    let options = SocketOptions::default().nodelay(server.settings.core.tcp_nodelay);
    let probed = server
        .settings
        .proxy
        .socket_keepalive
        .then(Keepalive::default);
    let source = server
        .settings
        .proxy
        .bind
        .into_iter()
        .fold(BindSource::any(), BindSource::addr);
    let mut listener = listener
        .backlog(listen.backlog)
        .ipv6_only(listen.ipv6only)
        .reuse_port(listen.reuseport)
        .client_options(options.keepalive(listen.so_keepalive))
        .backend_options(options.keepalive(probed))
        .bind_source(source)
        .timeouts(timeouts)
        .retry(retry);
    if !server.settings.proxy.half_close {
        listener = listener.half_close(HalfClose::End);
    }
    if listen.proxy_protocol {
        // As in nginx, each client must send a header, and `set_real_ip_from` says which headers are trusted.
        let protocol = ProxyProtocol::required(server.settings.real_ip_from.clone())
            .untrusted(Untrusted::Disbelieve)
            .timeout(server.settings.core.proxy_protocol_timeout.max(AT_ONCE));
        listener = listener.preread(Arc::new(protocol));
    }
    if let Some(version) = server.settings.proxy.protocol {
        let send = match version {
            Version::V2 => SendProxy::v2(),
            _ => SendProxy::v1(),
        };
        listener = listener.send_proxy(send.local_destination(true));
    }
    if !server.settings.access.is_empty() {
        listener = listener.access(access(server));
    }
    for limit in &server.settings.limit_conn {
        // The configuration was checked: each limit has its zone.
        if let Some(zone) = state.zone(&limit.zone) {
            listener = listener.limit_clients(zone, limit.sessions);
        }
    }
    listener
}

fn access(server: &Server) -> Access {
    let rules = server.settings.access.iter();
    rules.fold(Access::new(), |access, rule| match rule.allows {
        true => access.allow(rule.network),
        false => access.deny(rule.network),
    })
}
