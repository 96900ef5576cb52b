use super::*;
use crate::operator::status_view::example;

fn two() -> (Status, Status) {
    let mut status = example();
    let mut other = status.upstreams[0].clone();
    other.name = "other".to_owned();
    status.upstreams.push(other);
    status.upstreams[1].tiers[0].digest = Some("00000000000000aa".to_owned());
    (status.clone(), status)
}

fn difference(change: impl Fn(&mut Status)) -> String {
    let (a, mut b) = two();
    change(&mut b);
    let found = first_difference(&a, &b).expect("a difference").to_string();
    // It is found from both sides.
    let reversed = first_difference(&b, &a).expect("a difference").to_string();
    assert_eq!(found.len(), reversed.len(), "{found}; {reversed}");
    found
}

#[test]
fn what_decides_where_connections_go_is_compared() {
    let (a, b) = two();
    assert_eq!(first_difference(&a, &b), None);
    for (expected, found) in [
        (
            "only A has the upstream other",
            difference(|b| b.upstreams.truncate(1)),
        ),
        (
            "upstream echo: the policy is maglev (table_size 65537) on A and ketama (table_size 65537) on B",
            difference(|b| b.upstreams[0].policy = "ketama".to_owned()),
        ),
        (
            "upstream echo: the policy is maglev (table_size 65537) on A and maglev on B",
            difference(|b| b.upstreams[0].policy_settings.clear()),
        ),
        (
            "upstream echo: the membership is known on A and unknown on B",
            difference(|b| b.upstreams[0].ready = false),
        ),
        (
            "upstream echo: only A has the backend 10.0.0.1:446",
            difference(|b| drop(b.upstreams[0].backends.remove(0))),
        ),
        (
            "upstream echo, backend 10.0.0.2:446: the weight is 1 on A and 3 on B",
            difference(|b| b.upstreams[0].backends[1].weight = 3),
        ),
        (
            "upstream echo, backend 10.0.0.2:446: max_conns is 100 on A and unlimited on B",
            difference(|b| b.upstreams[0].backends[1].max_conns = None),
        ),
        (
            "upstream other, priority 0: the digest is 00000000000000aa on A and 00000000000000bb on B",
            difference(|b| {
                b.upstreams[1].tiers[0].digest = Some("00000000000000bb".to_owned());
            }),
        ),
        (
            "upstream other, priority 0: the order of the backends differs, and the policy depends on it",
            difference(|b| {
                b.upstreams[1].tiers[0].digest = Some("00000000000000bb".to_owned());
                b.upstreams[1].backends.reverse();
            }),
        ),
    ] {
        assert_eq!(found, expected);
    }
}

#[test]
fn an_upstream_whose_digests_differ_comes_first() {
    let found = difference(|b| {
        b.upstreams[0].backends[0].weight = 9;
        b.upstreams[1].tiers[0].digest = None;
        b.upstreams[1].backends[1].name = None;
    });
    let expected = "upstream other, backend 10.0.0.2:446: the name is node-2 on A and missing on B";
    assert_eq!(found, expected);
}

#[test]
fn health_is_no_difference() {
    let (a, mut b) = two();
    b.upstreams[1].backends[1].verdict = "ejected".to_owned();
    assert_eq!(first_difference(&a, &b), None);
    let expected = "upstream other, backend 10.0.0.2:446: eligible on A and ejected on B";
    assert_eq!(notes(&a, &b), [expected]);
}
