//! Explains the choice of a backend for a connection.

use std::fmt;
use std::net::SocketAddr;

use super::Membership;
use super::verdict::{Verdict, verdict};
use crate::backend::{AdminState, Backend, Weight};
use crate::escaped::Escaped;
use crate::lease::reference::StateRef;
use crate::pick::context::PickContext;
use crate::pick::dry_run::DryRun;
use crate::pick::request::PickRequest;
use crate::rng::Rng;
use crate::state::backend_state::BackendState;
use crate::state::outage::Outage;
use crate::tiers::generation::Generation;
use crate::time::Timestamp;

/// The answer of [`Balancer::explain`](crate::Balancer::explain). Displays as one line for each backend.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The backend that would be picked. An ejected one is the trial of a [`CommonOutage`](crate::CommonOutage), or all are
    /// ejected: see [`OnAllEjected`](crate::OnAllEjected).
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
    /// Its connections in flight.
    pub in_flight: u32,
    /// The percentage of connections that go to its tier (and zone) first.
    pub tier_percent: u8,
    /// Whether its tier ignores health and ejection.
    pub panic: bool,
    /// The percentage of its turns that it takes in slow start. Hashing policies ignore it.
    pub slow_start_percent: Option<u8>,
}

impl Explanation {
    pub(crate) fn new(
        membership: &Membership,
        outage: &Outage,
        generation: &Generation,
        request: &PickRequest<'_>,
        now: Timestamp,
        rng: &mut dyn Rng,
    ) -> Self {
        let chosen = chosen(membership, generation, request, now, rng)
            .or_else(|| membership.explain_ejected(outage, generation, request, now, rng));
        let mut backends: Vec<ExplainedBackend> = membership
            .set()
            .members()
            .map(|(backend, member)| not_in_a_tier(backend, member))
            .collect();
        for at in 0..membership.tiers().len() {
            explain_tier(membership, generation, request, now, rng, at, &mut backends);
        }
        Self { chosen, backends }
    }
}

/// The backend that would be picked.
fn chosen(
    membership: &Membership,
    generation: &Generation,
    request: &PickRequest<'_>,
    now: Timestamp,
    rng: &mut dyn Rng,
) -> Option<SocketAddr> {
    let first = membership.first_tier(generation, now, rng);
    let others = (0..membership.tiers().len()).filter(|&at| at != first);
    std::iter::once(first).chain(others).find_map(|at| {
        let compiled = membership.tiers().get(at)?;
        let dry_run = DryRun::new(&compiled.tier);
        let environment = membership
            .environment(compiled, generation, now)
            .panics(membership.panics(at, generation, now))
            .dry_run(&dry_run);
        let mut cx = PickContext::new(environment, request, rng);
        let i = compiled.picker.pick(&mut cx)?;
        Some(compiled.tier.slot(i)?.state().addr())
    })
}

/// Explains the backends of tier number `at`.
fn explain_tier(
    membership: &Membership,
    generation: &Generation,
    request: &PickRequest<'_>,
    now: Timestamp,
    rng: &mut dyn Rng,
    at: usize,
    backends: &mut [ExplainedBackend],
) {
    let compiled = &membership.tiers()[at];
    let tier = &compiled.tier;
    // Without tier health the first tier comes first, in whatever state it is.
    let share = if at == 0 && !membership.needs_health() {
        100
    } else {
        tier.health().share() / 100
    };
    let dry_run = DryRun::new(tier);
    let panics = membership.panics(at, generation, now);
    let environment = membership
        .environment(compiled, generation, now)
        .panics(panics)
        .dry_run(&dry_run);
    let cx = PickContext::new(environment, request, rng);
    for (i, slot) in tier.indices().zip(tier.slots()) {
        let Some(explained) = backends.get_mut(tier.in_snapshot(i)) else {
            continue;
        };
        explained.verdict = match verdict(slot, request, panics, now) {
            Verdict::Eligible if !compiled.picker.admits(&cx, i) => Verdict::AboveBound,
            verdict => verdict,
        };
        let percent = |part: u32| ((u64::from(part) * 100) >> 32) as u8;
        explained.slow_start_percent = cx.slow_start_part(i).map(percent);
        explained.tier_percent = u8::try_from(share).unwrap_or(100);
        explained.panic = panics;
    }
}

/// What is said of a backend that is in no tier.
fn not_in_a_tier(backend: &Backend, member: &StateRef<BackendState>) -> ExplainedBackend {
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

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for explained in &self.backends {
            let backend = &explained.backend;
            let mark = if self.chosen == Some(backend.addr) {
                "->"
            } else {
                "  "
            };
            write!(f, "{mark} {}", backend.endpoint())?;
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
                explained.verdict, explained.tier_percent, explained.in_flight
            )?;
            if let Some(percent) = explained.slow_start_percent {
                write!(f, ", taking {percent} % of its turns")?;
            }
            writeln!(f, "{}", if explained.panic { ", panic mode" } else { "" })?;
        }
        Ok(())
    }
}
