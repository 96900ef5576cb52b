//! One set of the endpoints of all clusters.

use std::collections::{BTreeMap, BTreeSet};

use lb_proxy::lb_core::{Backend, Priority, Snapshot, Weight};

use super::place::ClusterPlace;

/// What a cluster has for a port of a Service.
#[derive(Clone, Debug)]
pub struct ClusterSet<'a> {
    /// The cluster.
    pub place: &'a ClusterPlace,
    /// Its set, or the reason why it has none.
    pub set: Result<Snapshot, String>,
}

/// The set of all clusters.
#[derive(Clone, Debug, PartialEq)]
pub struct JoinedSet {
    /// The set. The reason why there is none, if no cluster has one.
    pub set: Result<Snapshot, String>,
    /// What is wrong in clusters, by their names. It does not matter if there is one cluster.
    pub problems: BTreeMap<String, String>,
}

/// Joins the sets of clusters, the primary one first. Of several endpoints with one address that of the first cluster counts.
///
/// The endpoints get the priority of their cluster. Where the clusters of a priority have weights, the endpoints of each
/// that are ready have that share of the connections together, in the exact proportion if the numbers allow it. The names of
/// endpoints of other clusters than the primary one begin with the name of the cluster: pods of several clusters may have one name.
pub fn join(sets: Vec<ClusterSet<'_>>) -> JoinedSet {
    if let [ClusterSet { place, set }] = &sets[..]
        && place.networks.is_none()
    {
        // Nothing is copied.
        return JoinedSet {
            set: set.clone(),
            problems: BTreeMap::new(),
        };
    }
    let mut problems = BTreeMap::new();
    let mut taken = BTreeSet::new();
    let mut parts: Vec<(&ClusterPlace, Vec<Backend>)> = Vec::new();
    let mut reasons = Vec::new();
    for (number, ClusterSet { place, set }) in sets.into_iter().enumerate() {
        let set = match set {
            Ok(set) => set,
            Err(reason) => {
                reasons.push(format!("{}: {reason}", place.name));
                problems.insert(place.name.clone(), reason);
                continue;
            }
        };
        let (mut outside, mut doubles) = (0, 0);
        let mut backends = Vec::with_capacity(set.len());
        for backend in set.iter() {
            if !place.allows(backend.addr.ip()) {
                outside += 1;
            } else if !taken.insert(backend.addr) {
                doubles += 1;
            } else {
                backends.push(of_cluster(backend, place, number > 0));
            }
        }
        if outside > 0 || doubles > 0 {
            let problem = format!(
                "left out: {outside} endpoints outside of its networks, {doubles} with the address of an earlier cluster's"
            );
            problems.insert(place.name.clone(), problem);
        }
        parts.push((place, backends));
    }
    if parts.is_empty() {
        return JoinedSet {
            set: Err(reasons.join("; ")),
            problems,
        };
    }
    weigh(&mut parts);
    let backends = parts.into_iter().flat_map(|(_, backends)| backends);
    JoinedSet {
        set: Ok(Snapshot::from_backends(backends)),
        problems,
    }
}

fn of_cluster(backend: &Backend, place: &ClusterPlace, is_remote: bool) -> Backend {
    let mut backend = backend.clone().priority(Priority::new(place.priority));
    if is_remote {
        let named = |name: &str| format!("{}/{name}", place.name);
        backend.name = Some(match &backend.name {
            Some(name) => named(name).into(),
            None => named(&backend.addr.to_string()).into(),
        });
        backend.source = Some(format!("cluster {}", place.name).into());
    }
    backend
}

/// Gives the clusters of each priority their shares.
fn weigh(parts: &mut [(&ClusterPlace, Vec<Backend>)]) {
    let priorities: BTreeSet<u8> = parts.iter().map(|(place, _)| place.priority).collect();
    for priority in priorities {
        let mut tier: Vec<(u16, &mut Vec<Backend>)> = parts
            .iter_mut()
            .filter(|(place, _)| place.priority == priority)
            .filter_map(|(place, backends)| Some((place.weight?, backends)))
            .filter(|(_, backends)| sum(backends) > 0)
            .collect();
        if tier.len() > 1 || tier.iter().any(|(weight, _)| *weight == 0) {
            share(&mut tier);
        }
    }
}

/// The weights of the backends that take connections, together.
fn sum(backends: &[Backend]) -> u64 {
    let ready = backends
        .iter()
        .filter(|backend| backend.takes_connections());
    ready.map(|backend| u64::from(backend.weight.get())).sum()
}

/// Changes the weights so that the sums are in the proportion of the given ones, as far as 16 bits allow.
fn share(tier: &mut [(u16, &mut Vec<Backend>)]) {
    // With `common`, a multiple of all sums, every weight is a whole number: weight * share * common / sum.
    let common = tier
        .iter()
        .try_fold(1_u64, |common, (_, backends)| lcm(common, sum(backends)));
    let exact = common.and_then(|common| {
        let factors = tier
            .iter()
            .map(|(weight, backends)| u64::from(*weight).checked_mul(common / sum(backends)));
        factors.collect::<Option<Vec<u64>>>()
    });
    // Sums without a usable multiple: a share of a million each.
    let factors = exact.unwrap_or_else(|| {
        let parts = tier
            .iter()
            .map(|(weight, backends)| u64::from(*weight) * 1_000_000 / sum(backends));
        parts.collect()
    });
    let scaled =
        |backend: &Backend, factor: u64| u64::from(backend.weight.get()).saturating_mul(factor);
    let mut divisor = 0;
    let mut largest = 0;
    for ((_, backends), factor) in tier.iter().zip(&factors) {
        for backend in backends.iter() {
            let weight = scaled(backend, *factor);
            divisor = gcd(divisor, weight);
            largest = largest.max(weight);
        }
    }
    let divisor = divisor.max(1);
    let most = u64::from(u16::MAX);
    let largest = (largest / divisor).max(1);
    for ((weight, backends), factor) in tier.iter_mut().zip(&factors) {
        for backend in backends
            .iter_mut()
            .filter(|backend| backend.weight != Weight::ZERO)
        {
            let exact = scaled(backend, *factor) / divisor;
            let fitting = match largest > most {
                true => (u128::from(exact) * u128::from(most) / u128::from(largest)) as u64,
                false => exact,
            };
            // A cluster with a share keeps every endpoint in use.
            let least = u64::from(*weight > 0);
            let fitting = u16::try_from(fitting.max(least)).unwrap_or(u16::MAX);
            backend.weight = Weight::new(fitting);
        }
    }
}

const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// `None` if it is so large that weights made of it would not fit.
fn lcm(a: u64, b: u64) -> Option<u64> {
    let product = (a / gcd(a, b)).checked_mul(b)?;
    (product <= 1 << 32).then_some(product)
}

#[cfg(test)]
mod tests;
