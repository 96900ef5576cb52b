//! Draws of an index with a chance in proportion to its weight.

use std::num::{NonZeroU16, NonZeroU64};

use crate::pick::PickContext;
use crate::set::BackendIndex;

/// How many draws may hit a refused backend before one pass over all decides; nginx's number.
const DRAWS: usize = 20;

/// Vose's alias table in integers, so that no share is rounded.
#[derive(Debug)]
pub(crate) struct WeightedIndex {
    len: NonZeroU64,
    /// Empty for equal weights.
    columns: Box<[Column]>,
    /// The height of a column: the sum of all weights.
    height: NonZeroU64,
}

/// Below `own` the column stands for its own index, above for `alias`.
#[derive(Clone, Copy, Debug)]
struct Column {
    own: u64,
    alias: u32,
}

impl WeightedIndex {
    /// The index for `weights`, of which there is at least one.
    pub(crate) fn new(weights: impl ExactSizeIterator<Item = NonZeroU16>) -> Self {
        let weights: Vec<u16> = weights.map(NonZeroU16::get).collect();
        let sum: u64 = weights.iter().map(|&w| u64::from(w)).sum();
        let equal = weights.windows(2).all(|pair| pair[0] == pair[1]);
        Self {
            len: NonZeroU64::new(weights.len() as u64).unwrap_or(NonZeroU64::MIN),
            columns: if equal {
                Box::default()
            } else {
                alias_table(&weights, sum)
            },
            height: NonZeroU64::new(sum).unwrap_or(NonZeroU64::MIN),
        }
    }

    /// Draws an index that `accept` takes, each with a chance in proportion to its weight.
    pub(crate) fn draw_where(
        &self,
        cx: &mut PickContext<'_>,
        accept: impl Fn(&PickContext<'_>, BackendIndex) -> bool,
    ) -> Option<BackendIndex> {
        for _ in 0..DRAWS {
            let i = self.draw(cx);
            if accept(cx, i) {
                return Some(i);
            }
        }
        cx.draw_among(accept)
    }

    /// Draws any index, with a chance in proportion to its weight.
    pub(crate) fn draw(&self, cx: &mut PickContext<'_>) -> BackendIndex {
        let i = cx.draw(self.len) as u32;
        let drawn = match self.columns.get(i as usize) {
            Some(column) if cx.draw(self.height) >= column.own => column.alias,
            _ => i,
        };
        BackendIndex::new(drawn)
    }
}

fn alias_table(weights: &[u16], sum: u64) -> Box<[Column]> {
    // Scaled by n, the weights average to the height of a column.
    let n = weights.len() as u64;
    let mut columns: Box<[Column]> = (0..)
        .zip(weights)
        .map(|(alias, &weight)| Column {
            own: u64::from(weight) * n,
            alias,
        })
        .collect();
    let (mut short, mut tall): (Vec<u32>, Vec<u32>) =
        (0..columns.len() as u32).partition(|&i| columns[i as usize].own < sum);
    while let (Some(low), Some(&high)) = (short.pop(), tall.last()) {
        let missing = sum - columns[low as usize].own;
        columns[low as usize].alias = high;
        columns[high as usize].own -= missing;
        if columns[high as usize].own < sum {
            tall.pop();
            short.push(high);
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn index(weights: &[u16]) -> WeightedIndex {
        let weights: Vec<_> = weights.iter().copied().map(NonZeroU16::new).collect();
        WeightedIndex::new(weights.into_iter().map(Option::unwrap))
    }

    #[test]
    fn equal_weights_need_no_table() {
        assert!(index(&[3; 100]).columns.is_empty());
    }

    proptest! {
        #[test]
        fn the_table_holds_every_weight_exactly(
            weights in proptest::collection::vec(1..=u16::MAX, 1..60),
        ) {
            let index = index(&weights);
            let n = weights.len() as u64;
            let height = index.height.get();
            let mut area = vec![0; weights.len()];
            for (i, column) in index.columns.iter().enumerate() {
                prop_assert!(column.own <= height);
                area[i] += column.own;
                area[column.alias as usize] += height - column.own;
            }
            let expected: Vec<u64> = weights.iter().map(|&w| u64::from(w) * n).collect();
            prop_assert!(index.columns.is_empty() || area == expected);
        }
    }
}
