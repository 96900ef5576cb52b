//! Smooth weighted round robin.
//!
//! Backends take turns, each as often as its weight says, and the turns of a heavy backend are spread out instead
//! of bunched: weights 5, 1, 1 give `a a b a c a a`. The order is that of nginx
//! (`ngx_stream_upstream_round_robin.c`), compiled once per update into a sequence that picks walk by one atomic
//! counter. Large sums of weights are spread by a golden-ratio step instead: the shares are as exact, the order
//! differs from nginx's (see `parts/sequence`).
//!
//! While a backend is ejected, full, damped or already tried, the others keep shares in proportion to their weights; no
//! neighbour inherits its turns. Among at most 32 backends, with a lap that can be stored, the order is nginx's in that
//! time too: the failed turn and the pick of the retry both count, and a failure damps the weight (`tests/golden` has
//! recordings of nginx 1.22 and 1.31). Each pick then reads all backends. A thousand undisturbed turns and two laps later the
//! compiled order goes on; an update starts that count again. From there nginx's order may be another one with the same shares. Not nginx's order:
//!
//! - among more backends: a turn is passed over by taking the next one, and a damped backend takes a turn by chance,
//!   because reading all of them for each pick costs too much;
//! - with slow start, which nginx has not;
//! - after a failure without a retry, until the turn of that backend: a failure is not reported to the order;
//! - while threads pick at the same time, as between the workers of nginx.
//!
//! Cost: O(1) a pick while all are eligible, or among many a fair share of the weight; at most 4096 turns and two passes over
//! the backends otherwise. Among few, the pick that begins nginx's order reads up to a lap (at most 4096 turns). So does the
//! one that ends it, which also compares all backends at each turn of the one chosen. If another thread picks
//! meanwhile, nginx's order goes on, and the next attempt to end it is a thousand turns later. Memory: 2 bytes a turn of the sequence (4 for more than 65536 backends), 12 bytes a backend
//! where that would be more than 4096 turns and more than four a backend, none for equal weights.
//!
//! Not for backends of unequal speed or connections of unequal length: it does not see load.

use crate::pick::context::PickContext;
use crate::policy::parts::sequence::Sequence;
use crate::policy::{Picker, Policy};
use crate::tiers::tier::{BackendIndex, Tier};

/// Turns by weight, in nginx's order.
#[doc(alias = "rr", alias = "smooth", alias = "wrr")]
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct WeightedRoundRobin;

impl WeightedRoundRobin {
    /// The policy; it has no settings.
    pub const fn new() -> Self {
        Self
    }
}

impl Policy for WeightedRoundRobin {
    fn name(&self) -> &'static str {
        "weighted_round_robin"
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        Box::new(WeightedRoundRobinPicker {
            sequence: Sequence::new(tier.weights()),
        })
    }
}

#[derive(Debug)]
struct WeightedRoundRobinPicker {
    sequence: Sequence,
}

impl Picker for WeightedRoundRobinPicker {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        self.sequence.next(cx)
    }
}
