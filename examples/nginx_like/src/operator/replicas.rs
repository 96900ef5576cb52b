//! Compares two replicas: do they send connections to the same backends?

mod difference;

use std::collections::BTreeMap;

use lb_proxy::admin::status::{BackendReport, Status, UpstreamReport};

use super::status_view::upstream::policy;
use super::units::plural;
use difference::Difference;

/// The upstreams of both, by name.
type Pair<'a> = (&'a UpstreamReport, &'a UpstreamReport);

/// The first difference: of an upstream that one of them lacks, then of one whose digests differ, then of any other.
pub(super) fn first_difference(a: &Status, b: &Status) -> Option<Difference> {
    let missing = |of: &Status, other: &Status, only| {
        let mut names = of.upstreams.iter().map(|upstream| &upstream.name);
        let missing = names.find(|name| find(other, name).is_none());
        missing.map(|name| Difference::Upstream {
            upstream: name.clone(),
            only,
        })
    };
    missing(a, b, "A")
        .or_else(|| missing(b, a, "B"))
        .or_else(|| {
            let mut pairs: Vec<Pair<'_>> = pairs(a, b).collect();
            pairs.sort_by_key(|(a, b)| (digests(a) == digests(b), a.digest == b.digest));
            pairs.into_iter().find_map(of_upstream)
        })
}

/// What differs between replicas that are alike, for a time: which backends they may use.
pub(super) fn notes(a: &Status, b: &Status) -> Vec<String> {
    let notes = pairs(a, b).filter_map(|(a, b)| {
        let differs =
            |(of_a, of_b): &(&BackendReport, &BackendReport)| of_a.verdict != of_b.verdict;
        let differing: Vec<_> = common_backends(a, b).filter(differs).collect();
        let (first, other) = differing.first()?;
        let more = match differing.len() {
            1 => String::new(),
            count => format!(", and {} more", plural(count - 1, "backend")),
        };
        let [of_a, of_b] = [first, other].map(|backend| backend.verdict.replace('_', " "));
        Some(format!(
            "upstream {}, backend {}: {of_a} on A and {of_b} on B{more}",
            a.name, first.endpoint
        ))
    });
    notes.collect()
}

fn find<'a>(status: &'a Status, name: &str) -> Option<&'a UpstreamReport> {
    status
        .upstreams
        .iter()
        .find(|upstream| upstream.name == name)
}

fn pairs<'a>(a: &'a Status, b: &'a Status) -> impl Iterator<Item = Pair<'a>> {
    let upstreams = a.upstreams.iter();
    upstreams.filter_map(|upstream| Some((upstream, find(b, &upstream.name)?)))
}

fn common_backends<'a>(
    a: &'a UpstreamReport,
    b: &'a UpstreamReport,
) -> impl Iterator<Item = (&'a BackendReport, &'a BackendReport)> {
    let of_b = by_endpoint(b);
    let backends = a.backends.iter();
    backends.filter_map(move |backend| Some((backend, *of_b.get(backend.endpoint.as_str())?)))
}

fn by_endpoint(upstream: &UpstreamReport) -> BTreeMap<&str, &BackendReport> {
    let backends = upstream.backends.iter();
    backends
        .map(|backend| (backend.endpoint.as_str(), backend))
        .collect()
}

/// The digest of each tier that has one.
fn digests(upstream: &UpstreamReport) -> BTreeMap<u8, &str> {
    let tiers = upstream.tiers.iter();
    tiers
        .filter_map(|tier| Some((tier.priority, tier.digest.as_deref()?)))
        .collect()
}

fn of_upstream((a, b): Pair<'_>) -> Option<Difference> {
    let property = |property, of_a: &str, of_b: &str| {
        (of_a != of_b).then(|| Difference::Property {
            upstream: a.name.clone(),
            property,
            a: of_a.to_owned(),
            b: of_b.to_owned(),
        })
    };
    let known = |upstream: &UpstreamReport| if upstream.ready { "known" } else { "unknown" };
    property("the policy", &policy(a), &policy(b))
        .or_else(|| property("the membership", known(a), known(b)))
        .or_else(|| of_membership(a, b))
        .or_else(|| of_settings(a, b))
        .or_else(|| of_digests(a, b))
}

fn of_membership(a: &UpstreamReport, b: &UpstreamReport) -> Option<Difference> {
    let missing = |of: &UpstreamReport, other: &UpstreamReport, only| {
        let other = by_endpoint(other);
        let mut endpoints = by_endpoint(of).into_keys();
        let missing = endpoints.find(|endpoint| !other.contains_key(endpoint));
        missing.map(|endpoint| Difference::Backend {
            upstream: a.name.clone(),
            backend: endpoint.to_owned(),
            only,
        })
    };
    missing(a, b, "A").or_else(|| missing(b, a, "B"))
}

fn of_settings(a: &UpstreamReport, b: &UpstreamReport) -> Option<Difference> {
    common_backends(a, b).find_map(|(of_a, of_b)| {
        let settings = settings(of_a).into_iter().zip(settings(of_b));
        let mut settings = settings;
        let differing = settings.find(|(a, b)| a != b);
        differing.map(|((setting, a_value), (_, b_value))| Difference::Setting {
            upstream: a.name.clone(),
            backend: of_a.endpoint.clone(),
            setting,
            a: a_value,
            b: b_value,
        })
    })
}

/// What of a backend decides which connections it gets, also by the hash of its name.
fn settings(backend: &BackendReport) -> [(&'static str, String); 5] {
    let limit = backend.max_conns.map(|limit| limit.to_string());
    let limit = limit.unwrap_or_else(|| "unlimited".to_owned());
    let name = backend.name.clone().unwrap_or_else(|| "missing".to_owned());
    [
        ("the weight", backend.weight.to_string()),
        ("the priority", backend.priority.to_string()),
        ("the administrative state", backend.admin.clone()),
        ("max_conns", limit),
        ("the name", name),
    ]
}

fn of_digests(a: &UpstreamReport, b: &UpstreamReport) -> Option<Difference> {
    let (of_a, of_b) = (digests(a), digests(b));
    let mut priorities = of_a.keys().chain(of_b.keys());
    let differing = priorities.find(|priority| of_a.get(priority) != of_b.get(priority))?;
    let order = |upstream: &UpstreamReport| -> Vec<String> {
        let backends = upstream.backends.iter();
        let of_tier = backends.filter(|backend| backend.priority == *differing);
        of_tier.map(|backend| backend.endpoint.clone()).collect()
    };
    let have_digests = of_a.len() == of_b.len();
    if have_digests && order(a) != order(b) {
        return Some(Difference::Order {
            upstream: a.name.clone(),
            priority: *differing,
        });
    }
    let digest = |digests: &BTreeMap<u8, &str>| {
        let digest = digests.get(differing).copied();
        digest.unwrap_or("missing").to_owned()
    };
    Some(Difference::Digest {
        upstream: a.name.clone(),
        priority: *differing,
        a: digest(&of_a),
        b: digest(&of_b),
    })
}

#[cfg(test)]
mod tests;
