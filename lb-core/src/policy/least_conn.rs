//! Least connections, by weight.
//!
//! The backend with the fewest connections in flight for its weight is picked; ties are broken by smooth weighted
//! round robin among the tied, as in nginx (`ngx_stream_upstream_least_conn_module.c`). Ratios are compared by
//! cross-multiplication, without rounding.
//!
//! Cost: among up to 32 backends, each is read, with nginx's exact order, also of retries and while a server refuses. Above
//! that O(log n): a tree of the least loads ([`Tracking::Least`]) has the least loaded backends. Ties are broken by the turn
//! of the weighted round robin while the tied backends have a sixteenth of the weight, else by a draw among them; the shares
//! are the same. 80 bytes a backend.
//!
//! Not where many threads pick at high rates, because all of them write to the top of the tree
//! ([`P2c`](crate::policy::P2c) comes close and shares nothing), and not for short connections, which all tie at zero.

use std::num::NonZeroU64;

use crate::pick::context::PickContext;
use crate::policy::parts::least::{Equal, least};
use crate::policy::parts::sequence::Sequence;
use crate::policy::{Picker, Policy, Tracking};
use crate::state::index_position::TierIndex;
use crate::tiers::tier::{BackendIndex, Tier};

/// Fewest connections in flight for its weight.
#[doc(alias = "leastconn", alias = "least_request", alias = "wlc")]
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct LeastConn;

impl LeastConn {
    /// The policy; it has no settings.
    pub const fn new() -> Self {
        Self
    }
}

impl Policy for LeastConn {
    fn name(&self) -> &'static str {
        "least_conn"
    }

    fn tracking(&self, tier: &Tier) -> Tracking {
        if tier.len().get() <= FEW {
            Tracking::Nothing
        } else {
            Tracking::Least
        }
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        let len = tier.len().get();
        if len <= FEW {
            return Box::new(AmongFew { len });
        }
        Box::new(AmongMany {
            len,
            turns: Sequence::new(tier.weights()),
            weight: tier.weights().map(|weight| u64::from(weight.get())).sum(),
        })
    }
}

/// Reading so many backends costs no more than the tree.
const FEW: u32 = 32;

/// How many turns may fall to backends that are not among the least loaded, which have a sixteenth of the weight at least.
const TURNS: u32 = 64;

#[derive(Debug)]
struct AmongFew {
    len: u32,
}

impl Picker for AmongFew {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        least::<Equal>(cx, self.len, |cx, i| cx.in_flight(i).into())
    }
}

#[derive(Debug)]
struct AmongMany {
    len: u32,
    turns: Sequence,
    /// Of all.
    weight: u64,
}

impl Picker for AmongMany {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        let found = cx.load_index().and_then(|index| self.look_up(cx, index));
        // Where the tree finds no backend to pick, this connection has tried the least loaded ones, or they are in slow
        // start.
        found.or_else(|| self.read_all(cx))
    }
}

impl AmongMany {
    /// Out of line: the tree finds a backend for nearly every pick.
    #[cold]
    #[inline(never)]
    fn read_all(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        least::<Equal>(cx, self.len, |cx, i| cx.in_flight(i).into())
    }

    fn look_up(&self, cx: &mut PickContext<'_>, index: &TierIndex) -> Option<BackendIndex> {
        // Read before the index is: a change from here on has a later generation, so the index restores the backends that
        // this pick excludes.
        let generation = cx.generation();
        index.restore(generation, cx.now());
        // A backend that is not healthy is excluded when it is found, and the next is searched.
        for _ in 0..TURNS {
            let (load, weight) = index.least()?;
            if weight * 16 >= self.weight
                && let Some(i) = self.whose_turn(cx, index, load, generation)
            {
                return Some(i);
            }
            let at = cx.draw(NonZeroU64::new(weight)?);
            let i = BackendIndex::new(index.find(load, at)?);
            if cx.takes_turn(i) {
                return Some(i);
            }
            cx.exclude(i, generation);
        }
        None
    }

    /// The next in the order of the round robin among those with the least load.
    fn whose_turn(
        &self,
        cx: &mut PickContext<'_>,
        index: &TierIndex,
        load: u64,
        generation: u64,
    ) -> Option<BackendIndex> {
        for _ in 0..TURNS {
            let turn = cx.ticket();
            let i = self.turns.turn(turn);
            if index.load(i.get()) <= load {
                if cx.takes_turn_number(i, turn) {
                    return Some(i);
                }
                cx.exclude(i, generation);
            }
        }
        None
    }
}
