//! The upstreams of a `stream` block, and how a `proxy_pass` finds them.

use std::{collections::HashMap, time::Duration};

use lb_proxy::server_names::ServerNames;

use crate::config::map::MapBlock;
use crate::config::resolver::NameResolution;
use crate::config::server::{Destination, ProxyPass};
use crate::config::upstream::block::UpstreamBlock;
use crate::config::{Host, Method, Upstream, UpstreamServer};
use crate::syntax::address::AddressError;
use crate::syntax::error::{ConfigError, ErrorKind, Warning, WarningKind};

const RESOLVER_TIMEOUT: Duration = Duration::from_secs(30);

/// The upstreams with a block, then those that a `proxy_pass` makes.
pub(crate) struct Upstreams {
    all: Vec<Upstream>,
    /// Those with a block, by their names in small letters.
    named: HashMap<String, usize>,
    /// Those without, by their names as written.
    made: HashMap<String, Vec<usize>>,
}

impl Upstreams {
    pub(crate) fn new(
        blocks: Vec<UpstreamBlock>,
        outer: &NameResolution,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self, ConfigError> {
        let all: Vec<_> = blocks
            .into_iter()
            .map(|block| upstream(block, outer, warnings))
            .collect::<Result<_, _>>()?;
        let lower = |upstream: &Upstream| upstream.name.to_ascii_lowercase();
        Ok(Self {
            named: all.iter().map(lower).zip(0..).collect(),
            made: HashMap::new(),
            all,
        })
    }

    pub(crate) fn into_all(self) -> Vec<Upstream> {
        self.all
    }

    pub(crate) fn get(&self, index: usize) -> &Upstream {
        &self.all[index]
    }

    /// Returns the index of the upstream that a server passes to, and those that a map has for names.
    ///
    /// As in nginx, the `resolver` looks up a place that a variable names, and the system one that is written out.
    pub(crate) fn of(
        &mut self,
        pass: Destination,
        names: &NameResolution,
        maps: &[MapBlock],
    ) -> Result<(usize, ServerNames<usize>), ConfigError> {
        let (name, span) = match pass {
            Destination::One(pass) => {
                let names = NameResolution::default();
                return Ok((self.find_or_make(pass, &names)?, ServerNames::new()));
            }
            Destination::Map(name, span) => (name, span),
        };
        let map = maps.iter().find(|map| map.variable == name);
        // The caller has checked that maps have a default.
        let Some((map, default)) = map.and_then(|map| Some((map, map.default.clone()?))) else {
            return Err(ConfigError::new(
                ErrorKind::UnknownVariable { name },
                Some(span),
            ));
        };
        let values = map.values.iter();
        let upstreams = values
            .map(|value| self.find_or_make(value.clone(), names))
            .collect::<Result<Vec<_>, _>>()?;
        let default = self.find_or_make(default, names)?;
        Ok((default, map.names.clone().map(|value| upstreams[value])))
    }

    /// Returns the index of the upstream for one place. Servers that pass to the same place share it.
    fn find_or_make(
        &mut self,
        pass: ProxyPass,
        names: &NameResolution,
    ) -> Result<usize, ConfigError> {
        let name = &pass.address.text;
        let named = self.named.get(&name.to_ascii_lowercase()).copied();
        match (named, pass.address.port) {
            (Some(index), None) => Ok(index),
            (Some(_), Some(port)) => {
                let upstream = name.clone();
                Err(pass.error(ErrorKind::PortOnUpstream { upstream, port }))
            }
            (None, None) => Err(pass.address_error(AddressError::NoPort)),
            (None, Some(port)) => {
                let host = pass
                    .address
                    .host()
                    .map_err(|reason| pass.address_error(reason))?;
                Ok(self.share(made(pass, host, port, names)))
            }
        }
    }

    /// Returns the index of the upstream that is the same as `new` but for its place, which is `new` if there is none.
    fn share(&mut self, new: Upstream) -> usize {
        let names = |upstream: &Upstream| (upstream.resolver.clone(), upstream.resolver_timeout);
        let namesakes = self.made.entry(new.name.clone()).or_default();
        let mut same = namesakes.iter();
        if let Some(&index) = same.find(|&&index| names(&self.all[index]) == names(&new)) {
            return index;
        }
        namesakes.push(self.all.len());
        self.all.push(new);
        self.all.len() - 1
    }
}

/// The upstream of one server that a `proxy_pass` makes. `names` says how a host name is looked up.
fn made(pass: ProxyPass, host: Host, port: u16, names: &NameResolution) -> Upstream {
    // What does not go by the resolver is the same whatever its settings are.
    let names = match (&host, &names.resolver) {
        (Host::Ip(_), _) | (_, None) => NameResolution::default(),
        (Host::Name(_) | Host::Service(_), Some(_)) => names.clone(),
    };
    let mut server = UpstreamServer::new(host, port, pass.span.clone());
    server.resolve = names.resolver.is_some();
    Upstream {
        name: pass.url,
        method: Method::RoundRobin,
        servers: vec![server],
        kubernetes: Vec::new(),
        resolver: names.resolver,
        resolver_timeout: names.timeout.unwrap_or(RESOLVER_TIMEOUT),
        span: pass.span,
    }
}

fn upstream(
    block: UpstreamBlock,
    outer: &NameResolution,
    warnings: &mut Vec<Warning>,
) -> Result<Upstream, ConfigError> {
    if block.kubernetes.is_empty() && block.servers.iter().all(|server| server.backup) {
        let kind = ErrorKind::NoServers {
            upstream: block.name,
        };
        return Err(ConfigError::new(kind, Some(block.span)));
    }
    let is_looked_up =
        |server: &UpstreamServer| server.resolve && !matches!(server.host, Host::Ip(_));
    if let Some(resolver) = &block.names.resolver
        && !block.servers.iter().any(is_looked_up)
    {
        let upstream = block.name.clone();
        warnings.push(Warning {
            kind: WarningKind::ResolverWithoutResolve { upstream },
            span: resolver.span.clone(),
        });
    }
    let names = block.names.inherit(outer);
    Ok(Upstream {
        name: block.name,
        method: block.method.unwrap_or(Method::RoundRobin),
        servers: block.servers,
        kubernetes: block.kubernetes,
        resolver: names.resolver,
        resolver_timeout: names.timeout.unwrap_or(RESOLVER_TIMEOUT),
        span: block.span,
    })
}
