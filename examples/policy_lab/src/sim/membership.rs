//! The backends in the snapshots for the balancer.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;

use lb_core::{AdminState, Backend, FailLimit, Priority, Snapshot, Weight};

use crate::scenario::{Change, ChangeKind, Scenario};

/// The set of backends as a source of discovery would publish it.
#[derive(Clone, Debug)]
pub(super) struct Membership {
    members: Vec<Member>,
}

#[derive(Clone, Debug)]
struct Member {
    backend: Backend,
    present: bool,
    incarnation: u32,
}

impl Membership {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let member = |(number, spec): (usize, &crate::scenario::BackendSpec)| {
            let group = &scenario.groups[spec.group];
            let limit = FailLimit::after(group.max_fails, group.fail_timeout.duration());
            let mut backend = Backend::new(addr(number))
                .name(spec.name.as_str())
                .weight(Weight::new(group.weight))
                .priority(Priority::new(group.priority()))
                .max_conns(group.max_conns.map_or(0, NonZeroU32::get))
                .fail_limit(limit);
            backend.zone = group
                .zone
                .as_ref()
                .map(|zone| zone.get_ref().as_str().into());
            Member {
                backend,
                present: !group.absent,
                incarnation: 0,
            }
        };
        Self {
            members: scenario.backends.iter().enumerate().map(member).collect(),
        }
    }

    /// Applies a change. Returns the backends that joined.
    pub(super) fn change(&mut self, change: &Change) -> Vec<usize> {
        let mut new = Vec::new();
        for &number in &change.targets {
            let member = &mut self.members[number];
            match change.kind {
                ChangeKind::Drain => member.backend.admin = AdminState::Drain,
                ChangeKind::Join => {
                    member.backend.admin = AdminState::Ready;
                    if !member.present {
                        member.present = true;
                        member.incarnation += 1;
                        member.backend.instance = Some(member.incarnation.to_string().into());
                        new.push(number);
                    }
                }
                ChangeKind::Leave => member.present = false,
                ChangeKind::Weight(weight) => member.backend.weight = Weight::new(weight),
                ChangeKind::Fail(_) | ChangeKind::Recover => {}
            }
        }
        new
    }

    pub(super) fn is_member(&self, number: usize) -> bool {
        self.members[number].present
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.present().cloned().collect()
    }

    /// The snapshot without limits on connections.
    pub(super) fn unlimited(&self) -> Snapshot {
        self.present()
            .map(|backend| backend.clone().max_conns(0))
            .collect()
    }

    /// The share of each backend by weight, if none fails.
    pub(super) fn shares(&self) -> Vec<f64> {
        let taking = |backend: &&Backend| backend.takes_connections();
        let first = self.present().filter(taking).map(|b| b.priority).min();
        let weight = |member: &Member| {
            let backend = &member.backend;
            let counts =
                member.present && backend.takes_connections() && Some(backend.priority) == first;
            if counts {
                f64::from(backend.weight.get())
            } else {
                0.0
            }
        };
        let sum: f64 = self.members.iter().map(weight).sum();
        let share = |member| weight(member) / sum.max(1.0);
        self.members.iter().map(share).collect()
    }

    fn present(&self) -> impl Iterator<Item = &Backend> {
        let present = self.members.iter().filter(|member| member.present);
        present.map(|member| &member.backend)
    }
}

fn addr(number: usize) -> SocketAddr {
    let [.., high, low] = number.to_be_bytes();
    SocketAddr::from(([10, 0, high, low], 446))
}

/// The number of the backend at an address.
pub(super) fn number_of(addr: SocketAddr) -> usize {
    match addr.ip() {
        IpAddr::V4(ip) => (ip.to_bits() & 0xffff) as usize,
        // No backend has an IPv6 address.
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED.to_bits() as usize,
    }
}
