//! The resolvers of upstreams, and of names that are looked up at run time.

use std::cell::OnceCell;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lb_discovery::{Resolver, ResolverBuilder};
use rustix::process::{Resource, getrlimit};

use super::error::BuildError;
use super::host_cache::HostCache;
use crate::config::resolver::{AddressFamilies, NameResolution, Resolver as ResolverDirective};
use crate::config::upstream::block::Upstream;
use crate::config::upstream::server::UpstreamServer;
use crate::syntax::span::Span;

/// The limit of one query to a name server; a lost packet is sent again within it.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);

/// The sockets of one name at most: for each family a question that is sent three times.
const FILES_OF_NAME: usize = 6;

/// The limit of the concurrent questions of one record type at run time, however many sessions there may be.
const MOST_QUESTIONS: usize = 4096;

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
        let resolver = configured(directive, self.config.resolver_timeout);
        build(resolver, &directive.span)
    }

    fn system(&self) -> Result<Resolver, BuildError> {
        build(Resolver::builder(), &self.config.span)
    }
}

/// The names that sessions look up at run time. Servers with the same resolver share what is known.
#[derive(Debug)]
pub(super) struct RunTimeResolvers {
    known: Vec<(NameResolution, Arc<HostCache>)>,
    /// See [`ResolverBuilder::concurrent_questions`].
    concurrent_questions: usize,
}

impl RunTimeResolvers {
    /// Clients choose the names, so each session may wait for another one that has no answer. `files` is the limit of open
    /// files, by default the hard one.
    pub(super) fn new(most_sessions: NonZeroUsize, files: Option<u64>) -> Self {
        let files = files.or_else(|| getrlimit(Resource::Nofile).maximum);
        let files = files.and_then(|files| usize::try_from(files).ok());
        let most = files.unwrap_or(usize::MAX) / (2 * FILES_OF_NAME);
        Self {
            known: Vec::new(),
            concurrent_questions: most_sessions.get().min(most).clamp(32, MOST_QUESTIONS),
        }
    }

    /// The hosts that `names` looks up. `None` if it has no resolver.
    pub(super) fn of(
        &mut self,
        names: &NameResolution,
    ) -> Result<Option<Arc<HostCache>>, BuildError> {
        let Some(directive) = &names.resolver else {
            return Ok(None);
        };
        if let Some((_, known)) = self.known.iter().find(|(known, _)| known == names) {
            return Ok(Some(Arc::clone(known)));
        }
        let limit = Some(names.timeout()).filter(|limit| !limit.is_zero());
        let resolver =
            configured(directive, names.timeout()).concurrent_questions(self.concurrent_questions);
        let resolver = build(resolver, &directive.span)?;
        let hosts = Arc::new(HostCache::new(resolver, limit));
        self.known.push((names.clone(), Arc::clone(&hosts)));
        Ok(Some(hosts))
    }
}

/// The resolver of a directive. `limit` is `resolver_timeout`.
fn configured(directive: &ResolverDirective, limit: Duration) -> ResolverBuilder {
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
    builder
}

fn build(builder: ResolverBuilder, span: &Span) -> Result<Resolver, BuildError> {
    builder.build().map_err(|source| BuildError::Discovery {
        source,
        span: span.clone(),
    })
}

#[cfg(test)]
mod tests;
