//! The event loop: takes the next event and plans the events that follow from it.

use std::sync::Arc;

use lb_core::{
    Balancer, Pick, PickRequest, ResponseTimer, SplitMix64, Timestamp, Tried, Updater, balancer,
};

use super::keys::KeyProbe;
use super::membership::{Membership, number_of};
use super::record::Record;
use super::run::Run;
use super::schedule::{Event, Schedule};
use crate::model::{Arriving, Draw, Host, Population, Stream, unit};
use crate::scenario::{ChangeKind, Failure, Scenario, Variant};

/// A run in progress.
pub(super) struct Engine<'a> {
    scenario: &'a Scenario,
    label: &'a str,
    seed: u64,
    now: u64,
    schedule: Schedule,
    // the balancer
    updater: Updater,
    balancer: Balancer,
    rng: SplitMix64,
    // the world
    arriving: Arriving,
    population: Population,
    members: Membership,
    hosts: Vec<Host>,
    connections: Vec<Connection>,
    /// Indices in `connections` of ended connections.
    free: Vec<usize>,
    // the results
    members_since: u64,
    record: Record,
    probe: KeyProbe<'a>,
    arrivals: u64,
    served: u64,
    lost: u64,
    failed_attempts: u64,
}

/// A client's connection.
#[derive(Debug)]
struct Connection {
    arrived: u64,
    client: u64,
    key: String,
    /// The connection's own randomness, the same under every policy.
    rng: SplitMix64,
    service: Draw,
    tried: Tried,
    /// The lease with the backend's number.
    pick: Option<(Pick, usize)>,
    /// For policies that weigh response times.
    timer: Option<ResponseTimer>,
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

    fn timestamp(&self) -> Timestamp {
        Timestamp::from_nanos(self.now)
    }

    fn plan_arrival(&mut self) {
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

    fn arrival(&mut self) {
        let mut rng = Stream::Connection(self.arrivals).generator(self.seed);
        let client = self.population.draw();
        let connection = Connection {
            arrived: self.now,
            client,
            key: format!("client-{client}"),
            service: Draw::new(&mut rng),
            rng,
            tried: Tried::new(),
            pick: None,
            timer: None,
        };
        self.arrivals += 1;
        self.record.arrived(self.now);
        let id = if let Some(id) = self.free.pop() {
            self.connections[id] = connection;
            id
        } else {
            self.connections.push(connection);
            self.connections.len() - 1
        };
        self.plan_arrival();
        self.attempt(id);
    }

    /// Picks a backend for a connection and starts to connect, as lb-proxy's session does.
    fn attempt(&mut self, id: usize) {
        let now = self.timestamp();
        let retry = &self.scenario.retry;
        let connection = &mut self.connections[id];
        let limit = retry.connect_timeout.get().nanos();
        let left = match retry.deadline.nanos() {
            0 => u64::MAX,
            deadline => connection
                .arrived
                .saturating_add(deadline)
                .saturating_sub(self.now),
        };
        let tries = retry.tries.map_or(u32::MAX, std::num::NonZeroU32::get);
        let tried = connection.tried.len() as u64;
        let request = PickRequest::new(&connection.tried).with_key(connection.key.as_bytes());
        let picked = if left == 0 || tried >= u64::from(tries) {
            None
        } else {
            self.balancer.pick(&request, now, &mut self.rng).ok()
        };
        let Some(pick) = picked else {
            self.lost += 1;
            self.free.push(id);
            return;
        };
        let number = number_of(pick.addr());
        connection.timer = pick.response_timer();
        connection.pick = Some((pick, number));
        self.record.picked(number, self.now);

        let host = &self.hosts[number];
        let group = self.scenario.group_of(number);
        let slowness = host.slowness(group, self.now);
        let takes = Draw::new(&mut connection.rng).of(group.connect, slowness);
        let unlucky = unit(&mut connection.rng) < group.connect_fails.get();
        let limit = limit.min(left);
        let (takes, succeeds) = match host.failure {
            Some(Failure::Timeout) => (u64::MAX, false),
            Some(Failure::Refuse) => (takes, false),
            None => (takes, !unlucky),
        };
        let timed_out = takes > limit;
        let what = if succeeds && !timed_out {
            Event::Connected(id)
        } else {
            let had_its_time = limit == retry.connect_timeout.get().nanos();
            let blameless = timed_out && !had_its_time;
            Event::Failed { id, blameless }
        };
        let at = self.now.saturating_add(takes.min(limit));
        self.schedule.plan(at, what);
    }

    fn connected(&mut self, id: usize) {
        let now = self.timestamp();
        let connection = &mut self.connections[id];
        let Some((pick, number)) = &connection.pick else {
            return;
        };
        pick.connected(now);
        connection.timer.iter_mut().for_each(|t| t.connected(now));
        let number = *number;
        let (client, arrived) = (connection.client, connection.arrived);
        self.record.connected(client, number, arrived, self.now);
        if self.hosts[number].admit(id) {
            self.serve(id, number);
        }
    }

    fn failed(&mut self, id: usize, blameless: bool) {
        let now = self.timestamp();
        let connection = &mut self.connections[id];
        let Some((pick, number)) = connection.pick.take() else {
            return;
        };
        connection.tried.insert(pick.addr());
        connection
            .timer
            .take()
            .into_iter()
            .for_each(|t| t.failed(now));
        if !blameless {
            pick.failed(now);
        }
        self.failed_attempts += 1;
        self.record.released(number, self.now);
        self.attempt(id);
    }

    fn serve(&mut self, id: usize, number: usize) {
        let group = self.scenario.group_of(number);
        let slowness = self.hosts[number].slowness(group, self.now);
        let takes = self.connections[id].service.of(group.service, slowness);
        let at = self.now.saturating_add(takes);
        self.schedule.plan(at, Event::Served(id));
    }

    fn finished(&mut self, id: usize) {
        let now = self.timestamp();
        let connection = &mut self.connections[id];
        let Some((_, number)) = connection.pick.take() else {
            return;
        };
        if let Some(mut timer) = connection.timer.take() {
            // The simulated backend answers with all of its bytes at once.
            timer.first_byte(now);
            timer.ended(now);
        }
        self.served += 1;
        self.record.served(connection.arrived, self.now);
        self.record.released(number, self.now);
        self.free.push(id);
        if let Some(next) = self.hosts[number].finish() {
            self.serve(next, number);
        }
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
