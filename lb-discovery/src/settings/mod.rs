//! Sources as data, for files of settings.
//!
//! Times have units (`10s`, `1h 30m`), unknown fields are errors, and what is left out has the default of the builders. With the
//! feature `schema` the settings have JSON schemas.
//!
//! ```
//! use lb_discovery::settings::{SourceBuilder, SourceSettings};
//!
//! let text = r#"[
//!     { "static": ["10.0.0.1:446", { "addr": "10.0.0.2:446", "weight": 5 }] },
//!     { "shifted": { "tiers": 1, "source": { "static": ["10.1.0.1:446"] } } }
//! ]"#;
//! let settings: Vec<SourceSettings> = serde_json::from_str(text)?;
//! let mut builder = SourceBuilder::new();
//! for source in &settings {
//!     println!("{}", builder.build(source)?.label());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "dns")]
mod dns;
#[cfg(feature = "file")]
mod file;
#[cfg(feature = "kubernetes")]
mod kubernetes;
#[cfg(feature = "system-dns")]
mod system_dns;

use std::sync::Arc;

use lb_core::Snapshot;

#[cfg(feature = "dns")]
pub use dns::{DnsSettings, ResolverSettings};
#[cfg(feature = "file")]
pub use file::FileSettings;
#[cfg(feature = "kubernetes")]
pub use kubernetes::{
    ClusterOrigin, ClusterSettings, EndpointSlicesSettings, NodePortSettings, PodOwner,
    PodsSettings,
};
#[cfg(feature = "system-dns")]
pub use system_dns::SystemDnsSettings;

#[cfg(feature = "kubernetes")]
use crate::sources::kubernetes::Cluster;
use crate::{DiscoveryError, Merge, Source, Static};

/// A source of backends. Sources of libraries that the program was built without are unknown to it.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[allow(
    clippy::large_enum_variant,
    reason = "there are few, and each is read once"
)]
pub enum SourceSettings {
    /// The addresses of a host name, or the servers of a service: [`Dns`](crate::Dns).
    #[cfg(feature = "dns")]
    Dns(DnsSettings),
    /// The pods of a Service: [`EndpointSlices`](crate::kubernetes::EndpointSlices).
    #[cfg(feature = "kubernetes")]
    EndpointSlices(EndpointSlicesSettings),
    /// A watched file: [`File`](crate::File).
    #[cfg(feature = "file")]
    File(FileSettings),
    /// The nodes at the node port of a Service: [`NodePort`](crate::kubernetes::NodePort).
    #[cfg(feature = "kubernetes")]
    NodePort(NodePortSettings),
    /// Pods on ports of their nodes: [`Pods`](crate::kubernetes::Pods).
    #[cfg(feature = "kubernetes")]
    Pods(PodsSettings),
    /// Another source with its backends in lower tiers: [`Merge::shifted_part`].
    Shifted(ShiftedSettings),
    /// A list of backends: [`Static`].
    Static(Snapshot),
    /// The addresses of a host name, by the system's resolver: [`SystemDns`](crate::SystemDns).
    #[cfg(feature = "system-dns")]
    SystemDns(SystemDnsSettings),
}

/// A source whose backends are used when those of higher tiers are not eligible.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ShiftedSettings {
    /// How many tiers lower the backends are.
    pub tiers: u8,
    /// The source.
    pub source: Box<SourceSettings>,
}

impl ShiftedSettings {
    /// The backends of `source`, `tiers` tiers lower.
    pub fn new(source: SourceSettings, tiers: u8) -> Self {
        Self {
            tiers,
            source: Box::new(source),
        }
    }
}

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
            #[cfg(feature = "kubernetes")]
            SourceSettings::NodePort(port) => Arc::new(port.build(self.cluster(&port.cluster))?),
            #[cfg(feature = "kubernetes")]
            SourceSettings::Pods(pods) => Arc::new(pods.build(self.cluster(&pods.cluster))?),
            SourceSettings::Shifted(shifted) => {
                let source = self.build(&shifted.source)?;
                Arc::new(Merge::new().shifted_part(source, shifted.tiers))
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
