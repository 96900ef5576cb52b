//! How an upstream looks up the names of its servers.

use std::cell::OnceCell;
use std::time::Duration;

use lb_discovery::Resolver;

use crate::config::resolver::{AddressFamilies, Resolver as ResolverDirective};
use crate::config::upstream::block::Upstream;
use crate::config::upstream::server::UpstreamServer;
use crate::error::StartError;
use crate::syntax::span::Span;

/// One query of a name server may take this long; a lost packet is asked for again within it.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);

/// The system's resolver, which all upstreams share.
#[derive(Debug, Default)]
pub(super) struct System(OnceCell<Resolver>);

/// The resolvers of an upstream. Each is made when the first name needs it: a machine without a usable
/// `/etc/resolv.conf` can still balance over addresses.
#[derive(Debug)]
pub(super) struct Resolvers<'a> {
    config: &'a Upstream,
    configured: OnceCell<Resolver>,
    system: &'a System,
}

impl<'a> Resolvers<'a> {
    pub(super) const fn new(config: &'a Upstream, system: &'a System) -> Self {
        Self {
            config,
            configured: OnceCell::new(),
            system,
        }
    }

    /// The one for the name of `server`. As in nginx, `resolver` serves names with `resolve`; all others are looked up as
    /// the system does, in the hosts file and with search domains.
    pub(super) fn of(&self, server: &UpstreamServer) -> Result<Resolver, StartError> {
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

    fn configured(&self, directive: &ResolverDirective) -> Result<Resolver, StartError> {
        // Zero sets no limit. The driver asks again after any failure, so a query needs one nevertheless.
        let limit = Some(self.config.resolver_timeout).filter(|limit| !limit.is_zero());
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

    fn system(&self) -> Result<Resolver, StartError> {
        build(Resolver::builder(), &self.config.span)
    }
}

fn build(builder: lb_discovery::ResolverBuilder, span: &Span) -> Result<Resolver, StartError> {
    builder.build().map_err(|source| StartError::Discovery {
        source,
        span: span.clone(),
    })
}
