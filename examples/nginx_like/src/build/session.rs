//! Applies the settings of a server to its sessions.

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;

use lb_proxy::proxy_protocol::{SendProxy, Version};
use lb_proxy::routing::VirtualServer;
use lb_proxy::settings::{Bandwidth, HalfClose, Keepalive, OnRefusal, SocketOptions};
use lb_proxy::{Hooks, Retry, Timeouts, Upstream};

use super::bind_source::source;
use super::error::BuildError;
use super::listener::AT_ONCE;
use super::resolvers::RunTimeResolvers;
use super::route::routed;
use super::targets::Targets;
use crate::config::access_log::AccessLog;
use crate::config::proxy::ProxySettings;
use crate::config::server::Server;
use crate::config::stream::Stream;
use crate::config::transfer_rate::TransferRate;
use crate::logs::sinks::Sinks;
use crate::session_log::hooks::SessionLog;
use crate::variables::context::Context;

/// What the servers of a configuration share.
pub(super) struct Sessions<'a> {
    stream: &'a Stream,
    /// Those of the configuration, in its order.
    upstreams: &'a [Upstream],
    /// The upstream of servers that have none, without backends.
    none: Upstream,
    targets: Arc<Targets>,
    resolvers: RunTimeResolvers,
    /// One for each server.
    logs: Vec<Arc<SessionLog>>,
}

impl<'a> Sessions<'a> {
    /// The sessions of `stream`, which are logged to `sinks`.
    pub(super) fn new(
        stream: &'a Stream,
        upstreams: &'a [Upstream],
        sinks: &Sinks,
        resolvers: RunTimeResolvers,
    ) -> Result<Self, BuildError> {
        let servers = stream.servers.iter();
        let logs = servers.map(|server| Arc::new(SessionLog::new(server, stream, sinks)));
        let none = Upstream::builder("none").fixed(&lb_core::Snapshot::default())?;
        Ok(Self {
            stream,
            upstreams,
            none,
            targets: Targets::new(stream, upstreams),
            resolvers,
            logs: logs.collect(),
        })
    }

    /// The upstream of `server`.
    pub(super) fn upstream(&self, server: &Server) -> &Upstream {
        let upstream = server.upstream.map(|index| &self.upstreams[index]);
        upstream.unwrap_or(&self.none)
    }

    /// The log of the server with this index.
    pub(super) fn log(&self, number: usize) -> &Arc<SessionLog> {
        &self.logs[number]
    }

    /// The settings of the sessions of the server with this index.
    pub(super) fn of(&mut self, number: usize) -> Result<VirtualServer, BuildError> {
        let server = &self.stream.servers[number];
        let log = &self.logs[number];
        let hooks: Arc<dyn Hooks> = Arc::clone(log) as _;
        let interim = AccessLog::interim(&server.settings.access_logs);
        let session = VirtualServer::new(self.upstream(server)).hooks(hooks);
        let session = session.report_interval(interim);
        let session = session.label(format!("server in {}", server.span));
        let session = sockets(session, server, self.stream, log);
        let session = proxy(session, &server.settings.proxy);
        let session = bandwidth(session, server, self.stream, log);
        let by_name = server.by_name.clone();
        let session = match by_name.is_empty() {
            true => session,
            false => session.server_names(by_name.map(|index| self.upstreams[index].clone())),
        };
        routed(
            session,
            server,
            self.stream,
            &self.targets,
            &mut self.resolvers,
        )
    }
}

/// The connections to backends.
fn sockets(
    session: VirtualServer,
    server: &Server,
    stream: &Stream,
    log: &Arc<SessionLog>,
) -> VirtualServer {
    let settings = &server.settings;
    let options = SocketOptions::default().nodelay(settings.core.tcp_nodelay);
    let probed = settings.proxy.socket_keepalive.then(Keepalive::default);
    session
        .backend_options(
            options
                .keepalive(probed)
                .receive_buffer(settings.proxy.socket_rcvbuf)
                .send_buffer(settings.proxy.socket_sndbuf),
        )
        .bind_source(source(settings.proxy.bind.as_ref(), &stream.variables, log))
}

/// `proxy_upload_rate` and `proxy_download_rate`.
fn bandwidth(
    session: VirtualServer,
    server: &Server,
    stream: &Stream,
    log: &Arc<SessionLog>,
) -> VirtualServer {
    let ProxySettings {
        upload_rate,
        download_rate,
        ..
    } = &server.settings.proxy;
    if [upload_rate, download_rate].contains(&&TransferRate::Fixed(0))
        && upload_rate == download_rate
    {
        return session;
    }
    let (up, down) = (upload_rate.clone(), download_rate.clone());
    let (variables, log) = (Arc::clone(&stream.variables), Arc::clone(log));
    session.bandwidth_of(move |connection| {
        let context = Context::new(&variables, connection);
        let rate = |rate: &TransferRate| {
            rate.of(&context)
                .unwrap_or_else(|value| {
                    log.invalid_rate(connection, &value);
                    None
                })
                .map_or(0, NonZeroU64::get)
        };
        let bandwidth = Bandwidth::unlimited().upload(rate(&up));
        bandwidth.download(rate(&down))
    })
}

fn proxy(mut session: VirtualServer, settings: &ProxySettings) -> VirtualServer {
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
        .tries(tries.map(NonZeroU32::get))
        .deadline(settings.next_upstream_timeout)
        .ends_attempts(false);
    session = session.timeouts(timeouts).retry(retry);
    // nginx only closes, and does not look at a client that has ended its side before a server is connected.
    session = session.on_refusal(OnRefusal::Close).abandon_silent(false);
    if !settings.half_close {
        session = session.half_close(HalfClose::End);
    }
    if let Some(version) = settings.protocol {
        let send = match version {
            Version::V2 => SendProxy::v2().checksum(true),
            _ => SendProxy::v1(),
        };
        let send = send.local_destination(true).mapped_as_nginx(true);
        session = session.send_proxy(send);
    }
    session
}
