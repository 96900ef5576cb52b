//! The description of an upstream, by which a reload compares two of them.

use std::sync::Arc;

use lb_core::{BalancerConfig, Policy};
use lb_discovery::{DriverConfig, Source};

use super::checks::list::DescribedCheck;
use super::drain::LossConfig;
use super::key_part::KeyParts;
use super::send_proxy::HeaderSetting;
use super::wait_queue::Queue;

/// Everything that describes an upstream, in a form that can be compared.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct UpstreamDescription {
    pub(super) name: Arc<str>,
    pub(super) policy: PolicyDescription,
    pub(super) balancer: BalancerConfig,
    pub(super) sources: Vec<SourceDescription>,
    pub(super) discovery: DriverConfig,
    pub(super) queue: Option<Queue>,
    pub(super) on_loss: LossConfig,
    pub(super) header: HeaderSetting,
    pub(super) hash_key: KeyParts,
    pub(super) checks: Vec<DescribedCheck>,
    /// See [`UpstreamBuilder::essential`](super::UpstreamBuilder::essential).
    pub(super) essential: bool,
    /// See [`UpstreamBuilder::fingerprint`](super::UpstreamBuilder::fingerprint).
    pub(super) fingerprint: Option<Arc<str>>,
}

/// A policy with all that a reload compares.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct PolicyDescription {
    pub(super) name: &'static str,
    pub(super) settings: Vec<(&'static str, String)>,
    /// The `Debug` text, which shows every parameter of policies that name no settings.
    text: String,
}

/// A source of an upstream, as it was when the upstream was built.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct SourceDescription {
    label: Arc<str>,
    identity: Arc<str>,
}

impl UpstreamDescription {
    /// Whether both describe one upstream. Without a fingerprint nothing is known about functions and settings of sources,
    /// so the upstreams may differ.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.fingerprint.is_some() && self == other
    }
}

impl PolicyDescription {
    pub(super) fn new(policy: &dyn Policy) -> Self {
        Self {
            name: policy.name(),
            settings: policy.settings(),
            text: format!("{policy:?}"),
        }
    }
}

impl SourceDescription {
    pub(super) fn new(source: &dyn Source) -> Self {
        Self {
            label: source.label(),
            identity: source.identity(),
        }
    }
}
