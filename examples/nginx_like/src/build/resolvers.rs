//! The resolvers of upstreams, and of names that are looked up at run time.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use lb_discovery::Resolver;

use super::error::BuildError;
use super::host_cache::HostCache;
use crate::config::resolver::{AddressFamilies, NameResolution, Resolver as ResolverDirective};
use crate::config::upstream::block::Upstream;
use crate::config::upstream::server::UpstreamServer;
use crate::syntax::span::Span;

/// The limit of one query to a name server; a lost packet is sent again within it.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);

/// The system's resolver, which all upstreams share.
#[derive(Debug, Default)]
pub(super) struct SystemResolver(OnceCell<Resolver>);

/// The resolvers of an upstream. Each is built when the first name needs it: a machine without a usable
/// `/etc/resolv.conf` can still balance over addresses.
#[derive(Debug)]
pub(super) struct UpstreamResolvers<'a> {
    config: &'a Upstream,
    configured: OnceCell<Resolver>,
    system: &'a SystemResolver,
}

impl<'a> UpstreamResolvers<'a> {
    pub(super) const fn new(config: &'a Upstream, system: &'a SystemResolver) -> Self {
        Self {
            config,
            configured: OnceCell::new(),
            system,
        }
    }

    /// The resolver for the name of `server`. As in nginx, `resolver` looks up names with `resolve`; all other names are
    /// looked up as the system does, in the hosts file and with search domains.
    pub(super) fn of(&self, server: &UpstreamServer) -> Result<Resolver, BuildError> {
        let directive = self.config.resolver.as_ref().filter(|_| server.resolve);
        let cell = match directive {
            Some(_) => &self.configured,
            None => &self.system.0,
        };
        if let Some(resolver) = cell.get() {
            return Ok(resolver.clone());
        }
        let resolver = match directive {
            Some(directive) => self.configured(directive)?,
            None => self.system()?,
        };
        Ok(cell.get_or_init(|| resolver).clone())
    }

    fn configured(&self, directive: &ResolverDirective) -> Result<Resolver, BuildError> {
        configured(directive, self.config.resolver_timeout)
    }

    fn system(&self) -> Result<Resolver, BuildError> {
        build(Resolver::builder(), &self.config.span)
    }
}

/// The names that sessions look up at run time. Servers with the same resolver share what is known.
#[derive(Debug, Default)]
pub(super) struct RunTimeResolvers(Vec<(NameResolution, Arc<HostCache>)>);

impl RunTimeResolvers {
    /// The hosts that `names` looks up. `None` if it has no resolver.
    pub(super) fn of(
        &mut self,
        names: &NameResolution,
    ) -> Result<Option<Arc<HostCache>>, BuildError> {
        let Some(directive) = &names.resolver else {
            return Ok(None);
        };
        if let Some((_, known)) = self.0.iter().find(|(known, _)| known == names) {
            return Ok(Some(Arc::clone(known)));
        }
        let limit = Some(names.timeout()).filter(|limit| !limit.is_zero());
        let resolver = configured(directive, names.timeout())?;
        let hosts = Arc::new(HostCache::new(resolver, limit));
        self.0.push((names.clone(), Arc::clone(&hosts)));
        Ok(Some(hosts))
    }
}

/// The resolver of a directive. `limit` is `resolver_timeout`.
fn configured(directive: &ResolverDirective, limit: Duration) -> Result<Resolver, BuildError> {
    // Zero sets no limit. A query needs a limit nevertheless: the driver retries after any failure.
    let limit = Some(limit).filter(|limit| !limit.is_zero());
    let mut builder = Resolver::builder()
        .timeout(limit.unwrap_or(QUERY_TIMEOUT).min(QUERY_TIMEOUT))
        .name_servers(&directive.name_servers)
        .ipv4(directive.families != AddressFamilies::Ipv6)
        .ipv6(directive.families != AddressFamilies::Ipv4);
    if let Some(valid) = directive.valid {
        builder = builder.valid(valid);
    }
    build(builder, &directive.span)
}

fn build(builder: lb_discovery::ResolverBuilder, span: &Span) -> Result<Resolver, BuildError> {
    builder.build().map_err(|source| BuildError::Discovery {
        source,
        span: span.clone(),
    })
}
