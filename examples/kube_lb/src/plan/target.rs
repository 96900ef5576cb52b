//! Targets of a route's connections.

use std::sync::Arc;

/// Targets among which the connections of a route are divided in the exact proportion of their weights.
///
/// Weights of zero are legal: such a target gets no connection. Without any weight above zero every connection is refused.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Targets(pub Vec<WeightedTarget>);

/// One of several targets.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct WeightedTarget {
    /// The weight.
    pub weight: u32,
    /// Where its connections go.
    pub destination: Destination,
}

/// Where a connection goes.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Destination {
    /// To the upstream of this name.
    Upstream(Arc<str>),
    /// Nowhere, for this reason: the backend does not exist, or may not be referred to. The client is reset.
    Refuse(Arc<str>),
}

/// The targets of server names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NamedTargets {
    /// Host names; the first label may be `*`, which stands for one or more labels.
    pub hosts: Vec<String>,
    /// The targets.
    pub targets: Targets,
}

impl Targets {
    /// All connections to one upstream.
    pub fn only(upstream: impl Into<Arc<str>>) -> Self {
        Self(vec![WeightedTarget {
            weight: 1,
            destination: Destination::Upstream(upstream.into()),
        }])
    }

    /// The upstreams, those of weight zero included.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0
            .iter()
            .filter_map(|target| match &target.destination {
                Destination::Upstream(name) => Some(name),
                Destination::Refuse(_) => None,
            })
    }
}
