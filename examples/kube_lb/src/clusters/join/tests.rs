use std::net::SocketAddr;

use lb_proxy::lb_core::AdminState;
use proptest::prelude::*;

use super::*;

fn place(name: &str, priority: u8, weight: Option<u16>) -> ClusterPlace {
    ClusterPlace {
        name: name.to_owned(),
        priority,
        weight,
        ..ClusterPlace::default()
    }
}

/// `count` pods of the network 10.`network`.0.0.
fn pods(network: u8, count: u16) -> Snapshot {
    let pods = (0..count).map(|number| {
        let [high, low] = number.to_be_bytes();
        Backend::new(SocketAddr::from(([10, network, high, low], 80))).name(format!("web-{number}"))
    });
    pods.collect()
}

fn set(place: &ClusterPlace, set: Snapshot) -> ClusterSet<'_> {
    ClusterSet {
        place,
        set: Ok(set),
    }
}

fn weights(joined: &JoinedSet) -> Vec<u16> {
    let set = joined.set.as_ref().unwrap();
    set.iter().map(|backend| backend.weight.get()).collect()
}

#[test]
fn a_cluster_alone_is_shared_as_it_is() {
    let west = place("west", 3, Some(7));
    let pods = pods(1, 3);
    let joined = join(vec![set(&west, pods.clone())]);
    assert_eq!(joined.set, Ok(pods));
    let none = ClusterSet {
        place: &west,
        set: Err("no such Service".to_owned()),
    };
    assert_eq!(join(vec![none]).set, Err("no such Service".to_owned()));
}

#[test]
fn clusters_have_their_priority_and_names_of_their_own() {
    let (west, east) = (place("west", 0, None), place("east", 1, None));
    let joined = join(vec![set(&west, pods(1, 1)), set(&east, pods(2, 1))]);
    let found = joined.set.unwrap();
    let seen: Vec<_> = found
        .iter()
        .map(|backend| (backend.name.as_deref().unwrap(), backend.priority.get()))
        .collect();
    assert_eq!(seen, [("web-0", 0), ("east/web-0", 1)]);
    assert_eq!(
        found.iter().nth(1).unwrap().source.as_deref(),
        Some("cluster east")
    );
}

#[test]
fn weights_are_shares_of_clusters_and_not_of_pods() {
    let (west, east) = (place("west", 0, Some(70)), place("east", 0, Some(30)));
    let joined = join(vec![set(&west, pods(1, 2)), set(&east, pods(2, 5))]);
    assert_eq!(weights(&joined), [35, 35, 6, 6, 6, 6, 6]);
    // Without weights every pod has the same share.
    let (west, east) = (place("west", 0, None), place("east", 0, None));
    let joined = join(vec![set(&west, pods(1, 2)), set(&east, pods(2, 1))]);
    assert_eq!(weights(&joined), [1, 1, 1]);
    // Each priority is one of its own.
    let (west, east) = (place("west", 0, Some(70)), place("east", 1, Some(30)));
    let joined = join(vec![set(&west, pods(1, 2)), set(&east, pods(2, 1))]);
    assert_eq!(weights(&joined), [1, 1, 1]);
    // A cluster without a ready pod takes no part.
    let (west, east) = (place("west", 0, Some(70)), place("east", 0, Some(30)));
    let draining: Snapshot = pods(2, 3)
        .iter()
        .map(|pod| pod.clone().admin(AdminState::Drain))
        .collect();
    let joined = join(vec![set(&west, pods(1, 2)), set(&east, draining)]);
    assert_eq!(weights(&joined), [1, 1, 1, 1, 1]);
}

#[test]
fn a_cluster_of_weight_zero_gets_nothing_new() {
    let (west, east) = (place("west", 0, Some(0)), place("east", 0, Some(1)));
    let joined = join(vec![set(&west, pods(1, 2)), set(&east, pods(2, 2))]);
    assert_eq!(weights(&joined), [0, 0, 1, 1]);
    let joined = join(vec![set(&west, pods(1, 2)), set(&east, pods(2, 0))]);
    assert_eq!(weights(&joined), [0, 0]);
}

#[test]
fn the_first_cluster_keeps_an_address_that_several_claim() {
    let (west, east) = (place("west", 1, None), place("east", 0, None));
    let joined = join(vec![set(&west, pods(1, 2)), set(&east, pods(1, 3))]);
    let found = joined.set.unwrap();
    let names: Vec<_> = found.iter().map(|b| b.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["web-0", "web-1", "east/web-2"]);
    assert_eq!(
        joined.problems["east"],
        "left out: 0 endpoints outside of its networks, 2 with the address of an earlier cluster's"
    );
}

#[test]
fn endpoints_outside_of_the_networks_are_left_out() {
    let west = place("west", 0, None);
    let mut east = place("east", 0, None);
    east.networks = Some(vec!["10.2.0.0/31".parse().unwrap()]);
    let joined = join(vec![set(&west, pods(1, 1)), set(&east, pods(2, 3))]);
    assert_eq!(joined.set.unwrap().len(), 3);
    assert!(joined.problems["east"].starts_with("left out: 1 endpoints outside"));
    // Of a cluster alone as well.
    let joined = join(vec![set(&east, pods(2, 3))]);
    assert_eq!(joined.set.unwrap().len(), 2);
}

#[test]
fn a_cluster_without_a_set_does_not_matter_while_another_has_one() {
    let (west, east) = (place("west", 0, Some(1)), place("east", 0, Some(1)));
    let none = || ClusterSet {
        place: &west,
        set: Err("no EndpointSlice".to_owned()),
    };
    let joined = join(vec![none(), set(&east, pods(2, 1))]);
    assert_eq!(joined.set.unwrap().len(), 1);
    assert_eq!(joined.problems["west"], "no EndpointSlice");
    let other = ClusterSet {
        place: &east,
        set: Err("no such port".to_owned()),
    };
    assert_eq!(
        join(vec![none(), other]).set,
        Err("west: no EndpointSlice; east: no such port".to_owned())
    );
}

proptest! {
    /// The share of each cluster differs from its weight by what 16 bits cost, and every endpoint of one with a share is used.
    #[test]
    fn shares_are_those_of_the_weights(
        parts in prop::collection::vec((1_u16..1000, 1_u16..2000, 1_u16..20), 2..5),
    ) {
        let places: Vec<_> = (0..).zip(&parts)
            .map(|(number, (weight, ..))| place(&format!("c{number}"), 0, Some(*weight)))
            .collect();
        let sets = places.iter().zip(&parts).enumerate().map(|(number, (place, (_, count, weight)))| {
            let pods: Snapshot = pods(u8::try_from(number).unwrap(), *count)
                .iter()
                .enumerate()
                .map(|(i, pod)| pod.clone().weight(Weight::new(1 + (i as u16) % weight)))
                .collect();
            set(place, pods)
        });
        let joined = join(sets.collect()).set.unwrap();
        prop_assert!(joined.iter().all(|backend| backend.weight != Weight::ZERO));
        let sum_of = |number: usize| -> f64 {
            let of = |backend: &&Backend| match backend.addr {
                SocketAddr::V4(addr) => usize::from(addr.ip().octets()[1]) == number,
                SocketAddr::V6(_) => false,
            };
            joined.iter().filter(of).map(|backend| f64::from(backend.weight.get())).sum()
        };
        let all: f64 = (0..parts.len()).map(sum_of).sum();
        let wanted: f64 = parts.iter().map(|(weight, ..)| f64::from(*weight)).sum();
        for (number, (weight, count, _)) in parts.iter().enumerate() {
            let (share, expected) = (sum_of(number) / all, f64::from(*weight) / wanted);
            // Rounding costs at most one of each endpoint's weight.
            let slack = f64::from(*count) * 20.0 / all + 0.02;
            prop_assert!((share - expected).abs() <= slack, "{share} {expected} {slack}");
        }
    }
}
