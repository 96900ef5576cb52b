//! A scenario and its variants, in words.

use std::fmt::Write;

use lb_core::BalancerConfig;

use crate::html::escaped;
use crate::scenario::{Change, Scenario, Variant, differences};
use crate::sim::Run;

/// Describes the scenario in a paragraph.
pub(super) fn facts(scenario: &Scenario) -> String {
    let mut groups = Vec::new();
    for group in &scenario.groups {
        let name = escaped(group.name.get_ref());
        let count = group.count.get_ref();
        let mut traits = format!("weight {}", group.weight);
        if let Some(zone) = &group.zone {
            let _ = write!(traits, ", zone {}", escaped(zone.get_ref()));
        }
        if group.priority() > 0 {
            let _ = write!(traits, ", priority {}", group.priority());
        }
        groups.push(format!("{count} × {name} ({traits})"));
    }
    format!(
        "{} s, of which {} s are warm-up; {} connections per second{}; {} clients. Backends: {}.",
        scenario.duration.seconds(),
        scenario.warm_up.seconds(),
        scenario.arrivals.rate.get(),
        if scenario.arrivals.burst.is_some() {
            " with bursts"
        } else {
            ""
        },
        scenario.clients.count.get_ref(),
        groups.join(", "),
    ) + &events(scenario)
        + &balancer(scenario)
}

/// The events and their times, in words.
fn events(scenario: &Scenario) -> String {
    if scenario.events.is_empty() {
        return String::new();
    }
    let say = |event: &Change| format!("{} at {} s", escaped(&event.label), event.at.seconds());
    let events: Vec<String> = scenario.events.iter().map(say).collect();
    format!(" Events: {}.", events.join(", "))
}

/// The settings of the balancer under every policy.
fn balancer(scenario: &Scenario) -> String {
    let settings = differences(&scenario.config, &BalancerConfig::default());
    if settings.is_empty() {
        return String::new();
    }
    format!(" Balancer settings: {}", code(&settings))
}

/// The settings of each variant that was simulated.
pub(super) fn variants(scenario: &Scenario, runs: &[Run]) -> String {
    let is_shown = |variant: &&Variant| runs.iter().any(|run| run.label == variant.label);
    let mut html = String::new();
    for variant in scenario.variants.iter().filter(is_shown) {
        let mut settings = vec![format!("policy = \"{}\"", variant.policy.name())];
        settings.extend(variant.settings.iter().cloned());
        let balancer = differences(&variant.config, &scenario.config);
        settings.extend(balancer.iter().map(|setting| format!("balancer.{setting}")));
        let label = escaped(&variant.label);
        let _ = writeln!(html, "<dt>{label}</dt><dd>{}</dd>", code(&settings));
    }
    if html.is_empty() {
        return html;
    }
    format!("<dl>\n{html}</dl>\n")
}

fn code(settings: &[String]) -> String {
    let code = |setting: &String| format!("<code>{}</code>", escaped(setting));
    let codes: Vec<String> = settings.iter().map(code).collect();
    codes.join(" ")
}
