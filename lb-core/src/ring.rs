//! Points on a circle of 32-bit hashes, each with an owner.

use crate::tier::BackendIndex;

/// How many arcs a ring has for as many points. Of larger rings every eighth point has one, so that the arcs stay in the
/// cache of a core: a few steps from point to point cost less than another read of what is not.
const FINE_ARCS: usize = 1 << 14;

/// Sorted points, and for each of so many equal arcs the first point at or after its begin: a look-up costs two reads,
/// because the points of an arc lie together.
#[derive(Debug)]
pub(crate) struct Ring {
    /// The hash in the upper half, the owner in the lower. Behind the last is one at the highest hash, which the owner of
    /// the first has: so the way around needs no question.
    points: Box<[u64]>,
    /// The first point of every arc or behind it.
    starts: Box<[u32]>,
    /// How far to shift a hash to get the number of its arc.
    shift: u32,
}

impl Ring {
    /// Sorts `points`, of which there is at least one and at most 2^32 - 2. Of several with one hash the lowest owner
    /// keeps it.
    pub(crate) fn new(mut points: Vec<u64>) -> Self {
        points.sort_unstable();
        points.dedup_by_key(|point| hash_of(*point));
        let arcs = if points.len() > FINE_ARCS {
            points.len() / 8
        } else {
            points.len()
        };
        let bits = arcs.next_power_of_two().trailing_zeros();
        let shift = 32 - bits;
        let mut starts = Vec::with_capacity(1 << bits);
        for (at, &point) in (0..).zip(&points) {
            let arc = u64::from(hash_of(point)) >> shift;
            while starts.len() as u64 <= arc {
                starts.push(at);
            }
        }
        starts.resize(1 << bits, points.len() as u32);
        let first = points.first().map_or(0, |&first| first as u32);
        points.push(Self::point(u32::MAX, first));
        Self {
            points: points.into(),
            starts: starts.into(),
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

    /// The owner of the first point at or after `hash`.
    #[inline]
    pub(crate) fn owner(&self, hash: u32) -> BackendIndex {
        BackendIndex::new(self.points[self.first_from(hash)] as u32)
    }

    /// The owners of all points from `hash` on, once around.
    pub(crate) fn owners_from(&self, hash: u32) -> impl Iterator<Item = BackendIndex> {
        let (head, tail) = self.real().split_at(self.first_from(hash));
        let owner = |&point: &u64| BackendIndex::new(point as u32);
        tail.iter().chain(head).map(owner)
    }

    /// Every point in order as its hash and its owner.
    pub(crate) fn points(&self) -> impl Iterator<Item = (u32, u32)> {
        self.real().iter().map(|&p| (hash_of(p), p as u32))
    }

    fn real(&self) -> &[u64] {
        let (_, real) = self.points.split_last().unwrap_or((&0, &[]));
        real
    }

    #[inline]
    fn first_from(&self, hash: u32) -> usize {
        let hash_alone = Self::point(hash, 0);
        let is_before = |at: usize| self.points[at] < hash_alone;
        let mut at = self.starts[(u64::from(hash) >> self.shift) as usize] as usize;
        // Mostly at most two points of the arc are before the hash, and steps over two need no guess of a branch.
        at += usize::from(is_before(at));
        at += usize::from(is_before(at));
        while is_before(at) {
            at += 1;
        }
        at
    }
}

const fn hash_of(point: u64) -> u32 {
    (point >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::mix;
    use proptest::prelude::*;

    fn ring(points: &[(u32, u32)]) -> Ring {
        Ring::new(points.iter().map(|&(h, o)| Ring::point(h, o)).collect())
    }

    /// Found by a linear search.
    fn owner(points: &[(u32, u32)], hash: u32) -> Option<BackendIndex> {
        let after = points.iter().filter(|point| point.0 >= hash).min();
        let found = after.or_else(|| points.iter().min());
        found.map(|point| BackendIndex::new(point.1))
    }

    proptest! {
        #[test]
        #[cfg_attr(miri, ignore = "arithmetic, of which Miri can say nothing but slowly")]
        fn finds_what_a_linear_search_finds(
            points in proptest::collection::vec((any::<u32>(), 0..9_u32), 1..300),
            near in any::<bool>(),
            hash in any::<u32>(),
        ) {
            let hash = if near { points[0].0.wrapping_add(hash % 3) } else { hash };
            let ring = ring(&points);
            let expected = owner(&points, hash);
            prop_assert_eq!(Some(ring.owner(hash)), expected);
            prop_assert_eq!(ring.owners_from(hash).next(), expected);
            prop_assert_eq!(ring.owners_from(hash).count(), ring.points().count());
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "arithmetic, of which Miri can say nothing but slowly")]
    fn a_large_ring_is_searched_alike() {
        let points: Vec<(u32, u32)> = (0..20_000).map(|i| (mix(i) as u32, i as u32)).collect();
        let ring = ring(&points);
        assert!(ring.starts.len() < points.len() / 4);
        for hash in (0..200)
            .map(|i| mix(i << 32 | 7) as u32)
            .chain([0, u32::MAX])
        {
            assert_eq!(Some(ring.owner(hash)), owner(&points, hash), "{hash}");
        }
    }
}
