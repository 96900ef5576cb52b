//! Turns a file into a scenario that can be simulated: resolves names, bounds sizes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use lb_core::BalancerConfig;

use super::Scenario;
use super::balancer::Given;
use super::change::{BackendSpec, Change, ChangeKind};
use super::file::{Action, EventTable, File, Group};
use super::problem::{Problem, problem};
use super::units::Time;
use super::variant::variants;

/// Bounds on the memory and the time of one simulation.
const MAX_ARRIVALS: f64 = 5e6;
const MAX_BACKENDS: usize = 500;
const MAX_CHANGES: usize = 500;
const MAX_CLIENTS: u32 = 1_000_000;

/// Turns a file into a scenario. `given` has the names of the balancer's settings that each variant gives.
pub(super) fn check(origin: &str, file: File, given: &[Given]) -> Result<Scenario, Problem> {
    let duration = file.duration.get();
    let warm_up = match &file.warm_up {
        Some(warm_up) if *warm_up.get_ref() >= duration => {
            return problem(
                warm_up.span(),
                "the warm-up must be shorter than the duration, or there is nothing to measure",
            );
        }
        Some(warm_up) => *warm_up.get_ref(),
        None => Time::from_millis(duration.nanos() / 10_000_000),
    };
    let arrivals = *file.arrivals.get_ref();
    let peak = arrivals
        .burst
        .map_or(1.0, |burst| burst.factor.get().max(1.0));
    if arrivals.rate.get() * peak * duration.seconds() > MAX_ARRIVALS {
        return problem(
            file.arrivals.span(),
            format!(
                "rate (in bursts) times duration is above {MAX_ARRIVALS} connections: lower one of them"
            ),
        );
    }
    if file.clients.count.get_ref().get() > MAX_CLIENTS {
        return problem(
            file.clients.count.span(),
            format!("use at most {MAX_CLIENTS} clients"),
        );
    }
    let (groups, backends) = expand(file.backends)?;
    let events = changes(&groups, &backends, duration, file.events)?;
    let tables = file.variants.iter().map(|table| &table.balancer);
    for around in std::iter::once(&file.balancer).chain(tables).flatten() {
        known_zone(around, &groups)?;
    }
    let config = file.balancer.map(toml::Spanned::into_inner);
    let config = config.unwrap_or_default();
    let variants = variants(file.variants, &config, given)?;
    Ok(Scenario {
        title: file.title.unwrap_or_else(|| origin.to_owned()),
        description: file.description,
        duration,
        warm_up,
        arrivals,
        clients: file.clients,
        retry: file.retry,
        groups,
        backends,
        events,
        config,
        variants,
    })
}

/// Checks that a preferred zone is the zone of some group.
fn known_zone(around: &toml::Spanned<BalancerConfig>, groups: &[Group]) -> Result<(), Problem> {
    let Some(zone) = around.get_ref().zone.as_ref().map(|zone| &*zone.zone) else {
        return Ok(());
    };
    let zones = || groups.iter().filter_map(|group| group.zone.as_ref());
    if zones().any(|known| known.get_ref() == zone) {
        return Ok(());
    }
    let known: BTreeSet<&str> = zones().map(|known| known.get_ref().as_str()).collect();
    let fix = if known.is_empty() {
        "add zone = NAME to the groups of its backends".to_owned()
    } else {
        format!("the zones are {}", Vec::from_iter(known).join(", "))
    };
    let message = format!("no backend is in the zone \"{zone}\": {fix}");
    problem(around.span(), message)
}

type Groups = toml::Spanned<Vec<toml::Spanned<Group>>>;

/// The groups and all of their backends.
fn expand(spanned: Groups) -> Result<(Vec<Group>, Vec<BackendSpec>), Problem> {
    let whole = spanned.span();
    let groups: Vec<Group> = spanned
        .into_inner()
        .into_iter()
        .map(toml::Spanned::into_inner)
        .collect();
    if groups.is_empty() {
        return problem(whole, "there must be a group of backends: add [[backends]]");
    }
    let mut backends = Vec::new();
    let mut names = BTreeMap::new();
    for (number, group) in groups.iter().enumerate() {
        let name = group.name.get_ref();
        for name in std::iter::once(&group.name).chain(&group.zone) {
            checked_name(name)?;
        }
        if let Some(priority) = group.priority.as_ref().filter(|_| group.backup) {
            return problem(
                priority.span(),
                "\"backup\" is the priority 1: remove one of them",
            );
        }
        let count = group.count.get_ref().get() as usize;
        if backends.len().saturating_add(count) > MAX_BACKENDS {
            return problem(
                group.count.span(),
                format!("use at most {MAX_BACKENDS} backends in all groups together"),
            );
        }
        let members = (1..=count).map(|i| format!("{name}-{i}"));
        for name in std::iter::once(name.clone()).chain(members.clone()) {
            if names.insert(name.clone(), ()).is_some() {
                return problem(
                    group.name.span(),
                    format!("\"{name}\" is a group or a backend already: choose another name"),
                );
            }
        }
        backends.extend(members.map(|name| BackendSpec {
            name,
            group: number,
        }));
    }
    Ok((groups, backends))
}

fn checked_name(name: &toml::Spanned<String>) -> Result<(), Problem> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let (span, name) = (name.span(), name.get_ref());
    if name.is_empty() || name.len() > 40 || !name.chars().all(plain) {
        return problem(
            span,
            "a name has 1 to 40 letters, digits, and the characters - _ .",
        );
    }
    Ok(())
}

/// All changes in the order of time, each before the end of the arrivals. An event with `each` makes one change for each
/// backend of its group.
fn changes(
    groups: &[Group],
    backends: &[BackendSpec],
    end: Time,
    events: Vec<toml::Spanned<EventTable>>,
) -> Result<Vec<Change>, Problem> {
    let mut changes = Vec::new();
    for event in events {
        let span = event.span();
        let event = event.into_inner();
        let target = event.target.get_ref();
        let targets: Vec<usize> = (0..backends.len())
            .filter(|&i| {
                backends[i].name == *target || groups[backends[i].group].name.get_ref() == target
            })
            .collect();
        if targets.is_empty() {
            let known: Vec<_> = groups.iter().map(|g| g.name.get_ref().as_str()).collect();
            return problem(
                event.target.span(),
                format!(
                    "no backend and no group is called \"{target}\": the groups are {}, their backends {}, ...",
                    known.join(", "),
                    backends[0].name,
                ),
            );
        }
        let at = *event.at.get_ref();
        if at >= end {
            return problem(
                event.at.span(),
                format!(
                    "no connection arrives after {} s, the duration: let this happen earlier, or lengthen the duration",
                    end.seconds()
                ),
            );
        }
        let kind = kind(&event, &span)?;
        let verb = verb(kind);
        if event.each == Time::ZERO {
            changes.push(Change {
                at,
                kind,
                targets,
                label: format!("{verb} {target}"),
            });
        } else {
            for (i, target) in targets.into_iter().enumerate() {
                let nanos = event.each.nanos().saturating_mul(i as u64);
                let Some(at) = at.after(nanos).filter(|at| *at < end) else {
                    return problem(
                        span,
                        format!(
                            "no connection arrives after {} s, the duration, but the last backend's turn comes then: \
                             shorten \"each\", or lengthen the duration",
                            end.seconds()
                        ),
                    );
                };
                changes.push(Change {
                    at,
                    kind,
                    targets: vec![target],
                    label: format!("{verb} {}", backends[target].name),
                });
            }
        }
        if changes.len() > MAX_CHANGES {
            return problem(span, format!("use at most {MAX_CHANGES} events"));
        }
    }
    // The sort is stable: of two changes at one time, the first in the file comes first.
    changes.sort_by_key(|change| change.at);
    Ok(changes)
}

fn kind(event: &EventTable, span: &Range<usize>) -> Result<ChangeKind, Problem> {
    if event.weight.is_some() && event.action != Action::Weight {
        return problem(
            span.clone(),
            "\"weight\" belongs to the action \"weight\": remove it, or change the action",
        );
    }
    if event.failure.is_some() && event.action != Action::Fail {
        return problem(
            span.clone(),
            "\"failure\" belongs to the action \"fail\": remove it, or change the action",
        );
    }
    Ok(match (event.action, event.weight) {
        (Action::Drain, _) => ChangeKind::Drain,
        (Action::Fail, _) => ChangeKind::Fail(event.failure.unwrap_or_default()),
        (Action::Join, _) => ChangeKind::Join,
        (Action::Leave, _) => ChangeKind::Leave,
        (Action::Recover, _) => ChangeKind::Recover,
        (Action::Weight, Some(weight)) => ChangeKind::Weight(weight),
        (Action::Weight, None) => {
            return problem(
                span.clone(),
                "the action \"weight\" needs the new weight: add weight = N",
            );
        }
    })
}

fn verb(kind: ChangeKind) -> String {
    match kind {
        ChangeKind::Drain => "drain".to_owned(),
        ChangeKind::Fail(_) => "fail".to_owned(),
        ChangeKind::Join => "join".to_owned(),
        ChangeKind::Leave => "leave".to_owned(),
        ChangeKind::Recover => "recover".to_owned(),
        ChangeKind::Weight(weight) => format!("weight {weight}"),
    }
}
