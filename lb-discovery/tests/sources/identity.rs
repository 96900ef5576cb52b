//! The identities of sources, by which a driver takes sets over.

use std::sync::Arc;

use lb_discovery::{Filter, Manual, Map, Merge, Source, Static};
use test_support::discovery::set;

fn same(one: &dyn Source, other: &dyn Source) -> bool {
    one.identity() == other.identity()
}

#[test]
fn equal_lists_are_one_source_and_each_handle_is_another() {
    let list = |ports: &[u16]| Static::new(set(ports));
    assert!(same(&list(&[1]), &list(&[1]).labelled("another label")));
    assert!(!same(&list(&[1]), &list(&[2])));
    let (one, _one) = Manual::new(set(&[1]));
    let (other, _other) = Manual::new(set(&[1]));
    assert!(same(&one, &one.clone()));
    assert!(!same(&one, &other));
}

#[test]
fn combinators_have_the_identity_of_their_source() {
    let list = Static::new(set(&[1]));
    let map = Map::new(list.clone(), |b| b);
    let filter = Filter::new(Map::new(list.clone(), |b| b), |_| true);
    let shared: Arc<dyn Source> = Arc::new(filter);
    assert!(same(&list, &map) && same(&list, &shared));
    let boxed: Box<dyn Source> = Box::new(map);
    assert!(same(&list, &boxed));
    let other = Static::new(set(&[2]));
    let merge = |parts: [&Static; 2]| {
        let [one, two] = parts.map(Static::clone);
        Merge::new().part(one).part(two)
    };
    assert!(same(&merge([&list, &other]), &merge([&list, &other])));
    assert!(!same(&merge([&list, &other]), &merge([&other, &list])));
    assert!(!same(&merge([&list, &other]), &list));
}

#[cfg(feature = "dns")]
#[test]
fn names_are_identified_by_their_lookup() {
    use lb_discovery::{Dns, Resolver};

    let asked = |addr: &str| Resolver::builder().name_servers(&[addr.parse().unwrap()]);
    let by = |addr: &str| asked(addr).build().unwrap();
    let host = |resolver: Resolver, port| Dns::try_new(resolver, "node.test", port).unwrap();
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
    let other = Dns::try_new(by(one), "other.test", 1).unwrap();
    assert!(!same(&host(by(one), 1), &other));
    let service = |name| Dns::try_service(by(one), name).unwrap();
    assert!(same(&service("node.test"), &service("node.test")));
    assert!(
        !same(&service("node.test"), &host(by(one), 0)),
        "other records"
    );
    assert!(!same(&service("node.test"), &service("other.test")));
    let addr = |port| Dns::try_new(by(one), "10.0.0.1", port).unwrap();
    assert!(!same(&addr(1), &addr(2)));
}

#[cfg(feature = "file")]
#[test]
fn files_are_identified_by_path_and_format() {
    use lb_discovery::{File, FileFormat};

    let file = |path: &str| File::new(path);
    assert!(same(&file("/a/backends.yaml"), &file("/a/backends.yaml")));
    assert!(!same(&file("/a/backends.yaml"), &file("/b/backends.yaml")));
    let json = File::with_format("/a/backends.yaml", FileFormat::Json);
    assert!(!same(&file("/a/backends.yaml"), &json));
}
