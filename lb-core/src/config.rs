//! The settings of a balancer around its policy.

use crate::backend::Health;
use crate::fail_limit::FailLimits;
use crate::state::outage::CommonOutage;
use crate::state::outlier::OutlierDetection;
use crate::tiers::all_ejected::OnAllEjected;
use crate::tiers::slow_start::SlowStart;
use crate::tiers::subset::Subset;
use crate::tiers::zone::ZonePreference;

/// The settings of a balancer around its policy. All but [`common_outage`](Self::common_outage) and
/// [`on_all_ejected`](Self::on_all_ejected) are off by default, as in nginx and HAProxy.
///
/// [`Updater::set_config`](crate::Updater::set_config) sets it, at any time; the state of the backends survives.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BalancerConfig {
    /// Forgives ejections that an outage of this machine's link, address or route caused. `None`: an ejection lasts for its
    /// time whatever the reason, as in nginx. Default: [`CommonOutage::default`].
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::serde_form::Switch::<CommonOutage>")
    )]
    pub common_outage: Option<CommonOutage>,
    /// Which [fail limit](crate::FailLimit) each backend has. Default: [`FailLimits::OfEach`], the one that its source gives it.
    pub fail_limits: FailLimits,
    /// The health of a backend that becomes known, until a check reports another. Default: [`Health::Healthy`]. With
    /// [`Health::Unchecked`] it gets no connections before a check finds it healthy. Backends that are known already keep
    /// theirs.
    #[doc(alias = "mandatory", alias = "init-state")]
    pub initial_health: Health,
    /// What happens while failures have ejected all backends. Default: [`OnAllEjected::Try`].
    #[doc(alias = "fail_open")]
    pub on_all_ejected: OnAllEjected,
    /// Ejects backends after consecutive failures, as Envoy does. Default: none; nginx's
    /// [`fail_limit`](field@crate::Backend::fail_limit) of each backend applies with or without it.
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::serde_form::Switch::<OutlierDetection>")
    )]
    pub outlier_detection: Option<OutlierDetection>,
    /// Lets a tier that is not healthy enough share its connections with the next, as Envoy's priority levels do: a
    /// tier gets all connections while its healthy share, multiplied by this many percent, is 100 % or more. 140 is
    /// Envoy's factor, with which a tier gets all connections down to 72 % healthy. Default: none, so a tier is used only
    /// when no backend of the tiers above is eligible, as nginx's `backup`.
    #[doc(alias = "overprovisioning_factor", alias = "spillover")]
    #[cfg_attr(
        feature = "serde",
        serde(
            alias = "overprovisioning_factor",
            with = "crate::serde_form::OptionalPercent::<100, 65535>"
        )
    )]
    pub overprovisioning: Option<u16>,
    /// Panic mode: ignores health and ejection in a tier where fewer percent than this are healthy, because the load of
    /// all would overload the few healthy backends. Envoy's threshold is 50. Drained and full backends get no connections
    /// even then. No tier panics while all tiers together are healthy enough. Default: none.
    #[doc(alias = "healthy_panic_threshold", alias = "panic mode")]
    #[cfg_attr(
        feature = "serde",
        serde(
            alias = "healthy_panic_threshold",
            with = "crate::serde_form::OptionalPercent::<0, 100>"
        )
    )]
    pub panic_threshold: Option<u8>,
    /// Raises the share of a backend that joins or recovers gradually. Default: none.
    #[cfg_attr(
        feature = "serde",
        serde(
            alias = "slow_start_config",
            with = "crate::serde_form::Switch::<SlowStart>"
        )
    )]
    pub slow_start: Option<SlowStart>,
    /// Uses only a part of the backends, a different one for each balancer. Default: none, all backends.
    #[cfg_attr(feature = "serde", serde(with = "crate::serde_form::Switch::<Subset>"))]
    pub subset: Option<Subset>,
    /// Prefers the backends of one zone. Default: none.
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::serde_form::Switch::<ZonePreference>")
    )]
    pub zone: Option<ZonePreference>,
}

impl Default for BalancerConfig {
    fn default() -> Self {
        Self {
            common_outage: Some(CommonOutage::default()),
            fail_limits: FailLimits::default(),
            initial_health: Health::default(),
            on_all_ejected: OnAllEjected::default(),
            outlier_detection: None,
            overprovisioning: None,
            panic_threshold: None,
            slow_start: None,
            subset: None,
            zone: None,
        }
    }
}

impl BalancerConfig {
    /// Sets [`common_outage`](field@Self::common_outage).
    #[must_use]
    pub fn common_outage(mut self, outage: Option<CommonOutage>) -> Self {
        self.common_outage = outage;
        self
    }

    /// Sets [`fail_limits`](field@Self::fail_limits).
    #[must_use]
    pub fn fail_limits(mut self, limits: FailLimits) -> Self {
        self.fail_limits = limits;
        self
    }

    /// Sets [`initial_health`](field@Self::initial_health).
    #[must_use]
    pub fn initial_health(mut self, health: Health) -> Self {
        self.initial_health = health;
        self
    }

    /// Sets [`on_all_ejected`](field@Self::on_all_ejected).
    #[must_use]
    pub fn on_all_ejected(mut self, on_all_ejected: OnAllEjected) -> Self {
        self.on_all_ejected = on_all_ejected;
        self
    }

    /// Sets [`outlier_detection`](field@Self::outlier_detection).
    #[must_use]
    pub fn outlier_detection(mut self, detection: OutlierDetection) -> Self {
        self.outlier_detection = Some(detection);
        self
    }

    /// Sets [`overprovisioning`](field@Self::overprovisioning), in percent. Below 100 as 100.
    #[must_use]
    pub fn overprovisioning(mut self, percent: u16) -> Self {
        self.overprovisioning = Some(percent.max(100));
        self
    }

    /// Sets [`panic_threshold`](field@Self::panic_threshold), in percent. Above 100 as 100; 0 switches it off.
    #[must_use]
    pub fn panic_threshold(mut self, percent: u8) -> Self {
        self.panic_threshold = Some(percent.min(100)).filter(|&percent| percent > 0);
        self
    }

    /// Sets [`slow_start`](field@Self::slow_start).
    #[must_use]
    pub fn slow_start(mut self, slow_start: SlowStart) -> Self {
        self.slow_start = Some(slow_start);
        self
    }

    /// Sets [`subset`](field@Self::subset).
    #[must_use]
    pub fn subset(mut self, subset: Subset) -> Self {
        self.subset = Some(subset);
        self
    }

    /// Sets [`zone`](field@Self::zone).
    #[must_use]
    pub fn zone(mut self, zone: ZonePreference) -> Self {
        self.zone = Some(zone);
        self
    }

    /// Whether picks need tier health.
    pub(crate) const fn needs_health(&self) -> bool {
        self.overprovisioning.is_some() || self.panic_threshold.is_some() || self.zone.is_some()
    }
}
