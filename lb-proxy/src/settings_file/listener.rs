//! The settings of a listener and its virtual servers.

use std::sync::Arc;
use std::time::Duration;

use lb_core::Endpoint;
use lb_core::serde_form::{DurationForm, OptionalDuration, Switch};
use serde::de::{Deserialize, Deserializer, Error, Unexpected};
use serde::ser::Serializer;

use super::clients::{AccessRule, ClientLimitSettings, access};
use super::error::SettingsError;
use super::first_bytes::{ClientHelloSettings, ProxyProtocolSettings};
use super::named::NamedParts;
use super::sessions::SessionSettings;
use super::upstream_choice::UpstreamChoice;
use crate::limits::Limits;
use crate::listener::Listener;
use crate::net::options::SocketOptions;
use crate::state::virtual_servers::VirtualServers;

/// An address to listen on and what happens to its connections: [`Listener`].
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ListenerSettings {
    /// `IP:PORT`, `[IPv6]:PORT` or `unix:PATH`. `[::]:446` listens on all addresses of both families.
    pub listen: Endpoint,
    /// The upstream that gets the connections, by its name, or several that share them by weight.
    pub upstream: UpstreamChoice,
    /// What happens to sessions.
    #[serde(default)]
    pub sessions: SessionSettings,
    /// Whether it opens a socket of its own. Default: true. Without, another listener must be on the wildcard of the port.
    #[serde(default = "yes")]
    pub bind_to_port: bool,
    /// How many connections the kernel queues until they are accepted. Default: 4096.
    #[serde(default = "backlog")]
    pub backlog: u32,
    /// Whether an IPv6 wildcard leaves IPv4 alone. Default: false.
    #[serde(default)]
    pub ipv6_only: bool,
    /// Whether other processes may listen on the same address. Default: false.
    #[serde(default)]
    pub reuse_port: bool,
    /// Whether the address may be one that this machine does not have (`IP_FREEBIND`). Default: false.
    #[serde(default)]
    pub freebind: bool,
    /// Whether clients may use several paths at a time (multipath TCP). Default: false.
    #[serde(default)]
    pub multipath: bool,
    /// How many connections with data in their first packet may wait (TCP fast open). Default: false, the system's number.
    #[serde(default, with = "Switch::<u32>")]
    pub fast_open: Option<u32>,
    /// The permissions of the file of a unix socket, in octal. Default: `"666"`.
    #[serde(
        default = "mode",
        deserialize_with = "deserialize_mode",
        serialize_with = "serialize_mode"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub mode: u32,
    /// The options of connections from clients.
    #[serde(default)]
    pub client_options: SocketOptions,
    /// The limits on its sessions. Default: none.
    #[serde(default)]
    pub limits: Limits,
    /// Which clients are served: the first rule that matches decides. Default: all.
    #[serde(default)]
    pub access: Vec<AccessRule>,
    /// How many sessions each client may have. Default: no limit.
    #[serde(default)]
    pub client_limits: Vec<ClientLimitSettings>,
    /// Whether the limits of clients are checked before the access rules. Default: false.
    #[serde(default)]
    pub limit_before_access: bool,
    /// Whether the limits of clients are only observed. Default: false.
    #[serde(default)]
    pub limit_dry_run: bool,
    /// How long sessions may go on after a reload has removed this listener. Default: false, no limit.
    #[serde(default, with = "OptionalDuration")]
    pub removal_deadline: Option<Duration>,
    /// The PROXY protocol headers that clients send. Default: false, none.
    #[serde(default, with = "Switch::<ProxyProtocolSettings>")]
    pub proxy_protocol: Option<ProxyProtocolSettings>,
    /// The reader of the server names that clients ask for in TLS (SNI). Default: false, none.
    #[serde(default, with = "Switch::<ClientHelloSettings>")]
    pub client_hello: Option<ClientHelloSettings>,
    /// How long first bytes may take where their reader has no time-out. Default: 30s.
    #[serde(default = "preread_timeout", with = "DurationForm")]
    pub preread_timeout: Duration,
    /// Settings of sessions for the names that clients ask for; needs `client_hello`. Default: none.
    #[serde(default)]
    pub virtual_servers: Vec<VirtualServerSettings>,
}

/// Settings of sessions for some of the names that clients of a listener ask for.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct VirtualServerSettings {
    /// The names, and patterns such as `*.example.com`.
    pub names: Vec<Box<str>>,
    /// The upstream that gets the connections, by its name, or several that share them by weight.
    pub upstream: UpstreamChoice,
    /// What happens to sessions.
    #[serde(default)]
    pub sessions: SessionSettings,
}

fn yes() -> bool {
    true
}

fn backlog() -> u32 {
    4096
}

fn mode() -> u32 {
    0o666
}

fn preread_timeout() -> Duration {
    Duration::from_secs(30)
}

fn deserialize_mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let text = String::deserialize(deserializer)?;
    let mode = u32::from_str_radix(&text, 8).ok();
    let mode = mode.filter(|mode| *mode <= 0o7777);
    let expected = &"permissions in octal, such as \"660\"";
    mode.ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), expected))
}

fn serialize_mode<S: Serializer>(mode: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{mode:o}"))
}

impl ListenerSettings {
    /// Listens at `listen` and sends connections to `upstream`, everything else at its default.
    pub fn new(listen: impl Into<Endpoint>, upstream: impl Into<UpstreamChoice>) -> Self {
        Self {
            listen: listen.into(),
            upstream: upstream.into(),
            sessions: SessionSettings::default(),
            bind_to_port: true,
            backlog: backlog(),
            ipv6_only: false,
            reuse_port: false,
            freebind: false,
            multipath: false,
            fast_open: None,
            mode: mode(),
            client_options: SocketOptions::default(),
            limits: Limits::default(),
            access: Vec::new(),
            client_limits: Vec::new(),
            limit_before_access: false,
            limit_dry_run: false,
            removal_deadline: None,
            proxy_protocol: None,
            client_hello: None,
            preread_timeout: preread_timeout(),
            virtual_servers: Vec::new(),
        }
    }

    pub(super) fn build(&self, named: &NamedParts, place: &str) -> Result<Listener, SettingsError> {
        let sessions = self.sessions.build(&self.upstream, named, place)?;
        let upstream = self.upstream.first(named, &format!("{place}.upstream"))?;
        let listener = match &self.listen {
            Endpoint::Tcp(addr) => Listener::new(*addr, upstream),
            Endpoint::Unix(path) => Listener::unix(Arc::clone(path), upstream),
        };
        let mut listener = listener
            .sessions(sessions)
            .bind_to_port(self.bind_to_port)
            .backlog(self.backlog)
            .ipv6_only(self.ipv6_only)
            .reuse_port(self.reuse_port)
            .freebind(self.freebind)
            .multipath(self.multipath)
            .fast_open(self.fast_open)
            .mode(self.mode)
            .client_options(self.client_options)
            .limits(self.limits)
            .limit_before_access(self.limit_before_access)
            .limit_dry_run(self.limit_dry_run)
            .removal_deadline(self.removal_deadline)
            .preread_timeout(self.preread_timeout);
        if !self.access.is_empty() {
            listener = listener.access(access(&self.access));
        }
        for (i, limit) in self.client_limits.iter().enumerate() {
            let zone = named.zone(&limit.zone, &format!("{place}.client_limits[{i}].zone"))?;
            listener = match &limit.key {
                Some(key) => listener.limit_keys(zone, key.iter().cloned(), limit.sessions),
                None => listener.limit_clients(zone, limit.sessions),
            };
        }
        if let Some(reader) = &self.proxy_protocol {
            listener = listener.preread(Arc::new(reader.build()));
        }
        if let Some(reader) = &self.client_hello {
            listener = listener.preread(Arc::new(reader.build()));
        }
        if !self.virtual_servers.is_empty() {
            listener = listener.virtual_servers(self.virtual_servers(named, place)?);
        }
        Ok(listener)
    }

    fn virtual_servers(
        &self,
        named: &NamedParts,
        place: &str,
    ) -> Result<VirtualServers, SettingsError> {
        let mut servers = VirtualServers::new();
        for (i, server) in self.virtual_servers.iter().enumerate() {
            let place = format!("{place}.virtual_servers[{i}]");
            let described = server.sessions.build(&server.upstream, named, &place)?;
            let names = server.names.iter();
            servers = servers
                .server(names.fold(described, |described, name| described.name(name.clone())));
        }
        Ok(servers)
    }

    /// Whether sessions are chosen by names that nothing reads.
    pub(super) fn lacks_names(&self) -> bool {
        let uses = !self.virtual_servers.is_empty() || !self.sessions.server_names.is_empty();
        uses && self.client_hello.is_none()
    }
}

impl VirtualServerSettings {
    /// Sends the connections for `names` to `upstream`, everything else at its default.
    pub fn new(
        names: impl IntoIterator<Item = impl Into<Box<str>>>,
        upstream: impl Into<UpstreamChoice>,
    ) -> Self {
        Self {
            names: names.into_iter().map(Into::into).collect(),
            upstream: upstream.into(),
            sessions: SessionSettings::default(),
        }
    }
}
