//! What one swap publishes: the set, and a tier ready for picking for each priority and zone.

use std::num::NonZeroU64;
use std::sync::Arc;

use crate::config::BalancerConfig;
use crate::lease::lease::Lease;
use crate::load_index::board::{Board, Place, SharedBoard};
use crate::membership::set::BackendSet;
use crate::membership::shared::Shared;
use crate::pick::context::{PickContext, World};
use crate::pick::request::{Pick, PickError, PickRequest};
use crate::policy::{Picker, Policy, Tracking};
use crate::rng::Rng;
use crate::tiers::health::{self, Vitals};
use crate::tiers::tier::Tier;
use crate::time::Timestamp;

#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) config: BalancerConfig,
    pub(crate) set: Arc<BackendSet>,
    /// In the order of priority, near before far.
    pub(crate) levels: Box<[Level]>,
    /// Whether picks must know how healthy the tiers are.
    needs_vitals: bool,
    /// When the vitals of the levels were worked out, and until when they hold.
    checked: health::Checked,
    /// Whether there has been a snapshot.
    pub(crate) ready: bool,
}

/// A tier, ready for picking.
#[derive(Debug)]
pub(crate) struct Level {
    pub(crate) tier: Tier,
    pub(crate) picker: Box<dyn Picker>,
    pub(crate) vitals: Vitals,
    pub(crate) board: Option<SharedBoard>,
}

impl Compiled {
    /// What there is before the first snapshot: nothing to pick from.
    pub(crate) fn unready() -> Self {
        Self {
            config: BalancerConfig::default(),
            set: Arc::default(),
            levels: Box::default(),
            needs_vitals: false,
            checked: health::Checked::new(),
            ready: false,
        }
    }

    pub(crate) fn new(
        config: BalancerConfig,
        set: Arc<BackendSet>,
        tiers: Vec<Tier>,
        policy: &dyn Policy,
    ) -> Self {
        let mut needs_vitals = config.needs_vitals();
        let levels = tiers.into_iter().map(|tier| Level {
            picker: policy.compile(&tier),
            vitals: Vitals::new(),
            board: match policy.tracking(&tier) {
                Tracking::Least => Some(SharedBoard::new(Board::new(&tier, false))),
                Tracking::Nothing => None,
                Tracking::Total => {
                    needs_vitals = true;
                    Some(SharedBoard::new(Board::new(&tier, true)))
                }
            },
            tier,
        });
        let levels = levels.collect();
        let compiled = Self {
            levels,
            needs_vitals,
            config,
            set,
            checked: health::Checked::new(),
            ready: true,
        };
        compiled.place();
        compiled
    }

    /// Makes every backend note its leases on the board of its level, or nowhere.
    fn place(&self) {
        for level in &self.levels {
            let Some(board) = &level.board else { continue };
            for (index, slot) in (0..).zip(level.tier.slots()) {
                let place = Place::new(SharedBoard::downgrade(board), index);
                slot.state().place(place);
            }
            board.refresh_all();
        }
        for (_, member) in self.set.members() {
            member.state().stay_on(self.boards());
        }
    }

    /// When the vitals were worked out last, if they were.
    pub(crate) fn last_check(&self) -> Option<Timestamp> {
        self.checked.since()
    }

    fn boards(&self) -> impl Iterator<Item = &SharedBoard> {
        self.levels.iter().filter_map(|level| level.board.as_ref())
    }

    /// Whether a lease is being noted on one of its boards.
    pub(crate) fn is_noted_on(&self) -> bool {
        self.boards()
            .any(|board| SharedBoard::strong_count(board) > 1)
    }

    /// Notes all loads again, after an update that may have been counted as leases for a moment.
    pub(crate) fn refresh_boards(&self) {
        self.boards().for_each(|board| board.refresh_all());
    }

    /// Picks from the level whose turn it is, or from the first of the others that has a backend.
    #[inline]
    pub(crate) fn pick(
        &self,
        shared: &Shared,
        request: &PickRequest<'_>,
        now: Timestamp,
        rng: &mut dyn Rng,
    ) -> Result<Pick, PickError> {
        let first = self.first_level(shared, now, rng);
        let Some(level) = self.levels.get(first) else {
            return Err(self.refusal());
        };
        let mut cx = PickContext::new(self.world(level, shared, now), request, rng);
        level
            .pick(&mut cx)
            .or_else(|| self.pick_elsewhere(first, shared, request, now, rng))
            .or_else(|| self.pick_in_panic(shared, request, now, rng))
            .ok_or_else(|| self.refusal())
    }

    /// Another thread may have been working the vitals out, so that it was not known yet who panics: that is asked anew.
    #[cold]
    fn pick_in_panic(
        &self,
        shared: &Shared,
        request: &PickRequest<'_>,
        now: Timestamp,
        rng: &mut dyn Rng,
    ) -> Option<Pick> {
        let levels = self.levels.iter().enumerate();
        let mut panicking = levels.filter(|(at, _)| self.panics(*at, shared, now));
        panicking.find_map(|(_, level)| {
            let world = self.world(level, shared, now).panicking(true);
            level.pick(&mut PickContext::new(world, request, rng))
        })
    }

    /// Whether health and ejection are ignored at the level at `at`.
    pub(crate) fn panics(&self, at: usize, shared: &Shared, now: Timestamp) -> bool {
        self.check_vitals(shared, now);
        if !self.needs_vitals || self.checked.holds(shared.generation(), now) {
            return self.levels[at].vitals.panics();
        }
        health::panics_at(&self.config, &self.levels, at, now)
    }

    #[cold]
    fn pick_elsewhere(
        &self,
        not: usize,
        shared: &Shared,
        request: &PickRequest<'_>,
        now: Timestamp,
        rng: &mut dyn Rng,
    ) -> Option<Pick> {
        let mut others = self.levels.iter().enumerate().filter(|(at, _)| *at != not);
        others.find_map(|(_, level)| {
            let world = self.world(level, shared, now);
            level.pick(&mut PickContext::new(world, request, rng))
        })
    }

    /// Whether some backend lacks nothing for the connection but room, if even that.
    pub(crate) fn has_candidate(
        &self,
        shared: &Shared,
        request: &PickRequest<'_>,
        now: Timestamp,
    ) -> bool {
        self.levels.iter().enumerate().any(|(at, level)| {
            let panics = self.panics(at, shared, now);
            level.tier.slots().iter().any(|slot| {
                (slot.is_fit(now) || panics) && !request.tried().contains(slot.state().addr())
            })
        })
    }

    /// Why a pick finds nobody.
    #[cold]
    fn refusal(&self) -> PickError {
        if !self.ready {
            PickError::NotReady
        } else if self.levels.is_empty() {
            PickError::Empty
        } else {
            PickError::Exhausted
        }
    }

    pub(crate) fn world<'a>(
        &'a self,
        level: &'a Level,
        shared: &'a Shared,
        now: Timestamp,
    ) -> World<'a> {
        World {
            level,
            config: &self.config,
            shared,
            now,
            panics: level.vitals.panics(),
            onlooker: None,
        }
    }

    /// Whether picks must know how healthy the tiers are.
    pub(crate) const fn needs_vitals(&self) -> bool {
        self.needs_vitals
    }

    /// The place of the level that the next connection should go to.
    #[inline]
    pub(crate) fn first_level(&self, shared: &Shared, now: Timestamp, rng: &mut dyn Rng) -> usize {
        if self.needs_vitals {
            self.draw_level(shared, now, rng)
        } else {
            0
        }
    }

    /// Works the vitals of the levels out anew, if they no longer hold. Who comes while another does goes by what was
    /// found before: two at once would mix what they found at different moments.
    pub(crate) fn check_vitals(&self, shared: &Shared, now: Timestamp) {
        if !self.needs_vitals {
            return;
        }
        if self.checked.holds(shared.generation(), now) || !self.checked.begin() {
            return;
        }
        let generation = shared.generation();
        let until = health::check(&self.config, &self.levels, now);
        self.checked.end(generation, now, until);
    }

    #[inline(never)]
    fn draw_level(&self, shared: &Shared, now: Timestamp, rng: &mut dyn Rng) -> usize {
        self.check_vitals(shared, now);
        let shares = || self.levels.iter().map(|level| level.vitals.share());
        let all = shares().map(u64::from).sum();
        let Some(all) = NonZeroU64::new(all) else {
            return 0;
        };
        if shares().next().map(u64::from) == Some(all.get()) {
            return 0;
        }
        let mut at = rng.below(all);
        for (i, share) in shares().enumerate() {
            match at.checked_sub(share.into()) {
                Some(rest) => at = rest,
                None => return i,
            }
        }
        0
    }
}

impl Level {
    #[inline]
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<Pick> {
        let slot = self.tier.slot(self.picker.pick(cx)?)?;
        let lease = slot.acquire(cx.world());
        let lease = lease.or_else(|| self.race(cx));
        lease.map(Pick::new)
    }

    /// Picks again after another thread took what was picked. Whoever loses as many races as there are backends gets
    /// the first that can be had.
    #[cold]
    fn race(&self, cx: &mut PickContext<'_>) -> Option<Lease> {
        let tier = &self.tier;
        for _ in tier.indices() {
            let slot = tier.slot(self.picker.pick(cx)?)?;
            if let Some(lease) = slot.acquire(cx.world()) {
                return Some(lease);
            }
        }
        tier.indices()
            .filter(|&i| cx.is_eligible(i))
            .find_map(|i| tier.slot(i)?.acquire(cx.world()))
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
