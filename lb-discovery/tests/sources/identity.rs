//! What tells sources apart for a driver that takes over.

use std::sync::Arc;

use lb_discovery::{Discovery, Filter, Map, Merge, Static, channel};
use test_support::discovery::set;

fn same(one: &dyn Discovery, other: &dyn Discovery) -> bool {
    one.identity() == other.identity()
}

#[test]
fn lists_are_what_they_say_and_handles_are_each_their_own() {
    let list = |ports: &[u16]| Static::new(set(ports));
    assert!(same(&list(&[1]), &list(&[1]).with_source("another label")));
    assert!(!same(&list(&[1]), &list(&[2])));
    let (_one, one) = channel(set(&[1]));
    let (_other, other) = channel(set(&[1]));
    assert!(same(&one, &one.clone()));
    assert!(!same(&one, &other));
}

#[test]
fn adaptors_are_what_they_wrap() {
    let list = Static::new(set(&[1]));
    let map = Map::new(list.clone(), |b| b);
    let filter = Filter::new(Map::new(list.clone(), |b| b), |_| true);
    let shared: Arc<dyn Discovery> = Arc::new(filter);
    assert!(same(&list, &map) && same(&list, &shared));
    let boxed: Box<dyn Discovery> = Box::new(map);
    assert!(same(&list, &boxed));
    let other = Static::new(set(&[2]));
    let merge = |parts: [&Static; 2]| {
        let [one, two] = parts.map(Static::clone);
        Merge::new().with(one).with(two)
    };
    assert!(same(&merge([&list, &other]), &merge([&list, &other])));
    assert!(!same(&merge([&list, &other]), &merge([&other, &list])));
    assert!(!same(&merge([&list, &other]), &list));
}

#[cfg(feature = "dns")]
#[test]
fn names_are_what_they_lead_to() {
    use lb_discovery::{Dns, Resolver};

    let asked = |addr: &str| Resolver::builder().name_servers(&[addr.parse().unwrap()]);
    let by = |addr: &str| asked(addr).build().unwrap();
    let host = |resolver: Resolver, port| Dns::new(resolver, "node.test", port).unwrap();
    let (one, two) = ("127.0.0.1:53", "127.0.0.2:53");
    assert!(same(&host(by(one), 1), &host(by(one), 1)));
    assert!(!same(&host(by(one), 1), &host(by(one), 2)), "another port");
    assert!(
        !same(&host(by(one), 1), &host(by(two), 1)),
        "another server"
    );
    let only_ipv4 = asked(one).ipv6(false).build().unwrap();
    assert!(!same(&host(by(one), 1), &host(only_ipv4, 1)), "one family");
    let impatient = asked(one).attempts(1).valid(std::time::Duration::ZERO);
    assert!(same(
        &host(by(one), 1),
        &host(impatient.build().unwrap(), 1)
    ));
    let other = Dns::new(by(one), "other.test", 1).unwrap();
    assert!(!same(&host(by(one), 1), &other));
    let service = |name| Dns::service(by(one), name).unwrap();
    assert!(same(&service("node.test"), &service("node.test")));
    assert!(
        !same(&service("node.test"), &host(by(one), 0)),
        "other records"
    );
    assert!(!same(&service("node.test"), &service("other.test")));
    let addr = |port| Dns::new(by(one), "10.0.0.1", port).unwrap();
    assert!(!same(&addr(1), &addr(2)));
}

#[cfg(feature = "file")]
#[test]
fn files_are_their_path_and_format() {
    use lb_discovery::{File, Format};

    let file = |path: &str| File::new(path);
    assert!(same(&file("/a/backends.yaml"), &file("/a/backends.yaml")));
    assert!(!same(&file("/a/backends.yaml"), &file("/b/backends.yaml")));
    let json = File::with_format("/a/backends.yaml", Format::Json);
    assert!(!same(&file("/a/backends.yaml"), &json));
}
