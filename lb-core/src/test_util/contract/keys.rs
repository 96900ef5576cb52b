//! Keys as clients have them, and replicas whose sources list the backends in another order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::shares::assert_shares;
use crate::pick::request::Tried;
use crate::policy::Policy;
use crate::rng::{Rng, SplitMix64};
use crate::snapshot::Snapshot;
use crate::test_util::expectations::{ListOrder, Share};
use crate::test_util::rig::{Rig, at, tried, weighted};

/// How many keys of a kind are picked for.
const KEYS: u32 = 4000;

/// A kind of keys: what they are, and the key of each number.
type Kind = (&'static str, fn(u32) -> Vec<u8>);

/// Random bytes differ everywhere. These keys are alike: most bytes are equal, and the others count up.
const KINDS: [Kind; 8] = [
    ("the octets of addresses of one IPv4 network", |i| {
        v4(i).octets().into()
    }),
    ("the octets of addresses of one IPv6 network", |i| {
        v6(i).octets().into()
    }),
    ("addresses of one network as text", |i| {
        IpAddr::from(v4(i)).to_string().into()
    }),
    ("an address with ports as text", |i| {
        format!("10.1.2.3:{}", 32768 + i).into()
    }),
    ("decimal numbers", |i| i.to_string().into()),
    ("decimal numbers of one length", |i| {
        format!("{:08}", 10_000_000 + i).into()
    }),
    ("names with a common prefix", |i| {
        format!("/tenants/example/sessions/{i:x}").into()
    }),
    ("names with a common suffix", |i| {
        format!("{i}.clients.example.com").into()
    }),
];

fn v4(i: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a01_0000 + i)
}

fn v6(i: u32) -> Ipv6Addr {
    Ipv6Addr::from((0x2001_0db8_u128 << 96) + u128::from(i))
}

/// A policy of [`Share::ByKey`] gives backends their shares also of keys that resemble each other: the addresses of one
/// network, decimal numbers, names with a common prefix or suffix.
///
/// Checks nothing for other policies.
pub fn keys_that_are_alike_are_spread(policy: impl Fn() -> Arc<dyn Policy>, share: Share) {
    let Share::ByKey(tolerance) = share else {
        return;
    };
    for weights in [&[1, 1, 1, 1, 1][..], &[4, 2, 1, 1]] {
        for (kind, key) in KINDS {
            let mut rig = Rig::new(policy(), &weighted(weights));
            let counts = rig.counts_of(&Tried::new(), (0..KEYS).map(key));
            let of = format!("{}: {kind}", policy().name());
            assert_shares(&counts, weights, tolerance, &of);
        }
    }
}

/// Replicas that a policy of [`Share::ByKey`] balances with send a key to the same backend, although their sources list
/// the backends in different orders, and also while some are not eligible.
///
/// Checks nothing for other policies, and for those that follow the order of the list.
pub fn replicas_agree_in_any_order(
    policy: impl Fn() -> Arc<dyn Policy>,
    share: Share,
    order: ListOrder,
) {
    if !matches!(share, Share::ByKey(_)) || order == ListOrder::Significant {
        return;
    }
    let listed = weighted(&[3, 1, 2, 1, 1, 1, 2]);
    let backends: Vec<_> = listed.iter().cloned().collect();
    let mut rig = Rig::new(policy(), &listed);
    let mut shuffled = SplitMix64::new(7);
    for round in 0..4 {
        let mut other = backends.clone();
        match round {
            0 => other.reverse(),
            _ => other.sort_by_cached_key(|_| shuffled.next_u64()),
        }
        let mut other = Rig::new(policy(), &Snapshot::from_backends(other));
        for (number, (kind, key)) in (0..500).zip(KINDS.iter().cycle()) {
            let key = key(number);
            let out = match number % 3 {
                0 => tried([number as usize % 7]),
                _ => Tried::new(),
            };
            let home = |rig: &mut Rig| {
                let pick = rig.pick(&out, Some(&key), at(0));
                pick.map(|pick| pick.addr())
            };
            assert_eq!(
                home(&mut other),
                home(&mut rig),
                "{}: replicas with the backends in different orders disagree on key {number} of {kind}",
                policy().name()
            );
        }
    }
}
