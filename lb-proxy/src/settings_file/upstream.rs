//! The settings of an upstream.

use lb_core::policy::PolicySettings;
use lb_core::serde_form::Switch;
use lb_core::{BalancerConfig, FailLimit};
use lb_discovery::DriverConfig;
use lb_discovery::settings::{SourceBuilder, SourceSettings};

use super::error::SettingsError;
use super::health_check::HealthCheckSettings;
use super::or_inherited::OrInherited;
use super::send_proxy::SendProxySettings;
use crate::upstream::drain::OnBackendLoss;
use crate::upstream::key_part::KeyPart;
use crate::upstream::wait_queue::Queue;
use crate::upstream::{Upstream, UpstreamBuilder};

/// A named pool of backends: [`UpstreamBuilder`].
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UpstreamSettings {
    /// Where its backends come from: the union of these, at least one.
    pub sources: Vec<SourceSettings>,
    /// What picks a backend, alone or with its settings. Default: `p2c`.
    #[serde(default)]
    pub policy: PolicySettings,
    /// What the hashing policies hash of a connection: these parts one after the other. Default: `[client_ip]`.
    #[serde(default = "client_ip")]
    pub hash_key: Vec<KeyPart>,
    /// What surrounds the policy. Default: what is left out is off, but for `common_outage` and `on_all_ejected`.
    #[serde(default)]
    pub balancer: BalancerConfig,
    /// Which failures eject a backend, whatever its source says; false for none. Default: what its source says.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "OrInherited::<FailLimit>"
    )]
    pub fail_limit: Option<Option<FailLimit>>,
    /// How its sources are followed.
    #[serde(default)]
    pub discovery: DriverConfig,
    /// How connections wait while there is no backend for them. Default: false, they do not.
    #[serde(default, with = "Switch::<Queue>")]
    pub queue: Option<Queue>,
    /// What happens to the sessions of a backend that is removed. Default: `keep`.
    #[serde(default)]
    pub on_removed: OnBackendLoss,
    /// What happens to the sessions of a backend that is ejected or unhealthy. Default: `keep`.
    #[serde(default)]
    pub on_unhealthy: OnBackendLoss,
    /// The PROXY protocol header that its backends receive; false for none. Default: that of the listener.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "OrInherited::<SendProxySettings>"
    )]
    pub send_proxy: Option<Option<SendProxySettings>>,
    /// Active checks of its backends. Default: none.
    #[serde(default)]
    pub health_checks: Vec<HealthCheckSettings>,
    /// Whether a server is ready only while a backend of it could be picked. Default: false.
    #[serde(default)]
    pub essential: bool,
}

fn client_ip() -> Vec<KeyPart> {
    vec![KeyPart::ClientIp]
}

impl UpstreamSettings {
    /// An upstream of `sources`, everything else at its default.
    pub fn new(sources: impl IntoIterator<Item = SourceSettings>) -> Self {
        Self {
            sources: sources.into_iter().collect(),
            policy: PolicySettings::default(),
            hash_key: client_ip(),
            balancer: BalancerConfig::default(),
            fail_limit: None,
            discovery: DriverConfig::default(),
            queue: None,
            on_removed: OnBackendLoss::default(),
            on_unhealthy: OnBackendLoss::default(),
            send_proxy: None,
            health_checks: Vec::new(),
            essential: false,
        }
    }

    /// The builder of the upstream `name`. `sources` lets upstreams share resolvers and clusters.
    ///
    /// A [reload](crate::Handle::reload) recognises the upstream by its settings: the builder has a
    /// [fingerprint](UpstreamBuilder::fingerprint) of its sources.
    ///
    /// # Errors
    ///
    /// A source or a check that cannot work, and its place below `place`.
    pub fn builder(
        &self,
        name: &str,
        place: &str,
        sources: &mut SourceBuilder,
    ) -> Result<UpstreamBuilder, SettingsError> {
        let mut builder = Upstream::builder(name)
            .policy(self.policy.build())
            .hash_key(self.hash_key.iter().cloned())
            .balancer_config(self.balancer.clone())
            .discovery_config(self.discovery.clone())
            .queue(self.queue)
            .on_removed(self.on_removed)
            .on_unhealthy(self.on_unhealthy)
            .essential(self.essential)
            .fingerprint(format!("{:?}", self.sources));
        for (i, source) in self.sources.iter().enumerate() {
            let source = sources.build(source);
            let at = |error| SettingsError::at(format!("{place}.sources[{i}]"), error);
            builder = builder.discovery(source.map_err(at)?);
        }
        for (i, check) in self.health_checks.iter().enumerate() {
            builder = check.add(builder, &format!("{place}.health_checks[{i}]"))?;
        }
        if let Some(limit) = self.fail_limit {
            builder = builder.fail_limit(limit);
        }
        if let Some(send) = &self.send_proxy {
            builder = builder.send_proxy(send.as_ref().map(SendProxySettings::build));
        }
        Ok(builder)
    }
}
