//! Turns the blocks as written into a [`Config`]: defaults, inheritance, and the names of upstreams.
//!
//! The checks that need more than one block are here too.

mod upstreams;

use std::{
    collections::HashMap,
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use self::upstreams::Upstreams;
use crate::config::main::MainBlock;
use crate::config::server::ServerBlock;
use crate::config::stream::StreamBlock;
use crate::config::{
    ClientLimit, ClientZone, Config, ErrorLog, Listen, Server, Stream, WorkerProcesses,
};
use crate::syntax::error::{ConfigError, ErrorKind, Warning, WarningKind};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);
const FIRST_BYTES_TIMEOUT: Duration = Duration::from_secs(30);
const PREREAD_BUFFER: usize = 16 * 1024;
const TIMEOUT: Duration = Duration::from_secs(10 * 60);
const WORKER_CONNECTIONS: NonZeroU32 = NonZeroU32::new(512).expect("not 0");

pub(crate) fn config(main: MainBlock, mut warnings: Vec<Warning>) -> Result<Config, ConfigError> {
    let stream = main
        .stream
        .map(|block| stream(block, &main.logs, &mut warnings))
        .transpose()?;
    Ok(Config {
        user: main.user,
        worker_processes: main
            .worker_processes
            .unwrap_or(WorkerProcesses::Count(NonZeroUsize::MIN)),
        worker_rlimit_nofile: main.worker_rlimit_nofile,
        worker_shutdown_timeout: main
            .worker_shutdown_timeout
            .filter(|timeout| !timeout.is_zero()),
        error_logs: main.logs,
        pid: main.pid,
        daemon: main.daemon,
        worker_connections: main
            .events
            .and_then(|events| events.worker_connections)
            .unwrap_or(WORKER_CONNECTIONS),
        stream,
        warnings,
    })
}

fn stream(
    block: StreamBlock,
    main_logs: &[ErrorLog],
    warnings: &mut Vec<Warning>,
) -> Result<Stream, ConfigError> {
    check_listens(&block.servers)?;
    let mut upstreams = Upstreams::new(block.upstreams, &block.names, warnings)?;
    let logs = if block.logs.is_empty() {
        main_logs
    } else {
        &block.logs
    };
    if let Some(map) = block.maps.iter().find(|map| map.default.is_none()) {
        let span = map.span.clone();
        return Err(ConfigError::new(ErrorKind::NoMapDefault, Some(span)));
    }
    let mut servers = Vec::with_capacity(block.servers.len());
    for server in block.servers {
        let pass = server.proxy_pass.ok_or_else(|| {
            let span = server.span.clone();
            ConfigError::new(ErrorKind::NoHandler, Some(span))
        })?;
        let names = server.names.inherit(&block.names);
        let (upstream, by_name) = upstreams.of(pass, &names, &block.maps)?;
        if let Some(resolver) = server.names.resolver {
            let mut reached = by_name.values().chain([&upstream]);
            let uses = |index: &usize| upstreams.get(*index).resolver.as_ref() == Some(&resolver);
            if !reached.any(uses) {
                let upstream = upstreams.get(upstream).name.clone();
                warnings.push(Warning {
                    kind: WarningKind::ResolverUnused { upstream },
                    span: resolver.span,
                });
            }
        }
        let settings = server.settings.inherit(&block.settings);
        let client_limits = own_or(server.client_limits, &block.client_limits);
        check_client_limits(&client_limits, &block.client_zones)?;
        servers.push(Server {
            listens: server.listens,
            upstream,
            by_name,
            connect_timeout: settings.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
            timeout: settings.timeout.unwrap_or(TIMEOUT),
            next_upstream: settings.next_upstream.unwrap_or(true),
            next_upstream_tries: settings.next_upstream_tries.and_then(NonZeroU32::new),
            next_upstream_timeout: settings
                .next_upstream_timeout
                .filter(|timeout| !timeout.is_zero()),
            tcp_nodelay: settings.tcp_nodelay.unwrap_or(true),
            socket_keepalive: settings.socket_keepalive.unwrap_or(false),
            bind: settings.bind.flatten(),
            half_close: settings.half_close.unwrap_or(false),
            proxy_protocol: settings.proxy_protocol.flatten(),
            proxy_protocol_timeout: settings
                .proxy_protocol_timeout
                .unwrap_or(FIRST_BYTES_TIMEOUT),
            real_ip_from: own_or(server.real_ip_from, &block.real_ip_from)
                .into_iter()
                .collect(),
            ssl_preread: settings.ssl_preread.unwrap_or(false),
            preread_buffer_size: settings.preread_buffer_size.unwrap_or(PREREAD_BUFFER),
            preread_timeout: settings.preread_timeout.unwrap_or(FIRST_BYTES_TIMEOUT),
            access: own_or(server.access, &block.access),
            client_limits,
            error_logs: own_or(server.logs, logs),
            span: server.span,
        });
    }
    Ok(Stream {
        upstreams: upstreams.into_all(),
        client_zones: block.client_zones,
        servers,
    })
}

/// What a block inherits only if it has nothing of its own.
fn own_or<T: Clone>(own: Vec<T>, outer: &[T]) -> Vec<T> {
    if own.is_empty() { outer.to_vec() } else { own }
}

fn check_client_limits(limits: &[ClientLimit], zones: &[ClientZone]) -> Result<(), ConfigError> {
    let is_known = |limit: &&ClientLimit| zones.iter().any(|zone| zone.name == limit.zone);
    match limits.iter().find(|limit| !is_known(limit)) {
        Some(limit) => {
            let zone = limit.zone.clone();
            let kind = ErrorKind::UnknownClientZone { zone };
            Err(ConfigError::new(kind, Some(limit.span.clone())))
        }
        None => Ok(()),
    }
}

/// Checks that no two listeners want the same connections.
fn check_listens(servers: &[ServerBlock]) -> Result<(), ConfigError> {
    let mut by_port: HashMap<u16, Vec<&Listen>> = HashMap::new();
    for listen in servers.iter().flat_map(|server| &server.listens) {
        let before = by_port.entry(listen.addr.port()).or_default();
        for other in &*before {
            let (addr, other_addr) = (listen.addr, other.addr);
            let kind = if addr == other_addr {
                ErrorKind::DuplicateListen { addr }
            } else if covers(listen, other) || covers(other, listen) {
                let other = other_addr;
                ErrorKind::ListenOverlap { addr, other }
            } else {
                continue;
            };
            return Err(ConfigError::new(kind, Some(listen.span.clone())));
        }
        before.push(listen);
    }
    Ok(())
}

/// Tells if a wildcard includes another address: the system would refuse to bind both.
fn covers(wildcard: &Listen, other: &Listen) -> bool {
    let same_family = wildcard.addr.is_ipv4() == other.addr.is_ipv4();
    let dual_stack = wildcard.addr.is_ipv6() && !wildcard.ipv6only;
    wildcard.addr.ip().is_unspecified()
        && wildcard.addr.port() == other.addr.port()
        && (same_family || dual_stack)
}
