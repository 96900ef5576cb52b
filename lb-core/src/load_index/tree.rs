//! A tree of minima.
//!
//! Each leaf has the load of one backend, and above every [`FAN`] nodes one node has the least of their loads and the
//! weight of the backends that have it. So an update and a search for the least take log16 n steps of sixteen reads.

use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

/// Children of a node: 128 bytes of loads, two cache lines. The loom models have smaller trees.
const FAN: usize = if cfg!(loom) { 2 } else { 16 };

/// The load of a backend that takes no connections.
pub(crate) const EXCLUDED: u64 = u64::MAX;

#[derive(Debug)]
pub(super) struct MinTree {
    /// From the leaves up; the last has at most [`FAN`] nodes.
    levels: Box<[TreeLevel]>,
}

/// The nodes of one level.
#[derive(Debug)]
struct TreeLevel {
    /// The least load below each node.
    loads: Box<[AtomicU64]>,
    /// The weight of the leaves that have it. That of a leaf never changes.
    weights: Box<[AtomicU32]>,
}

impl MinTree {
    /// A tree with a leaf for each of `weights`, all excluded.
    pub(super) fn new(weights: impl ExactSizeIterator<Item = u32>) -> Self {
        let leaves = TreeLevel::new(weights.len());
        for (leaf, weight) in leaves.weights.iter().zip(weights) {
            leaf.store(weight, SeqCst);
        }
        let mut levels = vec![leaves];
        while let Some(top) = levels.last()
            && top.loads.len() > FAN
        {
            levels.push(TreeLevel::new(top.loads.len() / FAN));
        }
        Self {
            levels: levels.into(),
        }
    }

    /// Stores the load of a leaf, and updates the nodes above.
    pub(super) fn set(&self, leaf: usize, load: u64) {
        self.set_leaf(leaf, load);
        let mut node = leaf;
        for (level, children) in self.levels[1..].iter().zip(&self.levels) {
            node /= FAN;
            level.update(node, children);
        }
    }

    /// Stores the load of a leaf. [`update_all`](Self::update_all) has to follow.
    pub(super) fn set_leaf(&self, leaf: usize, load: u64) {
        self.levels[0].loads[leaf].store(load, SeqCst);
    }

    /// Updates all nodes above the leaves.
    pub(super) fn update_all(&self) {
        for (level, children) in self.levels[1..].iter().zip(&self.levels) {
            for node in 0..children.loads.len() / FAN {
                level.update(node, children);
            }
        }
    }

    /// The least load, and the weight of the leaves that have it. `None` if all are excluded.
    pub(super) fn least(&self) -> Option<(u64, u64)> {
        let top = self.levels.last()?;
        let mut least = (EXCLUDED, 0);
        for (load, weight) in top.nodes(0..top.loads.len()) {
            least = merged(least, (load, weight.into()));
        }
        (least.0 != EXCLUDED).then_some(least)
    }

    /// The load of a leaf.
    pub(super) fn load(&self, leaf: u32) -> u64 {
        let leaves = self.levels.first();
        let load = leaves.and_then(|leaves| leaves.loads.get(leaf as usize));
        load.map_or(EXCLUDED, |load| load.load(SeqCst))
    }

    /// One of the leaves with the load `load`. With `at` drawn evenly below the weight that has it, each is found with a
    /// chance in proportion to its weight.
    pub(super) fn find(&self, load: u64, mut at: u64) -> Option<u32> {
        let mut first = 0;
        let mut found = None;
        for level in self.levels.iter().rev() {
            found = None;
            let end = level.loads.len().min(first + FAN);
            for (i, (least, weight)) in (first..).zip(level.nodes(first..end)) {
                if least != load {
                    continue;
                }
                found = Some(i);
                match at.checked_sub(weight.into()) {
                    Some(rest) => at = rest,
                    None => break,
                }
            }
            first = found? * FAN;
        }
        found.map(|leaf| leaf as u32)
    }
}

impl TreeLevel {
    /// At least `nodes`, in whole groups of [`FAN`].
    fn new(nodes: usize) -> Self {
        let nodes = nodes.next_multiple_of(FAN);
        Self {
            loads: (0..nodes).map(|_| AtomicU64::new(EXCLUDED)).collect(),
            weights: (0..nodes).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    fn nodes(&self, range: std::ops::Range<usize>) -> impl Iterator<Item = (u64, u32)> {
        let weights = &self.weights[range.clone()];
        self.loads[range]
            .iter()
            .zip(weights)
            .map(|(load, weight)| (load.load(SeqCst), weight.load(SeqCst)))
    }

    /// The least load of the group of nodes from `first` on.
    fn least(&self, first: usize) -> (u64, u32) {
        let merge =
            |least: (u64, u64), (load, weight): (u64, u32)| merged(least, (load, weight.into()));
        let (load, weight) = self.nodes(first..first + FAN).fold((EXCLUDED, 0), merge);
        (load, u32::try_from(weight).unwrap_or(u32::MAX))
    }

    /// Stores the least load of a node's children, until it is still that after it was stored.
    fn update(&self, node: usize, children: &Self) {
        let first = node * FAN;
        loop {
            let least = children.least(first);
            self.set(node, least);
            if children.least(first) == least {
                return;
            }
        }
    }

    /// Stores what differs. A store costs as much as some twenty loads, and it takes the cache line from the other threads. With
    /// sequential consistency a load that finds the value has the effect of a store of it.
    fn set(&self, node: usize, (load, weight): (u64, u32)) {
        if self.weights[node].load(SeqCst) != weight {
            self.weights[node].store(weight, SeqCst);
        }
        if self.loads[node].load(SeqCst) != load {
            self.loads[node].store(load, SeqCst);
        }
    }
}

fn merged(one: (u64, u64), other: (u64, u64)) -> (u64, u64) {
    match one.0.cmp(&other.0) {
        std::cmp::Ordering::Less => one,
        std::cmp::Ordering::Equal => (one.0, one.1 + other.1),
        std::cmp::Ordering::Greater => other,
    }
}
