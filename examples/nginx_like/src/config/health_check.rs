//! `health_check`, `health_check_timeout` and `match`: nginx Plus's words where it has them.

mod kind;
mod parameters;
mod quotes;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use lb_proxy::health::{AgentCheck, HttpCheck, NodePortCheck, ProbeHeader, SendExpect, TcpCheck};

use self::kind::kind_of;
use self::parameters::CheckParameters;
use self::quotes::warn_of_quotes;
use super::match_block::Match;
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
    /// What distinguishes it from others of its type, behind the type: parameters, each behind a blank.
    pub(crate) distinction: String,
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
        Self::simple("health_check", AtLeast(0), |block, statement, reader| {
            warn_of_quotes(statement, reader);
            let check = HealthCheck::read(statement)?;
            block.part().push(check);
            Ok(())
        });
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
            distinction: parameters.distinction(),
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

    /// Whether it names this `match` block.
    pub(crate) fn names_match(&self, name: &str) -> bool {
        self.matched.as_deref() == Some(name)
    }

    /// The error of a check in a server that names no upstream.
    pub(crate) fn without_upstream(&self) -> ConfigError {
        ConfigError::at(&self.span, HealthCheckError::NoUpstream)
    }
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
