//! A tier with the picker that a policy compiled for it.

use std::sync::OnceLock;

use crate::lease::pick::Pick;
use crate::pick::acquire::acquire;
use crate::pick::context::PickContext;
use crate::policy::Picker;
use crate::tiers::tier::Tier;

#[derive(Debug)]
pub(crate) struct CompiledTier {
    pub(crate) tier: Tier,
    pub(crate) picker: Box<dyn Picker>,
    /// The picker's digest, computed at the first call.
    digest: OnceLock<Option<u64>>,
}

impl AsRef<Tier> for CompiledTier {
    fn as_ref(&self) -> &Tier {
        &self.tier
    }
}

impl CompiledTier {
    pub(super) const fn new(tier: Tier, picker: Box<dyn Picker>) -> Self {
        Self {
            tier,
            picker,
            digest: OnceLock::new(),
        }
    }

    /// The [digest](Picker::digest) of the picker.
    pub(crate) fn digest(&self) -> Option<u64> {
        *self.digest.get_or_init(|| self.picker.digest(&self.tier))
    }

    #[inline]
    pub(super) fn pick(&self, cx: &mut PickContext<'_>) -> Option<Pick> {
        let slot = self.tier.slot(self.picker.pick(cx)?)?;
        acquire(slot, cx.environment()).or_else(|| self.pick_again(cx))
    }

    /// Picks again after another thread took what this one picked. A thread that loses as many races as there are
    /// backends gets the first backend that is free.
    #[cold]
    fn pick_again(&self, cx: &mut PickContext<'_>) -> Option<Pick> {
        let tier = &self.tier;
        for _ in tier.indices() {
            let slot = tier.slot(self.picker.pick(cx)?)?;
            if let Some(lease) = acquire(slot, cx.environment()) {
                return Some(lease);
            }
        }
        tier.indices()
            .filter(|&i| cx.is_eligible(i))
            .find_map(|i| acquire(tier.slot(i)?, cx.environment()))
    }
}
