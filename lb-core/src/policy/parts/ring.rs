//! Points on a circle of 32-bit hashes, each with an owner.

mod edit;

pub(crate) use edit::RingEdit;

use crate::policy::parts::indices::Indices;
use crate::tiers::tier::BackendIndex;

/// Up to this many points, each has an arc of its own on average.
const FEW_POINTS: usize = 1 << 14;
/// The fewest arcs of a larger ring: then the number of the arc is the upper half of a hash, or more of it.
const MANY_ARCS: usize = 1 << 16;
/// How many points share an arc in the largest rings, so that the arcs stay in a cache: a few steps from point to point
/// cost less than another cache miss.
const SHARERS: usize = 8;

/// Sorted points, and for each of many equal arcs the first point at or after its start: a look-up costs two reads,
/// because the points of an arc are adjacent.
#[derive(Debug)]
pub(crate) struct Ring {
    points: Points,
    /// The first point in or after every arc, and the end of the last arc.
    starts: Indices,
    /// How far to shift a hash to get the number of its arc.
    shift: u32,
    /// Points at the hash of another one with a lower owner, sorted: they count once that one has gone.
    shadowed: Box<[u64]>,
}

/// After the last point is one more at the highest hash, with the owner of the first. So a search never runs past the
/// end.
#[derive(Debug)]
enum Points {
    /// The hash in the upper half, the owner in the lower.
    Wide(Box<[u64]>),
    /// The same with the lower 16 bits of both, where the arc gives the upper bits and owners have no more bits.
    Narrow(Box<[u32]>),
}

impl Ring {
    /// Sorts `points`, of which there is at least one and at most 2^32 - 2. Of several with one hash the lowest owner
    /// keeps it.
    pub(crate) fn new(points: Vec<u64>) -> Self {
        Self::with_owners(points, BackendIndex::new)
    }

    /// The same, with `owners(k)` in the place of owner k once the points are sorted.
    pub(crate) fn with_owners(mut points: Vec<u64>, owners: impl Fn(u32) -> BackendIndex) -> Self {
        points.sort_unstable();
        let mut shadowed = Vec::new();
        points.dedup_by(|later, kept| {
            let is_shadowed = hash_of(*later) == hash_of(*kept);
            if is_shadowed && later != kept {
                shadowed.push(*later);
            }
            is_shadowed
        });
        shadowed.dedup();
        for point in points.iter_mut().chain(&mut shadowed) {
            *point = Self::point(hash_of(*point), owners(*point as u32).get());
        }
        let shift = shift_of(points.len());
        let arcs = 1 << (32 - shift);
        let mut starts = Vec::with_capacity(arcs + 1);
        for (at, &point) in (0..).zip(&points) {
            let arc = u64::from(hash_of(point)) >> shift;
            while starts.len() as u64 <= arc {
                starts.push(at);
            }
        }
        starts.resize(arcs + 1, points.len() as u32);
        let first = points.first().map_or(0, |&first| first as u32);
        points.push(Self::point(u32::MAX, first));
        Self {
            points: Points::new(points, shift),
            starts: Indices::new(starts),
            shift,
            shadowed: shadowed.into(),
        }
    }

    /// A point at `hash` that `owner` has.
    pub(crate) fn point(hash: u32, owner: u32) -> u64 {
        u64::from(hash) << 32 | u64::from(owner)
    }

    /// The owner of the first point at or after `hash`.
    #[inline]
    pub(crate) fn owner(&self, hash: u32) -> BackendIndex {
        self.points.owner(self.first_from(hash))
    }

    /// The owners of all points from `hash` on, once around.
    pub(crate) fn owners_from(&self, hash: u32) -> impl Iterator<Item = BackendIndex> {
        let first = self.first_from(hash);
        (first..self.len())
            .chain(0..first)
            .map(|at| self.points.owner(at))
    }

    /// Every point in order as its hash and its owner.
    pub(crate) fn points(&self) -> impl Iterator<Item = (u32, u32)> {
        let ends = self.starts.iter().skip(1);
        let arcs = self.starts.iter().zip(ends).zip(0_u64..);
        arcs.flat_map(move |((start, end), number)| {
            let begin = (number << self.shift) as u32;
            let points = start as usize..end as usize;
            points.map(move |at| (begin | self.points.hash(at), self.points.owner(at).get()))
        })
    }

    /// How many points there are.
    pub(crate) fn len(&self) -> usize {
        self.starts.get(self.starts.len() - 1) as usize
    }

    #[inline]
    fn first_from(&self, hash: u32) -> usize {
        let arc = (u64::from(hash) >> self.shift) as usize;
        let mut at = self.starts.get(arc) as usize;
        match &self.points {
            Points::Wide(points) => {
                let hash_alone = Self::point(hash, 0);
                let is_before = |at: usize| points[at] < hash_alone;
                // Mostly at most two points of the arc are before the hash, and two steps without a branch cannot be
                // mispredicted.
                at += usize::from(is_before(at));
                at += usize::from(is_before(at));
                while is_before(at) {
                    at += 1;
                }
                at
            }
            Points::Narrow(points) => {
                let points = &points[at..self.starts.get(arc + 1) as usize];
                let hash_alone = hash << 16;
                // Reads all of them, which are few: so no branch can be mispredicted.
                at + points.iter().filter(|&&point| point < hash_alone).count()
            }
        }
    }
}

impl Points {
    /// The sorted `points` of a ring. Its arcs are numbered by hashes shifted by `shift`.
    fn new(points: Vec<u64>, shift: u32) -> Self {
        let is_narrow = shift <= 16 && points.iter().all(|&point| point as u32 <= u16::MAX.into());
        if is_narrow {
            let narrow = |&point: &u64| hash_of(point) << 16 | point as u32;
            Self::Narrow(points.iter().map(narrow).collect())
        } else {
            Self::Wide(points.into())
        }
    }

    #[inline]
    fn owner(&self, at: usize) -> BackendIndex {
        BackendIndex::new(match self {
            Self::Wide(points) => points[at] as u32,
            Self::Narrow(points) => u32::from(points[at] as u16),
        })
    }

    /// The stored bits of the hash of the point at `at`: all, or the lower 16.
    fn hash(&self, at: usize) -> u32 {
        match self {
            Self::Wide(points) => hash_of(points[at]),
            Self::Narrow(points) => points[at] >> 16,
        }
    }
}

const fn hash_of(point: u64) -> u32 {
    (point >> 32) as u32
}

/// How far to shift a hash to get the number of its arc, in a ring of `points` points.
const fn shift_of(points: usize) -> u32 {
    let arcs = if points <= FEW_POINTS {
        points
    } else if points / SHARERS > MANY_ARCS {
        points / SHARERS
    } else {
        MANY_ARCS
    };
    32 - arcs.next_power_of_two().trailing_zeros()
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
        #[cfg_attr(miri, ignore = "arithmetic alone: Miri is slow and finds nothing there")]
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
    #[cfg_attr(
        miri,
        ignore = "arithmetic alone: Miri is slow and finds nothing there"
    )]
    fn large_rings_find_what_a_linear_search_finds() {
        for (n, owners, is_narrow) in [
            (16_000, 10, false),
            (20_000, 10_000, true),
            (700_000, 65_536, true),
            (700_000, 65_537, false),
        ] {
            let points: Vec<(u32, u32)> = (0..n)
                .map(|i| (mix(i) as u32, (i % owners) as u32))
                .collect();
            let ring = ring(&points);
            assert_eq!(matches!(ring.points, Points::Narrow(_)), is_narrow);
            let mut sorted = points.clone();
            sorted.sort_unstable();
            sorted.dedup_by_key(|point| point.0);
            assert!(ring.points().eq(sorted.iter().copied()));
            let edges = [0, 1 << 16, (7 << 16) - 1, u32::MAX];
            for hash in (0..200).map(|i| mix(i << 32 | 7) as u32).chain(edges) {
                assert_eq!(Some(ring.owner(hash)), owner(&points, hash), "{hash}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// Hashes of 18 bits, so that many points collide, in a ring that is large enough to be edited.
        #[test]
        #[cfg_attr(miri, ignore = "arithmetic alone: Miri is slow and finds nothing there")]
        fn an_edited_ring_is_the_one_of_its_points(
            seed in any::<u64>(),
            gone in proptest::collection::btree_set(0..300_u32, 0..5),
            new in 0..5_u32,
            permutes in any::<bool>(),
        ) {
            let hash_of = |owner: u32, i: u32| mix(seed ^ u64::from(owner) << 32 ^ u64::from(i)) as u32;
            let points_of = |owner: u32, name: u32| {
                (0..100).map(move |i| (hash_of(owner, i) & 0xffff_c000 | hash_of(owner, i) & 0xf, name))
            };
            let former: Vec<(u32, u32)> = (0..300).flat_map(|owner| points_of(owner, owner)).collect();
            let renamed: Vec<u32> = (0..300).map(|owner| if permutes { 299 - owner } else { owner }).collect();
            let stay = (0..300).filter(|owner| !gone.contains(owner));
            let stay = stay.flat_map(|owner| points_of(owner, renamed[owner as usize]));
            let come = (300..300 + new).flat_map(|owner| points_of(owner, owner));
            let after: Vec<(u32, u32)> = stay.chain(come.clone()).collect();
            let point = |(hash, owner)| Ring::point(hash, owner);
            let edit = RingEdit {
                gone: gone.iter().flat_map(|&owner| points_of(owner, owner)).map(point).collect(),
                new: come.map(point).collect(),
                renamed: permutes.then_some(renamed),
            };
            let (edited, expected) = (ring(&former).edit(edit).unwrap(), ring(&after));
            prop_assert!(edited.points().eq(expected.points()));
            prop_assert_eq!(&edited.shadowed, &expected.shadowed);
            for hash in after.iter().flat_map(|point| [point.0, point.0.wrapping_add(1)]) {
                prop_assert_eq!(edited.owner(hash), expected.owner(hash));
            }
        }
    }

    #[test]
    #[cfg_attr(
        miri,
        ignore = "arithmetic alone: Miri is slow and finds nothing there"
    )]
    fn owners_can_be_renamed() {
        for n in [100, 30_000] {
            let points: Vec<(u32, u32)> = (0..n).map(|i| (mix(i) as u32, (i % 3) as u32)).collect();
            let original = ring(&points);
            let points = original
                .points()
                .map(|(hash, owner)| Ring::point(hash, owner));
            let renamed = Ring::with_owners(points.collect(), |owner| BackendIndex::new(owner + 7));
            let names = |(hash, owner)| (hash, owner + 7);
            assert!(renamed.points().eq(original.points().map(names)));
        }
    }
}
