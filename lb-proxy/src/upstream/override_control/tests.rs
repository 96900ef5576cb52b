use std::time::Duration;

use lb_core::policy::WeightedRoundRobin;
use lb_core::{AdminState, Backend, Tried, Weight};
use lb_discovery::Manual;
use test_support::proxy::eager;

use super::*;
use crate::backend_override::WeightOverride;
use crate::upstream::checks::resources::ProbeResources;
use crate::upstream::hash_key::HashKey;

const OPERATOR: OverrideOrigin = OverrideOrigin::Operator;
const DRAIN: Override = Override::Admin(AdminState::Drain);

fn addr(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn backends() -> Snapshot {
    Snapshot::from_backends([1, 2].map(|port| Backend::new(addr(port))))
}

/// How many of `picks` each of the two backends gets.
fn shares(upstream: &Upstream, picks: usize) -> [usize; 2] {
    let (key, tried) = (HashKey::none(), Tried::new());
    let mut shares = [0, 0];
    for _ in 0..picks {
        let lease = upstream
            .pick(&key, &tried, upstream.now())
            .expect("a backend");
        shares[usize::from(lease.addr().port()) - 1] += 1;
    }
    shares
}

#[test]
fn an_override_of_a_fixed_upstream_decides_the_next_pick() {
    let builder = Upstream::builder("fixed").policy(WeightedRoundRobin::new());
    let upstream = builder.fixed(&backends()).unwrap();
    assert_eq!(shares(&upstream, 4), [2, 2]);
    assert_eq!(
        upstream.set_override(addr(1), OPERATOR, "me", DRAIN),
        Ok(true)
    );
    assert_eq!(
        upstream.set_override(addr(1), OPERATOR, "me", DRAIN),
        Ok(false)
    );
    assert_eq!(shares(&upstream, 4), [0, 4]);
    assert!(upstream.clear_override(addr(1), OPERATOR, "me", OverrideKind::Admin));
    let triple = Override::Weight(WeightOverride::Value(Weight::new(3)));
    assert_eq!(
        upstream.set_override(addr(2), OPERATOR, "me", triple),
        Ok(true)
    );
    assert_eq!(shares(&upstream, 8), [2, 6]);
    assert_eq!(upstream.discovered(), backends());
    let unknown = upstream.set_override(addr(3), OPERATOR, "me", DRAIN);
    assert_eq!(unknown, Err(UnknownBackend { addr: addr(3) }));
}

#[tokio::test(start_paused = true)]
async fn an_override_survives_updates_absence_and_another_description() {
    let describe = |manual: Manual| {
        Upstream::builder("followed")
            .discovery(manual)
            .discovery_config(eager())
            .policy(WeightedRoundRobin::new())
            .build()
            .unwrap()
    };
    let (manual, sources) = Manual::new(backends());
    let upstream = describe(manual);
    let (follower, cancel) = upstream.followed(ProbeResources::default()).await;
    upstream
        .set_override(addr(1), OPERATOR, "me", DRAIN)
        .unwrap();
    let members = async |upstream: &Upstream, number: usize| {
        while upstream.backends().snapshot().len() != number {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    sources.remove(addr(1));
    members(&upstream, 1).await;
    assert_eq!(upstream.overrides().len(), 1);
    sources.set(backends());
    members(&upstream, 2).await;
    assert_eq!(shares(&upstream, 4), [0, 4]);

    let third = backends()
        .iter()
        .cloned()
        .chain([Backend::new(addr(3))])
        .collect();
    let (manual, _sources) = Manual::new(third);
    let described = describe(manual);
    assert!(upstream.adopt(&described));
    members(&described, 3).await;
    assert_eq!(described.overrides(), upstream.overrides());
    let member = described.backends().snapshot().find(addr(1)).cloned();
    assert_eq!(member.unwrap().admin, AdminState::Drain);
    cancel.cancel();
    follower.await.expect("no panic");
}
