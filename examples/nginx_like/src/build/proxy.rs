//! Builds a proxy from a configuration.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;

use lb_proxy::{Limits, Listener, Proxy, Workers};
use tracing::info;

use super::error::BuildError;
use super::inherited::{InheritedSockets, SocketMatch};
use super::listener::listener;
use super::reload_state::ReloadState;
use super::resolvers::RunTimeResolvers;
use super::session::Sessions;
use super::upstream::upstreams;
use super::virtual_servers::virtual_servers;
use crate::config::main::{Config, WorkerProcesses};
use crate::logs::sinks::Sinks;

/// What lb-proxy reserves by default for everything but sessions.
const RESERVED: u32 = 32;

/// The proxy that `config` describes, whose sessions are logged to `sinks`. Opens no socket and no log.
pub(crate) fn proxy(
    config: &Config,
    state: &mut ReloadState,
    mut inherited: InheritedSockets,
    sinks: &Sinks,
) -> Result<Proxy, BuildError> {
    let no_server = || BuildError::NoServer {
        file: Arc::clone(&config.file),
    };
    let stream = config.stream.as_ref().ok_or_else(no_server)?;
    let upstreams = upstreams(&stream.upstreams, &stream.variables)?;
    state.take_zones(&stream.limit_conn_zones);
    // SIGTERM does not drain.
    let workers = workers(config.worker_processes);
    let most_sessions = most_sessions(config, workers);
    let mut proxy = Proxy::builder()
        .drain_timeout(config.worker_shutdown_timeout)
        .pre_stop_delay(config.withdraw_delay)
        .orphan_timeout(stream.orphan_timeout)
        .workers(match workers {
            NonZeroUsize::MIN => Workers::CurrentRuntime,
            several => Workers::Threads(several),
        })
        .limits(Limits::default().sessions(Some(most_sessions)));
    let withdraw_delay = config.withdraw_delay;
    if !withdraw_delay.is_zero() {
        // lb-proxy's own line does not have the name of the directive.
        proxy = proxy.pre_stop_hook(move || async move {
            info!(lb_withdraw_delay = ?withdraw_delay, "New connections still accepted");
        });
    }
    if stream.admin.is_some() {
        proxy = proxy
            .detailed_metrics(true)
            .reserve_descriptors(RESERVED + lb_proxy::admin::DESCRIPTORS)
            .track_sessions(true);
    }
    // Those that no server names now as well: a later reload may name them, and finds their state.
    for upstream in &upstreams {
        proxy = proxy.upstream(upstream);
    }
    inherited.add_claimed(&state.inherited);
    let resolvers = RunTimeResolvers::new(most_sessions, config.worker_rlimit_nofile);
    let mut sessions = Sessions::new(stream, &upstreams, sinks, resolvers)?;
    for (number, server) in stream.servers.iter().enumerate() {
        for listen in server.listens.iter().filter(|listen| listen.is_default) {
            let upstream = sessions.upstream(server);
            let opened = match inherited.listener(listen, number, upstream)? {
                SocketMatch::Listener(listener) => *listener,
                SocketMatch::None => match &listen.unix {
                    Some(path) => Listener::unix(Arc::clone(path), upstream),
                    None => Listener::new(listen.addr, upstream),
                },
                SocketMatch::Covered => continue,
            };
            let opened = match &state.socket_opener {
                Some(opener) => opened.opener(Arc::clone(opener)),
                None => opened,
            };
            let others = virtual_servers(listen, stream, |index| sessions.of(index))?;
            let opened = opened
                .sessions(sessions.of(number)?)
                .virtual_servers(others)
                .removal_deadline(config.worker_shutdown_timeout);
            proxy = proxy.listener(listener(
                opened,
                server,
                listen,
                stream,
                state,
                sessions.log(number),
            ));
        }
    }
    inherited.warn_of_unclaimed();
    state.inherited = inherited.claimed();
    if stream.servers.is_empty() {
        return Err(no_server());
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
fn most_sessions(config: &Config, workers: NonZeroUsize) -> NonZeroUsize {
    let of_worker = usize::try_from(config.worker_connections.get()).unwrap_or(usize::MAX);
    NonZeroUsize::new(of_worker.saturating_mul(workers.get()) / 2).unwrap_or(NonZeroUsize::MIN)
}
