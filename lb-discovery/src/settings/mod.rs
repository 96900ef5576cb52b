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
//!
//! # Combinators
//!
//! [`Merge`](crate::Merge) is `merged` and `shifted`, [`Filter`](crate::Filter) is `filtered`, and [`Map`](crate::Map) is `mapped`. They
//! nest. For example: the pods of two zones at another port than that of the Service, and behind them a rack that is being repaired, as backup:
//!
//! ```
//! # use lb_discovery::settings::{SourceBuilder, SourceSettings};
//! let text = r#"[
//!     { "mapped": { "port": 8446, "max_conns": 1000, "source": { "filtered": {
//!         "keep": { "zones": ["rack-1", "rack-2"], "networks": ["10.0.0.0/8"] },
//!         "drop": { "nodes": ["node-7"] },
//!         "source": { "merged": [{ "static": ["10.0.0.1:446"] }, { "static": ["10.0.0.2:446"] }] }
//!     } } } },
//!     { "mapped": { "priority": 1, "state": "drain", "source": { "static": ["10.1.0.1:446"] } } }
//! ]"#;
//! let settings: Vec<SourceSettings> = serde_json::from_str(text)?;
//! let mut builder = SourceBuilder::new();
//! for source in &settings {
//!     builder.build(source)?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What no file can say
//!
//! Code: other functions of a [`Filter`](crate::Filter) or a [`Map`](crate::Map), a [`Manual`](crate::Manual) source, which is a handle of the
//! program, a [`Source`](crate::Source) of one's own, and a [`Lookup`](crate::Lookup) for [`Polled`](crate::Polled). A program adds them to
//! what it has read. A list has the label `static`.

mod backend_match;
mod builder;
#[cfg(feature = "dns")]
mod dns;
#[cfg(feature = "file")]
mod file;
mod filtered;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod mapped;
mod shifted;
#[cfg(feature = "system-dns")]
mod system_dns;

use lb_core::Snapshot;

pub use backend_match::BackendMatch;
pub use builder::SourceBuilder;
#[cfg(feature = "dns")]
pub use dns::{DnsSettings, ResolverSettings};
#[cfg(feature = "file")]
pub use file::FileSettings;
pub use filtered::FilteredSettings;
#[cfg(feature = "kubernetes")]
pub use kubernetes::{
    ClusterOrigin, ClusterSettings, EndpointSlicesSettings, NodePortSettings, PodOwner,
    PodsSettings,
};
pub use mapped::MappedSettings;
pub use shifted::ShiftedSettings;
#[cfg(feature = "system-dns")]
pub use system_dns::SystemDnsSettings;

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
    /// The backends of another source that match, or do not match, some conditions: [`Filter`](crate::Filter).
    Filtered(FilteredSettings),
    /// Another source with settings of its backends changed: [`Map`](crate::Map).
    Mapped(MappedSettings),
    /// The union of several sources as one source: [`Merge`](crate::Merge).
    Merged(Vec<Self>),
    /// The nodes at the node port of a Service: [`NodePort`](crate::kubernetes::NodePort).
    #[cfg(feature = "kubernetes")]
    NodePort(NodePortSettings),
    /// Pods on ports of their nodes: [`Pods`](crate::kubernetes::Pods).
    #[cfg(feature = "kubernetes")]
    Pods(PodsSettings),
    /// Another source with its backends in lower tiers: [`Merge::shifted_part`](crate::Merge::shifted_part).
    Shifted(ShiftedSettings),
    /// A list of backends: [`Static`](crate::Static).
    Static(Snapshot),
    /// The addresses of a host name, by the system's resolver: [`SystemDns`](crate::SystemDns).
    #[cfg(feature = "system-dns")]
    SystemDns(SystemDnsSettings),
}
