//! A ring that differs from another in few points, for the cost of a copy.

use super::{Points, Ring, hash_of, shift_of};
use crate::policy::parts::indices::Indices;

/// The difference between two rings.
#[derive(Debug, Default)]
pub(crate) struct RingEdit {
    /// All points of the owners that go, with their owners in the former ring.
    pub(crate) gone: Vec<u64>,
    /// The points that come, with their owners in the new ring.
    pub(crate) new: Vec<u64>,
    /// By the owner in the former ring that in the new one; `None` if nothing but `gone` and `new` differs. Those of the owners
    /// that go are not read.
    pub(crate) renamed: Option<Vec<u32>>,
}

impl Ring {
    /// The ring after `edit`: the one that [`new`](Self::new) returns for its points. `None` where that one has another layout, and
    /// for small rings.
    pub(crate) fn edit(&self, mut edit: RingEdit) -> Option<Self> {
        let Points::Narrow(points) = &self.points else {
            return None;
        };
        edit.gone.sort_unstable();
        edit.new.sort_unstable();
        let mut copy = Copy::new(self, points, edit);
        for hash in copy.hashes() {
            copy.settle(hash);
        }
        copy.finish()
    }
}

/// A copy of a narrow ring, in the making.
struct Copy<'a> {
    former: &'a Ring,
    source: &'a [u32],
    edit: RingEdit,
    /// How many points of the source are copied or left out.
    at: usize,
    points: Vec<u32>,
    starts: Vec<u32>,
    shadowed: Vec<u64>,
}

impl<'a> Copy<'a> {
    fn new(former: &'a Ring, source: &'a [u32], edit: RingEdit) -> Self {
        Self {
            points: Vec::with_capacity(source.len() + edit.new.len()),
            starts: Vec::with_capacity(former.starts.len()),
            former,
            source,
            edit,
            at: 0,
            shadowed: Vec::new(),
        }
    }

    /// The hashes at which there may be another owner than before, in order. All others are copied.
    fn hashes(&self) -> Vec<u32> {
        let edit = &self.edit;
        let changed = edit
            .gone
            .iter()
            .chain(&edit.new)
            .chain(&self.former.shadowed);
        let mut hashes: Vec<u32> = changed.copied().map(hash_of).collect();
        hashes.sort_unstable();
        hashes.dedup();
        hashes
    }

    /// Copies the points before `hash`, and adds the one at `hash`.
    fn settle(&mut self, hash: u32) {
        let arc = (u64::from(hash) >> self.former.shift) as usize;
        let found = self.former.first_from(hash);
        self.copy_to(found);
        self.start_arcs(arc + 1);
        let in_arc = found < self.former.starts.get(arc + 1) as usize;
        let present = in_arc && self.source[found] >> 16 == hash & 0xffff;
        let present = present.then(|| Ring::point(hash, u32::from(self.source[found] as u16)));
        self.at += usize::from(present.is_some());
        let former = present.into_iter().chain(at(&self.former.shadowed, hash));
        let stay = former.filter(|point| self.edit.gone.binary_search(point).is_err());
        let stay = stay.map(|point| Ring::point(hash, self.edit.renamed(point as u32)));
        let mut owners: Vec<u64> = stay.chain(at(&self.edit.new, hash)).collect();
        owners.sort_unstable();
        owners.dedup();
        if let Some((&first, others)) = owners.split_first() {
            self.points.push(hash << 16 | first as u32);
            self.shadowed.extend(others);
        }
    }

    /// Copies the points in front of number `end` of the source.
    fn copy_to(&mut self, end: usize) {
        let source = &self.source[self.at..end];
        match &self.edit.renamed {
            None => self.points.extend_from_slice(source),
            Some(owners) => {
                let renamed =
                    |&point: &u32| point & 0xffff_0000 | owners[usize::from(point as u16)];
                self.points.extend(source.iter().map(renamed));
            }
        }
        self.at = end;
    }

    /// Adds the starts of the arcs below number `end`: they have moved as the points that are copied last.
    fn start_arcs(&mut self, end: usize) {
        let moved = (self.points.len() as u32).wrapping_sub(self.at as u32);
        let arcs = self.starts.len()..end;
        self.former.starts.copy_moved(arcs, moved, &mut self.starts);
    }

    fn finish(mut self) -> Option<Ring> {
        self.copy_to(self.former.len());
        self.start_arcs(self.former.starts.len());
        let shift = self.former.shift;
        let first = *self.points.first()?;
        if shift_of(self.points.len()) != shift {
            return None;
        }
        self.points.push(0xffff_0000 | first & 0xffff);
        Some(Ring {
            points: Points::Narrow(self.points.into()),
            starts: Indices::new(self.starts),
            shift,
            shadowed: self.shadowed.into(),
        })
    }
}

impl RingEdit {
    fn renamed(&self, owner: u32) -> u32 {
        let renamed = self.renamed.as_ref();
        renamed.map_or(owner, |renamed| renamed[owner as usize])
    }
}

/// Those of the sorted `points` that are at `hash`.
fn at(points: &[u64], hash: u32) -> impl Iterator<Item = u64> {
    let begin = points.partition_point(|&point| hash_of(point) < hash);
    let points = points[begin..].iter().copied();
    points.take_while(move |&point| hash_of(point) == hash)
}
