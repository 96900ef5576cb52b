//! Why a connection would go where it would go.

use std::fmt;
use std::net::SocketAddr;

use crate::backend::{AdminState, Backend, Weight};
use crate::compiled::{Compiled, Level};
use crate::context::{Onlooker, PickContext};
use crate::escaped::Escaped;
use crate::health::Health;
use crate::held::Held;
use crate::pick::PickRequest;
use crate::rng::Rng;
use crate::shared::Shared;
use crate::tier::BackendIndex;
use crate::time::Timestamp;

/// What [`Balancer::explain`](crate::Balancer::explain) tells. Displays as one line for each backend.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The backend that would be picked.
    pub chosen: Option<SocketAddr>,
    /// Every backend in the snapshot's order.
    pub backends: Vec<ExplainedBackend>,
}

/// One backend and the reason why it could or could not be picked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExplainedBackend {
    /// The backend, with its name and its source.
    pub backend: Backend,
    /// Whether it was eligible, and if not, why.
    pub verdict: Verdict,
    /// Connections that it holds.
    pub in_flight: u32,
    /// The percentage of connections that go to its tier (and zone) first.
    pub tier_percent: u8,
    /// Whether its tier ignores health and ejection.
    pub panic: bool,
    /// The percentage of its turns that it takes while it starts slowly. Policies that go by key do not ask.
    pub slow_start_percent: Option<u8>,
}

/// Whether a backend was eligible, and if not, the first reason why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// It is eligible, but above its bound: a policy with a [`BalanceFactor`](crate::policy::BalanceFactor) takes it only
    /// where all of its tier are.
    AboveBound,
    /// Its source or an operator drains it.
    Draining,
    /// Too many failures eject it.
    Ejected {
        /// When that ends.
        until: Timestamp,
    },
    /// It may be picked.
    Eligible,
    /// It holds as many connections as it may.
    Full,
    /// This balancer's subset is without it.
    NotInSubset,
    /// This connection has failed on it.
    Tried,
    /// An active check failed.
    Unhealthy,
    /// It has the weight 0.
    ZeroWeight,
}

impl Explanation {
    pub(crate) fn new(
        compiled: &Compiled,
        shared: &Shared,
        request: &PickRequest<'_>,
        now: Timestamp,
        rng: &mut dyn Rng,
    ) -> Self {
        let first = compiled.first_level(shared, now, rng);
        let others = (0..compiled.levels.len()).filter(|&at| at != first);
        let chosen = std::iter::once(first).chain(others).find_map(|at| {
            let level = compiled.levels.get(at)?;
            let onlooker = Onlooker::new(&level.tier);
            let panics = compiled.panics(at, shared, now);
            let world = compiled.world(level, shared, now).panicking(panics);
            let world = world.looked_at(&onlooker);
            let mut cx = PickContext::new(world, request, rng);
            let i = level.picker.pick(&mut cx)?;
            Some(level.tier.slot(i)?.state().addr())
        });
        // Without vitals the first tier comes first, whatever becomes of it.
        let first_only = !compiled.needs_vitals();
        let mut backends: Vec<ExplainedBackend> = compiled
            .set
            .members()
            .map(|(backend, member)| unpicked(backend, member))
            .collect();
        for (at, level) in compiled.levels.iter().enumerate() {
            let share = if first_only && at == 0 {
                100
            } else {
                level.vitals.share() / 100
            };
            let onlooker = Onlooker::new(&level.tier);
            let panics = compiled.panics(at, shared, now);
            let world = compiled.world(level, shared, now).panicking(panics);
            let world = world.looked_at(&onlooker);
            let cx = PickContext::new(world, request, rng);
            for i in level.tier.indices() {
                let Some(told) = backends.get_mut(level.tier.place(i)) else {
                    continue;
                };
                told.verdict = match verdict(level, i, request, panics, now) {
                    Verdict::Eligible if !level.picker.admits(&cx, i) => Verdict::AboveBound,
                    verdict => verdict,
                };
                let percent = |part: u32| ((u64::from(part) * 100) >> 32) as u8;
                told.slow_start_percent = cx.slow_start_part(i).map(percent);
                told.tier_percent = u8::try_from(share).unwrap_or(100);
                told.panic = panics;
            }
        }
        Self { chosen, backends }
    }
}

/// What is told of a backend that is in no tier.
fn unpicked(backend: &Backend, member: &Held) -> ExplainedBackend {
    ExplainedBackend {
        verdict: if backend.admin == AdminState::Drain {
            Verdict::Draining
        } else if backend.weight == Weight::ZERO {
            Verdict::ZeroWeight
        } else {
            Verdict::NotInSubset
        },
        in_flight: member.in_flight(),
        backend: backend.clone(),
        tier_percent: 0,
        panic: false,
        slow_start_percent: None,
    }
}

fn verdict(
    level: &Level,
    i: BackendIndex,
    request: &PickRequest<'_>,
    panics: bool,
    now: Timestamp,
) -> Verdict {
    let Some(slot) = level.tier.slot(i) else {
        return Verdict::NotInSubset;
    };
    if request.tried().contains(slot.state().addr()) {
        return Verdict::Tried;
    }
    if slot.is_full() {
        return Verdict::Full;
    }
    if panics {
        return Verdict::Eligible;
    }
    if slot.state().health() == Health::Unhealthy {
        return Verdict::Unhealthy;
    }
    match slot.state().ejected_until(now) {
        Some(until) => Verdict::Ejected { until },
        None => Verdict::Eligible,
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for told in &self.backends {
            let backend = &told.backend;
            let mark = if self.chosen == Some(backend.addr) {
                "->"
            } else {
                "  "
            };
            write!(f, "{mark} {}", backend.addr)?;
            if let Some(name) = &backend.name {
                write!(f, " ({})", Escaped(name))?;
            }
            if let Some(source) = &backend.source {
                write!(f, " from {}", Escaped(source))?;
            }
            let (priority, weight) = (backend.priority.get(), backend.weight.get());
            write!(
                f,
                ": {}, priority {priority} with {} % of connections, weight {weight}, {} in flight",
                told.verdict, told.tier_percent, told.in_flight
            )?;
            if let Some(percent) = told.slow_start_percent {
                write!(f, ", taking {percent} % of its turns")?;
            }
            writeln!(f, "{}", if told.panic { ", panic mode" } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AboveBound => "above its bound",
            Self::Draining => "draining",
            Self::Ejected { .. } => "ejected",
            Self::Eligible => "eligible",
            Self::Full => "full",
            Self::NotInSubset => "not in the subset",
            Self::Tried => "tried before",
            Self::Unhealthy => "unhealthy",
            Self::ZeroWeight => "of weight 0",
        })
    }
}
