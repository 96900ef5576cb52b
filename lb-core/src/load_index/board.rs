//! The loads of all backends of a tier, for policies that must know more than those of two.
//!
//! A tree of minima: a leaf for each backend with its connections in flight for its weight, above every sixteen nodes
//! one with the least of them and the weight that shares it. So the least loaded of n backends is found, and a change is
//! noted, in log16 n steps of sixteen reads.
//!
//! Leases tell the board when they begin and end. What is noted is always worked out anew from the truth, never added
//! to what was noted before, and whoever notes something looks again whether it still holds: so the last one to come
//! leaves a board that is right, whatever the others did in between. A board may lag for the moment that takes, and a
//! new one for a second where a lease ended while its backend, which was on no board, returned; a pick checks what it
//! finds.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::lease::reference::Held;
use crate::state::backend_state::BackendState;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst, fence};
use crate::sync::{Arc, Weak};
use crate::tiers::tier::Tier;
use crate::time::Timestamp;

/// Children of a node: 128 bytes of keys, two cache lines. The models have smaller trees.
const FAN: usize = if cfg!(loom) { 2 } else { 16 };

/// How long after its first pick a board looks at all leases once more.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The key of who takes no connection.
pub(crate) const OUT: u64 = u64::MAX;

/// A board in the hands of its level and of whoever is noting something on it.
pub(crate) type SharedBoard = Arc<Board>;

/// On lines of memory of its own: every pick reads it, and whoever gives a lease back writes to its reference count.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Board {
    members: Box<[Member]>,
    /// Where somebody asks for it: every thread would write to it.
    total: Option<AtomicU64>,
    /// From the leaves up; the last has at most [`FAN`] nodes.
    levels: Box<[Floor]>,
    /// Backends that a pick found ejected are out until this moment, in nanoseconds.
    out_until: AtomicU64,
    /// What was known of the backends' health when they were put out.
    out_generation: AtomicU64,
    /// Nobody has picked yet.
    is_new: AtomicBool,
}

#[derive(Debug)]
struct Member {
    held: Held,
    weight: u32,
    max_conns: Option<NonZeroU32>,
    /// The connections that `total` counts.
    counted: AtomicU32,
}

/// The nodes of one level of the tree.
#[derive(Debug)]
struct Floor {
    /// The least load below each node.
    keys: Box<[AtomicU64]>,
    /// The weight that has it.
    weights: Box<[AtomicU32]>,
}

/// Where the state of a backend notes its leases.
#[derive(Debug)]
pub(crate) struct Place {
    board: Weak<Board>,
    index: u32,
}

impl Place {
    pub(crate) const fn new(board: Weak<Board>, index: u32) -> Self {
        Self { board, index }
    }

    /// The board, while there is one.
    pub(crate) fn board(&self) -> Option<Noted> {
        let board = self.board.upgrade()?;
        let index = self.index as usize;
        (index < board.members.len()).then_some(Noted { board, index })
    }

    /// Whether it is on `board`.
    pub(crate) fn is_on(&self, board: &SharedBoard) -> bool {
        self.board.as_ptr() == SharedBoard::as_ptr(board)
    }

    /// Notes on `board`, where it is, that a lease has begun or ended.
    pub(crate) fn refresh(&self, board: &Board) {
        board.refresh(self.index as usize);
    }
}

/// A backend on a board.
#[derive(Debug)]
pub(crate) struct Noted {
    board: SharedBoard,
    index: usize,
}

impl Noted {
    /// Of the backend.
    pub(crate) fn state(&self) -> &BackendState {
        self.board.members[self.index].held.state()
    }

    pub(crate) fn board(&self) -> &SharedBoard {
        &self.board
    }

    /// Notes that a lease has begun or ended.
    pub(crate) fn refresh(&self) {
        self.board.refresh(self.index);
    }
}

impl Board {
    /// With the total of all, if `counts`.
    pub(crate) fn new(tier: &Tier, counts: bool) -> Self {
        let members: Box<[Member]> = tier
            .slots()
            .iter()
            .map(|slot| Member {
                held: slot.hold(),
                weight: slot.weight().into(),
                max_conns: slot.max_conns(),
                counted: AtomicU32::new(0),
            })
            .collect();
        let mut levels = vec![Floor::new(members.len())];
        while let Some(floor) = levels.last()
            && floor.keys.len() > FAN
        {
            levels.push(Floor::new(floor.keys.len() / FAN));
        }
        Self {
            members,
            total: counts.then(AtomicU64::default),
            levels: levels.into(),
            out_until: AtomicU64::new(u64::MAX),
            out_generation: AtomicU64::new(0),
            is_new: AtomicBool::new(true),
        }
    }

    /// Notes the loads of all. O(n).
    pub(crate) fn refresh_all(&self) {
        let leaves = &self.levels[0];
        for (index, member) in self.members.iter().enumerate() {
            self.settle(member, |key| leaves.put(index, (key, member.weight)));
        }
        for (floor, children) in self.levels[1..].iter().zip(&self.levels) {
            for node in 0..children.keys.len() / FAN {
                floor.sum_up(node, children);
            }
        }
    }

    /// Notes the load of one backend.
    fn refresh(&self, index: usize) {
        if let Some(member) = self.members.get(index) {
            self.settle(member, |key| self.set(index, key));
        }
    }

    /// Notes the load of `member` by `set` until it holds.
    fn settle(&self, member: &Member, set: impl Fn(u64)) {
        let mut noted = None;
        loop {
            // Counts of references are relaxed: without the fence the last to note something could miss a change.
            fence(SeqCst);
            let in_flight = member.held.in_flight();
            if noted == Some(in_flight) {
                return;
            }
            if let Some(total) = &self.total {
                let before = member.counted.swap(in_flight, SeqCst);
                let more = u64::from(in_flight).wrapping_sub(before.into());
                total.fetch_add(more, SeqCst);
            }
            set(member.key(in_flight));
            noted = Some(in_flight);
        }
    }

    /// Connections in flight of the whole tier; 0 on a board that does not count them.
    pub(crate) fn total(&self) -> u64 {
        self.total.as_ref().map_or(0, |total| total.load(SeqCst))
    }

    /// The least load, and the weight of those who have it. `None` if nobody takes connections.
    pub(crate) fn least(&self) -> Option<(u64, u64)> {
        let top = self.levels.last()?;
        let mut least = (OUT, 0);
        for (key, weight) in top.nodes(0..top.keys.len()) {
            least = merged(least, (key, weight.into()));
        }
        (least.0 != OUT).then_some(least)
    }

    /// The load of one backend.
    pub(crate) fn load(&self, index: u32) -> u64 {
        let leaf = self
            .levels
            .first()
            .and_then(|floor| floor.keys.get(index as usize));
        leaf.map_or(OUT, |key| key.load(SeqCst))
    }

    /// One of those with the load `key`: with `at` evenly between 0 and the weight that has it, each in proportion to
    /// its weight.
    pub(crate) fn find(&self, key: u64, mut at: u64) -> Option<u32> {
        let mut first = 0;
        let mut found = None;
        for floor in self.levels.iter().rev() {
            found = None;
            let end = floor.keys.len().min(first + FAN);
            for (i, (least, weight)) in (first..).zip(floor.nodes(first..end)) {
                if least != key {
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

    /// Takes a backend out that was found ejected until `until`, or unhealthy; `generation` is what is known of all
    /// backends' health.
    pub(crate) fn put_out(&self, index: u32, until: Option<Timestamp>, generation: u64) {
        self.set(index as usize, OUT);
        // Noted afterwards: somebody who takes others in meanwhile wipes this note out only with what it is about.
        if let Some(until) = until {
            self.out_until.fetch_min(until.as_nanos(), SeqCst);
        }
        // The least: what others have heard of since is news to this one.
        self.out_generation.fetch_min(generation, SeqCst);
    }

    /// Takes those in again who were put out, if one of them may be back. O(n) then. Once it looks at all without a
    /// reason: a lease that was ending while its backend returned may not have found the board.
    pub(crate) fn take_in(&self, generation: u64, now: Timestamp) {
        if self.is_new.load(SeqCst) && self.is_new.swap(false, SeqCst) {
            let look = now.saturating_add(LOOK_AGAIN);
            self.out_until.fetch_min(look.as_nanos(), SeqCst);
        }
        let over = now.as_nanos() >= self.out_until.load(SeqCst);
        if over || self.out_generation.load(SeqCst) != generation {
            // Exchanged, not stored: whoever wipes a note sees what it is about.
            self.out_until.swap(u64::MAX, SeqCst);
            self.out_generation.swap(generation, SeqCst);
            self.refresh_all();
        }
    }

    fn set(&self, leaf: usize, key: u64) {
        let Some(weight) = self.members.get(leaf).map(|member| member.weight) else {
            return;
        };
        self.levels[0].put(leaf, (key, weight));
        let mut node = leaf;
        for (floor, children) in self.levels[1..].iter().zip(&self.levels) {
            node /= FAN;
            floor.sum_up(node, children);
        }
    }
}

impl Member {
    /// Connections for weight as a number that orders as the fractions do, and is equal where they are: two that
    /// differ do so by 2^-32 at least, weights being below 2^16.
    fn key(&self, in_flight: u32) -> u64 {
        if self.max_conns.is_some_and(|max| in_flight >= max.get()) {
            return OUT;
        }
        (u64::from(in_flight.min(1 << 30)) << 33) / u64::from(self.weight.max(1))
    }
}

impl Floor {
    /// At least `nodes`, in whole groups.
    fn new(nodes: usize) -> Self {
        let nodes = nodes.next_multiple_of(FAN);
        Self {
            keys: (0..nodes).map(|_| AtomicU64::new(OUT)).collect(),
            weights: (0..nodes).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    fn nodes(&self, range: std::ops::Range<usize>) -> impl Iterator<Item = (u64, u32)> {
        let weights = &self.weights[range.clone()];
        self.keys[range]
            .iter()
            .zip(weights)
            .map(|(key, weight)| (key.load(SeqCst), weight.load(SeqCst)))
    }

    fn least(&self, first: usize) -> (u64, u32) {
        let merge =
            |least: (u64, u64), (key, weight): (u64, u32)| merged(least, (key, weight.into()));
        let (key, weight) = self.nodes(first..first + FAN).fold((OUT, 0), merge);
        (key, u32::try_from(weight).unwrap_or(u32::MAX))
    }

    /// Notes the least of a node's children until it holds.
    fn sum_up(&self, node: usize, children: &Self) {
        let first = node * FAN;
        loop {
            let least = children.least(first);
            self.put(node, least);
            if children.least(first) == least {
                return;
            }
        }
    }

    fn put(&self, node: usize, (key, weight): (u64, u32)) {
        self.weights[node].store(weight, SeqCst);
        self.keys[node].store(key, SeqCst);
    }
}

fn merged(one: (u64, u64), other: (u64, u64)) -> (u64, u64) {
    match one.0.cmp(&other.0) {
        std::cmp::Ordering::Less => one,
        std::cmp::Ordering::Equal => (one.0, one.1 + other.1),
        std::cmp::Ordering::Greater => other,
    }
}
