//! Hashing policies: affinity, shares, keys moved, agreement of replicas.
//!
//! `cargo test --release -p lb-core --test behaviour -- --ignored --nocapture figures` prints the figures of their documentation.

use std::path::Path;
use std::sync::Arc;

use crate::support::{Bench, at, backend, number, tried, weighted};
use lb_core::policy::{Ketama, Maglev, PolicyKind, RingHash};
use lb_core::{Backend, Policy, Snapshot, Tried, Weight};
use proptest::collection::vec;
use proptest::prelude::*;

const HASHING: [PolicyKind; 5] = [
    PolicyKind::Ketama,
    PolicyKind::Maglev,
    PolicyKind::NginxHash,
    PolicyKind::Rendezvous,
    PolicyKind::RingHash,
];
/// The policies that send a key to the same backend for any order of the snapshot.
const ORDERLESS: [PolicyKind; 3] = [
    PolicyKind::Maglev,
    PolicyKind::Rendezvous,
    PolicyKind::RingHash,
];

fn key(n: usize) -> [u8; 8] {
    // Keys of clients are similar, as are consecutive numbers.
    n.to_le_bytes()
}

/// The backend of each of the first `keys` keys.
fn places(bench: &mut Bench, keys: usize, tried: &Tried) -> Vec<usize> {
    let numbers: std::collections::BTreeMap<_, _> = bench
        .balancer
        .set()
        .snapshot()
        .iter()
        .map(|b| (b.addr, crate::support::number_of(b.addr)))
        .collect();
    let mut place = |n| {
        numbers[&bench
            .pick_key(&key(n), tried, at(0))
            .unwrap()
            .backend()
            .addr]
    };
    (0..keys).map(&mut place).collect()
}

fn counts(places: &[usize], backends: usize) -> Vec<f64> {
    let mut counts = vec![0.0; backends];
    for &i in places {
        counts[i] += 1.0;
    }
    counts
}

fn share_moved(before: &[usize], after: &[usize]) -> f64 {
    let moved = before.iter().zip(after).filter(|(a, b)| a != b).count();
    moved as f64 / before.len() as f64
}

fn max_over_mean(counts: &[f64]) -> f64 {
    let mean = counts.iter().sum::<f64>() / counts.len() as f64;
    counts.iter().copied().fold(0.0, f64::max) / mean
}

#[test]
fn a_key_keeps_its_backend() {
    for kind in HASHING {
        let mut bench = Bench::new(kind.build(), &weighted(&[3, 1, 4, 1, 5]));
        let first = places(&mut bench, 500, &Tried::new());
        let _held: Vec<_> = (0..50).map(|_| bench.pick().unwrap()).collect();
        assert_eq!(places(&mut bench, 500, &Tried::new()), first, "{kind}");
    }
}

#[test]
fn connections_without_a_key_take_turns() {
    for kind in HASHING {
        let mut bench = Bench::new(kind.build(), &weighted(&[5, 1, 1]));
        assert_eq!(bench.numbers(7), [0, 0, 1, 0, 2, 0, 0], "{kind}");
        let empty = |_| number(&bench.pick_key(b"", &Tried::new(), at(0)).unwrap());
        let turns: Vec<usize> = (0..7).map(empty).collect();
        assert_eq!(turns, [0, 0, 1, 0, 2, 0, 0], "{kind}");
    }
}

/// Chi-square against the weights, divided by the part that the method's own unevenness adds: a ring's shares deviate
/// by one over the square root of the points, so with more keys than points the statistic grows by their ratio.
#[test]
fn shares_of_keys_follow_the_weights() {
    const KEYS: usize = 50_000;
    for kind in HASHING {
        for weights in [
            &[1, 1, 1, 1][..],
            &[5, 1, 1],
            &[10, 9, 8, 7, 6, 5, 4, 3, 2, 1],
            &[20, 1],
        ] {
            let mut bench = Bench::new(kind.build(), &weighted(weights));
            let counts = counts(&places(&mut bench, KEYS, &Tried::new()), weights.len());
            let sum: f64 = weights.iter().map(|&w| f64::from(w)).sum();
            let statistic: f64 = counts
                .iter()
                .zip(weights)
                .map(|(count, &w)| {
                    let expected = KEYS as f64 * f64::from(w) / sum;
                    (count - expected).powi(2) / expected
                })
                .sum();
            let unevenness = match kind {
                PolicyKind::Ketama => 1.0 + KEYS as f64 / (160.0 * sum),
                PolicyKind::RingHash => 1.0 + KEYS as f64 / 1024.0,
                _ => 1.0,
            };
            assert!(
                statistic / unevenness < 35.0,
                "{kind}: {counts:?} for {weights:?}, {statistic} / {unevenness}"
            );
        }
    }
}

#[test]
fn a_backend_that_is_not_eligible_moves_only_its_own_keys() {
    const BACKENDS: usize = 10;
    for kind in HASHING {
        let mut bench = Bench::new(kind.build(), &weighted(&[2; BACKENDS]));
        let before = places(&mut bench, 20_000, &Tried::new());
        let after = places(&mut bench, 20_000, &tried([4]));
        for (&before, &after) in before.iter().zip(&after) {
            assert!(after != 4 && (before == after || before == 4), "{kind}");
        }
        let replaced: Vec<usize> = (0..before.len()).filter(|&n| before[n] == 4).collect();
        let given: Vec<usize> = replaced.iter().map(|&n| after[n]).collect();
        let given = counts(&given, BACKENDS);
        let most = given.iter().copied().fold(0.0, f64::max);
        assert!(most < 0.35 * replaced.len() as f64, "{kind}: {given:?}");
        // Keys keep their replacement while the same backends are missing, and return afterwards.
        assert_eq!(places(&mut bench, 20_000, &tried([4])), after, "{kind}");
        assert_eq!(places(&mut bench, 20_000, &Tried::new()), before, "{kind}");
    }
}

#[test]
fn a_removed_or_added_backend_moves_few_keys() {
    for kind in HASHING {
        for n in [10, 100, 1000] {
            let all = weighted(&vec![1; n]);
            let without: Snapshot = all
                .iter()
                .take(n / 2)
                .chain(all.iter().skip(n / 2 + 1))
                .cloned()
                .collect();
            let mut bench = Bench::new(kind.build(), &all);
            let before = places(&mut bench, 10_000, &Tried::new());
            bench.updater.apply(&without, at(1));
            let after = places(&mut bench, 10_000, &Tried::new());
            let moved = share_moved(&before, &after);
            let own = before.iter().filter(|&&i| i == n / 2).count() as f64 / 10_000.0;
            match kind {
                PolicyKind::NginxHash => assert!(moved > 0.5, "{kind} of {n}: {moved}"),
                PolicyKind::Maglev => assert!(moved - own < 0.03, "{kind} of {n}: {moved}, {own}"),
                // No other key moves. The ring of Envoy's size has other numbers of points for other sums.
                PolicyKind::RingHash => assert!(moved - own < 0.1, "{kind} of {n}: {moved}, {own}"),
                _ => assert!(moved == own, "{kind} of {n}: {moved}, {own}"),
            }
            // Adding a backend is the reverse of removing it.
            bench.updater.apply(&all, at(2));
            assert_eq!(places(&mut bench, 10_000, &Tried::new()), before, "{kind}");
        }
    }
}

/// Compares with the figures of the documentation, with four standard deviations for the drawn keys.
#[test]
fn the_fullest_backend_is_within_the_documented_bound() {
    for kind in HASHING {
        for (n, keys, at) in [(10, 2500, 0), (100, 400, 1), (1000, 100, 2)] {
            let mut bench = Bench::new(kind.build(), &weighted(&vec![1; n]));
            let places = places(&mut bench, keys * n, &Tried::new());
            let fullest = match kind {
                PolicyKind::Ketama => [1.10, 1.28, 1.29][at],
                PolicyKind::RingHash => [1.16, 1.86, 5.7][at],
                _ => 1.01,
            };
            let most = fullest + 4.0 * (fullest / keys as f64).sqrt();
            let found = max_over_mean(&counts(&places, n));
            assert!(found <= most, "{kind} of {n}: {found}, {most}");
        }
    }
}

#[test]
fn a_changed_weight_moves_few_keys() {
    let ring: Arc<dyn Policy> = Arc::new(RingHash::try_new(16_384, 65_536).unwrap());
    let policies = [
        PolicyKind::Ketama,
        PolicyKind::Maglev,
        PolicyKind::Rendezvous,
    ];
    for policy in policies.map(PolicyKind::build).into_iter().chain([ring]) {
        let mut weights = [10; 20];
        let mut bench = Bench::new(Arc::clone(&policy), &weighted(&weights));
        let before = places(&mut bench, 20_000, &Tried::new());
        weights[7] = 15;
        bench.updater.apply(&weighted(&weights), at(1));
        let after = places(&mut bench, 20_000, &Tried::new());
        // Ideally the backend had 10 of 200, and has 15 of 205.
        let moved = share_moved(&before, &after);
        assert!((0.01..0.12).contains(&moved), "{}: {moved}", policy.name());
    }
}

#[test]
fn bounded_rings_keep_the_shares() {
    let policy = Arc::new(Ketama::new().max_points(4000));
    let mut bench = Bench::new(policy, &weighted(&[u16::MAX, 30_000, 1]));
    let counts = counts(&places(&mut bench, 20_000, &Tried::new()), 3);
    assert!((1.8..2.7).contains(&(counts[0] / counts[1])), "{counts:?}");
    // Even a ring of no points has one for each backend.
    let mut bench = Bench::new(Arc::new(Ketama::new().max_points(0)), &weighted(&[2, 1]));
    assert!(bench.pick_key(b"key", &Tried::new(), at(0)).is_ok());
    let mut bench = Bench::new(
        Arc::new(RingHash::try_new(0, 0).unwrap()),
        &weighted(&[2, 1]),
    );
    assert!(bench.pick_key(b"key", &Tried::new(), at(0)).is_ok());
    assert!(RingHash::try_new(2, 1).is_err());
    assert!(RingHash::try_new(1, RingHash::MAX_SIZE + 1).is_err());
}

#[test]
fn digests_of_replicas_that_disagree_differ() {
    let digest_of = |kind: PolicyKind, snapshot: &Snapshot| {
        let bench = Bench::new(kind.build(), snapshot);
        bench.balancer.digests()
    };
    for kind in HASHING {
        let digest = |snapshot: &Snapshot| digest_of(kind, snapshot);
        let equal = digest(&weighted(&[1, 2, 3]));
        assert_eq!(equal.len(), 1, "{kind}");
        assert_eq!(equal, digest(&weighted(&[1, 2, 3])), "{kind}");
        assert_ne!(equal, digest(&weighted(&[1, 2, 4])), "{kind}");
        assert_ne!(equal, digest(&weighted(&[1, 2])), "{kind}");
        let mut named = weighted(&[1, 2, 3]).iter().cloned().collect::<Vec<_>>();
        named[1].name = Some("b".into());
        let named = Snapshot::from_backends(named);
        // nginx's modulo method knows places and weights alone.
        let is_modulo = matches!(kind, PolicyKind::NginxHash);
        assert_eq!(equal == digest(&named), is_modulo, "{kind}");
        let mut reversed = weighted(&[1, 2, 3]).iter().cloned().collect::<Vec<_>>();
        reversed.reverse();
        let reversed = Snapshot::from_backends(reversed);
        assert_eq!(equal == digest(&reversed), !is_modulo, "{kind}");
    }
    // The addresses of one name share its points.
    let shared = |order: &[usize]| -> Snapshot {
        order
            .iter()
            .map(|&i| backend(i).name("pool.test"))
            .collect()
    };
    let [one, reversed, fewer] = [&[0, 1, 2][..], &[2, 1, 0], &[0, 1]]
        .map(|order| digest_of(PolicyKind::Ketama, &shared(order)));
    assert_eq!(one, reversed);
    assert_ne!(one, fewer);
    let mut bench = Bench::new(PolicyKind::P2c.build(), &weighted(&[1]));
    assert_eq!(bench.balancer.digests(), []);
    bench
        .updater
        .set_policy(Arc::new(Maglev::try_new(251).unwrap()));
    assert_eq!(bench.balancer.digests().len(), 1);
}

/// Values of a released build: a build that moves keys would break replicas that are updated one by one.
#[test]
fn keys_have_the_same_backends_in_every_release() {
    for (kind, expected) in [
        (PolicyKind::Maglev, [0, 1, 4, 4, 4, 4, 1, 1, 4, 4, 2, 3]),
        (PolicyKind::Rendezvous, [3, 4, 4, 4, 1, 4, 2, 4, 2, 2, 3, 1]),
        (PolicyKind::RingHash, [4, 3, 2, 4, 2, 0, 0, 2, 3, 0, 4, 4]),
    ] {
        let mut bench = Bench::new(kind.build(), &weighted(&[1, 2, 3, 4, 5]));
        assert_eq!(places(&mut bench, 12, &Tried::new()), expected, "{kind}");
    }
}

#[test]
fn a_name_keeps_its_keys_at_another_address() {
    for kind in ORDERLESS {
        let named = |offset: usize| -> Snapshot {
            (0..5)
                .map(|i| backend(i + offset).name(format!("node{i}")))
                .collect()
        };
        let mut bench = Bench::new(kind.build(), &named(0));
        let before = places(&mut bench, 1000, &Tried::new());
        bench.updater.apply(&named(100), at(1));
        let after = places(&mut bench, 1000, &Tried::new());
        assert!(
            before.iter().zip(&after).all(|(b, a)| b + 100 == *a),
            "{kind}"
        );
    }
}

/// As in nginx: the points of a unix socket follow from `PATH "\0"`, without a port. The picks were computed apart.
#[test]
fn ketama_hashes_the_path_of_a_unix_socket() {
    let paths = ["/run/a.sock", "/run/b.sock"];
    let snapshot: Snapshot = paths
        .map(|path| Backend::unix(Path::new(path)))
        .into_iter()
        .collect();
    let mut bench = Bench::new(PolicyKind::Ketama.build(), &snapshot);
    let picked = (0..32).map(|n| {
        let key = format!("key{n}");
        let pick = bench
            .pick_key(key.as_bytes(), &Tried::new(), at(0))
            .unwrap();
        match pick.backend().endpoint().to_string().as_str() {
            "unix:/run/a.sock" => 'a',
            _ => 'b',
        }
    });
    let picked: String = picked.collect();
    assert_eq!(picked, "aaaaaaaaaabababbbbbabbaabaaaaaab");
}

#[test]
fn backends_that_share_a_name_are_identified_by_address() {
    for kind in HASHING {
        let shared: Snapshot = (0..4).map(|i| backend(i).name("pool.test")).collect();
        let mut bench = Bench::new(kind.build(), &shared);
        let counts = counts(&places(&mut bench, 8000, &Tried::new()), 4);
        assert!(counts.iter().all(|&n| n > 1200.0), "{kind}: {counts:?}");
    }
}

proptest! {
    #[test]
    fn the_order_of_a_snapshot_does_not_matter(
        kind in proptest::sample::select(&ORDERLESS[..]),
        (weights, order) in vec(1..9_u16, 1..12)
            .prop_flat_map(|w| { let n = w.len(); (Just(w), Just((0..n).collect::<Vec<_>>()).prop_shuffle()) }),
        missing in 0..12_usize,
    ) {
        let sorted = weighted(&weights);
        let shuffled = order.iter().map(|&i| backend(i).weight(Weight::new(weights[i]))).collect();
        let mut replicas = [&sorted, &shuffled].map(|snapshot| Bench::new(kind.build(), snapshot));
        let tried = tried([missing].into_iter().filter(|_| weights.len() > 1));
        let [a, b] = replicas.each_mut().map(|replica| places(replica, 200, &tried));
        prop_assert_eq!(a, b);
        let [a, b] = replicas.map(|replica| replica.balancer.digests());
        prop_assert_eq!(a, b);
    }
}

#[test]
#[ignore = "prints figures for the documentation, takes minutes"]
fn figures() {
    let large: Arc<dyn Policy> = Arc::new(Maglev::try_new(655_373).unwrap());
    let wide: Arc<dyn Policy> = Arc::new(RingHash::try_new(1 << 20, 8 << 20).unwrap());
    let named = HASHING.map(|kind| (kind.to_string(), kind.build()));
    let more = [
        ("maglev 655373".into(), large),
        ("ring_hash 2^20".into(), wide),
    ];
    for (name, policy) in named.into_iter().chain(more) {
        for n in [10, 100, 1000] {
            const SAMPLE: usize = 400_000;
            let all = weighted(&vec![1; n]);
            let mut bench = Bench::new(Arc::clone(&policy), &all);
            let places_of_many = places(&mut bench, 10_000 * n, &Tried::new());
            let spread = max_over_mean(&counts(&places_of_many, n));
            let before = places(&mut bench, SAMPLE, &Tried::new());
            let without = |gone: usize| -> Snapshot { all.iter().skip(gone).cloned().collect() };
            let mut moved = |gone: usize| {
                bench.updater.apply(&without(gone), at(1));
                let after = places(&mut bench, SAMPLE, &Tried::new());
                let own = before.iter().filter(|&&i| i < gone).count() as f64 / SAMPLE as f64;
                (share_moved(&before, &after), own)
            };
            let (one, own) = moved(1);
            let (tenth, tenth_own) = moved(n / 10);
            eprintln!(
                "{name:16} n {n:4}: max/mean {spread:.3}; one of n leaves: {:.3} % moved, ideal {:.3} %, own {:.3} %; \
                 a tenth leaves: {:.2} % moved, own {:.2} %",
                one * 100.0,
                100.0 / n as f64,
                own * 100.0,
                tenth * 100.0,
                tenth_own * 100.0,
            );
        }
    }
}
