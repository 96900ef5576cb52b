//! The upstreams of a `stream` block, and how a `proxy_pass` finds them.

use std::collections::HashMap;
use std::time::Duration;

use lb_proxy::server_names::ServerNames;

use crate::config::health_check::ServerCheck;
use crate::config::proxy_pass::{PassTarget, ProxyPass};
use crate::config::resolver::NameResolution;
use crate::config::upstream::block::{Upstream, UpstreamBlock};
use crate::config::upstream::error::UpstreamError;
use crate::config::upstream::method::Method;
use crate::config::upstream::server::UpstreamServer;
use crate::syntax::address::{Address, AddressError, Host};
use crate::syntax::error::ConfigError;
use crate::syntax::span::Warning;
use crate::variables::definitions::{Defined, Definitions};
use crate::variables::value::Value;

/// The upstreams with a block, then the upstreams that a `proxy_pass` creates.
pub(crate) struct Upstreams {
    all: Vec<Upstream>,
    /// The indices of those with a block, by their names in small letters.
    named: HashMap<String, usize>,
    /// The indices of those without, by their names as written.
    created: HashMap<String, Vec<usize>>,
}

/// Where a `proxy_pass` leads.
pub(crate) enum PassedTo {
    /// To an upstream, or to those that a map has for server names, all by their indices.
    Upstreams(usize, ServerNames<usize>),
    /// Where the value says.
    Value(Value),
}

impl Upstreams {
    pub(crate) fn new(
        blocks: Vec<UpstreamBlock>,
        outer: &NameResolution,
        warnings: &mut Vec<Warning>,
        errors: &mut Vec<ConfigError>,
    ) -> Self {
        let mut all = Vec::with_capacity(blocks.len());
        for block in blocks {
            if let Err(error) = check(&block) {
                errors.push(error);
            }
            all.push(upstream(block, outer, warnings));
        }
        let lower = |upstream: &Upstream| upstream.name.to_ascii_lowercase();
        Self {
            named: all.iter().map(lower).zip(0..).collect(),
            created: HashMap::new(),
            all,
        }
    }

    pub(crate) fn into_all(self) -> Vec<Upstream> {
        self.all
    }

    pub(crate) fn get(&self, index: usize) -> &Upstream {
        &self.all[index]
    }

    /// Adds a check, unless the upstream has the same already.
    pub(crate) fn add_check(&mut self, index: usize, check: &ServerCheck) {
        let checks = &mut self.all[index].checks;
        if !checks.contains(check) {
            checks.push(check.clone());
        }
    }

    /// The index of the upstream that a server passes to, and the indices that a map has for server names.
    ///
    /// As in nginx, the `resolver` looks up a host that a variable names, and the system a host that is written out.
    pub(crate) fn of(
        &mut self,
        pass: ProxyPass,
        names: &NameResolution,
        definitions: &Definitions,
    ) -> Result<PassedTo, ConfigError> {
        let (value, name) = match pass {
            ProxyPass::Target(target) => {
                let names = NameResolution::default();
                let upstream = self.find_or_create(target, &names)?;
                return Ok(PassedTo::Upstreams(upstream, ServerNames::new()));
            }
            ProxyPass::Value {
                value,
                variable: Some(name),
            } => (value, name),
            ProxyPass::Value { value, .. } => return Ok(PassedTo::Value(value)),
        };
        let map = match definitions.get(&name) {
            Some(Defined::By(definition)) => definition.server_names(),
            Some(Defined::ByCapture | Defined::BySet) | None => None,
        };
        // A look-up of the name is all that a session then has to do.
        let is_known = |text: &str| self.is_known(text);
        let Some(map) = map.filter(|map| map.values.iter().all(|(text, _)| is_known(text))) else {
            return Ok(PassedTo::Value(value));
        };
        let values = map.values.iter();
        let upstreams = values
            .map(|(text, span)| self.find_or_create(PassTarget::parse(text, span)?, names))
            .collect::<Result<Vec<_>, _>>()?;
        let default = upstreams[map.default];
        let names = map.names.map(|value| upstreams[value]);
        Ok(PassedTo::Upstreams(default, names))
    }

    /// Whether `text` names an upstream, or a host and a port.
    fn is_known(&self, text: &str) -> bool {
        Address::parse(text).is_ok_and(|address| {
            let is_named = self.named.contains_key(&address.text.to_ascii_lowercase());
            match address.port {
                None => is_named || address.is_unix(),
                Some(_) => !is_named && address.host().is_ok(),
            }
        })
    }

    /// The index of the upstream for one target. Servers that pass to the same target share it.
    fn find_or_create(
        &mut self,
        target: PassTarget,
        names: &NameResolution,
    ) -> Result<usize, ConfigError> {
        let name = &target.address.text;
        let named = self.named.get(&name.to_ascii_lowercase()).copied();
        match (named, target.address.port) {
            (Some(index), None) => Ok(index),
            (Some(_), Some(port)) => {
                let upstream = name.clone();
                Err(target.error(UpstreamError::PortOnUpstream { upstream, port }))
            }
            (None, None) if !target.address.is_unix() => {
                Err(target.address_error(AddressError::NoPort))
            }
            (None, port) => {
                let port = port.unwrap_or_default();
                let host = target
                    .address
                    .host()
                    .map_err(|reason| target.address_error(reason))?;
                Ok(self.share(created(target, host, port, names)))
            }
        }
    }

    /// The index of an upstream that is equal to `new` but for its place in the text. Adds `new` if there is none.
    fn share(&mut self, new: Upstream) -> usize {
        let names = |upstream: &Upstream| (upstream.resolver.clone(), upstream.resolver_timeout);
        let namesakes = self.created.entry(new.name.clone()).or_default();
        let mut same = namesakes.iter();
        if let Some(&index) = same.find(|&&index| names(&self.all[index]) == names(&new)) {
            return index;
        }
        namesakes.push(self.all.len());
        self.all.push(new);
        self.all.len() - 1
    }
}

/// The upstream of one server that a `proxy_pass` creates. `names` says how a host name is looked up.
fn created(target: PassTarget, host: Host, port: u16, names: &NameResolution) -> Upstream {
    // An upstream that does not use the resolver is the same whatever the settings of the resolver are.
    let names = match (&host, &names.resolver) {
        (Host::Ip(_) | Host::Unix(_), _) | (_, None) => NameResolution::default(),
        (Host::Name(_) | Host::Service(_), Some(_)) => names.clone(),
    };
    let mut server = UpstreamServer::new(host, port, target.span.clone());
    server.resolve = names.resolver.is_some();
    Upstream {
        name: target.url,
        method: Method::RoundRobin,
        servers: vec![server],
        kubernetes: Vec::new(),
        essential: false,
        forgives: true,
        slow_start: None,
        resolver_timeout: names.timeout(),
        resolver: names.resolver,
        checks: Vec::new(),
        span: target.span,
    }
}

fn check(block: &UpstreamBlock) -> Result<(), ConfigError> {
    // A block with nothing in it is a mistake that was found before.
    let is_empty = block.servers.is_empty();
    if !is_empty && block.kubernetes.is_empty() && block.servers.iter().all(|server| server.backup)
    {
        let upstream = block.name.clone();
        return Err(ConfigError::at(
            &block.span,
            UpstreamError::NoServers { upstream },
        ));
    }
    Ok(())
}

fn upstream(block: UpstreamBlock, outer: &NameResolution, warnings: &mut Vec<Warning>) -> Upstream {
    let is_looked_up = |server: &UpstreamServer| {
        server.resolve && !matches!(server.host, Host::Ip(_) | Host::Unix(_))
    };
    if let Some(resolver) = &block.name_resolution.resolver
        && !block.servers.iter().any(is_looked_up)
    {
        let name = &block.name;
        warnings.push(Warning::new(
            format!(
                "the resolver of upstream \"{name}\" has no effect: no server has a name and \"resolve\""
            ),
            resolver.span.clone(),
        ));
    }
    let slow_start = slow_start(&block, warnings);
    let names = block.name_resolution.inherit(outer);
    Upstream {
        name: block.name,
        method: block.method.unwrap_or(Method::RoundRobin),
        servers: block.servers,
        kubernetes: block.kubernetes,
        essential: block.essential.is_some(),
        forgives: block.forgives.unwrap_or(true),
        slow_start,
        resolver_timeout: names.timeout(),
        resolver: names.resolver,
        checks: Vec::new(),
        span: block.span,
    }
}

/// The `slow_start` of an upstream. Warns where it is not that of the text.
fn slow_start(block: &UpstreamBlock, warnings: &mut Vec<Warning>) -> Option<Duration> {
    let mut servers = block.servers.iter();
    let first = servers.find(|server| server.slow_start.is_some())?;
    let time = first.slow_start?;
    let mut warn = |text| warnings.push(Warning::new(text, first.span.clone()));
    let name = &block.name;
    let takes = Method::takes_backups_and_slow_start;
    if !block.method.as_ref().is_none_or(takes) {
        warn(format!(
            "the \"slow_start\" of upstream \"{name}\" has no effect: its method gives a server that is back its whole share at once"
        ));
        return None;
    }
    let has_other = !block.kubernetes.is_empty();
    let mut servers = block.servers.iter();
    if has_other || servers.any(|server| server.slow_start.is_none()) {
        warn(format!(
            "the \"slow_start\" of one server counts for all of upstream \"{name}\""
        ));
    }
    Some(time)
}
