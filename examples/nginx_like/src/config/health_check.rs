//! `health_check`, `health_check_timeout` and `match`: nginx Plus's words where it has them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use lb_proxy::health::{AgentCheck, HttpCheck, NodePortCheck, ProbeHeader, SendExpect, TcpCheck};

use super::match_block::{Match, expectation, literal, send_expect};
use super::settings::settings;
use crate::syntax::directive::Args::{AtLeast, Exactly};
use crate::syntax::directive::{Directive, Has};
use crate::syntax::error::ConfigError;
use crate::syntax::reader::Reader;
use crate::syntax::span::Span;
use crate::syntax::statement::Statement;
use crate::syntax::units;

settings! {
    /// Settings of all health checks of a server.
    HealthSettings, HealthDraft, HEALTH_SETTINGS {
        /// `health_check_timeout`, 5 s by default: how long a probe may take.
        timeout: Duration = Duration::from_secs(5),
        "health_check_timeout" Exactly(1) => probe_time_out;
    }
}

/// Reads a time-out of probes, which cannot be 0.
fn probe_time_out(statement: &Statement, _: &mut Reader<'_>) -> Result<Duration, ConfigError> {
    let time_out = statement.milliseconds()?;
    match time_out.is_zero() {
        true => Err(statement.error(HealthCheckError::NoTime)),
        false => Ok(time_out),
    }
}

/// A `health_check` directive.
#[derive(Clone, Debug)]
pub(crate) struct HealthCheck {
    pub(crate) kind: CheckKind,
    /// The name of a `match` block, which says what is sent and expected.
    matched: Option<String>,
    pub(crate) interval: Duration,
    pub(crate) fast_interval: Option<Duration>,
    pub(crate) down_interval: Option<Duration>,
    pub(crate) jitter: Duration,
    pub(crate) fails: NonZeroU32,
    pub(crate) passes: NonZeroU32,
    /// A server gets no sessions before its first probe.
    pub(crate) mandatory: bool,
    pub(crate) port: Option<u16>,
    span: Span,
}

/// A check of the servers of an upstream, complete.
#[derive(Clone, Debug)]
pub(crate) struct ServerCheck {
    pub(crate) check: HealthCheck,
    pub(crate) timeout: Duration,
    pub(crate) header: ProbeHeader,
    pub(crate) source: Option<IpAddr>,
}

/// What is done at a server.
#[derive(Clone, Debug)]
pub(crate) enum CheckKind {
    Agent(AgentCheck),
    Http(HttpCheck),
    NodePort(NodePortCheck),
    SendExpect(SendExpect),
    Tcp(TcpCheck),
    #[cfg(feature = "health-tls")]
    Tls(lb_proxy::health::TlsCheck),
}

#[derive(Debug, thiserror::Error)]
enum HealthCheckError {
    #[cfg(not(feature = "health-tls"))]
    #[error("nginx_like was built without its feature \"health-tls\", which \"type=tls\" needs")]
    BuiltWithoutTls,
    #[error(
        "\"health_check\" has no servers to check: \"proxy_pass\" has to name an upstream or an address"
    )]
    NoUpstream,
    #[error("\"health_check_timeout\" must be longer than 0")]
    NoTime,
    #[error("\"type={kind}\" needs \"port\": the port that it asks at")]
    NoPort { kind: &'static str },
    #[error("\"match\" \"{name}\" is not defined in \"stream\"")]
    UnknownMatch { name: String },
    #[error("\"{parameter}\" does not belong to \"type={kind}\"")]
    WrongType { parameter: String, kind: String },
}

impl<B: Has<Vec<HealthCheck>>> Directive<B> {
    pub(crate) const HEALTH_CHECK: Self =
        Self::simple("health_check", AtLeast(0), |block, statement, _| {
            let check = HealthCheck::read(statement)?;
            block.part().push(check);
            Ok(())
        });
}

/// The parameters of a `health_check` by name; a flag has an empty value.
struct CheckParameters<'a> {
    statement: &'a Statement,
    values: HashMap<&'a str, &'a str>,
}

const COMMON: &[&str] = &[
    "interval=",
    "jitter=",
    "fails=",
    "passes=",
    "port=",
    "type=",
    "fast_interval=",
    "down_interval=",
    "mandatory",
    "persistent",
];

impl<'a> CheckParameters<'a> {
    fn read(statement: &'a Statement) -> Result<Self, ConfigError> {
        let mut values = HashMap::new();
        for text in statement.args() {
            let (name, value) = match text.split_once('=') {
                Some((name, _)) => text.split_at(name.len() + 1),
                None => (&**text, ""),
            };
            if name == "udp" {
                return Err(statement.refused_parameter("udp", "UDP is not balanced"));
            }
            if values.insert(name, value).is_some() {
                return Err(statement.invalid("parameter", text));
            }
        }
        Ok(Self { statement, values })
    }

    /// Refuses all parameters but the common ones and `own`, those of the type `kind`.
    fn only(&self, kind: &str, own: &[&str]) -> Result<(), ConfigError> {
        const ALL: &[&str] = &[
            "match=", "send=", "expect=", "uri=", "host=", "status=", "sni=",
        ];
        for (name, value) in &self.values {
            if COMMON.contains(name) || own.contains(name) {
                continue;
            }
            if !ALL.contains(name) {
                return Err(self
                    .statement
                    .invalid("parameter", &format!("{name}{value}")));
            }
            let (parameter, kind) = (name.trim_end_matches('=').to_owned(), kind.to_owned());
            let error = HealthCheckError::WrongType { parameter, kind };
            return Err(self.statement.error(error));
        }
        Ok(())
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.values.get(name).copied()
    }

    /// A value that `parse` understands.
    fn parsed<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let invalid = || {
            self.statement
                .invalid("parameter", &format!("{name}{value}"))
        };
        parse(value).map(Some).ok_or_else(invalid)
    }

    fn count(&self, name: &str) -> Result<NonZeroU32, ConfigError> {
        let count = |text: &str| NonZeroU32::new(u32::try_from(units::number(text)?).ok()?);
        Ok(self.parsed(name, count)?.unwrap_or(NonZeroU32::MIN))
    }

    fn interval(&self, name: &str) -> Result<Option<Duration>, ConfigError> {
        let is_long = |time: &Duration| *time >= Duration::from_millis(10);
        self.parsed(name, |text| units::milliseconds(text).filter(is_long))
    }

    /// The port that `kind` cannot do without.
    fn needed_port(&self, kind: &'static str, port: Option<u16>) -> Result<u16, ConfigError> {
        let missing = || self.statement.error(HealthCheckError::NoPort { kind });
        port.ok_or_else(missing)
    }
}

impl HealthCheck {
    fn read(statement: &Statement) -> Result<Self, ConfigError> {
        let parameters = CheckParameters::read(statement)?;
        let port = |text: &str| text.parse::<u16>().ok().filter(|&port| port > 0);
        let port = parameters.parsed("port=", port)?;
        let mandatory = parameters.get("mandatory").is_some();
        if !mandatory && parameters.get("persistent").is_some() {
            return Err(statement.invalid("parameter", "persistent"));
        }
        let has_uri = parameters.get("uri=").is_some();
        let kind = match parameters.get("type=") {
            None if has_uri => "http",
            None => "tcp",
            Some(kind) => kind,
        };
        Ok(Self {
            kind: kind_of(kind, &parameters, port)?,
            matched: parameters.get("match=").map(str::to_owned),
            interval: parameters
                .interval("interval=")?
                .unwrap_or(Duration::from_secs(5)),
            fast_interval: parameters.interval("fast_interval=")?,
            down_interval: parameters.interval("down_interval=")?,
            jitter: parameters
                .parsed("jitter=", units::milliseconds)?
                .unwrap_or_default(),
            fails: parameters.count("fails=")?,
            passes: parameters.count("passes=")?,
            mandatory,
            port,
            span: statement.span.clone(),
        })
    }

    /// The check with what the `match` block that it names sends and expects.
    pub(crate) fn resolve(mut self, matches: &[Match]) -> Result<Self, ConfigError> {
        let Some(name) = &self.matched else {
            return Ok(self);
        };
        let found = matches.iter().find(|known| known.name == *name);
        let unknown = || {
            let name = name.clone();
            ConfigError::at(&self.span, HealthCheckError::UnknownMatch { name })
        };
        self.kind = CheckKind::SendExpect(found.ok_or_else(unknown)?.check.clone());
        Ok(self)
    }

    /// The error of a check in a server that names no upstream.
    pub(crate) fn without_upstream(&self) -> ConfigError {
        ConfigError::at(&self.span, HealthCheckError::NoUpstream)
    }
}

fn kind_of(
    kind: &str,
    parameters: &CheckParameters<'_>,
    port: Option<u16>,
) -> Result<CheckKind, ConfigError> {
    let statement = parameters.statement;
    match kind {
        "tcp" if parameters.get("match=").is_some() => {
            parameters.only("tcp with match", &["match="])?;
            Ok(CheckKind::Tcp(TcpCheck::new()))
        }
        "tcp" => {
            parameters.only(kind, &["send=", "expect="])?;
            let (send, expect) = (parameters.get("send="), parameters.get("expect="));
            if (send, expect) == (None, None) {
                return Ok(CheckKind::Tcp(TcpCheck::new()));
            }
            let send = send.map(|text| literal(statement, text)).transpose()?;
            let expect = expect.map(|text| expectation(statement, text));
            Ok(CheckKind::SendExpect(send_expect(
                send,
                expect.transpose()?,
            )))
        }
        "http" => {
            parameters.only(kind, &["uri=", "host=", "status="])?;
            http(parameters).map(CheckKind::Http)
        }
        "tls" => {
            parameters.only(kind, &["sni="])?;
            tls(parameters)
        }
        "agent" => {
            parameters.only(kind, &["send="])?;
            let send = parameters.get("send=").unwrap_or_default();
            let check = AgentCheck::new(parameters.needed_port("agent", port)?);
            Ok(CheckKind::Agent(check.send(literal(statement, send)?)))
        }
        "node_port" => {
            parameters.only(kind, &[])?;
            let port = parameters.needed_port("node_port", port)?;
            Ok(CheckKind::NodePort(NodePortCheck::new(port)))
        }
        "grpc" => Err(statement.refused_parameter("type=grpc", "ask over HTTP by \"type=http\"")),
        other => Err(statement.invalid("parameter", &format!("type={other}"))),
    }
}

fn http(parameters: &CheckParameters<'_>) -> Result<HttpCheck, ConfigError> {
    let statement = parameters.statement;
    let path = parameters.get("uri=").unwrap_or("/");
    let mut check = HttpCheck::try_new(path).map_err(|error| statement.error(error))?;
    if let Some(host) = parameters.get("host=") {
        check = check
            .try_host(host)
            .map_err(|error| statement.error(error))?;
    }
    if let Some(ranges) = parameters.parsed("status=", statuses)? {
        check = check
            .try_statuses(ranges)
            .map_err(|error| statement.error(error))?;
    }
    Ok(check)
}

/// Ranges as `200-299,301`.
fn statuses(text: &str) -> Option<Vec<RangeInclusive<u16>>> {
    let range = |text: &str| {
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        let number = |text| u16::try_from(units::number(text)?).ok();
        Some(number(from)?..=number(to)?)
    };
    text.split(',').map(range).collect()
}

#[cfg(feature = "health-tls")]
fn tls(parameters: &CheckParameters<'_>) -> Result<CheckKind, ConfigError> {
    let check = lb_proxy::health::TlsCheck::new();
    let check = match parameters.get("sni=") {
        Some(name) => check.try_server_name(name),
        None => Ok(check),
    };
    check
        .map(CheckKind::Tls)
        .map_err(|error| parameters.statement.error(error))
}

#[cfg(not(feature = "health-tls"))]
fn tls(parameters: &CheckParameters<'_>) -> Result<CheckKind, ConfigError> {
    Err(parameters
        .statement
        .error(HealthCheckError::BuiltWithoutTls))
}

impl ServerCheck {
    /// What decides whether two checks are the same: all but the place in the text.
    fn identity(&self) -> String {
        let mut placeless = self.clone();
        placeless.check.span = Span::none();
        format!("{placeless:?}")
    }
}

impl Eq for ServerCheck {}

impl PartialEq for ServerCheck {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}
