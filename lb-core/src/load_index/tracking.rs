//! A policy's request to the load index.

/// Which loads are kept ready for a policy.
///
/// Where some are, each lease updates them when it begins and when it ends. That costs some ten nanoseconds, and all
/// threads write to the same memory.
///
/// ```
/// use std::sync::Arc;
/// use lb_core::policy::Tracking;
/// use lb_core::{BackendIndex, PickContext, Picker, Policy, Tier};
///
/// /// The least loaded backend, ties by a draw.
/// #[derive(Debug)]
/// struct Emptiest;
///
/// impl Policy for Emptiest {
///     fn name(&self) -> &'static str {
///         "emptiest"
///     }
///
///     fn tracking(&self, _: &Tier) -> Tracking {
///         Tracking::Least
///     }
///
///     fn compile(&self, _: &Tier) -> Box<dyn Picker> {
///         Box::new(Self)
///     }
/// }
///
/// impl Picker for Emptiest {
///     fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
///         let least = cx.least_loaded();
///         least.or_else(|| cx.draw_among(PickContext::is_eligible))
///     }
/// }
///
/// let (updater, balancer) = lb_core::balancer(Arc::new(Emptiest));
/// # let _ = (updater, balancer);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Tracking {
    /// The least loaded of all backends: [`PickContext::least_loaded`](crate::PickContext::least_loaded).
    Least,
    /// None: a pick reads the load of each backend that it asks about.
    #[default]
    Nothing,
    /// The connections in flight of the tier, and the weight of its healthy backends:
    /// [`PickContext::total_in_flight`](crate::PickContext::total_in_flight) and
    /// [`healthy_weight`](crate::PickContext::healthy_weight).
    Total,
}
