//! Weighted random.
//!
//! Every pick is drawn by weight, independent of every other: Walker's alias method as Vose simplified it (IEEE
//! Transactions on Software Engineering, 1991), so a draw costs the same for any number of backends. A draw that
//! hits a backend that is not eligible is repeated, which keeps the shares of the others in proportion; after 20 such
//! draws, one pass over the eligible backends decides.
//!
//! Cost: O(1) a pick while a fair share of the weight is eligible, O(n) otherwise; 12 bytes a backend, none for
//! equal weights.
//!
//! Not where an even spread over few connections matters: chance leaves one backend of 10 with nothing after 10
//! picks in most runs.

use crate::pick::context::PickContext;
use crate::policy::parts::alias_table::AliasTable;
use crate::policy::{Picker, Policy};
use crate::tiers::tier::{BackendIndex, Tier};

/// A draw by weight.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct WeightedRandom;

impl WeightedRandom {
    /// The policy; it has no settings.
    pub const fn new() -> Self {
        Self
    }
}

impl Policy for WeightedRandom {
    fn name(&self) -> &'static str {
        "random"
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        Box::new(WeightedRandomPicker {
            index: AliasTable::new(tier.weights()),
        })
    }
}

#[derive(Debug)]
struct WeightedRandomPicker {
    index: AliasTable,
}

impl Picker for WeightedRandomPicker {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        let first = self.index.draw(cx);
        if cx.takes_turn(first) {
            return Some(first);
        }
        self.index.draw_other(cx, None)
    }
}
