//! The power of two choices.
//!
//! Two distinct backends are drawn by weight and the one with the lower load is taken. Looking at two instead of
//! one brings the fullest of n backends from about log n / log log n down to log log n (Mitzenmacher, "The Power
//! of Two Choices in Randomized Load Balancing", 2001), and a stale view of the load does no harm, because nobody
//! runs after the one least loaded backend.
//!
//! The load is the number of connections in flight for the weight. The first draw wins ties, so that idle backends
//! get shares by weight.
//!
//! Cost: O(1) a pick, two loads read; O(n) when few backends are eligible or one has nearly all the weight.
//!
//! Not where each backend must get its exact share ([`WeightedRoundRobin`](crate::policy::WeightedRoundRobin)).

use crate::pick::PickContext;
use crate::policy::{Picker, Policy};
use crate::set::{BackendIndex, Tier};
use crate::weighted_index::WeightedIndex;

/// The less loaded of two draws by weight.
#[doc(alias = "power of two choices", alias = "random two")]
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct P2c;

impl P2c {
    /// Compares connections in flight for the weight.
    pub const fn least_conn() -> Self {
        Self
    }
}

impl Policy for P2c {
    fn name(&self) -> &'static str {
        "p2c"
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        Box::new(P2cPicker {
            weights: tier.weights().map(|weight| weight.get().into()).collect(),
            index: WeightedIndex::new(tier.weights()),
        })
    }
}

#[derive(Debug)]
struct P2cPicker {
    weights: Box<[u64]>,
    index: WeightedIndex,
}

impl Picker for P2cPicker {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        let first = self.index.draw_where(cx, |cx, i| cx.is_eligible(i))?;
        let other = |cx: &PickContext<'_>, i| i != first && cx.is_eligible(i);
        let Some(second) = self.index.draw_where(cx, other) else {
            return Some(first);
        };
        let load = |i: BackendIndex, other: BackendIndex| {
            u64::from(cx.in_flight(i)) * self.weights[other.as_usize()]
        };
        Some(if load(second, first) < load(first, second) {
            second
        } else {
            first
        })
    }
}
