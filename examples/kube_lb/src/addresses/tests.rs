use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn pool(name: &str, ranges: &[&str]) -> Pool {
    Pool::new(name, ranges.iter().map(|range| range.parse().unwrap()))
}

fn pools(pools: Vec<Pool>) -> Pools {
    Pools::try_new(pools).unwrap()
}

fn request(name: &str, created: u32, ports: &[u16]) -> AddressRequest {
    AddressRequest {
        owner: Owner::service("default", name),
        created: format!("2026-01-01T00:00:{created:02}Z"),
        families: vec![Family::Ipv4],
        needs_all_families: true,
        ports: ports.iter().copied().collect(),
        wanted: Vec::new(),
        pool: None,
        held: Vec::new(),
    }
}

fn wants(mut request: AddressRequest, addresses: &[&str]) -> AddressRequest {
    request.wanted = addresses.iter().map(|text| ip(text)).collect();
    request
}

fn holds(mut request: AddressRequest, address: &str, ports: &[u16]) -> AddressRequest {
    request.held.push(Held {
        ip: ip(address),
        ports: ports.iter().copied().collect(),
    });
    request
}

fn assign(pools: &Pools, requests: &[AddressRequest]) -> BTreeMap<String, Grant> {
    let grants = allocate(pools, requests, Mode::Assign).into_iter();
    grants.map(|(owner, grant)| (owner.name, grant)).collect()
}

/// The addresses of each object.
fn addresses(pools: &Pools, requests: &[AddressRequest]) -> Vec<(String, String)> {
    let grants = assign(pools, requests).into_iter();
    let text = |grant: Grant| {
        let all = grant.addresses.iter().map(IpAddr::to_string);
        all.collect::<Vec<_>>().join(" ")
    };
    grants.map(|(name, grant)| (name, text(grant))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = expected.iter();
    owned.map(|(a, b)| ((*a).into(), (*b).into())).collect()
}

#[test]
fn ranges_are_addresses_networks_and_pairs() {
    for (text, shown, has, has_not) in [
        ("192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"),
        (
            "192.0.2.8/30",
            "192.0.2.8-192.0.2.11",
            "192.0.2.11",
            "192.0.2.12",
        ),
        (
            "192.0.2.1-192.0.2.9",
            "192.0.2.1-192.0.2.9",
            "192.0.2.9",
            "2001:db8::1",
        ),
        (
            "2001:db8::/126",
            "2001:db8::-2001:db8::3",
            "2001:db8::2",
            "2001:db8::4",
        ),
        (
            " 192.0.2.1 - 192.0.2.2 ",
            "192.0.2.1-192.0.2.2",
            "192.0.2.2",
            "192.0.2.3",
        ),
    ] {
        let range: Range = text.parse().unwrap();
        assert_eq!(range.to_string(), shown);
        assert!(
            range.contains(ip(has)) && !range.contains(ip(has_not)),
            "{text}"
        );
    }
    for text in [
        "",
        "edge",
        "192.0.2.9-192.0.2.1",
        "192.0.2.1-2001:db8::1",
        "192.0.2.1/24",
        "192.0.2.0/33",
        "0.0.0.0/8",
        "224.0.0.1",
        "239.0.0.0-240.0.0.0",
        "255.255.255.255",
        "::ffff:192.0.2.1",
        "::",
        "ff02::1",
    ] {
        assert!(text.parse::<Range>().is_err(), "{text}");
    }
    let all: Vec<_> = "192.0.2.254-192.0.3.1"
        .parse::<Range>()
        .unwrap()
        .iter()
        .collect();
    assert_eq!(
        all,
        ["192.0.2.254", "192.0.2.255", "192.0.3.0", "192.0.3.1"].map(ip)
    );
    let last: Vec<_> = Range::new(ip("255.255.255.255"), ip("255.255.255.255"))
        .unwrap()
        .iter()
        .collect();
    assert_eq!(last.len(), 1);
}

#[test]
fn an_address_belongs_to_one_pool() {
    let overlap = Pools::try_new(vec![
        pool("a", &["192.0.2.0/24"]),
        pool("b", &["192.0.2.7"]),
    ]);
    assert_eq!(
        overlap.unwrap_err().to_string(),
        "192.0.2.0-192.0.2.255 of the pool \"a\" and 192.0.2.7 of the pool \"b\" have addresses in common: an address belongs to one pool"
    );
    let twice = Pools::try_new(vec![pool("a", &["192.0.2.1"]), pool("a", &["192.0.2.2"])]);
    assert_eq!(twice, Err(PoolsError::Name("a".to_owned())));
    assert_eq!(
        Pools::try_new(vec![pool("a", &[])]),
        Err(PoolsError::Empty("a".to_owned()))
    );
}

#[test]
fn objects_get_addresses_of_their_own_and_share_when_none_is_left() {
    let pools = pools(vec![pool("edge", &["192.0.2.1-192.0.2.2"])]);
    let requests = [
        request("b", 2, &[80]),
        request("a", 3, &[443]),
        request("c", 1, &[80, 443]),
        request("d", 4, &[80]),
    ];
    assert_eq!(
        addresses(&pools, &requests),
        pairs(&[
            ("a", "192.0.2.2"),
            ("b", "192.0.2.2"),
            ("c", "192.0.2.1"),
            ("d", "")
        ])
    );
    let problems = &assign(&pools, &requests)["d"].problems;
    assert_eq!(
        problems[0].to_string(),
        "no IPv4 address is free in the pool \"edge\""
    );
}

#[test]
fn a_pool_that_is_not_shared_gives_each_address_once() {
    let mut edge = pool("edge", &["192.0.2.1"]);
    edge.is_shared = false;
    let pools = pools(vec![edge]);
    let wanted = wants(request("b", 2, &[443]), &["192.0.2.1"]);
    let grants = assign(
        &pools,
        &[
            request("a", 1, &[80]),
            request("c", 3, &[22]),
            holds(request("a", 1, &[80]), "192.0.2.1", &[80]),
            wanted,
        ],
    );
    assert_eq!(grants["a"].addresses, [ip("192.0.2.1")]);
    assert_eq!(
        grants["b"].problems[0].to_string(),
        "the requested address 192.0.2.1 belongs to Service default/a"
    );
    assert!(grants["c"].addresses.is_empty());
}

#[test]
fn the_status_is_the_memory() {
    let pools = pools(vec![pool("edge", &["192.0.2.1-192.0.2.9"])]);
    let held = holds(request("young", 9, &[80]), "192.0.2.1", &[80]);
    let old = wants(request("old", 1, &[80, 81]), &["192.0.2.1"]);
    let grants = assign(&pools, &[old, held]);
    assert!(grants["young"].has(ip("192.0.2.1"), 80));
    assert!(!grants["old"].has(ip("192.0.2.1"), 80));
    assert!(grants["old"].has(ip("192.0.2.1"), 81));
    assert_eq!(grants["old"].lost[&(ip("192.0.2.1"), 80)].name, "young");
}

#[test]
fn an_address_outside_of_the_pools_is_never_given() {
    let mut inner = pool("inner", &["198.51.100.1"]);
    inner.namespaces = Some(BTreeSet::from(["kube-system".to_owned()]));
    inner.is_automatic = false;
    let pools = pools(vec![pool("edge", &["192.0.2.1"]), inner]);
    let problem = |request: AddressRequest| {
        let name = request.owner.name.clone();
        let grant = assign(&pools, &[request]).remove(&name).unwrap();
        assert!(grant.addresses.is_empty());
        grant.problems[0].to_string()
    };
    assert_eq!(
        problem(wants(request("a", 1, &[80]), &["10.0.0.1"])),
        "the requested address 10.0.0.1 is in no pool"
    );
    assert_eq!(
        problem(wants(request("a", 1, &[80]), &["198.51.100.1"])),
        "objects of the namespace \"default\" may not have addresses of the pool \"inner\""
    );
    let named = |pool: &str| {
        let mut request = request("a", 1, &[80]);
        request.pool = Some(pool.to_owned());
        request
    };
    assert_eq!(problem(named("other")), "there is no pool \"other\"");
    assert!(problem(named("inner")).contains("may not have"));
    assert_eq!(
        problem(wants(named("inner"), &["192.0.2.1"])),
        "the requested address 192.0.2.1 is not in the pool \"inner\""
    );
    // An address that a pool lost is replaced.
    let withdrawn = holds(request("a", 1, &[80]), "203.0.113.1", &[80]);
    assert_eq!(
        addresses(&pools, &[withdrawn]),
        pairs(&[("a", "192.0.2.1")])
    );
    let v6 = AddressRequest {
        families: vec![Family::Ipv6],
        ..request("a", 1, &[80])
    };
    assert_eq!(
        problem(v6),
        "no pool has IPv6 addresses for the namespace \"default\""
    );
}

#[test]
fn a_dual_stack_object_gets_an_address_of_each_family() {
    let pools = pools(vec![pool("edge", &["192.0.2.1", "2001:db8::/64"])]);
    let mut dual = request("a", 1, &[80]);
    dual.families = vec![Family::Ipv6, Family::Ipv4];
    assert_eq!(
        addresses(&pools, &[dual.clone()]),
        pairs(&[("a", "2001:db8:: 192.0.2.1")])
    );
    let half = holds(dual, "192.0.2.1", &[80]);
    assert_eq!(
        addresses(&pools, &[half]),
        pairs(&[("a", "192.0.2.1 2001:db8::")])
    );
}

#[test]
fn an_object_that_prefers_both_families_has_no_problem_with_one() {
    let only_v4 = pools(vec![pool("edge", &["192.0.2.1-192.0.2.9"])]);
    for needs_all_families in [true, false] {
        let mut dual = request("a", 1, &[80]);
        dual.families = vec![Family::Ipv6, Family::Ipv4];
        dual.needs_all_families = needs_all_families;
        let mut v6 = request("b", 1, &[80]);
        v6.families = vec![Family::Ipv6];
        v6.needs_all_families = needs_all_families;
        let grants = assign(&only_v4, &[dual, v6]);
        assert_eq!(grants["a"].addresses, [ip("192.0.2.1")]);
        assert_eq!(grants["a"].problems.is_empty(), !needs_all_families);
        // Without any address it is one.
        assert_eq!(grants["b"].problems.len(), 1);
    }
}

#[test]
fn a_follower_gives_what_the_status_says_and_nothing_else() {
    let pools = pools(vec![pool("edge", &["192.0.2.1-192.0.2.9"])]);
    let held = holds(request("a", 1, &[80, 81]), "192.0.2.3", &[80]);
    let grants = allocate(&pools, &[held, request("b", 2, &[80])], Mode::Follow);
    let a = &grants[&Owner::service("default", "a")];
    assert!(a.has(ip("192.0.2.3"), 80) && !a.has(ip("192.0.2.3"), 81));
    assert!(grants[&Owner::service("default", "b")].addresses.is_empty());
}

/// A world of objects that write down what they get.
fn any_request() -> impl Strategy<Value = AddressRequest> {
    let wanted = prop::collection::vec(0_u8..12, 0..3);
    let held = prop::collection::vec(
        (0_u8..12, prop::collection::btree_set(1_u16..4, 0..3)),
        0..3,
    );
    let ports = prop::collection::btree_set(1_u16..4, 1..3);
    let families = prop::sample::select(vec![
        vec![Family::Ipv4],
        vec![Family::Ipv6],
        vec![Family::Ipv4, Family::Ipv6],
    ]);
    let pool = prop::option::weighted(
        0.2,
        prop::sample::select(vec!["edge".to_owned(), "inner".to_owned(), "no".to_owned()]),
    );
    (0_u32..6, any::<bool>(), ports, wanted, held, families, pool).prop_map(
        |(name, is_other, ports, wanted, held, families, pool)| {
            let address = |last: u8| match last.is_multiple_of(3) {
                true => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(last)]),
                false => IpAddr::from([192, 0, 2, last]),
            };
            let namespace = if is_other { "other" } else { "default" };
            AddressRequest {
                owner: Owner::service(namespace, name.to_string()),
                created: format!("2026-01-01T00:00:{:02}Z", name % 3),
                families,
                needs_all_families: name % 2 == 0,
                ports,
                wanted: wanted.into_iter().map(address).collect(),
                pool,
                held: held
                    .into_iter()
                    .map(|(last, ports)| Held {
                        ip: address(last),
                        ports,
                    })
                    .collect(),
            }
        },
    )
}

fn any_world() -> impl Strategy<Value = Vec<AddressRequest>> {
    prop::collection::vec(any_request(), 0..12).prop_map(|mut requests| {
        requests.sort_by(|a, b| a.owner.cmp(&b.owner));
        requests.dedup_by(|a, b| a.owner == b.owner);
        requests
    })
}

/// `LB_MANY=4000` sets the number, and prints how long the decision takes, which must not grow with the square.
#[allow(clippy::print_stdout, reason = "figures")]
#[test]
fn many_objects_for_which_no_address_is_free() {
    let many = std::env::var("LB_MANY").ok();
    let many: u16 = many.and_then(|many| many.parse().ok()).unwrap_or(200);
    let last = IpAddr::from(std::net::Ipv4Addr::from(0x0a00_0000 + u32::from(many) / 2));
    for is_shared in [true, false] {
        let mut edge = pool("edge", &[&format!("10.0.0.1-{last}")]);
        edge.is_shared = is_shared;
        let pools = pools(vec![edge]);
        // All want one port, and each has another one of its own.
        let requests = (0..many).map(|i| request(&format!("{i:05}"), 0, &[80, 1000 + i]));
        let requests: Vec<_> = requests.collect();
        let began = std::time::Instant::now();
        let grants = allocate(&pools, &requests, Mode::Assign);
        println!("{many} objects, shared: {is_shared}: {:?}", began.elapsed());
        let with_address = grants.values().filter(|grant| !grant.addresses.is_empty());
        assert_eq!(with_address.count(), usize::from(many / 2));
    }
}

fn world_pools(is_shared: bool) -> Pools {
    let mut edge = pool("edge", &["192.0.2.1-192.0.2.4", "2001:db8::3"]);
    edge.is_shared = is_shared;
    let mut inner = pool("inner", &["192.0.2.5", "2001:db8::6"]);
    inner.namespaces = Some(BTreeSet::from(["other".to_owned()]));
    pools(vec![edge, inner])
}

/// The same objects after the status was written.
fn written(requests: &[AddressRequest], grants: &BTreeMap<Owner, Grant>) -> Vec<AddressRequest> {
    let after = requests.iter().map(|request| {
        let grant = &grants[&request.owner];
        let held = grant.addresses.iter().map(|ip| Held {
            ip: *ip,
            ports: grant
                .ports
                .iter()
                .filter(|(of, _)| of == ip)
                .map(|(_, port)| *port)
                .collect(),
        });
        AddressRequest {
            held: held.collect(),
            ..request.clone()
        }
    });
    after.collect()
}

proptest! {
    #[test]
    fn every_grant_is_inside_of_the_pools_and_no_port_has_two_owners(
        requests in any_world(),
        is_shared in any::<bool>(),
        follows in any::<bool>(),
    ) {
        let pools = world_pools(is_shared);
        let mode = if follows { Mode::Follow } else { Mode::Assign };
        let grants = allocate(&pools, &requests, mode);
        prop_assert_eq!(grants.len(), requests.len());
        let mut owners = BTreeMap::new();
        for request in &requests {
            let grant = &grants[&request.owner];
            for ip in &grant.addresses {
                let pool = pools.of(*ip);
                prop_assert!(pool.is_some_and(|pool| pool.allows(&request.owner.namespace)));
                prop_assert!(request.pool.is_none() || pool.map(|pool| &pool.name) == request.pool.as_ref());
            }
            for port in &grant.ports {
                prop_assert!(grant.addresses.contains(&port.0) && request.ports.contains(&port.1));
                prop_assert!(!grant.lost.contains_key(port));
                prop_assert_eq!(owners.insert(*port, &request.owner), None);
            }
            for (place, owner) in &grant.lost {
                prop_assert!(*owner != request.owner && grants[owner].ports.contains(place));
            }
        }
    }

    #[test]
    fn pools_are_exhausted_only_if_no_address_of_them_is_free(requests in any_world(), is_shared in any::<bool>()) {
        let pools = world_pools(is_shared);
        let grants = allocate(&pools, &requests, Mode::Assign);
        let all = || grants.values();
        for request in &requests {
            for problem in &grants[&request.owner].problems {
                let Problem::Exhausted { pools: named, family } = problem else {
                    continue;
                };
                for pool in named.iter().filter_map(|name| pools.named(name)) {
                    for ip in pool.addresses(*family) {
                        prop_assert!(all().any(|grant| grant.addresses.contains(&ip)), "{ip} is unused");
                        let is_taken = |port: &u16| all().any(|grant| grant.has(ip, *port));
                        prop_assert!(!pool.is_shared || request.ports.iter().any(is_taken), "{ip} is free");
                    }
                }
            }
        }
    }

    #[test]
    fn the_order_of_events_does_not_matter(
        (requests, shuffled) in any_world().prop_flat_map(|world| (Just(world.clone()), Just(world).prop_shuffle())),
    ) {
        let pools = world_pools(true);
        prop_assert_eq!(
            allocate(&pools, &requests, Mode::Assign),
            allocate(&pools, &shuffled, Mode::Assign)
        );
    }

    #[test]
    fn a_restart_and_a_follower_see_what_was_written(requests in any_world(), is_shared in any::<bool>()) {
        let pools = world_pools(is_shared);
        let grants = allocate(&pools, &requests, Mode::Assign);
        let after = written(&requests, &grants);
        let restarted = allocate(&pools, &after, Mode::Assign);
        let followed = allocate(&pools, &after, Mode::Follow);
        for (owner, grant) in &grants {
            prop_assert_eq!(&restarted[owner].ports, &grant.ports);
            prop_assert_eq!(&followed[owner].ports, &grant.ports);
            let sorted = |grant: &Grant| grant.addresses.iter().copied().collect::<BTreeSet<_>>();
            prop_assert_eq!(sorted(&restarted[owner]), sorted(grant));
        }
    }

    #[test]
    fn objects_that_come_and_go_move_no_other_object(
        world in any_world(),
        newcomers in any_world(),
        gone in any::<prop::sample::Index>(),
    ) {
        let pools = world_pools(true);
        let before = allocate(&pools, &world, Mode::Assign);
        let mut after = written(&world, &before);
        if !after.is_empty() {
            after.remove(gone.index(after.len()));
        }
        let stayed = after.clone();
        let known: BTreeSet<_> = world.iter().map(|request| request.owner.clone()).collect();
        // What their status says came from elsewhere.
        after.extend(newcomers.into_iter().filter(|new| !known.contains(&new.owner)).map(|new| AddressRequest { held: Vec::new(), ..new }));
        let later = allocate(&pools, &after, Mode::Assign);
        for request in &stayed {
            prop_assert!(later[&request.owner].ports.is_superset(&before[&request.owner].ports));
        }
    }
}
