//! The contract of a policy: what compiles a tier, and what picks from it.

use std::fmt;
use std::sync::Arc;

use crate::load_index::tracking::Tracking;
use crate::pick::context::PickContext;
use crate::tiers::tier::{BackendIndex, Tier};

/// A way to choose: the control-plane half, which turns membership into a [`Picker`].
///
/// It may allocate and take its time; the result is used until the next update.
pub trait Policy: fmt::Debug + Send + Sync + 'static {
    /// The policy's name in configuration and metrics; never changes.
    fn name(&self) -> &'static str;

    /// What its pickers must know of the loads of `tier` beyond those they ask for. Default: nothing.
    fn tracking(&self, tier: &Tier) -> Tracking {
        let _ = tier;
        Tracking::Nothing
    }

    /// Prepares picks from `tier`. Cannot fail: a tier is never empty and all its weights are above zero.
    fn compile(&self, tier: &Tier) -> Box<dyn Picker>;
}

impl<P: Policy + ?Sized> Policy for Arc<P> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn tracking(&self, tier: &Tier) -> Tracking {
        (**self).tracking(tier)
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        (**self).compile(tier)
    }
}

/// The data-plane half: a policy compiled for one tier.
///
/// The contract, which `test_util::contract` (feature `test-util`) checks for every policy here and for yours
/// (allocations by the allocator of your test, with `picks_allocate_nothing`):
///
/// 1. only eligible backends are returned;
/// 2. if a backend stays eligible during the call, one is returned;
/// 3. no lock, no allocation, and work bounded by what was compiled;
/// 4. the same tier, state, counter, time, draws and key give the same answer;
/// 5. it never panics.
pub trait Picker: fmt::Debug + Send + Sync + 'static {
    /// The backend for one connection, or `None` if none is eligible.
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex>;

    /// Whether nothing speaks against the backend at `i`: it is eligible, and this policy does not pass it over for its
    /// load. For [`Balancer::explain`](crate::Balancer::explain); default: whether it is eligible.
    fn admits(&self, cx: &PickContext<'_>, i: BackendIndex) -> bool {
        cx.is_eligible(i)
    }

    /// A number that is equal where this policy sends every key to the same backend, and almost certainly differs
    /// elsewhere. `None`, the default, for policies that have no such number. May cost as much as compiling.
    fn digest(&self) -> Option<u64> {
        None
    }
}
