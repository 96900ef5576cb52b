//! Sources from their settings.

use std::sync::Arc;

#[cfg(feature = "kubernetes")]
use super::ClusterSettings;
#[cfg(feature = "dns")]
use super::ResolverSettings;
use super::SourceSettings;
#[cfg(feature = "kubernetes")]
use crate::sources::kubernetes::Cluster;
use crate::{DiscoveryError, Merge, Source, Static};

/// Makes sources of their settings. Those with equal resolvers or clusters share them.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct SourceBuilder {
    #[cfg(feature = "dns")]
    resolvers: Vec<(ResolverSettings, crate::Resolver)>,
    #[cfg(feature = "kubernetes")]
    clusters: Vec<(ClusterSettings, Cluster)>,
}

impl SourceBuilder {
    /// A builder that has made no source.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a source, which asks nothing before it is followed.
    ///
    /// # Errors
    ///
    /// Those of the constructor of the source.
    pub fn build(&mut self, settings: &SourceSettings) -> Result<Arc<dyn Source>, DiscoveryError> {
        Ok(match settings {
            #[cfg(feature = "dns")]
            SourceSettings::Dns(dns) => {
                let resolver = self.resolver(&dns.resolver)?;
                Arc::new(dns.build(resolver)?)
            }
            #[cfg(feature = "kubernetes")]
            SourceSettings::EndpointSlices(slices) => {
                Arc::new(slices.build(self.cluster(&slices.cluster))?)
            }
            #[cfg(feature = "file")]
            SourceSettings::File(file) => Arc::new(file.build()),
            SourceSettings::Filtered(filtered) => {
                let source = self.build(&filtered.source)?;
                Arc::new(filtered.build(source)?)
            }
            SourceSettings::Mapped(mapped) => Arc::new(mapped.build(self.build(&mapped.source)?)),
            SourceSettings::Merged(sources) => {
                let parts = sources.iter().map(|source| self.build(source));
                let parts: Vec<_> = parts.collect::<Result<_, _>>()?;
                Arc::new(parts.into_iter().fold(Merge::new(), Merge::part))
            }
            #[cfg(feature = "kubernetes")]
            SourceSettings::NodePort(port) => Arc::new(port.build(self.cluster(&port.cluster))?),
            #[cfg(feature = "kubernetes")]
            SourceSettings::Pods(pods) => Arc::new(pods.build(self.cluster(&pods.cluster))?),
            SourceSettings::Shifted(shifted) => {
                Arc::new(shifted.build(self.build(&shifted.source)?))
            }
            SourceSettings::Static(backends) => Arc::new(Static::new(backends.clone())),
            #[cfg(feature = "system-dns")]
            SourceSettings::SystemDns(dns) => Arc::new(dns.build()?),
        })
    }

    #[cfg(feature = "dns")]
    fn resolver(&mut self, settings: &ResolverSettings) -> Result<crate::Resolver, DiscoveryError> {
        let mut known = self.resolvers.iter();
        if let Some((_, resolver)) = known.find(|(known, _)| known == settings) {
            return Ok(resolver.clone());
        }
        let resolver = settings.build()?;
        self.resolvers.push((settings.clone(), resolver.clone()));
        Ok(resolver)
    }

    #[cfg(feature = "kubernetes")]
    fn cluster(&mut self, settings: &ClusterSettings) -> Cluster {
        let mut known = self.clusters.iter();
        if let Some((_, cluster)) = known.find(|(known, _)| known == settings) {
            return cluster.clone();
        }
        let cluster = settings.build();
        self.clusters.push((settings.clone(), cluster.clone()));
        cluster
    }
}
