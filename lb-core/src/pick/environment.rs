//! The inputs of a pick, besides the connection and the draws.

use super::dry_run::DryRun;
use crate::backend::Health;
use crate::config::BalancerConfig;
use crate::tiers::generation::Generation;
use crate::tiers::slot::Slot;
use crate::tiers::tier::Tier;
use crate::time::Timestamp;

#[derive(Debug)]
pub(crate) struct PickEnvironment<'a> {
    pub(crate) tier: &'a Tier,
    pub(crate) config: &'a BalancerConfig,
    pub(crate) generation: &'a Generation,
    pub(crate) now: Timestamp,
    /// Whether health and ejection are ignored.
    pub(crate) panics: bool,
    /// Whether ejection is ignored, for the trial of a [`CommonOutage`](crate::CommonOutage).
    pub(crate) is_trial: bool,
    /// In a dry run, what would have changed.
    pub(crate) dry_run: Option<&'a DryRun>,
}

impl<'a> PickEnvironment<'a> {
    /// The environment of a pick from `tier`, which panics as its tier health says.
    #[inline]
    pub(crate) fn new(
        tier: &'a Tier,
        config: &'a BalancerConfig,
        generation: &'a Generation,
        now: Timestamp,
    ) -> Self {
        Self {
            tier,
            config,
            generation,
            now,
            panics: tier.health().panics(),
            is_trial: false,
            dry_run: None,
        }
    }

    /// The same, where the caller knows whether health and ejection are ignored.
    pub(crate) const fn panics(mut self, panics: bool) -> Self {
        self.panics = panics;
        self
    }

    /// The same, for a trial.
    pub(crate) const fn trial(mut self) -> Self {
        self.is_trial = true;
        self
    }

    /// Whether neither health nor ejection keeps the backend in `slot` from connections.
    #[inline]
    pub(crate) fn admits(&self, slot: &Slot) -> bool {
        slot.is_healthy(self.now)
            || self.panics
            || (self.is_trial && slot.state().health() == Health::Healthy)
    }

    /// The same, for a pick that must not change anything.
    pub(crate) const fn dry_run(mut self, dry_run: &'a DryRun) -> Self {
        self.dry_run = Some(dry_run);
        self
    }
}
