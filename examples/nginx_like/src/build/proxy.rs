//! Makes a proxy of a configuration.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use lb_proxy::client_hello::ClientHelloReader;
use lb_proxy::proxy_protocol::{ProxyProtocol, SendProxy, Untrusted, Version};
use lb_proxy::{
    Access, HalfClose, Keepalive, Limits, Listener, Proxy, Retry, SocketOptions, Source, Timeouts,
    Workers,
};

use super::inherited::{Found, Inherited};
use super::kept::Kept;
use crate::config::listen::Listen;
use crate::config::main::{Config, WorkerProcesses};
use crate::config::server::Server;
use crate::error::StartError;

/// What a time-out of 0 is in nginx: over at the first look.
const AT_ONCE: Duration = Duration::from_nanos(1);

/// The proxy that `config` describes. Nothing is opened.
pub(crate) fn proxy(
    config: &Config,
    kept: &mut Kept,
    mut inherited: Inherited,
) -> Result<Proxy, StartError> {
    let stream = config.stream.as_ref().ok_or(StartError::NoServer)?;
    kept.take_upstreams(&stream.upstreams)?;
    kept.take_zones(&stream.limit_conn_zones);
    // SIGTERM does not drain.
    let workers = workers(config.worker_processes);
    let mut proxy = Proxy::builder()
        .drain_timeout(config.worker_shutdown_timeout)
        .workers(match workers {
            NonZeroUsize::MIN => Workers::CurrentRuntime,
            several => Workers::Threads(several),
        })
        .limits(Limits::default().sessions(Some(sessions(config, workers))));
    inherited.remember(&kept.inherited);
    for (number, server) in stream.servers.iter().enumerate() {
        for listen in &server.listens {
            let upstream = kept.upstream(server.upstream);
            let opened = match inherited.listener(listen, number, upstream)? {
                Found::Listener(listener) => *listener,
                Found::Nothing => Listener::new(listen.addr, upstream),
                Found::Covered => continue,
            };
            let mut listener = listener(opened, server, listen, kept);
            if server.settings.ssl_preread.enabled {
                let reader = ClientHelloReader::new()
                    .limit(server.settings.core.preread_buffer_size)
                    .timeout(server.settings.core.preread_timeout.max(AT_ONCE));
                let by_name = server.by_name.clone();
                listener = listener
                    .preread(Arc::new(reader))
                    .server_names(by_name.map(|upstream| kept.upstream(upstream).clone()));
            }
            proxy = proxy.listener(listener);
        }
    }
    inherited.warn_of_rest();
    kept.inherited = inherited.known();
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

fn listener(listener: Listener, server: &Server, listen: &Listen, kept: &Kept) -> Listener {
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
        .fold(Source::any(), Source::addr);
    let mut listener = listener
        .backlog(listen.backlog)
        .ipv6_only(listen.ipv6only)
        .reuse_port(listen.reuseport)
        .client_options(options.keepalive(listen.so_keepalive))
        .backend_options(options.keepalive(probed))
        .source(source)
        .timeouts(timeouts)
        .retry(retry);
    if !server.settings.proxy.half_close {
        listener = listener.half_close(HalfClose::End);
    }
    if listen.proxy_protocol {
        // As in nginx, everybody must send a header, and it is a matter of its own whose are believed.
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
        // The configuration names no zone that it does not have.
        if let Some(zone) = kept.zone(&limit.zone) {
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
