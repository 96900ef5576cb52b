//! First that has room.
//!
//! The first eligible backend in the snapshot's order is picked: the second gets its first connection when the first
//! holds [`max_conns`](field@crate::Backend::max_conns), is ejected, or was tried. HAProxy's `first` (`lb_fas.c`), which it
//! recommends for long sessions on servers that are started and stopped by need: the servers at the end of the list are
//! idle unless they are needed.
//!
//! Weights have no effect here beyond zero (no connections). Without `max_conns` the first backend gets all connections,
//! and the others are backups in order.
//!
//! Cost: one check for each backend passed over, O(n) at worst; no memory.
//!
//! Not for spreading load: every backend but the last one used is as full as it may be.

use crate::pick::context::PickContext;
use crate::policy::{Picker, Policy};
use crate::tiers::tier::{BackendIndex, Tier};

/// The first backend that has room.
#[doc(alias = "fill", alias = "failover")]
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct First;

impl First {
    /// The policy; it has no settings.
    pub const fn new() -> Self {
        Self
    }
}

impl Policy for First {
    fn name(&self) -> &'static str {
        "first"
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        Box::new(FirstPicker {
            len: tier.len().get(),
        })
    }
}

#[derive(Debug)]
struct FirstPicker {
    len: u32,
}

impl Picker for FirstPicker {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        (0..self.len)
            .map(BackendIndex::new)
            .find(|&i| cx.is_eligible(i))
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use super::*;
    use crate::{
        Backend, Balancer, Pick, PickRequest, SplitMix64, Timestamp, Tried, Weight, balancer,
    };

    fn port(balancer: &Balancer) -> (u16, Pick) {
        let (tried, mut rng) = (Tried::new(), SplitMix64::new(1));
        let request = PickRequest::new(&tried);
        let pick = balancer.pick(&request, Timestamp::default(), &mut rng);
        let pick = pick.unwrap();
        (pick.backend().addr.port(), pick)
    }

    #[test]
    fn fills_in_the_snapshots_order_and_returns_to_the_first_with_room() {
        let (mut updater, balancer) = balancer(Arc::new(First::new()));
        let backend = |port| Backend::new(SocketAddr::from(([127, 0, 0, 1], port)));
        let snapshot = [
            backend(9).max_conns(2),
            backend(3).max_conns(2).weight(Weight::new(1000)),
            backend(5),
        ];
        updater.apply(&snapshot.into_iter().collect(), Timestamp::default());
        let mut held: Vec<(u16, Pick)> = (0..6).map(|_| port(&balancer)).collect();
        let ports: Vec<u16> = held.iter().map(|(port, _)| *port).collect();
        assert_eq!(ports, [9, 9, 3, 3, 5, 5]);
        drop(held.remove(1));
        assert_eq!(port(&balancer).0, 9);
    }
}
