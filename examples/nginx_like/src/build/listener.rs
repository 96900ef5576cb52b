//! Applies the settings of a server to its listeners.

use std::sync::Arc;
use std::time::Duration;

use lb_proxy::Listener;
use lb_proxy::access::Access;
use lb_proxy::client_hello::ClientHelloReader;
use lb_proxy::events::Connection;
use lb_proxy::proxy_protocol::{ProxyProtocol, Untrusted};
use lb_proxy::settings::SocketOptions;

use super::hash_key;
use super::reload_state::ReloadState;
use crate::config::listen::Listen;
use crate::config::server::Server;
use crate::config::stream::Stream;
use crate::session_log::hooks::SessionLog;
use crate::variables::session::SessionState;
use crate::variables::table::Variables;

/// A time-out of 0: in nginx it ends at the first check.
pub(super) const AT_ONCE: Duration = Duration::from_nanos(1);

/// Sets what belongs to the sockets of the listener for a `listen` of `server`, the default server, and what its sessions
/// have before a virtual server is chosen.
pub(super) fn listener(
    listener: Listener,
    server: &Server,
    listen: &Listen,
    stream: &Stream,
    state: &ReloadState,
    log: &Arc<SessionLog>,
) -> Listener {
    let listener = sockets(listener, server, listen);
    let listener = session_data(listener, server, stream, log);
    let listener = preread(listener, server, listen);
    limits(listener, server, &stream.variables, state)
}

/// The sockets of the listener and of its clients.
fn sockets(listener: Listener, server: &Server, listen: &Listen) -> Listener {
    let settings = &server.settings;
    let options = SocketOptions::default().nodelay(settings.core.tcp_nodelay);
    listener
        .bind_to_port(listen.has_socket)
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
}

/// What a session stores. Its first line in the log is the default server's.
fn session_data(
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
        if !connection.is_dry_run() {
            accepted.accepted(connection);
        }
        SessionState::new(&variables, &assignments, has_limits)
    };
    listener.session_data(data)
}

/// What is read before a backend is picked: the PROXY header, then the server name.
fn preread(mut listener: Listener, server: &Server, listen: &Listen) -> Listener {
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
        listener = listener.preread(Arc::new(reader));
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
            "$binary_remote_addr" | "$remote_addr" => {
                listener.limit_clients(zone, limit.sessions.get())
            }
            _ => {
                let key = hash_key::parts(&config.key, variables);
                listener.limit_keys(zone, key, limit.sessions.get())
            }
        };
    }
    // nginx's phases: limit_conn is of the one before that of allow and deny.
    let listener = listener.limit_before_access(true);
    listener.limit_dry_run(settings.limit_conn_settings.dry_run)
}
