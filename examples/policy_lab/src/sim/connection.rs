//! A client's connection from its arrival to its end: what each of its events plans next.

use lb_core::{Pick, PickRequest, ResponseTimer, SplitMix64, Tried};

use super::engine::Engine;
use super::membership::number_of;
use super::schedule::Event;
use crate::model::{Draw, Stream, unit};
use crate::scenario::Failure;

/// A client's connection.
#[derive(Debug)]
pub(super) struct Connection {
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

impl Engine<'_> {
    pub(super) fn arrival(&mut self) {
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
        let request = PickRequest::new(&connection.tried).key(connection.key.as_bytes());
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

    pub(super) fn connected(&mut self, id: usize) {
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

    pub(super) fn failed(&mut self, id: usize, blameless: bool) {
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

    pub(super) fn finished(&mut self, id: usize) {
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
}
