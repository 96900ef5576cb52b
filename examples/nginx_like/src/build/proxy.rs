//! Builds a proxy from a configuration.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;

use lb_proxy::{Limits, Listener, Proxy, ProxyBuilder, Upstream, Workers};

use super::error::BuildError;
use super::inherited::{InheritedSockets, SocketMatch};
use super::listener::listener;
use super::reload_state::ReloadState;
use super::resolvers::RunTimeResolvers;
use super::session::Sessions;
use super::upstream::upstreams;
use super::virtual_servers::virtual_servers;
use crate::config::listen::Listen;
use crate::config::main::{Config, WorkerProcesses};
use crate::config::stream::Stream;
use crate::logs::sinks::Sinks;
use crate::withdrawal::Withdrawal;

/// What lb-proxy reserves by default for everything but sessions.
const RESERVED: u32 = 32;

/// The proxy that `config` describes, whose sessions are logged to `sinks`. Opens no socket and no log.
pub(crate) fn proxy(
    config: &Config,
    state: &mut ReloadState,
    mut inherited: InheritedSockets,
    sinks: &Sinks,
) -> Result<Proxy, BuildError> {
    let no_stream = || BuildError::NoStream {
        file: Arc::clone(&config.file),
    };
    let stream = config.stream.as_ref().ok_or_else(no_stream)?;
    let upstreams = upstreams(&stream.upstreams, &stream.variables)?;
    state.take_zones(&stream.limit_conn_zones);
    let workers = workers(config.worker_processes);
    let most_sessions = most_sessions(config, workers);
    let mut proxy = settings(config, stream, workers, most_sessions);
    if let Some(withdrawal) = Withdrawal::new(&config.shutdown, &state.another_serves) {
        proxy = proxy.pre_stop_hook(move || withdrawal.clone().run());
    }
    // Upstreams that no server names are included: a later reload may name them and then finds their state.
    for upstream in &upstreams {
        proxy = proxy.upstream(upstream);
    }
    inherited.add_claimed(&state.inherited);
    let resolvers = RunTimeResolvers::new(most_sessions, config.worker_rlimit_nofile);
    let mut sessions = Sessions::new(stream, &upstreams, sinks, resolvers)?;
    for (number, server) in stream.servers.iter().enumerate() {
        for listen in server.listens.iter().filter(|listen| listen.is_default) {
            let upstream = sessions.upstream(server);
            let Some(opened) = sockets(listen, number, upstream, &mut inherited, state)? else {
                continue;
            };
            let others = virtual_servers(listen, stream, |index| sessions.of(index))?;
            let opened = opened
                .sessions(sessions.of(number)?)
                .virtual_servers(others)
                .removal_deadline(config.worker_shutdown_timeout);
            let log = sessions.log(number);
            proxy = proxy.listener(listener(opened, server, listen, stream, state, log));
        }
    }
    inherited.warn_of_unclaimed();
    state.inherited = inherited.claimed();
    Ok(proxy.build()?)
}

/// A proxy without upstreams and listeners.
fn settings(
    config: &Config,
    stream: &Stream,
    workers: NonZeroUsize,
    most_sessions: NonZeroUsize,
) -> ProxyBuilder {
    let mut proxy = Proxy::builder()
        .may_be_empty(true)
        // Of a shutdown that drains, as that by SIGQUIT. SIGTERM does not.
        .drain_timeout(config.worker_shutdown_timeout)
        .pre_stop_delay(config.shutdown.withdraw_delay)
        .close_spread(config.shutdown.close_spread)
        .orphan_timeout(stream.orphan_timeout)
        .workers(match workers {
            NonZeroUsize::MIN => Workers::CurrentRuntime,
            several => Workers::Threads(several.get()),
        })
        .limits(Limits::default().sessions(most_sessions.get()));
    if stream.admin.is_some() {
        proxy = proxy
            .detailed_metrics(true)
            .reserve_descriptors(RESERVED + lb_proxy::admin::DESCRIPTORS)
            .track_sessions(true);
    }
    proxy
}

/// The listener of `listen`, on an inherited socket if there is one. `None` if the socket of another `listen` of its server,
/// which is number `server`, accepts for it.
fn sockets(
    listen: &Listen,
    server: usize,
    upstream: &Upstream,
    inherited: &mut InheritedSockets,
    state: &ReloadState,
) -> Result<Option<Listener>, BuildError> {
    let listener = match inherited.listener(listen, server, upstream)? {
        SocketMatch::Listener(listener) => *listener,
        SocketMatch::None => match &listen.unix {
            Some(path) => Listener::unix(Arc::clone(path), upstream),
            None => Listener::new(listen.addr, upstream),
        },
        SocketMatch::Covered => return Ok(None),
    };
    Ok(Some(match &state.socket_opener {
        Some(opener) => listener.opener(Arc::clone(opener)),
        None => listener,
    }))
}

/// The number of worker threads. With one, the main thread is the worker.
fn workers(wanted: WorkerProcesses) -> NonZeroUsize {
    match wanted {
        WorkerProcesses::Auto => available_parallelism().unwrap_or(NonZeroUsize::MIN),
        WorkerProcesses::Count(count) => count,
    }
}

/// The limit of sessions. nginx counts connections to clients and to backends, for each worker. Here the workers share the
/// sum, and clients above the limit wait to be accepted.
fn most_sessions(config: &Config, workers: NonZeroUsize) -> NonZeroUsize {
    let of_worker = usize::try_from(config.worker_connections.get()).unwrap_or(usize::MAX);
    NonZeroUsize::new(of_worker.saturating_mul(workers.get()) / 2).unwrap_or(NonZeroUsize::MIN)
}
