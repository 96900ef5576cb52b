//! nginx's `random two least_conn`.
//!
//! Backends are drawn by weight until two distinct eligible ones are found, and the one with fewer connections in
//! flight for its weight is taken; where they are equal, the second. More than 20 draws that hit an ineligible backend
//! or the first one again, and smooth weighted round robin decides
//! (`ngx_stream_upstream_random_module.c`, `ngx_stream_upstream_get_random2_peer`).
//!
//! So idle backends do not get shares by weight: with weights 5, 1, 1 the second draw is most often a light one, and
//! they get 24 %, 38 %, 38 %. [`P2c`](crate::policy::P2c), which differs in the tie alone, gives 5, 1, 1.
//!
//! nginx counts draws over all attempts of one connection; here every attempt has 21 of its own.
//!
//! Cost: O(1) a pick, two loads read; 21 draws and what round robin costs when few backends are eligible or one has
//! nearly all the weight.
//!
//! Not where weights matter and connections are short. It is here for users of nginx's method.

use crate::pick::context::PickContext;
use crate::policy::parts::alias_table::AliasTable;
use crate::policy::parts::sequence::Sequence;
use crate::policy::{Picker, Policy};
use crate::tiers::tier::{BackendIndex, Tier};

/// How many draws nginx makes before it takes turns: more than 20 draws without a second backend end the search, and the
/// draw of the first of the two counts as one of them.
const DRAWS: usize = 21;

/// The less loaded of two draws by weight, as nginx draws and compares.
#[doc(alias = "random two least_conn")]
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct RandomTwo;

impl RandomTwo {
    /// The policy; it has no settings.
    pub const fn new() -> Self {
        Self
    }
}

impl Policy for RandomTwo {
    fn name(&self) -> &'static str {
        "random_two"
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        Box::new(RandomTwoPicker {
            weights: tier.weights().map(|weight| weight.get().into()).collect(),
            index: AliasTable::new(tier.weights()),
            sequence: Sequence::new(tier.weights()),
        })
    }
}

#[derive(Debug)]
struct RandomTwoPicker {
    weights: Box<[u64]>,
    index: AliasTable,
    sequence: Sequence,
}

impl RandomTwoPicker {
    /// Two distinct eligible backends in the order drawn.
    fn two(&self, cx: &mut PickContext<'_>) -> Option<[BackendIndex; 2]> {
        let mut first = None;
        for _ in 0..DRAWS {
            let drawn = self.index.draw(cx);
            if first == Some(drawn) || !cx.takes_turn(drawn) {
                continue;
            }
            match first {
                Some(first) => return Some([first, drawn]),
                None => first = Some(drawn),
            }
        }
        None
    }
}

impl Picker for RandomTwoPicker {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        // A single backend is never two; nginx does not draw either.
        let two = (self.weights.len() > 1).then(|| self.two(cx)).flatten();
        let Some([first, second]) = two else {
            return self.sequence.next(cx);
        };
        let load = |i: BackendIndex, other: BackendIndex| {
            u64::from(cx.in_flight(i)) * self.weights[other.as_usize()]
        };
        Some(if load(second, first) > load(first, second) {
            first
        } else {
            second
        })
    }
}
