//! Applies the settings of a server to its listeners.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use lb_proxy::access::Access;
use lb_proxy::client_hello::ClientHelloReader;
use lb_proxy::events::Connection;
use lb_proxy::proxy_protocol::{ProxyProtocol, SendProxy, Untrusted, Version};
use lb_proxy::settings::{HalfClose, Keepalive, OnRefusal, SocketOptions};
use lb_proxy::{Hooks, Listener, Retry, Timeouts, Upstream};

use super::bind_source::source;
use super::hash_key;
use super::reload_state::ReloadState;
use crate::config::listen::Listen;
use crate::config::proxy::ProxySettings;
use crate::config::server::Server;
use crate::config::stream::Stream;
use crate::session_log::hooks::SessionLog;
use crate::variables::session::SessionState;
use crate::variables::table::Variables;

/// A time-out of 0: in nginx it ends at the first check.
const AT_ONCE: Duration = Duration::from_nanos(1);

/// Describes the listener for a `listen` of `server`. `upstreams` are those of the configuration, in its order.
pub(super) fn listener(
    listener: Listener,
    server: &Server,
    listen: &Listen,
    stream: &Stream,
    upstreams: &[Upstream],
    state: &ReloadState,
    log: &Arc<SessionLog>,
) -> Listener {
    let listener = sockets(listener, server, listen, stream);
    let listener = observed(listener, server, stream, log);
    let listener = preread(listener, server, listen, upstreams);
    let listener = proxy(listener, &server.settings.proxy);
    limits(listener, server, &stream.variables, state)
}

/// The sockets of the listener and of its sessions.
fn sockets(listener: Listener, server: &Server, listen: &Listen, stream: &Stream) -> Listener {
    let settings = &server.settings;
    let options = SocketOptions::default().nodelay(settings.core.tcp_nodelay);
    let probed = settings.proxy.socket_keepalive.then(Keepalive::default);
    listener
        .backlog(listen.backlog)
        .ipv6_only(listen.ipv6only)
        .reuse_port(listen.reuseport)
        .fast_open(listen.fastopen)
        .multipath(listen.multipath)
        .client_options(
            options
                .keepalive(listen.so_keepalive)
                .receive_buffer(listen.rcvbuf)
                .send_buffer(listen.sndbuf),
        )
        .backend_options(
            options
                .keepalive(probed)
                .receive_buffer(settings.proxy.socket_rcvbuf)
                .send_buffer(settings.proxy.socket_sndbuf),
        )
        .bind_source(source(settings.proxy.bind.as_ref(), &stream.variables))
}

/// What a session stores, and its logs.
fn observed(
    listener: Listener,
    server: &Server,
    stream: &Stream,
    log: &Arc<SessionLog>,
) -> Listener {
    let variables = Arc::clone(&stream.variables);
    let assignments = Arc::clone(&server.assignments);
    let has_limits = !server.settings.limit_conn.is_empty();
    let accepted = Arc::clone(log);
    let data = move |connection: &Connection| {
        let state = SessionState::new(&variables, &assignments, has_limits);
        accepted.accepted(connection, state.number());
        state
    };
    listener
        .session_data(data)
        .hooks(Arc::clone(log) as Arc<dyn Hooks>)
}

/// What is read before a backend is picked: the PROXY header, then the server name.
fn preread(
    mut listener: Listener,
    server: &Server,
    listen: &Listen,
    upstreams: &[Upstream],
) -> Listener {
    let settings = &server.settings;
    if listen.proxy_protocol {
        // As in nginx, each client must send a header, and `set_real_ip_from` says which headers are trusted.
        let protocol = ProxyProtocol::required(settings.real_ip_from.clone())
            .untrusted(Untrusted::Disbelieve)
            .timeout(settings.core.proxy_protocol_timeout.max(AT_ONCE));
        listener = listener.preread(Arc::new(protocol));
    }
    if settings.ssl_preread.enabled {
        let reader = ClientHelloReader::new()
            .limit(settings.core.preread_buffer_size)
            .timeout(settings.core.preread_timeout.max(AT_ONCE));
        let by_name = server.by_name.clone();
        listener = listener
            .preread(Arc::new(reader))
            .server_names(by_name.map(|upstream| upstreams[upstream].clone()));
    }
    listener
}

fn proxy(mut listener: Listener, settings: &ProxySettings) -> Listener {
    let timeouts = Timeouts::default()
        .connect(settings.connect_timeout.max(AT_ONCE))
        .idle(Some(settings.timeout.max(AT_ONCE)))
        .half_closed(Some(settings.timeout.max(AT_ONCE)));
    let tries = if settings.next_upstream {
        settings.next_upstream_tries
    } else {
        Some(NonZeroU32::MIN)
    };
    let retry = Retry::default()
        .tries(tries)
        .deadline(settings.next_upstream_timeout)
        .ends_attempts(false);
    listener = listener.timeouts(timeouts).retry(retry);
    // nginx only closes, and does not look at a client that has ended its side before a server is connected.
    listener = listener.on_refusal(OnRefusal::Close).abandon_silent(false);
    if !settings.half_close {
        listener = listener.half_close(HalfClose::End);
    }
    if let Some(version) = settings.protocol {
        let send = match version {
            Version::V2 => SendProxy::v2().checksum(true),
            _ => SendProxy::v1(),
        };
        let send = send.local_destination(true).mapped_as_nginx(true);
        listener = listener.send_proxy(send);
    }
    listener
}

/// `allow`, `deny` and `limit_conn`.
fn limits(
    mut listener: Listener,
    server: &Server,
    variables: &Arc<Variables>,
    state: &ReloadState,
) -> Listener {
    let settings = &server.settings;
    if !settings.access.is_empty() {
        let rules = settings.access.iter();
        let access = rules.fold(Access::new(), |access, rule| {
            match (rule.network, rule.allows) {
                (Some(network), true) => access.allow(network),
                (Some(network), false) => access.deny(network),
                (None, true) => access.allow_unix(),
                (None, false) => access.deny_unix(),
            }
        });
        listener = listener.access(access);
    }
    for limit in &settings.limit_conn {
        // The configuration was checked: each limit has its zone.
        let Some((config, zone)) = state.zone(&limit.zone) else {
            continue;
        };
        listener = match config.key.text() {
            "$binary_remote_addr" | "$remote_addr" => listener.limit_clients(zone, limit.sessions),
            _ => {
                let key = hash_key::parts(&config.key, variables);
                listener.limit_keys(zone, key, limit.sessions)
            }
        };
    }
    listener.limit_dry_run(settings.limit_conn_settings.dry_run)
}
