//! The contract of a policy: what compiles a tier, and what picks from it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::load_index::tracking::Tracking;
use crate::pick::context::PickContext;
use crate::tiers::tier::{BackendIndex, Tier};

/// The control-plane half of a policy, which compiles a tier into a [`Picker`].
///
/// It may allocate and take milliseconds; the result is used until the next update.
///
/// ```
/// use lb_core::{BackendIndex, PickContext, Picker, Policy, Tier};
///
/// /// Fills one backend after another up to a number of connections.
/// #[derive(Debug)]
/// struct Pack {
///     each: u32,
/// }
///
/// impl Policy for Pack {
///     fn name(&self) -> &'static str {
///         "pack"
///     }
///
///     fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
///         Box::new(PackPicker { each: self.each, all: tier.indices().collect() })
///     }
/// }
///
/// #[derive(Debug)]
/// struct PackPicker {
///     each: u32,
///     all: Vec<BackendIndex>,
/// }
///
/// impl Picker for PackPicker {
///     fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
///         let eligible = self.all.iter().copied().filter(|&i| cx.is_eligible(i));
///         let free = eligible.clone().find(|&i| cx.in_flight(i) < self.each);
///         free.or_else(|| eligible.min_by_key(|&i| cx.in_flight(i)))
///     }
/// }
///
/// let (mut updater, balancer) = lb_core::balancer(std::sync::Arc::new(Pack { each: 2 }));
/// # let nodes = lb_core::Snapshot::try_from_backends(["10.0.0.1:446"])?;
/// # updater.apply(&nodes, lb_core::Timestamp::from_nanos(0));
/// # assert_eq!(balancer.set().snapshot().len(), 1);
/// # Ok::<(), lb_core::BackendParseError>(())
/// ```
///
/// The contract is a test suite, `test_util::contract` of the feature `test-util`.
#[doc(
    alias = "scheduler",
    alias = "algorithm",
    alias = "load balancing method"
)]
pub trait Policy: fmt::Debug + Send + Sync + 'static {
    /// The policy's name in configuration and metrics; never changes.
    fn name(&self) -> &'static str;

    /// The settings with their values in the order of importance, such as `table_size` and `65537`, for status pages. Default:
    /// none.
    fn settings(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Which loads of `tier` are kept ready for its pickers, beyond those that they read by themselves. Default: none.
    fn tracking(&self, tier: &Tier) -> Tracking {
        let _ = tier;
        Tracking::Nothing
    }

    /// Prepares picks from `tier`. Cannot fail: a tier is never empty and all its weights are above zero. If it panics, the
    /// [`Updater`](crate::Updater) keeps the membership that it published before.
    fn compile(&self, tier: &Tier) -> Box<dyn Picker>;

    /// Prepares picks from `tier` as [`compile`](Self::compile) does, after an update. `former` is the picker of the tier of
    /// this priority before, `of`, maybe by another policy: as `dyn Any` it may be downcast, to take over what has not changed.
    /// Default: `compile`.
    fn recompile(&self, tier: &Tier, former: &dyn Picker, of: &Tier) -> Box<dyn Picker> {
        let _ = (former, of);
        self.compile(tier)
    }
}

impl<P: Policy + ?Sized> Policy for Arc<P> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        (**self).settings()
    }

    fn tracking(&self, tier: &Tier) -> Tracking {
        (**self).tracking(tier)
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        (**self).compile(tier)
    }

    fn recompile(&self, tier: &Tier, former: &dyn Picker, of: &Tier) -> Box<dyn Picker> {
        (**self).recompile(tier, former, of)
    }
}

/// The data-plane half: a policy compiled for one tier.
///
/// The contract, which `test_util::contract` (feature `test-util`) checks for every policy of this crate, and for yours
/// (allocations by the allocator of your test, with `picks_allocate_nothing`):
///
/// 1. only eligible backends are returned;
/// 2. if a backend stays eligible during the call, one is returned;
/// 3. no lock, no allocation, and work bounded by what was compiled;
/// 4. the same tier, state, counter, time, draws and key give the same answer;
/// 5. it never panics. (If it does, the balancer and its counts stay as they were.)
#[doc(alias = "SubchannelPicker", alias = "elect", alias = "select")]
pub trait Picker: Any + fmt::Debug + Send + Sync {
    /// The backend for one connection, or `None` if none is eligible.
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex>;

    /// Whether this policy may return the backend at `i`: it is eligible, and its load is not above a bound of the policy.
    /// For [`Balancer::explain`](crate::Balancer::explain). Default: whether it is eligible.
    fn admits(&self, cx: &PickContext<'_>, i: BackendIndex) -> bool {
        cx.is_eligible(i)
    }

    /// A number that is equal for two pickers that send every key to the same backend, and almost certainly differs
    /// for others. `tier` is the one that this picker was compiled for. Default: `None`, for policies that have no such
    /// number. May cost as much as compiling.
    fn digest(&self, tier: &Tier) -> Option<u64> {
        let _ = tier;
        None
    }
}
