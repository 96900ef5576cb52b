//! The rules by which a replica takes and renews the Lease. Pure.

use std::time::Duration;

use super::record::{LeaseRecord, LeaseSpec};

/// What one replica knows about the Lease. Times are the caller's, and only compared with each other.
#[derive(Debug)]
pub(super) struct Election {
    identity: String,
    duration: Duration,
    /// The last Lease of another holder, and when it was seen first.
    observed: Option<(LeaseSpec, Duration)>,
    held_until: Option<Duration>,
}

impl Election {
    pub(super) fn new(identity: String, duration: Duration) -> Self {
        Self {
            identity,
            duration,
            observed: None,
            held_until: None,
        }
    }

    /// The Lease to write, given the `current` one. `None`: another replica holds it. `time`: as the API writes it.
    pub(super) fn next(
        &mut self,
        current: &LeaseRecord,
        now: Duration,
        time: &str,
    ) -> Option<LeaseRecord> {
        let spec = &current.spec;
        let is_own = spec.holder_identity == self.identity;
        let is_free = !current.exists() || spec.holder_identity.is_empty();
        if !is_own && !is_free && !self.has_expired(spec, now) {
            return None;
        }
        Some(current.with(LeaseSpec {
            holder_identity: self.identity.clone(),
            lease_duration_seconds: u32::try_from(self.duration.as_secs()).unwrap_or(u32::MAX),
            acquire_time: match is_own {
                true => spec.acquire_time.clone(),
                false => time.to_owned(),
            },
            renew_time: time.to_owned(),
            lease_transitions: match is_own || !current.exists() {
                true => spec.lease_transitions,
                false => spec.lease_transitions.saturating_add(1),
            },
        }))
    }

    /// Whether the Lease of another holder has not changed for the time written in it.
    fn has_expired(&mut self, spec: &LeaseSpec, now: Duration) -> bool {
        let lasts = Duration::from_secs(spec.lease_duration_seconds.into());
        match &self.observed {
            Some((observed, since)) if observed == spec => now >= *since + lasts,
            _ => {
                self.observed = Some((spec.clone(), now));
                false
            }
        }
    }

    /// Notes that the server has accepted a Lease that was sent at `sent`.
    pub(super) fn accepted(&mut self, sent: Duration) {
        self.observed = None;
        self.held_until = Some(sent + self.duration * 2 / 3);
    }

    /// Notes that another replica holds the Lease.
    pub(super) fn lost(&mut self) {
        self.held_until = None;
    }

    /// Until when this replica may write, if it may now.
    pub(super) fn held_until(&self, now: Duration) -> Option<Duration> {
        self.held_until.filter(|until| now < *until)
    }

    /// The Lease that lets another replica take over at once, if this one holds `current`.
    pub(super) fn release(&mut self, current: &LeaseRecord, time: &str) -> Option<LeaseRecord> {
        self.held_until = None;
        let spec = &current.spec;
        (spec.holder_identity == self.identity).then(|| {
            current.with(LeaseSpec {
                holder_identity: String::new(),
                lease_duration_seconds: 1,
                renew_time: time.to_owned(),
                ..spec.clone()
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const LASTS: Duration = Duration::from_secs(15);

    fn election(identity: &str) -> Election {
        Election::new(identity.to_owned(), LASTS)
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A server that keeps one Lease.
    #[derive(Default)]
    struct Server {
        lease: LeaseRecord,
        version: u64,
    }

    impl Server {
        /// Writes `lease` if it is based on the present version.
        fn put(&mut self, lease: &LeaseRecord) -> bool {
            let fits = self.lease.with(lease.spec.clone()) == *lease;
            if fits {
                self.version += 1;
                let mut object = lease.to_json("kube-lb", "kube-lb");
                object["metadata"]["resourceVersion"] = json!(self.version.to_string());
                self.lease = serde_json::from_value(object).unwrap();
            }
            fits
        }
    }

    /// A replica asks, decides and writes at `now`.
    fn step(election: &mut Election, server: &mut Server, now: Duration) {
        match election.next(&server.lease.clone(), now, &format!("{now:?}")) {
            Some(lease) if server.put(&lease) => election.accepted(now),
            Some(_) => {}
            None => election.lost(),
        }
    }

    #[test]
    fn the_first_replica_leads_until_it_is_silent_for_the_whole_lease() {
        let (mut one, mut two) = (election("one"), election("two"));
        let mut server = Server::default();
        step(&mut one, &mut server, secs(100));
        step(&mut two, &mut server, secs(101));
        assert_eq!(one.held_until(secs(101)), Some(secs(110)));
        assert_eq!(two.held_until(secs(101)), None);
        step(&mut one, &mut server, secs(105));
        // Renewed: the second replica counts from here.
        step(&mut two, &mut server, secs(106));
        step(&mut two, &mut server, secs(120));
        assert_eq!(
            (one.held_until(secs(120)), two.held_until(secs(120))),
            (None, None)
        );
        step(&mut two, &mut server, secs(121));
        assert_eq!(two.held_until(secs(121)), Some(secs(131)));
        assert_eq!(server.lease.spec.lease_transitions, 1);
        step(&mut one, &mut server, secs(122));
        assert_eq!(one.held_until(secs(122)), None);
    }

    #[test]
    fn a_released_lease_is_taken_at_once() {
        let (mut one, mut two) = (election("one"), election("two"));
        let mut server = Server::default();
        step(&mut one, &mut server, secs(1));
        let released = one.release(&server.lease, "2").unwrap();
        assert!(server.put(&released));
        assert_eq!(one.held_until(secs(2)), None);
        assert_eq!(two.release(&server.lease, "2"), None);
        step(&mut two, &mut server, secs(2));
        assert!(two.held_until(secs(2)).is_some());
    }

    proptest! {
        /// Replicas whose clocks differ act in any order, with any pauses between a request and what follows from it.
        #[test]
        fn two_replicas_never_lead_at_the_same_time(
            skew in 0_u64..1000,
            steps in prop::collection::vec((0_usize..3, 0_u64..8, any::<bool>()), 1..200),
        ) {
            let names = ["one", "two", "three"];
            let mut replicas = names.map(election);
            let mut server = Server::default();
            let mut now = 0;
            for (which, pause, answers) in steps {
                now += pause;
                let own = |i: usize, now: u64| secs(now + skew * i as u64);
                let sent = own(which, now);
                let decided = replicas[which].next(&server.lease.clone(), sent, &format!("{now}"));
                match decided {
                    Some(lease) => {
                        let accepted = server.put(&lease);
                        // The answer may be lost, or come after a pause.
                        now += pause;
                        if accepted && answers {
                            replicas[which].accepted(sent);
                        }
                    }
                    None => replicas[which].lost(),
                }
                let leaders = (0..3).filter(|i| replicas[*i].held_until(own(*i, now)).is_some());
                prop_assert!(leaders.count() <= 1);
            }
        }
    }
}
