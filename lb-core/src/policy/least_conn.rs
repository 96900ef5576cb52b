//! Least connections, by weight.
//!
//! The backend with the fewest connections in flight for its weight is picked; ties are broken by smooth weighted
//! round robin among the tied, as in nginx (`ngx_stream_upstream_least_conn_module.c`). Ratios are compared by
//! cross-multiplication, without rounding.
//!
//! Cost: O(n) a pick, no memory beyond the sequence for ties.
//!
//! Not for thousands of backends at high connection rates ([`P2c`](crate::policy::P2c) comes close at a constant
//! cost), and not for short connections, which all tie at zero.

use crate::pick::PickContext;
use crate::policy::{Picker, Policy};
use crate::sequence::Sequence;
use crate::set::{BackendIndex, Tier};

/// Fewest connections in flight for its weight.
#[doc(alias = "leastconn", alias = "least_request", alias = "wlc")]
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct LeastConn;

impl LeastConn {
    /// The policy; it has no settings.
    pub const fn new() -> Self {
        Self
    }
}

impl Policy for LeastConn {
    fn name(&self) -> &'static str {
        "least_conn"
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        Box::new(LeastConnPicker {
            weights: tier.weights().map(|weight| weight.get().into()).collect(),
            sequence: Sequence::new(tier.weights()),
        })
    }
}

#[derive(Debug)]
struct LeastConnPicker {
    weights: Box<[u64]>,
    sequence: Sequence,
}

impl LeastConnPicker {
    fn load(&self, cx: &PickContext<'_>, i: BackendIndex) -> Load {
        Load {
            in_flight: cx.in_flight(i).into(),
            weight: self.weights[i.as_usize()],
        }
    }

    /// The least load among the eligible, who has it, and whether others have it too.
    fn least(&self, cx: &PickContext<'_>) -> Option<(Load, BackendIndex, Tie)> {
        let mut least = None;
        for i in (0..self.weights.len() as u32).map(BackendIndex::new) {
            if !cx.is_eligible(i) {
                continue;
            }
            let load = self.load(cx, i);
            least = match least {
                Some((best, first, _)) if load.equals(best) => Some((best, first, Tie::Many)),
                Some(lower) if !load.is_below(lower.0) => Some(lower),
                _ => Some((load, i, Tie::One)),
            };
        }
        least
    }
}

impl Picker for LeastConnPicker {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        let (least, first, tie) = self.least(cx)?;
        if tie == Tie::One {
            return Some(first);
        }
        let tied = |cx: &PickContext<'_>, i| cx.is_eligible(i) && !least.is_below(self.load(cx, i));
        // Loads move while other threads pick: with nobody left at the least one, the first found will do.
        self.sequence.next_where(cx, tied).or(Some(first))
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Tie {
    Many,
    One,
}

/// Connections in flight for a weight, compared as a fraction.
#[derive(Clone, Copy, Debug)]
struct Load {
    in_flight: u64,
    weight: u64,
}

impl Load {
    fn is_below(self, other: Self) -> bool {
        self.in_flight * other.weight < other.in_flight * self.weight
    }

    fn equals(self, other: Self) -> bool {
        self.in_flight * other.weight == other.in_flight * self.weight
    }
}
