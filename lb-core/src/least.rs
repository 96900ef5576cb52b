//! The least loaded of all by weight, for the policies that look at all.

use crate::pick::PickContext;
use crate::sequence::Sequence;
use crate::tier::{BackendIndex, Tier};

/// What a scan of one tier needs.
#[derive(Debug)]
pub(crate) struct Least {
    weights: Box<[u64]>,
    sequence: Sequence,
}

impl Least {
    pub(crate) fn new(tier: &Tier) -> Self {
        Self {
            weights: tier.weights().map(|weight| weight.get().into()).collect(),
            sequence: Sequence::new(tier.weights()),
        }
    }

    /// The eligible backend with the least `amount`, which is below 2^48, for its weight. Ties are broken by smooth
    /// weighted round robin among the tied, as in nginx. Ratios are compared by cross-multiplication, without rounding.
    pub(crate) fn pick(
        &self,
        cx: &mut PickContext<'_>,
        amount: impl Fn(&PickContext<'_>, BackendIndex) -> u64,
    ) -> Option<BackendIndex> {
        let load = |cx: &PickContext<'_>, i: BackendIndex| Load {
            amount: amount(cx, i),
            weight: self.weights[i.as_usize()],
        };
        let (least, first, tie) = self.least(cx, load)?;
        if tie == Tie::One {
            return Some(first);
        }
        let tied = |cx: &PickContext<'_>, i| cx.is_eligible(i) && !least.is_below(load(cx, i));
        // Loads move while other threads pick: with nobody left at the least one, the first found will do.
        self.sequence.next_where(cx, tied).or(Some(first))
    }

    /// The least load among the eligible, who has it, and whether others have it too.
    fn least(
        &self,
        cx: &PickContext<'_>,
        load: impl Fn(&PickContext<'_>, BackendIndex) -> Load,
    ) -> Option<(Load, BackendIndex, Tie)> {
        let mut least = None;
        for i in (0..self.weights.len() as u32).map(BackendIndex::new) {
            if !cx.is_eligible(i) {
                continue;
            }
            let load = load(cx, i);
            least = match least {
                Some((best, first, _)) if load.equals(best) => Some((best, first, Tie::Many)),
                Some(lower) if !load.is_below(lower.0) => Some(lower),
                _ => Some((load, i, Tie::One)),
            };
        }
        least
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Tie {
    Many,
    One,
}

/// An amount for a weight, compared as a fraction.
#[derive(Clone, Copy, Debug)]
struct Load {
    amount: u64,
    weight: u64,
}

impl Load {
    fn is_below(self, other: Self) -> bool {
        self.amount * other.weight < other.amount * self.weight
    }

    fn equals(self, other: Self) -> bool {
        self.amount * other.weight == other.amount * self.weight
    }
}
