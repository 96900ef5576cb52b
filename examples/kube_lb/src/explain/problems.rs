//! What is wrong with the objects of the Gateway API, one line each, for the plan.

use std::fmt::Display;

use super::gateway::{evaluate, report};
use super::lines::Lines;
use crate::addresses::Owner;
use crate::config::Config;
use crate::controller::Look;
use crate::gateway::{Reported, reference};

/// The problems of Gateways, ListenerSets, their listeners and their routes. Those of addresses are in the decision itself.
pub fn problems(look: &Look, config: &Config) -> String {
    let evaluation = evaluate(look, config);
    let mut lines = Lines::default();
    report(look, &evaluation, |reporter| {
        let of_listeners = |lines: &mut Lines, of: &dyn Display, range: std::ops::Range<usize>| {
            for index in range {
                let name = &evaluation.view.listeners[index].spec.name;
                let of = format!("{of}, listener {name}");
                // The others follow from the first one.
                let reports = reporter.listener_reports(index);
                add(lines, &of, reports.iter().find(|one| one.is_problem()));
            }
        };
        for (index, gateway) in evaluation.view.gateways.iter().enumerate() {
            let owner = Owner::gateway(&gateway.name.namespace, &gateway.name.name);
            let grant = look.decision.grants.get(&owner);
            let lacks_address = grant.is_some_and(|grant| !grant.problems.is_empty());
            let reports = reporter.gateway_reports(index);
            let reports = reports
                .iter()
                .filter(|one| one.type_ != "Programmed" || !lacks_address);
            add(&mut lines, &owner, reports);
            of_listeners(&mut lines, &owner, gateway.listeners.clone());
        }
        for (index, set) in evaluation.view.sets.iter().enumerate() {
            let of = format!("ListenerSet {}", set.name);
            add(&mut lines, &of, &reporter.set_reports(index));
            of_listeners(&mut lines, &of, set.listeners.clone());
        }
        for (number, route) in evaluation.routes.iter().enumerate() {
            for parent in &route.parents {
                let (kind, name) = (route.kind, &route.name);
                let of = format!("{kind} {name}, parent {}", reference(parent.reference));
                add(&mut lines, &of, &reporter.parent_reports(number, parent));
            }
        }
    });
    lines.into_text()
}

fn add<'a>(
    lines: &mut Lines,
    of: &dyn Display,
    conditions: impl IntoIterator<Item = &'a Reported>,
) {
    let problems = conditions.into_iter().filter(|one| one.is_problem());
    for Reported {
        type_,
        reason,
        message,
        ..
    } in problems
    {
        lines.line(
            0,
            format_args!("problem of {of}: {type_}: {reason}: {message}"),
        );
    }
}
