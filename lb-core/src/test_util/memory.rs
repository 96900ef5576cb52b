//! All state of a balancer, to be compared before and after an update.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::backend::Priority;
use crate::balancer::Balancer;
use crate::sync::atomic::Ordering::Relaxed;

pub(crate) struct Memory {
    /// Of each backend its instance and the text of its state.
    backends: BTreeMap<SocketAddr, (Option<Arc<str>>, String)>,
    /// The positions of the round robins, near and far of each priority.
    cursors: BTreeMap<(Priority, bool), u64>,
}

impl Memory {
    pub(crate) fn of(balancer: &Balancer) -> Self {
        let membership = balancer.published.current();
        let backends = membership.set().members().map(|(backend, member)| {
            let (state, in_flight) = (member.state(), member.in_flight());
            let text = format!("{in_flight} in flight, {}", state.remembered());
            (backend.addr, (backend.instance.clone(), text))
        });
        let cursors = membership.tiers().iter().map(|compiled| {
            let tier = &compiled.tier;
            let place = (tier.priority(), tier.is_near());
            (place, tier.cursor().load(Relaxed))
        });
        Self {
            backends: backends.collect(),
            cursors: cursors.collect(),
        }
    }

    /// Panics if an update between the two changed the state of a backend that stayed.
    pub(crate) fn assert_kept_in(&self, after: &Self) {
        for (addr, after) in &after.backends {
            let before = self.backends.get(addr);
            let stayed = before.filter(|(instance, _)| *instance == after.0);
            if let Some(before) = stayed {
                assert_eq!(before, after, "an update changed the state of {addr}");
            }
        }
        for (place, after) in &after.cursors {
            let before = self.cursors.get(place).unwrap_or(after);
            assert_eq!(before, after, "an update moved the cursor of {place:?}");
        }
    }
}
