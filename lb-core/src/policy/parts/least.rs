//! The least loaded backend by weight, found by reading all of them.

use crate::pick::context::PickContext;
use crate::tiers::tier::BackendIndex;

/// Which backends are tied with the best one, where it changes while they are compared by credit. A type rather than a value:
/// each policy has one rule, and its picks are compiled for it.
pub(crate) trait TieRule {
    /// Whether the tied backends are those that equal the best one, whichever takes the lead.
    const IS_FIXED: bool;

    /// What the next backends must equal after the one with the load `found` took the lead among those that equal `best`.
    fn after_lead(best: LoadRatio, found: LoadRatio) -> LoadRatio;
}

/// Those of the same amount for their weight.
pub(crate) enum Equal {}

/// As in nginx's `least_time`: the amount of the first best backend for the weight of the best one so far. It passes over
/// some of the tied ones if weights differ.
pub(crate) enum OfFirstAmount {}

impl TieRule for Equal {
    const IS_FIXED: bool = true;

    #[inline]
    fn after_lead(best: LoadRatio, _found: LoadRatio) -> LoadRatio {
        best
    }
}

impl TieRule for OfFirstAmount {
    const IS_FIXED: bool = false;

    #[inline]
    fn after_lead(best: LoadRatio, found: LoadRatio) -> LoadRatio {
        LoadRatio {
            amount: best.amount,
            weight: found.weight,
        }
    }
}

/// The eligible one of `n` backends with the least `amount` for its weight; amounts are below 2^48. Ratios are compared by
/// cross-multiplication, without rounding.
///
/// Ties are broken by smooth weighted round robin among the tied backends, as in nginx: each gains its effective weight,
/// the one with the highest credit is chosen and pays the sum. Credits are kept with the backends, and change only in ties.
pub(crate) fn least<R: TieRule>(
    cx: &mut PickContext<'_>,
    n: u32,
    amount: impl Fn(&PickContext<'_>, BackendIndex) -> u64,
) -> Option<BackendIndex> {
    let load = |cx: &PickContext<'_>, i| LoadRatio {
        amount: amount(cx, i),
        weight: cx.weight(i).into(),
    };
    let mut least: Option<(LoadRatio, BackendIndex)> = None;
    let mut tie = false;
    // A bit for each of the first 64 backends that is tied with the best one.
    let mut tied = 0_u64;
    for i in (0..n).map(BackendIndex::new) {
        // A backend in slow start that no draw lets take the turn may still be the only one: see below.
        if !cx.takes_turn(i) {
            continue;
        }
        let found = load(cx, i);
        match least {
            Some((best, _)) if best.is_below(found) => {}
            Some((best, _)) if found.equals(best) => {
                tie = true;
                tied |= bit(i);
            }
            _ => (least, tie, tied) = (Some((found, i)), false, bit(i)),
        }
    }
    let Some((mut best, first)) = least else {
        return cx.draw_among(PickContext::is_eligible);
    };
    if !tie {
        return Some(first);
    }
    if R::IS_FIXED && n <= u64::BITS {
        return Some(next_of(cx, tied, first));
    }
    let mut best_credit = None;
    let mut sum = 0;
    for i in (first.get()..n).map(BackendIndex::new) {
        let found = load(cx, i);
        if !found.equals(best) || !cx.takes_turn(i) {
            continue;
        }
        let weight = cx.take_weight(i);
        let credit = cx.credit(i, weight);
        sum += weight;
        if best_credit.is_none_or(|(most, _)| credit > most) {
            best_credit = Some((credit, i));
            best = R::after_lead(best, found);
        }
    }
    // Loads change while other threads pick. If no backend has the least load any more, the first found is returned.
    let chosen = best_credit.map_or(first, |(_, i)| i);
    cx.credit(chosen, -sum);
    Some(chosen)
}

/// The next of the backends in `tied` by smooth weighted round robin.
fn next_of(cx: &PickContext<'_>, mut tied: u64, first: BackendIndex) -> BackendIndex {
    let mut best: Option<(i64, BackendIndex)> = None;
    let mut sum = 0;
    while tied != 0 {
        let i = BackendIndex::new(tied.trailing_zeros());
        tied &= tied - 1;
        let weight = cx.take_weight(i);
        let credit = cx.credit(i, weight);
        sum += weight;
        if best.is_none_or(|(most, _)| credit > most) {
            best = Some((credit, i));
        }
    }
    let chosen = best.map_or(first, |(_, i)| i);
    cx.credit(chosen, -sum);
    chosen
}

/// The bit of backend `i` in a word; 0 if it has none.
fn bit(i: BackendIndex) -> u64 {
    1_u64.checked_shl(i.get()).unwrap_or(0)
}

/// An amount for a weight, compared as a fraction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadRatio {
    amount: u64,
    weight: u64,
}

impl LoadRatio {
    fn is_below(self, other: Self) -> bool {
        self.amount * other.weight < other.amount * self.weight
    }

    fn equals(self, other: Self) -> bool {
        self.amount * other.weight == other.amount * self.weight
    }
}
