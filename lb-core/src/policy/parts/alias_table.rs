//! Draws of an index with a chance in proportion to its weight.

use std::hint::select_unpredictable;
use std::num::{NonZeroU16, NonZeroU64};

use crate::pick::context::PickContext;
use crate::tiers::tier::BackendIndex;

/// After this many draws of refused backends, one pass over all decides; nginx's number.
const DRAWS: usize = 20;

/// Vose's alias table. It is computed in integers; only the heights of its columns are rounded, to 2^-32 of one.
#[derive(Debug)]
pub(crate) struct AliasTable {
    len: NonZeroU64,
    /// Empty for equal weights.
    columns: Box<[Column]>,
}

/// Below `own`, in parts of 2^32, the column stands for its own index, above for `alias`.
#[derive(Clone, Copy, Debug)]
struct Column {
    own: u32,
    alias: u32,
}

impl AliasTable {
    /// The table for `weights`, of which there is at least one.
    pub(crate) fn new(weights: impl ExactSizeIterator<Item = NonZeroU16>) -> Self {
        let weights: Vec<u16> = weights.map(NonZeroU16::get).collect();
        let equal = weights.windows(2).all(|pair| pair[0] == pair[1]);
        Self {
            len: NonZeroU64::new(weights.len() as u64).unwrap_or(NonZeroU64::MIN),
            columns: if equal {
                Box::default()
            } else {
                alias_table(&weights)
            },
        }
    }

    /// Draws an eligible backend other than `except` that takes its turn, each with a chance in proportion to its
    /// weight.
    #[cold]
    pub(crate) fn draw_other(
        &self,
        cx: &mut PickContext<'_>,
        except: Option<BackendIndex>,
    ) -> Option<BackendIndex> {
        if except.is_some() && self.len == NonZeroU64::MIN {
            return None;
        }
        for _ in 0..DRAWS {
            let i = self.draw(cx);
            if Some(i) != except && cx.takes_turn(i) {
                return Some(i);
            }
        }
        cx.draw_among(|cx, i| Some(i) != except && cx.is_eligible(i))
    }

    /// Draws any index, with a chance in proportion to its weight. One draw gives the column and the height in it.
    pub(crate) fn draw(&self, cx: &mut PickContext<'_>) -> BackendIndex {
        self.at(cx.draw_bits())
    }

    /// Draws two indices, independent of each other. Half a draw suffices for each while the table is not so large that the
    /// height would be rounded to more than 2^-16 of a column.
    #[inline]
    pub(crate) fn draw_two(&self, cx: &mut PickContext<'_>) -> [BackendIndex; 2] {
        let bits = cx.draw_bits();
        let both = if self.len.get() <= 1 << 16 {
            [bits >> 32 << 32, bits << 32]
        } else {
            [bits, cx.draw_bits()]
        };
        both.map(|bits| self.at(bits))
    }

    /// The index that `bits` select.
    #[inline]
    fn at(&self, bits: u64) -> BackendIndex {
        let wide = u128::from(bits) * u128::from(self.len.get());
        let i = (wide >> 64) as u32;
        let drawn = self.columns.get(i as usize).map_or(i, |column| {
            select_unpredictable((wide >> 32) as u32 >= column.own, column.alias, i)
        });
        BackendIndex::new(drawn)
    }
}

fn alias_table(weights: &[u16]) -> Box<[Column]> {
    // Scaled by n, the weights average to the height of a column, which is the sum of all.
    let sum: u64 = weights.iter().map(|&w| u64::from(w)).sum();
    let n = weights.len() as u64;
    let mut own: Vec<u64> = weights.iter().map(|&w| u64::from(w) * n).collect();
    let mut alias: Vec<u32> = (0..).take(weights.len()).collect();
    let (mut short, mut tall): (Vec<u32>, Vec<u32>) = (0..)
        .take(weights.len())
        .partition(|&i| own[i as usize] < sum);
    while let (Some(low), Some(&high)) = (short.pop(), tall.last()) {
        alias[low as usize] = high;
        own[high as usize] -= sum - own[low as usize];
        if own[high as usize] < sum {
            tall.pop();
            short.push(high);
        }
    }
    // A full column has itself as alias, because its height is not representable.
    let part = |own: u64| ((u128::from(own) << 32) / u128::from(sum)).min(u32::MAX.into()) as u32;
    let columns = own.into_iter().zip(alias);
    columns
        .map(|(own, alias)| Column {
            own: part(own),
            alias,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn index(weights: &[u16]) -> AliasTable {
        let weights: Vec<_> = weights.iter().copied().map(NonZeroU16::new).collect();
        AliasTable::new(weights.into_iter().map(Option::unwrap))
    }

    #[test]
    fn equal_weights_need_no_table() {
        assert!(index(&[3; 100]).columns.is_empty());
    }

    proptest! {
        #[test]
        #[cfg_attr(miri, ignore = "arithmetic alone: Miri is slow and finds nothing there")]
        fn the_table_holds_every_weight(
            weights in proptest::collection::vec(1..=u16::MAX, 1..60),
        ) {
            let index = index(&weights);
            prop_assume!(!index.columns.is_empty());
            let mut area = vec![0.0; weights.len()];
            for (i, column) in (0_u32..).zip(&index.columns) {
                let own = if column.alias == i { 1.0 } else { f64::from(column.own) / 2_f64.powi(32) };
                area[i as usize] += own;
                area[column.alias as usize] += 1.0 - own;
            }
            let sum: f64 = weights.iter().copied().map(f64::from).sum();
            for (area, &weight) in area.iter().zip(&weights) {
                let share = f64::from(weight) * weights.len() as f64 / sum;
                prop_assert!((area - share).abs() < 1e-8 * weights.len() as f64, "{area} {share}");
            }
        }
    }
}
