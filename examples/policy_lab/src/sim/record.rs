//! Counts the events of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::scenario::Scenario;

/// The number of parts of the time in the charts.
pub(crate) const BINS: usize = 60;

/// Counts, by part of the time and over the measured time.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// In nanoseconds.
    bin: u64,
    warm_up: u64,
    backends: Vec<BackendRecord>,
    /// Arrivals since shares or the part of the time changed: all, and the measured ones.
    pending: (u64, u64),
    pending_bin: usize,
    /// The current share of each backend by weight.
    shares: Vec<f64>,
    /// The last backend of each client.
    homes: BTreeMap<u64, usize>,
    /// Measured connections of returning clients: to another backend, and all.
    returned: (u64, u64),
    latencies: Vec<u64>,
    pub(super) max_in_flight: u32,
}

#[derive(Clone, Debug)]
struct BackendRecord {
    connected: Vec<u64>,
    expected: Vec<f64>,
    /// Connections in flight times nanoseconds.
    area: Vec<f64>,
    member: Vec<bool>,
    in_flight: u32,
    since: u64,
    measured_connected: u64,
    measured_expected: f64,
}

impl Record {
    pub(super) fn new(scenario: &Scenario, shares: Vec<f64>) -> Self {
        let empty = BackendRecord {
            connected: vec![0; BINS],
            expected: vec![0.0; BINS],
            area: vec![0.0; BINS],
            member: vec![false; BINS],
            in_flight: 0,
            since: 0,
            measured_connected: 0,
            measured_expected: 0.0,
        };
        Self {
            bin: scenario.duration.nanos().div_ceil(BINS as u64).max(1),
            warm_up: scenario.warm_up.nanos(),
            backends: vec![empty; shares.len()],
            pending: (0, 0),
            pending_bin: 0,
            shares,
            homes: BTreeMap::new(),
            returned: (0, 0),
            latencies: Vec::new(),
            max_in_flight: 0,
        }
    }

    pub(super) fn arrived(&mut self, now: u64) {
        let bin = self.bin_of(now);
        if bin != self.pending_bin {
            self.flush();
            self.pending_bin = bin;
        }
        self.pending.0 += 1;
        self.pending.1 += u64::from(now >= self.warm_up);
    }

    /// Records that weights or membership changed.
    pub(super) fn shares_changed(&mut self, shares: Vec<f64>) {
        self.flush();
        self.shares = shares;
    }

    /// Records which backends are members from `from` to `to`.
    pub(super) fn members(&mut self, from: u64, to: u64, is_member: impl Fn(usize) -> bool) {
        for bin in self.bin_of(from)..=self.bin_of(to).min(BINS - 1) {
            for (i, backend) in self.backends.iter_mut().enumerate() {
                if let Some(member) = backend.member.get_mut(bin) {
                    *member |= is_member(i);
                }
            }
        }
    }

    pub(super) fn connected(&mut self, client: u64, backend: usize, arrived: u64, now: u64) {
        let before = self.homes.insert(client, backend);
        if let Some(before) = before.filter(|_| arrived >= self.warm_up) {
            self.returned.0 += u64::from(before != backend);
            self.returned.1 += 1;
        }
        let bin = self.bin_of(now);
        let backend = &mut self.backends[backend];
        if let Some(count) = backend.connected.get_mut(bin) {
            *count += 1;
        }
        backend.measured_connected += u64::from(arrived >= self.warm_up);
    }

    pub(super) fn picked(&mut self, backend: usize, now: u64) {
        self.advance(backend, now);
        let backend = &mut self.backends[backend];
        backend.in_flight += 1;
        if now >= self.warm_up {
            self.max_in_flight = self.max_in_flight.max(backend.in_flight);
        }
    }

    pub(super) fn released(&mut self, backend: usize, now: u64) {
        self.advance(backend, now);
        self.backends[backend].in_flight -= 1;
    }

    pub(super) fn served(&mut self, arrived: u64, now: u64) {
        if arrived >= self.warm_up {
            self.latencies.push(now - arrived);
        }
    }

    /// Ends the record: counts what is pending.
    pub(super) fn finish(&mut self, now: u64) {
        self.flush();
        for backend in 0..self.backends.len() {
            self.advance(backend, now);
        }
        self.latencies.sort_unstable();
    }

    /// The latency that `part` of the measured connections did not exceed (nearest rank); `None` without any.
    pub(super) fn quantile(&self, part: f64) -> Option<Duration> {
        let rank = (self.latencies.len() as f64 * part).ceil() as usize;
        let found = self.latencies.get(rank.saturating_sub(1))?;
        Some(Duration::from_nanos(*found))
    }

    /// The part of the connections of returning clients that reached another backend than the last one did.
    pub(super) fn sent_elsewhere(&self) -> f64 {
        let (elsewhere, all) = self.returned;
        ratio(elsewhere as f64, all as f64)
    }

    pub(super) fn share_error(&self) -> f64 {
        let connected: u64 = self.backends.iter().map(|b| b.measured_connected).sum();
        let expected: f64 = self.backends.iter().map(|b| b.measured_expected).sum();
        let difference = |b: &BackendRecord| {
            let got = ratio(b.measured_connected as f64, connected as f64);
            (got - ratio(b.measured_expected, expected)).abs()
        };
        self.backends.iter().map(difference).sum::<f64>() / 2.0
    }

    /// By backend and part: its share of the established connections over its share of the weights.
    pub(super) fn shares_over_time(&self) -> Vec<Vec<Option<f64>>> {
        let sum = |bin: usize, of: fn(&BackendRecord, usize) -> f64| -> f64 {
            self.backends.iter().map(|b| of(b, bin)).sum()
        };
        let totals: Vec<(f64, f64)> = (0..BINS)
            .map(|bin| {
                (
                    sum(bin, |b, i| b.connected[i] as f64),
                    sum(bin, |b, i| b.expected[i]),
                )
            })
            .collect();
        let share = |b: &BackendRecord, bin: usize| {
            let (connected, expected) = totals[bin];
            let due = ratio(b.expected[bin], expected);
            // Without one expected connection, a part of the time has no meaningful share.
            (connected > 0.0 && b.expected[bin] >= 1.0)
                .then(|| ratio(b.connected[bin] as f64, connected) / due)
        };
        self.backends
            .iter()
            .map(|b| (0..BINS).map(|bin| share(b, bin)).collect())
            .collect()
    }

    /// By backend and part: connections in flight on average.
    pub(super) fn in_flight_over_time(&self) -> Vec<Vec<Option<f64>>> {
        let mean = |b: &BackendRecord, bin: usize| {
            (b.member[bin] || b.area[bin] > 0.0).then(|| b.area[bin] / self.bin as f64)
        };
        self.backends
            .iter()
            .map(|b| (0..BINS).map(|bin| mean(b, bin)).collect())
            .collect()
    }

    fn bin_of(&self, now: u64) -> usize {
        usize::try_from(now / self.bin).unwrap_or(usize::MAX)
    }

    /// Adds the connections in flight of a backend until `now` to each part of the time.
    fn advance(&mut self, backend: usize, now: u64) {
        let width = self.bin;
        let backend = &mut self.backends[backend];
        let mut since = std::mem::replace(&mut backend.since, now);
        while since < now {
            let bin = usize::try_from(since / width).unwrap_or(usize::MAX);
            let Some(area) = backend.area.get_mut(bin) else {
                break;
            };
            let until = now.min((since / width + 1) * width);
            *area += (until - since) as f64 * f64::from(backend.in_flight);
            since = until;
        }
    }

    fn flush(&mut self) {
        let (all, measured) = std::mem::take(&mut self.pending);
        for (backend, share) in self.backends.iter_mut().zip(&self.shares) {
            if let Some(expected) = backend.expected.get_mut(self.pending_bin) {
                *expected += all as f64 * share;
            }
            backend.measured_expected += measured as f64 * share;
        }
    }
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}
