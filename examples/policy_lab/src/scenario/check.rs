//! From what a file says to what can be simulated: names are resolved, sizes bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use lb_core::BalancerConfig;

use super::around::Around;
use super::file::{Action, Event, File, Group};
use super::units::Time;
use super::variant::variants;
use super::{BackendSpec, Change, Scenario, What};

/// Bounds on the memory and the time of one simulation.
const MOST_ARRIVALS: f64 = 5e6;
const MOST_BACKENDS: usize = 500;
const MOST_CHANGES: usize = 500;
const MOST_CLIENTS: u32 = 1_000_000;

/// What is wrong, and which bytes of the text say so.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) span: Range<usize>,
    pub(super) message: String,
}

pub(super) fn problem<T>(span: Range<usize>, message: impl Into<String>) -> Result<T, Problem> {
    let message = message.into();
    Err(Problem { span, message })
}

/// Turns a file into a scenario.
pub(super) fn check(origin: &str, file: File) -> Result<Scenario, Problem> {
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
    if arrivals.rate.get() * peak * duration.seconds() > MOST_ARRIVALS {
        return problem(
            file.arrivals.span(),
            format!(
                "rate (in bursts) times duration is above {MOST_ARRIVALS} connections: lower one of them"
            ),
        );
    }
    if file.clients.count.get_ref().get() > MOST_CLIENTS {
        return problem(
            file.clients.count.span(),
            format!("use at most {MOST_CLIENTS} clients"),
        );
    }
    let (groups, backends) = expand(file.backends)?;
    let events = changes(&groups, &backends, duration, file.events)?;
    let tables = file.variants.iter().map(|table| &table.balancer);
    for around in std::iter::once(&file.balancer).chain(tables) {
        known_zone(around, &groups)?;
    }
    let config = file.balancer.over(&BalancerConfig::default());
    let variants = variants(file.variants, &config)?;
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

/// A zone that is preferred must be one that there is.
fn known_zone(around: &Around, groups: &[Group]) -> Result<(), Problem> {
    let Some(zone) = around.zone() else {
        return Ok(());
    };
    let zones = || groups.iter().filter_map(|group| group.zone.as_ref());
    if zones().any(|known| known.get_ref() == zone.get_ref()) {
        return Ok(());
    }
    let known: BTreeSet<&str> = zones().map(|known| known.get_ref().as_str()).collect();
    let fix = if known.is_empty() {
        "add zone = NAME to the groups of its backends".to_owned()
    } else {
        format!("the zones are {}", Vec::from_iter(known).join(", "))
    };
    let message = format!("no backend is in the zone \"{}\": {fix}", zone.get_ref());
    problem(zone.span(), message)
}

type Groups = toml::Spanned<Vec<toml::Spanned<Group>>>;

/// The groups, and every backend of them.
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
        if backends.len().saturating_add(count) > MOST_BACKENDS {
            return problem(
                group.count.span(),
                format!("use at most {MOST_BACKENDS} backends in all groups together"),
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

/// Every change in the order of time; a group with a time between its backends makes several. All are before the end
/// of the arrivals.
fn changes(
    groups: &[Group],
    backends: &[BackendSpec],
    end: Time,
    events: Vec<toml::Spanned<Event>>,
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
        let what = what(&event, &span)?;
        let verb = verb(what);
        if event.each == Time::ZERO {
            changes.push(Change {
                at,
                what,
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
                    what,
                    targets: vec![target],
                    label: format!("{verb} {}", backends[target].name),
                });
            }
        }
        if changes.len() > MOST_CHANGES {
            return problem(span, format!("use at most {MOST_CHANGES} events"));
        }
    }
    // Stable: what the file says first happens first.
    changes.sort_by_key(|change| change.at);
    Ok(changes)
}

fn what(event: &Event, span: &Range<usize>) -> Result<What, Problem> {
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
        (Action::Drain, _) => What::Drain,
        (Action::Fail, _) => What::Fail(event.failure.unwrap_or_default()),
        (Action::Join, _) => What::Join,
        (Action::Leave, _) => What::Leave,
        (Action::Recover, _) => What::Recover,
        (Action::Weight, Some(weight)) => What::Weight(weight),
        (Action::Weight, None) => {
            return problem(
                span.clone(),
                "the action \"weight\" needs the new weight: add weight = N",
            );
        }
    })
}

fn verb(what: What) -> String {
    match what {
        What::Drain => "drain".to_owned(),
        What::Fail(_) => "fail".to_owned(),
        What::Join => "join".to_owned(),
        What::Leave => "leave".to_owned(),
        What::Recover => "recover".to_owned(),
        What::Weight(weight) => format!("weight {weight}"),
    }
}
