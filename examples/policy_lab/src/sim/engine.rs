//! The event loop: takes the next event and plans the events that follow from it.

use std::sync::Arc;

use lb_core::{Balancer, SplitMix64, Timestamp, Updater, balancer};

use super::connection::Connection;
use super::keys::KeyProbe;
use super::membership::Membership;
use super::record::Record;
use super::run::Run;
use super::schedule::{Event, Schedule};
use crate::model::{Arriving, Host, Population, Stream};
use crate::scenario::{ChangeKind, Scenario, Variant};

/// A run in progress.
pub(super) struct Engine<'a> {
    pub(super) scenario: &'a Scenario,
    label: &'a str,
    pub(super) seed: u64,
    pub(super) now: u64,
    pub(super) schedule: Schedule,
    // the balancer
    updater: Updater,
    pub(super) balancer: Balancer,
    pub(super) rng: SplitMix64,
    // the world
    arriving: Arriving,
    pub(super) population: Population,
    members: Membership,
    pub(super) hosts: Vec<Host>,
    pub(super) connections: Vec<Connection>,
    /// Indices in `connections` of ended connections.
    pub(super) free: Vec<usize>,
    // the results
    members_since: u64,
    pub(super) record: Record,
    probe: KeyProbe<'a>,
    pub(super) arrivals: u64,
    pub(super) served: u64,
    pub(super) lost: u64,
    pub(super) failed_attempts: u64,
}

impl<'a> Engine<'a> {
    pub(super) fn new(scenario: &'a Scenario, variant: &'a Variant, seed: u64) -> Self {
        let members = Membership::new(scenario);
        let probe = KeyProbe::new(scenario, variant, &members, seed);
        let (mut updater, balancer) = balancer(Arc::clone(&variant.policy));
        updater.set_config(variant.config.clone());
        updater.apply(&members.snapshot(), Timestamp::default());
        Self {
            scenario,
            label: &variant.label,
            seed,
            now: 0,
            schedule: Schedule::default(),
            updater,
            balancer,
            rng: Stream::Policy.generator(seed),
            arriving: Arriving::new(scenario, seed),
            population: Population::new(&scenario.clients, seed),
            hosts: (0..scenario.backends.len())
                .map(|i| Host::new(scenario.group_of(i)))
                .collect(),
            connections: Vec::new(),
            free: Vec::new(),
            members_since: 0,
            record: Record::new(scenario, members.shares()),
            members,
            probe,
            arrivals: 0,
            served: 0,
            lost: 0,
            failed_attempts: 0,
        }
    }

    pub(super) fn run(mut self) -> Run {
        for (number, change) in self.scenario.events.iter().enumerate() {
            self.schedule.plan(change.at.nanos(), Event::Change(number));
        }
        self.plan_arrival();
        while let Some((at, what)) = self.schedule.next() {
            self.now = at;
            match what {
                Event::Change(number) => self.change(number),
                Event::Arrival => self.arrival(),
                Event::Connected(id) => self.connected(id),
                Event::Failed { id, blameless } => self.failed(id, blameless),
                Event::Served(id) => self.finished(id),
            }
        }
        self.result()
    }

    pub(super) fn timestamp(&self) -> Timestamp {
        Timestamp::from_nanos(self.now)
    }

    pub(super) fn plan_arrival(&mut self) {
        if let Some(at) = self.arriving.next() {
            self.schedule.plan(at, Event::Arrival);
        }
    }

    fn change(&mut self, number: usize) {
        let change = &self.scenario.events[number];
        for &target in &change.targets {
            match change.kind {
                ChangeKind::Fail(failure) => self.hosts[target].failure = Some(failure),
                ChangeKind::Recover => self.hosts[target].failure = None,
                _ => {}
            }
        }
        if !change.kind.is_membership() {
            return;
        }
        self.note_members();
        for new in self.members.change(change) {
            self.hosts[new].join(self.now);
        }
        let now = self.timestamp();
        self.updater.apply(&self.members.snapshot(), now);
        self.record.shares_changed(self.members.shares());
        self.probe.follow(change, &self.members, now);
    }

    fn note_members(&mut self) {
        let members = &self.members;
        self.record
            .members(self.members_since, self.now, |i| members.is_member(i));
        self.members_since = self.now;
    }

    fn result(mut self) -> Run {
        self.now = self.now.max(self.scenario.duration.nanos());
        self.note_members();
        self.record.finish(self.now);
        let now = self.timestamp();
        let set = self.balancer.set();
        let moves = self.probe.moves;
        let sum: f64 = moves.iter().map(|change| change.moved).sum();
        Run {
            label: self.label.to_owned(),
            arrivals: self.arrivals,
            served: self.served,
            lost: self.lost,
            failed_attempts: self.failed_attempts,
            left_in_flight: set.status(now).map(|s| u64::from(s.in_flight)).sum(),
            p50: self.record.quantile(0.5),
            p99: self.record.quantile(0.99),
            p999: self.record.quantile(0.999),
            max_in_flight: self.record.max_in_flight,
            share_error: self.record.share_error(),
            sent_elsewhere: self.record.sent_elsewhere(),
            keys_moved: (!moves.is_empty()).then(|| sum / moves.len() as f64),
            keys_moved_idle: self.probe.idle,
            moves,
            shares: self.record.shares_over_time(),
            in_flight: self.record.in_flight_over_time(),
        }
    }
}
