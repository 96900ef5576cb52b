//! An `upstream` block.

use std::collections::HashSet;
use std::time::Duration;

use super::error::UpstreamError;
use super::kubernetes::Kubernetes;
use super::method::Method;
use super::server::UpstreamServer;
use crate::config::health_check::ServerCheck;
use crate::config::resolver::{NameResolution, Resolver};
use crate::config::zone;
use crate::syntax::directive::Args::{AtLeast, Between, Exactly};
use crate::syntax::directive::{Block, Directive, Has};
use crate::syntax::error::ConfigError;
use crate::syntax::reader::Reader;
use crate::syntax::span::Span;
use crate::syntax::statement::Statement;
use crate::syntax::units;

/// A named pool of servers, with defaults and inheritance applied.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Upstream {
    /// The name of the block, or the argument of the `proxy_pass` that creates the upstream.
    pub(crate) name: String,
    pub(crate) method: Method,
    /// At least one is no backup, unless there is something of Kubernetes.
    pub(crate) servers: Vec<UpstreamServer>,
    /// `kubernetes` and `kubernetes_pods`; their backends come after the servers.
    pub(crate) kubernetes: Vec<Kubernetes>,
    /// `resolver`, which looks up the host names of the servers with `resolve`. Without it, the system does.
    pub(crate) resolver: Option<Resolver>,
    /// `resolver_timeout`, 30 s by default. Zero means no limit.
    pub(crate) resolver_timeout: Duration,
    /// `lb_essential`, ours: the server is not ready while the upstream has no usable backend.
    pub(crate) essential: bool,
    /// `lb_forgive`, ours: ejections that an outage of this machine caused are forgiven. `on` by default.
    pub(crate) forgives: bool,
    /// `slow_start` of its servers: how long the share of one that is back grows. Only with a method that takes it.
    pub(crate) slow_start: Option<Duration>,
    /// `health_check` of the servers that pass to it.
    pub(crate) checks: Vec<ServerCheck>,
    /// The place of the block or of the `proxy_pass`.
    pub(crate) span: Span,
}

/// An `upstream` block as written.
#[derive(Debug)]
pub(crate) struct UpstreamBlock {
    pub(crate) name: String,
    pub(crate) method: Option<Method>,
    pub(crate) servers: Vec<UpstreamServer>,
    pub(crate) kubernetes: Vec<Kubernetes>,
    pub(crate) name_resolution: NameResolution,
    pub(crate) essential: Option<()>,
    pub(crate) forgives: Option<bool>,
    pub(crate) span: Span,
}

/// The `upstream` blocks of a `stream` block, in the order of the text.
#[derive(Debug, Default)]
pub(crate) struct UpstreamBlocks {
    pub(crate) blocks: Vec<UpstreamBlock>,
    /// Their names in small letters.
    names: HashSet<String>,
}

impl Block for UpstreamBlock {
    const DIRECTIVES: &'static [Directive<Self>] = &[
        Directive::simple("server", AtLeast(1), |upstream, statement, _| {
            let server = UpstreamServer::read(statement)?;
            upstream.check_method(&server, statement)?;
            upstream.check_slow_start(&server, statement)?;
            upstream.servers.push(server);
            Ok(())
        }),
        Directive::simple("lb_forgive", Exactly(1), |upstream, statement, _| {
            statement.once(&mut upstream.forgives, Statement::flag)
        }),
        Directive::simple("lb_essential", Exactly(0), |upstream, statement, _| {
            statement.once(&mut upstream.essential, |_| Ok(()))
        }),
        Directive::simple("zone", Between(1, 2), |_, statement, _| {
            check_zone(statement)
        }),
    ];
    const SHARED: &'static [&'static [Directive<Self>]] = &[
        Directive::KUBERNETES,
        Directive::METHODS,
        Directive::RESOLVER,
    ];
}

impl Has<Vec<Kubernetes>> for UpstreamBlock {
    fn part(&mut self) -> &mut Vec<Kubernetes> {
        &mut self.kubernetes
    }
}

impl Has<Option<Method>> for UpstreamBlock {
    fn part(&mut self) -> &mut Option<Method> {
        &mut self.method
    }
}

impl Has<NameResolution> for UpstreamBlock {
    fn part(&mut self) -> &mut NameResolution {
        &mut self.name_resolution
    }
}

impl UpstreamBlock {
    /// Reads the block that `statement` opens and adds it to `upstreams`.
    pub(crate) fn read(
        upstreams: &mut UpstreamBlocks,
        statement: &Statement,
        reader: &mut Reader<'_>,
    ) -> Result<(), ConfigError> {
        let name = statement.arg().to_owned();
        // As in nginx, capital letters make no difference.
        if !upstreams.names.insert(name.to_ascii_lowercase()) {
            return Err(statement.error(UpstreamError::Duplicate { name }));
        }
        let before = reader.mistakes();
        let upstream = reader.read_block(Self {
            name,
            method: None,
            servers: Vec::new(),
            kubernetes: Vec::new(),
            name_resolution: NameResolution::default(),
            essential: None,
            forgives: None,
            span: statement.span.clone(),
        })?;
        let checked = if reader.has_mistaken("server", before) {
            Ok(())
        } else {
            upstream.check(&reader.here())
        };
        upstreams.blocks.push(upstream);
        checked
    }

    /// As in nginx, a method refuses the backups that come after it, and as in NGINX Plus those that start slowly.
    fn check_method(
        &self,
        server: &UpstreamServer,
        statement: &Statement,
    ) -> Result<(), ConfigError> {
        let method = self.method.as_ref();
        if method.is_none_or(Method::takes_backups_and_slow_start) {
            return Ok(());
        }
        let is_refused = |parameter: &&str| {
            *parameter == "backup" && server.backup
                || parameter.starts_with("slow_start=") && server.slow_start.is_some()
        };
        match statement.parameters().find(is_refused) {
            None => Ok(()),
            Some(parameter) => {
                let parameter = parameter.to_owned();
                Err(statement.error(UpstreamError::NotOfMethod { parameter }))
            }
        }
    }

    /// The balancer knows one time for all servers, that of the first which has one.
    fn check_slow_start(
        &self,
        server: &UpstreamServer,
        statement: &Statement,
    ) -> Result<(), ConfigError> {
        let Some(time) = server.slow_start else {
            return Ok(());
        };
        let first = self.servers.iter().find_map(|server| server.slow_start);
        if first.is_none_or(|first| first == time) {
            return Ok(());
        }
        let mut parameters = statement.parameters();
        let written = parameters.find(|parameter| parameter.starts_with("slow_start="));
        let parameter = written.unwrap_or_default().to_owned();
        Err(statement.error(UpstreamError::DifferentSlowStart { parameter }))
    }

    /// Checks what can be checked only at the end of the block.
    fn check(&self, end: &Span) -> Result<(), ConfigError> {
        if self.servers.is_empty() && self.kubernetes.is_empty() {
            return Err(ConfigError::at(end, UpstreamError::NoServersInside));
        }
        Ok(())
    }
}

fn check_zone(statement: &Statement) -> Result<(), ConfigError> {
    let zone = statement.arg();
    if zone.is_empty() {
        return Err(statement.invalid("zone name", zone));
    }
    let Some(text) = statement.parameters().next() else {
        return Ok(());
    };
    let size = units::size(text).ok_or_else(|| statement.invalid("zone size", text))?;
    zone::check_size(zone, size, statement)
}
