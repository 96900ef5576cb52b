//! Points on a circle of 32-bit hashes, each with an owner.

use crate::tier::BackendIndex;

/// Sorted points, and for each of as many equal arcs the first point in it: a look-up costs two reads and a search
/// within one arc, which has one point on average.
#[derive(Debug)]
pub(crate) struct Ring {
    /// The hash in the upper half, the owner in the lower.
    points: Box<[u64]>,
    /// The first point of every arc, and the number of points at the end.
    arcs: Box<[u32]>,
    /// How far to shift a hash to get the number of its arc.
    shift: u32,
}

impl Ring {
    /// Sorts `points` of at most 2^32 - 1. Of several with one hash the lowest owner keeps it.
    pub(crate) fn new(mut points: Vec<u64>) -> Self {
        points.sort_unstable();
        points.dedup_by_key(|point| hash_of(*point));
        let bits = points.len().next_power_of_two().trailing_zeros().min(31);
        let shift = 32 - bits;
        let mut arcs = Vec::with_capacity((1 << bits) + 1);
        for (at, &point) in (0..).zip(&points) {
            let arc = u64::from(hash_of(point)) >> shift;
            while arcs.len() as u64 <= arc {
                arcs.push(at);
            }
        }
        arcs.resize((1 << bits) + 1, points.len() as u32);
        Self {
            points: points.into(),
            arcs: arcs.into(),
            shift,
        }
    }

    /// The same points, with the owner at `owners[k]` in the place of owner k.
    #[must_use]
    pub(crate) fn with_owners(mut self, owners: &[BackendIndex]) -> Self {
        for point in &mut self.points {
            let owner = owners[*point as u32 as usize];
            *point = Self::point(hash_of(*point), owner.get());
        }
        self
    }

    /// A point at `hash` that `owner` has.
    pub(crate) fn point(hash: u32, owner: u32) -> u64 {
        u64::from(hash) << 32 | u64::from(owner)
    }

    /// The owners of all points from `hash` on, once around.
    pub(crate) fn owners_from(&self, hash: u32) -> impl Iterator<Item = u32> {
        let arc = (u64::from(hash) >> self.shift) as usize;
        let (from, to) = (self.arcs[arc] as usize, self.arcs[arc + 1] as usize);
        let before = self.points[from..to].partition_point(|&point| hash_of(point) < hash);
        let (head, tail) = self.points.split_at(from + before);
        tail.iter().chain(head).map(|&point| point as u32)
    }

    /// Every point in order as its hash and its owner.
    pub(crate) fn points(&self) -> impl Iterator<Item = (u32, u32)> {
        self.points.iter().map(|&p| (hash_of(p), p as u32))
    }
}

const fn hash_of(point: u64) -> u32 {
    (point >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_a_linear_search_finds(
            points in proptest::collection::vec((any::<u32>(), 0..9_u32), 1..300),
            near in any::<bool>(),
            hash in any::<u32>(),
        ) {
            let hash = if near { points[0].0.wrapping_add(hash % 3) } else { hash };
            let ring = Ring::new(points.iter().map(|&(h, o)| Ring::point(h, o)).collect());
            let expected = points
                .iter()
                .filter(|point| point.0 >= hash)
                .min()
                .or_else(|| points.iter().min())
                .map(|point| point.1);
            prop_assert_eq!(ring.owners_from(hash).next(), expected);
            prop_assert_eq!(ring.owners_from(hash).count(), ring.points().count());
        }
    }
}
