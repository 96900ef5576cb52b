//! A split of connections by weight.

use std::num::NonZeroU64;

use crate::policy::parts::sequence::order::Order;
use crate::rng::Rng;
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The most weights that count in a [`WeightedSplit`].
const MAX_WEIGHTS: usize = 1 << 16;

/// Gives connections to numbered targets in turns, each as often as its weight says.
///
/// Over a lap (the sum of the weights, divided by their greatest common divisor) every target has exactly its share of
/// turns. The order is that of [`WeightedRoundRobin`](crate::policy::WeightedRoundRobin): nginx's smooth one for laps of at
/// most 4096 turns, so that weights 70 and 30 have each ten turns in a row split 7 to 3; longer laps are as exact, and
/// spread by a golden-ratio step. Unlike a [`Balancer`](crate::Balancer) a split passes over no target: what happens to the
/// turn of a target that cannot serve is the caller's choice, for example to refuse the connection.
///
/// A choice takes no lock, allocates nothing, and costs one atomic addition and O(1), for a long lap O(log n). Threads
/// may choose at the same time.
///
/// ```
/// use lb_core::{SplitMix64, WeightedSplit};
///
/// let split = WeightedSplit::new([70, 30, 0], &mut SplitMix64::new(1));
/// let mut chosen = [0; 3];
/// for _ in 0..500 {
///     chosen[split.choose().unwrap()] += 1;
/// }
/// assert_eq!(chosen, [350, 150, 0]);
/// ```
#[doc(alias = "weighted_clusters")]
#[doc(alias = "split_clients")]
#[derive(Debug)]
pub struct WeightedSplit {
    /// `None` if all weights are 0.
    order: Option<Order>,
    /// The target of each index in the order, which has no targets of weight 0.
    targets: Box<[u32]>,
    next: AtomicU64,
}

impl WeightedSplit {
    /// A split among as many targets as there are weights. A target of weight 0 has no turn.
    ///
    /// `rng` draws the turn that is the first, so that replicas with equal weights do not begin with the same target. Of more
    /// than 65536 weights, the others count as 0. Compiling costs up to 4096 steps for each target.
    ///
    /// # Panics
    ///
    /// If `rng` panics.
    pub fn new(weights: impl IntoIterator<Item = u32>, rng: &mut dyn Rng) -> Self {
        let weights = (0..).zip(weights).take(MAX_WEIGHTS);
        let (targets, weights): (Vec<u32>, Vec<u64>) = weights
            .filter(|(_, weight)| *weight > 0)
            .map(|(target, weight)| (target, u64::from(weight)))
            .unzip();
        let order = (!weights.is_empty()).then(|| Order::by_weights(weights));
        let lap = order
            .as_ref()
            .and_then(|order| NonZeroU64::new(order.lap()));
        let first = lap.map_or(0, |lap| rng.below(lap));
        Self {
            order,
            targets: targets.into(),
            next: AtomicU64::new(first),
        }
    }

    /// The target of the next turn, by its place among the weights. `None` if all weights are 0.
    pub fn choose(&self) -> Option<usize> {
        let order = self.order.as_ref()?;
        // The counter orders no other memory.
        let turn = self.next.fetch_add(1, Relaxed);
        Some(self.target(order, turn))
    }

    /// What [`choose`](Self::choose) returns next, if no other thread chooses meanwhile. It takes no turn.
    pub fn peek(&self) -> Option<usize> {
        let order = self.order.as_ref()?;
        Some(self.target(order, self.next.load(Relaxed)))
    }

    /// How many turns there are before the order repeats. 0 if all weights are 0.
    pub fn lap(&self) -> u64 {
        self.order.as_ref().map_or(0, Order::lap)
    }

    fn target(&self, order: &Order, turn: u64) -> usize {
        self.targets[order.index_of(turn) as usize] as usize
    }
}

#[cfg(test)]
mod tests;
