use proptest::prelude::*;

use super::*;

fn record(priority: u16, weight: u16, port: u16, target: &str) -> SrvRecord {
    SrvRecord {
        priority,
        target: Name::from_ascii(target).unwrap(),
        port,
        weight,
    }
}

fn weights_of(given: &[u16]) -> Vec<u16> {
    let records: Vec<_> = given.iter().map(|w| record(0, *w, 1, "a.test.")).collect();
    weights(&records).map(Weight::get).collect()
}

/// The backends as (tier, weight, address).
fn made(records: Vec<SrvRecord>, addrs: &[(&str, &[&str])]) -> Vec<(u8, u16, String)> {
    let names: Vec<_> = addrs
        .iter()
        .map(|(name, _)| Name::from_ascii(name).unwrap())
        .collect();
    let addrs = addrs.iter().map(|(_, addrs)| {
        let addrs = addrs.iter().map(|addr| addr.parse().unwrap());
        addrs.collect()
    });
    let addrs = names.iter().zip(addrs).collect();
    let backends = backends(&offers(records), &addrs);
    let show = |b: &Backend| (b.priority.get(), b.weight.get(), b.addr.to_string());
    backends.iter().map(show).collect()
}

#[test]
fn weight_zero_is_a_small_chance_and_not_none() {
    for (given, expected) in [
        (&[0, 0, 0][..], &[1, 1, 1][..]),
        (&[7], &[7]),
        (&[0], &[1]),
        (&[0, 10, 30], &[1, 10, 30]),
        (&[0, 0, 10, 30], &[1, 1, 20, 60]),
        (&[0, 0, 1], &[1, 1, 2]),
        (&[65535, 1, 0, 0], &[65535, 1, 1, 1]),
        (&[30000, 0, 0, 0], &[60000, 1, 1, 1]),
    ] {
        assert_eq!(weights_of(given), expected, "{given:?}");
    }
}

#[test]
fn priorities_become_tiers_in_their_order() {
    let records = vec![
        record(20, 1, 446, "b.test."),
        record(5, 0, 446, "a.test."),
        record(20, 3, 447, "a.test."),
        record(65535, 1, 446, "c.test."),
    ];
    let addrs: &[(&str, &[&str])] = &[
        ("a.test.", &["10.0.0.1", "2001:db8::1"]),
        ("b.test.", &["10.0.0.2"]),
        ("c.test.", &["10.0.0.3"]),
    ];
    let expected = [
        (0, 1, "10.0.0.1:446"),
        (0, 1, "[2001:db8::1]:446"),
        (1, 3, "10.0.0.1:447"),
        (1, 3, "[2001:db8::1]:447"),
        (1, 1, "10.0.0.2:446"),
        (2, 1, "10.0.0.3:446"),
    ]
    .map(|(tier, weight, addr)| (tier, weight, addr.to_owned()));
    assert_eq!(made(records, addrs), expected);
}

#[test]
fn what_offers_nothing_is_left_out() {
    let records = vec![
        record(0, 9, 446, "."),
        record(1, 9, 0, "a.test."),
        record(7, 2, 446, "a.test."),
    ];
    let made = made(records, &[("a.test.", &["10.0.0.1"])]);
    assert_eq!(made, [(0, 2, "10.0.0.1:446".to_owned())]);
}

fn any_record() -> impl Strategy<Value = SrvRecord> {
    let target = prop_oneof![Just("."), Just("a.test."), Just("b.test."), Just("c.test.")];
    (any::<u16>(), any::<u16>(), any::<u16>(), target)
        .prop_map(|(priority, weight, port, target)| record(priority % 4, weight, port, target))
}

proptest! {
    /// Any records make backends that take connections, in tiers without gaps, in a deterministic order.
    #[test]
    fn any_records_make_usable_backends(mut records in prop::collection::vec(any_record(), 0..40)) {
        let addrs: &[(&str, &[&str])] = &[("a.test.", &["10.0.0.1"]), ("b.test.", &["10.0.0.2", "::2"])];
        let first = made(records.clone(), addrs);
        records.reverse();
        prop_assert_eq!(&made(records.clone(), addrs), &first);
        let offers = offers(records.clone());
        let lowest = offers.iter().map(|record| record.priority).min();
        for (tier, weight, _) in &first {
            prop_assert!(*weight > 0);
            prop_assert!(usize::from(*tier) < offers.len());
        }
        // The lowest priority that is offered is tier 0, whether its target has addresses or not.
        let resolved = |r: &&SrvRecord| !r.target.to_string().starts_with('c');
        let in_first = offers.iter().filter(resolved).any(|r| Some(r.priority) == lowest);
        prop_assert_eq!(first.iter().any(|(tier, ..)| *tier == 0), in_first);
    }

    /// All records of weight 0 together get at least the share of RFC 2782; exactly that while it fits.
    #[test]
    fn weights_keep_their_shares(given in prop::collection::vec(0_u16..2000, 1..30)) {
        let weights = weights_of(&given);
        let zeros = given.iter().filter(|weight| **weight == 0).count() as u64;
        let sum: u64 = given.iter().map(|weight| u64::from(*weight)).sum();
        let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        if sum > 0 && zeros > 0 {
            // zeros / total == 1 / (sum + 1)
            prop_assert_eq!(zeros * (sum + 1), total);
        }
        for (a, b) in given.iter().zip(&weights) {
            for (c, d) in given.iter().zip(&weights) {
                if *a > 0 && *c > 0 {
                    prop_assert_eq!(u64::from(*a) * u64::from(*d), u64::from(*c) * u64::from(*b));
                }
            }
        }
    }
}
