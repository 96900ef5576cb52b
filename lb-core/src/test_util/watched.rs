//! A policy that checks every pick.

use std::sync::Arc;

use super::expectations::worst_cost;
use crate::pick::context::PickContext;
use crate::policy::{Picker, Policy, Tracking};
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::tiers::tier::{BackendIndex, Tier};

/// Wraps a policy and panics if a pick breaks the contract. For one thread at a time.
#[derive(Debug)]
pub(crate) struct Watched {
    policy: Arc<dyn Policy>,
    /// The questions that the costliest pick asked.
    costliest: Arc<AtomicU64>,
}

impl Watched {
    pub(crate) fn new(policy: Arc<dyn Policy>) -> Self {
        Self {
            policy,
            costliest: Arc::default(),
        }
    }

    pub(crate) fn costliest(&self) -> u64 {
        self.costliest.load(Relaxed)
    }
}

impl Policy for Watched {
    fn name(&self) -> &'static str {
        self.policy.name()
    }

    fn tracking(&self, tier: &Tier) -> Tracking {
        self.policy.tracking(tier)
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        Box::new(WatchedPicker {
            name: self.policy.name(),
            len: tier.len().get(),
            picker: self.policy.compile(tier),
            costliest: Arc::clone(&self.costliest),
        })
    }
}

#[derive(Debug)]
struct WatchedPicker {
    name: &'static str,
    len: u32,
    picker: Box<dyn Picker>,
    costliest: Arc<AtomicU64>,
}

impl Picker for WatchedPicker {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        let before = cx.questions();
        let picked = self.picker.pick(cx);
        let cost = cx.questions() - before;
        self.costliest.fetch_max(cost, Relaxed);
        let (name, n) = (self.name, self.len);
        let limit = worst_cost(n as usize);
        assert!(
            cost <= limit,
            "{name}: a pick among {n} backends asked {cost} questions, {limit} are the limit"
        );
        match picked {
            Some(i) => assert!(
                cx.is_eligible(i),
                "{name}: returned number {} of {n}, which is not eligible",
                i.get()
            ),
            None => {
                let eligible = (0..n).find(|&i| cx.is_eligible(BackendIndex::new(i)));
                assert_eq!(
                    eligible, None,
                    "{name}: returned none, this one is eligible"
                );
            }
        }
        picked
    }
}
