//! One balancer with its servers and clients, on virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::num::NonZeroU32;
use std::ops::Range;
use std::time::Duration;

use lb_core::policy::PolicyKind;
use lb_core::{
    BalancerConfig, FailLimit, Pick, ResponseTimer, Rng, SlowStart, Snapshot, SplitMix64,
    Timestamp, Tried,
};

use crate::support::{Bench, backend, number};

pub(crate) const SERVERS: usize = 10;
pub(crate) const SLOW: usize = 3;
/// Connections that a server works on at once; further ones wait in its accept queue.
const WORKERS: usize = 8;
pub(crate) const SECOND: u64 = 1_000_000_000;
pub(crate) const MILLISECOND: u64 = SECOND / 1000;

/// The parameters of a world.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) kind: PolicyKind,
    pub(crate) seed: u64,
    /// Connections a second.
    pub(crate) rate: f64,
    /// How many times slower server [`SLOW`] is than the others.
    pub(crate) slowdown: f64,
    /// In seconds, how long a new server starts slowly.
    pub(crate) slow_start: Option<u64>,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Event {
    /// A client connects, and the next one after it is planned.
    Arrive,
    /// The handshake of a connection is complete: it waits for a worker.
    Reach(u64),
    /// A connection has been served.
    End(u64),
    /// A server closes its connections and refuses new ones.
    Stop(usize),
    /// A server takes connections again.
    Start(usize),
    /// A server is replaced by a new instance at the same address.
    Replace(usize),
}

struct Connection {
    pick: Pick,
    timer: Option<ResponseTimer>,
    client: Client,
    established: bool,
}

/// The properties of a connection that do not depend on its server: the same for every policy of one seed.
struct Client {
    since: u64,
    tried: Tried,
    handshake: f64,
    service: f64,
}

#[derive(Default)]
struct Server {
    stopped: bool,
    busy: usize,
    queue: VecDeque<u64>,
}

/// One balancer, its servers and clients, and the results.
pub(crate) struct World {
    plan: Plan,
    bench: Bench,
    servers: Vec<Server>,
    connections: BTreeMap<u64, Connection>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    made: u64,
    rng: SplitMix64,
    now: u64,
    /// When a connection was established, and to which server.
    pub(crate) established: Vec<(u64, usize)>,
    /// When a connection arrived, and how long it took to its end.
    latencies: Vec<(u64, u64)>,
}

impl World {
    pub(crate) fn new(plan: Plan) -> Self {
        let mut world = Self {
            plan,
            bench: Bench::new(plan.kind.build(), &snapshot(None)),
            servers: (0..SERVERS).map(|_| Server::default()).collect(),
            connections: BTreeMap::new(),
            events: BinaryHeap::new(),
            made: 0,
            rng: SplitMix64::new(plan.seed),
            now: 0,
            established: Vec::new(),
            latencies: Vec::new(),
        };
        world.bench.rng = SplitMix64::new(!plan.seed);
        if let Some(seconds) = plan.slow_start {
            let slow_start = SlowStart::new(Duration::from_secs(seconds));
            let config = BalancerConfig::default().slow_start(slow_start);
            world.bench.updater.set_config(config);
        }
        world.at(0, Event::Arrive);
        world
    }

    pub(crate) fn at(&mut self, time: u64, event: Event) {
        self.made += 1;
        self.events.push(Reverse((time, self.made, event)));
    }

    pub(crate) fn run_until(&mut self, end: u64) {
        while let Some(&Reverse((time, _, event))) = self.events.peek() {
            if time > end {
                break;
            }
            self.events.pop();
            self.now = time;
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive => self.arrive(),
            Event::Reach(id) => self.reach(id),
            Event::End(id) => self.end(id),
            Event::Stop(i) => self.stop(i),
            Event::Start(i) => self.servers[i].stopped = false,
            Event::Replace(i) => {
                let now = self.timestamp();
                self.bench.updater.apply(&snapshot(Some(i)), now);
            }
        }
    }

    fn timestamp(&self) -> Timestamp {
        Timestamp::from_nanos(self.now)
    }

    /// An exponential variate with the mean 1.
    fn variate(&mut self) -> f64 {
        let uniform = (self.rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        -(1.0 - uniform).ln()
    }

    fn arrive(&mut self) {
        let gap = self.variate() / self.plan.rate * SECOND as f64;
        self.at(self.now + gap as u64, Event::Arrive);
        let client = Client {
            since: self.now,
            tried: Tried::new(),
            // Half of a handshake is distance, half is chance.
            handshake: (1.0 + self.variate()) * MILLISECOND as f64,
            service: self.variate() * 20.0 * MILLISECOND as f64,
        };
        self.connect(client);
    }

    /// Tries one server after the other until one accepts, or none is left.
    fn connect(&mut self, mut client: Client) {
        let now = self.timestamp();
        while let Ok(pick) = self.bench.pick_at(&client.tried, now) {
            let i = number(&pick);
            if self.servers[i].stopped {
                client.tried.insert(pick.backend().addr);
                let _ = pick.failed(now);
                continue;
            }
            let handshake = client.handshake * self.factor(i);
            self.made += 1;
            let id = self.made;
            let connection = Connection {
                timer: pick.response_timer(),
                pick,
                client,
                established: false,
            };
            self.connections.insert(id, connection);
            self.at(self.now + handshake as u64, Event::Reach(id));
            return;
        }
    }

    fn factor(&self, i: usize) -> f64 {
        if i == SLOW { self.plan.slowdown } else { 1.0 }
    }

    /// Completes a handshake: the kernel of a server answers it however long the accept queue is.
    fn reach(&mut self, id: u64) {
        let now = self.timestamp();
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.pick.connected(now);
        connection.timer.iter_mut().for_each(|t| t.connected(now));
        connection.established = true;
        let i = number(&connection.pick);
        self.established.push((self.now, i));
        self.servers[i].queue.push_back(id);
        self.serve(i);
    }

    /// Gives waiting connections to idle workers.
    fn serve(&mut self, i: usize) {
        while self.servers[i].busy < WORKERS {
            let Some(id) = self.servers[i].queue.pop_front() else {
                return;
            };
            self.servers[i].busy += 1;
            let service = self.connections[&id].client.service * self.factor(i);
            self.at(self.now + service as u64, Event::End(id));
        }
    }

    fn end(&mut self, id: u64) {
        let Some(connection) = self.connections.remove(&id) else {
            return;
        };
        let since = connection.client.since;
        self.latencies.push((since, self.now - since));
        let i = number(&connection.pick);
        self.servers[i].busy -= 1;
        let now = self.timestamp();
        connection.timer.into_iter().for_each(|t| t.ended(now));
        drop(connection.pick);
        self.serve(i);
    }

    fn stop(&mut self, i: usize) {
        self.servers[i] = Server {
            stopped: true,
            ..Server::default()
        };
        let now = self.timestamp();
        let here = |c: &Connection| number(&c.pick) == i;
        let all = self.connections.iter();
        let ids: Vec<u64> = all.filter(|(_, c)| here(c)).map(|(&id, _)| id).collect();
        for id in ids {
            let mut connection = self.connections.remove(&id).unwrap();
            if !connection.established {
                let addr = connection.pick.backend().addr;
                let _ = connection.pick.failed(now);
                connection.client.tried.insert(addr);
                self.connect(connection.client);
            }
        }
    }

    /// The latency in milliseconds that `part` of the connections that arrived since `from` did not exceed. Those
    /// that are still open count with their age.
    pub(crate) fn percentile(&self, part: f64, from: u64) -> f64 {
        let ended = self.latencies.iter().copied();
        let open = self.connections.values();
        let open = open.map(|connection| connection.client.since);
        let mut latencies: Vec<u64> = ended
            .chain(open.map(|since| (since, self.now - since)))
            .filter(|(since, _)| *since >= from)
            .map(|(_, latency)| latency)
            .collect();
        latencies.sort_unstable();
        latencies[(latencies.len() as f64 * part) as usize] as f64 / MILLISECOND as f64
    }

    /// Each server's part of the connections established within a time.
    pub(crate) fn shares(&self, time: Range<u64>) -> [f64; SERVERS] {
        let mut counts = [0.0; SERVERS];
        let mut total = 0.0;
        for (_, i) in self.established.iter().filter(|(at, _)| time.contains(at)) {
            counts[*i] += 1.0;
            total += 1.0;
        }
        counts.map(|count| count / total)
    }
}

fn snapshot(replaced: Option<usize>) -> Snapshot {
    let limit = FailLimit::new(NonZeroU32::MIN, Duration::from_secs(1));
    (0..SERVERS)
        .map(|i| {
            let plain = backend(i).fail_limit(Some(limit));
            if replaced == Some(i) {
                plain.instance("new")
            } else {
                plain
            }
        })
        .collect()
}
