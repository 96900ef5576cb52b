use super::table::{Walk, claims, owners};
use super::*;
use crate::policy::parts::ring::Ring;
use proptest::prelude::*;

/// katran's loop, round by round.
fn by_accounts(weights: &[u64], size: usize) -> Vec<u32> {
    let heaviest = *weights.iter().max().unwrap();
    let mut accounts = vec![0; weights.len()];
    let mut claims = Vec::new();
    while claims.len() < size {
        for (rank, weight) in (0..).zip(weights) {
            accounts[rank as usize] += weight;
            if accounts[rank as usize] >= heaviest {
                accounts[rank as usize] -= heaviest;
                claims.push(rank);
            }
        }
    }
    claims.truncate(size);
    claims
}

proptest! {
    #[test]
    #[cfg_attr(miri, ignore = "arithmetic alone: Miri is slow and finds nothing there")]
    fn claims_come_in_katrans_order(
        weights in proptest::collection::vec(prop_oneof![1..9_u64, 1..=65_535_u64], 1..20),
        size in 1..500_usize,
    ) {
        prop_assert_eq!(claims(&weights, size), by_accounts(&weights, size));
    }

    #[test]
    #[cfg_attr(miri, ignore = "arithmetic alone: Miri is slow and finds nothing there")]
    fn a_walk_visits_every_slot(id in any::<u64>(), size in prop_oneof![Just(2), Just(3), Just(251)]) {
        let mut walk = Walk::new(id, size);
        let mut seen = vec![false; size as usize];
        let mut slot = walk.first_but(|_| false, size);
        for _ in 0..size {
            seen[slot as usize] = true;
            let here = slot;
            slot = walk.first_but(|slot| slot == here, size);
        }
        prop_assert!(seen.iter().all(|&s| s));
    }
}

/// The paper's loop, claim by claim.
fn by_walking(ids: &[u64], weights: &[u64], size: u32) -> Vec<u32> {
    let mut walks: Vec<Walk> = ids.iter().map(|&id| Walk::new(id, size)).collect();
    let mut owners = vec![None; size as usize];
    for rank in claims(weights, size as usize) {
        let is_taken = |slot: u32| owners[slot as usize].is_some();
        let slot = walks[rank as usize].first_but(is_taken, size);
        owners[slot as usize] = Some(rank);
    }
    owners.into_iter().map(Option::unwrap).collect()
}

proptest! {
    #[test]
    #[cfg_attr(miri, ignore = "arithmetic alone: Miri is slow and finds nothing there")]
    fn the_last_slots_have_the_owners_that_walking_gives(
        backends in proptest::collection::vec((any::<u64>(), 1..9_u64), 1..300),
        size in prop_oneof![Just(2), Just(3), Just(17), Just(251), Just(16_381)],
    ) {
        let (ids, weights): (Vec<_>, Vec<_>) = backends.into_iter().unzip();
        prop_assert_eq!(owners(&ids, &weights, size), by_walking(&ids, &weights, size));
    }
}

#[test]
fn table_sizes_are_primes_within_the_limit() {
    for size in [2, 3, 251, 4093, 16_381, 65_537, 655_373, 5_000_011] {
        assert!(Maglev::try_new(size).is_ok(), "{size}");
    }
    for size in [0, 1, 4, 65_536, 65_539 * 3, 5_000_077, u32::MAX] {
        let error = Maglev::try_new(size).unwrap_err();
        assert!(error.to_string().contains(&size.to_string()));
    }
}

/// The measures of section 5.3 of the paper, on its numbers of backends and sizes of tables.
#[test]
#[ignore = "prints figures for the documentation"]
fn figures() {
    let ids: Vec<u64> = (1..=1000).map(mix).collect();
    for size in [65_537, 655_373] {
        let slots = || (0..size as u64).map(|slot| xxh64(&slot.to_le_bytes(), 0));
        let karger = Ring::new(
            (0..)
                .zip(&ids)
                .flat_map(|(i, id)| {
                    let hash = |j: u64| (xxh64(&j.to_le_bytes(), *id) >> 32) as u32;
                    (0..1000).map(move |j| Ring::point(hash(j), i))
                })
                .collect(),
        );
        let rendezvous = |hash| {
            let best = (0..).zip(&ids).max_by_key(|(_, id)| mix(hash ^ **id));
            best.map_or(0, |(i, _)| i)
        };
        let maglev = maglev(&ids, size);
        print_spread("maglev", size, &maglev);
        let owners: Vec<u32> = slots()
            .map(|hash| karger.owner((hash >> 32) as u32).get())
            .collect();
        print_spread("karger", size, &owners);
        print_spread(
            "rendezvous",
            size,
            &slots().map(rendezvous).collect::<Vec<_>>(),
        );
        for failed in [1, 5, 10, 20, 50, 100] {
            // Spread over the order of identities.
            let fails = |i: u32| (i as usize).is_multiple_of(1000 / failed);
            let left: Vec<u32> = (0..1000).filter(|&i| !fails(i)).collect();
            let ids: Vec<u64> = left.iter().map(|&i| ids[i as usize]).collect();
            let after = self::maglev(&ids, size);
            let part = |n: usize| n as f64 * 100.0 / size as f64;
            let changed = maglev.iter().zip(&after);
            let changed = changed.filter(|(old, new)| **old != left[**new as usize]);
            let own = maglev.iter().filter(|&&i| fails(i)).count();
            let (changed, own) = (part(changed.count()), part(own));
            eprintln!("{size}: {failed} of 1000 fail, {changed:.2} % change, {own:.2} % must");
        }
    }
}

fn maglev(ids: &[u64], size: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..).take(ids.len()).collect();
    order.sort_by_key(|&i| ids[i as usize]);
    let sorted: Vec<u64> = order.iter().map(|&i| ids[i as usize]).collect();
    let owners = owners(&sorted, &vec![1; ids.len()], size as u32);
    owners.iter().map(|&rank| order[rank as usize]).collect()
}

fn print_spread(method: &str, size: usize, owners: &[u32]) {
    let mut counts = [0_u32; 1000];
    owners.iter().for_each(|&i| counts[i as usize] += 1);
    let of_mean =
        |count: Option<&u32>| f64::from(count.copied().unwrap_or(0)) * 100_000.0 / size as f64;
    let (least, most) = (of_mean(counts.iter().min()), of_mean(counts.iter().max()));
    eprintln!("{method}, {size} slots: {least:.1} % to {most:.1} % of the mean");
}
