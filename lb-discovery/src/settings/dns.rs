//! The settings of DNS.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use lb_core::serde_form::{DurationForm, OptionalDuration};
use serde::de::{Deserializer, Error};
use serde::ser::Serializer;

use crate::{DiscoveryError, Dns, Resolver};

/// The addresses of a host name, or with records of services (SRV), as backends: [`Dns`].
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DnsSettings {
    /// A host name, an IP address, or without a port the name of a service, such as `_tcp-echo._tcp.example.com`.
    pub name: Box<str>,
    /// The port of the backends. Default: none; the name is that of a service, whose records have the ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The wait after an answer without a time to live, from the hosts file. Default: 10s.
    #[serde(default = "interval", with = "DurationForm")]
    pub interval: Duration,
    /// The largest random addition to each wait. Default: 500ms.
    #[serde(default = "jitter", with = "DurationForm")]
    pub jitter: Duration,
    /// The minimum time between two lookups. Default: 1s.
    #[serde(default = "min_ttl", with = "DurationForm")]
    pub min_ttl: Duration,
    /// How long an answer holds at most. Default: false, which is 5 minutes, or the resolver's `valid`.
    #[serde(default, with = "OptionalDuration")]
    pub max_ttl: Option<Duration>,
    /// The name servers. Default: the system's.
    #[serde(default)]
    pub resolver: ResolverSettings,
}

fn interval() -> Duration {
    Duration::from_secs(10)
}

fn jitter() -> Duration {
    Duration::from_millis(500)
}

fn min_ttl() -> Duration {
    Duration::from_secs(1)
}

impl DnsSettings {
    /// The addresses of `name`, with `port`, everything else at its default.
    pub fn host(name: impl Into<Box<str>>, port: u16) -> Self {
        Self {
            port: Some(port),
            ..Self::service(name)
        }
    }

    /// The servers of the service `name`, everything else at its default.
    pub fn service(name: impl Into<Box<str>>) -> Self {
        Self {
            name: name.into(),
            port: None,
            interval: interval(),
            jitter: jitter(),
            min_ttl: min_ttl(),
            max_ttl: None,
            resolver: ResolverSettings::default(),
        }
    }

    pub(super) fn build(&self, resolver: Resolver) -> Result<Dns, DiscoveryError> {
        let dns = match self.port {
            Some(port) => Dns::try_new(resolver, &self.name, port)?,
            None => Dns::try_service(resolver, &self.name)?,
        };
        let dns = dns.interval(self.interval).jitter(self.jitter);
        let dns = dns.min_ttl(self.min_ttl);
        Ok(match self.max_ttl {
            Some(max_ttl) => dns.max_ttl(max_ttl),
            None => dns,
        })
    }
}

/// The name servers and how they are asked: [`ResolverBuilder`](crate::ResolverBuilder).
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ResolverSettings {
    /// The name servers in their order, as `IP` or `IP:PORT`. Default: the system's.
    #[serde(
        deserialize_with = "deserialize_name_servers",
        serialize_with = "serialize_name_servers",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "Option<Vec<String>>"))]
    pub name_servers: Option<Vec<SocketAddr>>,
    /// The file with name servers and search domains. Default: `/etc/resolv.conf`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolv_conf: Option<PathBuf>,
    /// The hosts file. Default: `/etc/hosts`, or none if name servers are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts: Option<PathBuf>,
    /// The time of one server for one answer. Default: false, which is 2 s with given name servers, otherwise the system's.
    #[serde(with = "OptionalDuration")]
    pub timeout: Option<Duration>,
    /// How many times a server without an answer is asked. Default: 2 with given name servers, otherwise the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<usize>,
    /// Whether IPv4 addresses are looked up. Default: true.
    pub ipv4: bool,
    /// Whether IPv6 addresses are looked up. Default: true.
    pub ipv6: bool,
    /// How long answers hold, whatever their time to live. Default: false, their time to live.
    #[serde(with = "OptionalDuration")]
    pub valid: Option<Duration>,
    /// How many questions of one type wait for an answer at the same time. Default: 32.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent_questions: Option<usize>,
}

impl Default for ResolverSettings {
    fn default() -> Self {
        Self {
            name_servers: None,
            resolv_conf: None,
            hosts: None,
            timeout: None,
            attempts: None,
            ipv4: true,
            ipv6: true,
            valid: None,
            concurrent_questions: None,
        }
    }
}

impl ResolverSettings {
    pub(super) fn build(&self) -> Result<Resolver, DiscoveryError> {
        let mut builder = Resolver::builder().ipv4(self.ipv4).ipv6(self.ipv6);
        if let Some(servers) = &self.name_servers {
            builder = builder.name_servers(servers);
        }
        if let Some(path) = &self.resolv_conf {
            builder = builder.resolv_conf(path);
        }
        if let Some(path) = &self.hosts {
            builder = builder.hosts(path);
        }
        if let Some(timeout) = self.timeout {
            builder = builder.timeout(timeout);
        }
        if let Some(attempts) = self.attempts {
            builder = builder.attempts(attempts);
        }
        if let Some(valid) = self.valid {
            builder = builder.valid(valid);
        }
        if let Some(most) = self.concurrent_questions {
            builder = builder.concurrent_questions(most);
        }
        builder.build()
    }
}

/// The port of DNS.
const DNS_PORT: u16 = 53;

fn deserialize_name_servers<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<SocketAddr>>, D::Error> {
    let texts: Option<Vec<Box<str>>> = serde::Deserialize::deserialize(deserializer)?;
    let server = |text: &str| {
        let ip = text.parse::<IpAddr>().map(|ip| (ip, DNS_PORT).into());
        ip.or_else(|_| text.parse()).map_err(|_| {
            D::Error::custom(format!(
                "{text:?} is no name server: write IP, IP:PORT or [IPv6]:PORT"
            ))
        })
    };
    texts
        .map(|texts| texts.iter().map(|text| server(text)).collect())
        .transpose()
}

fn serialize_name_servers<S: Serializer>(
    servers: &Option<Vec<SocketAddr>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let text = |server: &SocketAddr| match server.port() {
        DNS_PORT => server.ip().to_string(),
        _ => server.to_string(),
    };
    serializer.collect_seq(servers.iter().flatten().map(text))
}
