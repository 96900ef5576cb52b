//! The order of picks while state changes, compared with recordings of a real nginx, made by
//! `record_nginx_order.py`.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::recording::{index, records, servers};
use crate::support::{Bench, at, letter, number, tried};
use lb_core::policy::{LeastConn, WeightedRoundRobin};
use lb_core::{Backend, FailLimit, Pick, Priority, Snapshot, SplitMix64};

const LEAST_CONN: &str = include_str!("nginx_least_conn_order.txt");
const DAMPING: &str = include_str!("nginx_weight_damping.txt");

/// A replay of one line of `nginx_least_conn_order.txt`.
struct LeastConnLine<'a> {
    text: &'a str,
    pattern: &'a str,
    steps: Vec<(char, usize)>,
    snapshot: Snapshot,
    bench: Bench,
    held: HashMap<usize, Vec<Pick>>,
}

impl<'a> LeastConnLine<'a> {
    fn all() -> Vec<Self> {
        let lines: Vec<_> = records(LEAST_CONN).map(|r| Self::new(&r)).collect();
        assert!(lines.len() >= 96);
        lines
    }

    fn new(record: &[(&'a str, &'a str)]) -> Self {
        let [("servers", text), ("pattern", pattern), ("steps", steps)] = *record else {
            panic!("unknown record {record:?}");
        };
        let (snapshot, _) = servers(text, FailLimit::default());
        let steps = steps.split(' ').map(|step| {
            let mut chars = step.chars();
            (chars.next().unwrap(), index(chars.next().unwrap()))
        });
        Self {
            text,
            pattern,
            steps: steps.collect(),
            bench: Bench::new(Arc::new(LeastConn::new()), &snapshot),
            snapshot,
            held: HashMap::new(),
        }
    }

    /// The servers with the fewest connections for their weight, of those that nginx may pick.
    fn least(&self) -> BTreeSet<usize> {
        let priority = |wanted| {
            let servers = self.snapshot.iter().enumerate();
            servers.filter(move |(_, b)| b.takes_connections() && b.priority == wanted)
        };
        let load = |(i, backend): (usize, &Backend)| {
            let held = self.held.get(&i).map_or(0, Vec::len);
            (held, usize::from(backend.weight.get()))
        };
        let group = match priority(Priority::PRIMARY).next() {
            Some(_) => Priority::PRIMARY,
            None => Priority::BACKUP,
        };
        let below = |(c, w): (usize, usize), (d, v): (usize, usize)| c * v < d * w;
        priority(group)
            .filter(|&one| !priority(group).any(|other| below(load(other), load(one))))
            .map(|(i, _)| i)
            .collect()
    }

    fn release(&mut self, i: usize) {
        drop(self.held.get_mut(&i).unwrap().remove(0));
    }

    fn hold(&mut self, pick: Pick) {
        self.held.entry(number(&pick)).or_default().push(pick);
    }
}

#[test]
fn least_conn_picks_one_of_the_least_loaded_as_nginx() {
    for mut line in LeastConnLine::all() {
        for (turn, (sign, theirs)) in line.steps.clone().into_iter().enumerate() {
            if sign == '-' {
                line.release(theirs);
                continue;
            }
            let place = format!("{}, {}, step {turn}", line.text, line.pattern);
            let least = line.least();
            assert!(least.contains(&theirs), "{place}: {least:?}");
            let ours = number(&line.bench.pick().unwrap());
            assert!(least.contains(&ours), "{place}: {ours} of {least:?}");
            // Repeats the choice of nginx, so that the next step starts from its state.
            let others = tried((0..line.snapshot.len()).filter(|&i| i != theirs));
            let pick = line.bench.pick_at(&others, at(0)).unwrap();
            line.hold(pick);
        }
    }
}

#[test]
fn least_conn_order_is_nginxs() {
    let differing = LeastConnLine::all()
        .into_iter()
        .filter_map(|mut line| {
            for (turn, (sign, theirs)) in line.steps.clone().into_iter().enumerate() {
                if sign == '-' {
                    line.release(theirs);
                    continue;
                }
                let pick = line.bench.pick().unwrap();
                let ours = number(&pick);
                if ours != theirs {
                    let [ours, theirs] = [ours, theirs].map(letter);
                    return Some(format!(
                        "{}, {}, step {turn}: {ours} instead of {theirs}",
                        line.text, line.pattern
                    ));
                }
                line.hold(pick);
            }
            None
        })
        .collect::<Vec<_>>();
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

/// No server: each one has refused the connection or is ejected.
const NONE: char = '-';

/// One line of `nginx_weight_damping.txt`.
struct DampingLine<'a> {
    text: &'a str,
    steps: Vec<&'a str>,
    snapshot: Snapshot,
    limit: FailLimit,
}

impl<'a> DampingLine<'a> {
    fn all() -> Vec<Self> {
        let lines: Vec<_> = records(DAMPING).map(|r| Self::new(&r)).collect();
        assert!(lines.len() >= 16);
        lines
    }

    fn new(record: &[(&'a str, &'a str)]) -> Self {
        let [
            ("servers", text),
            ("max_fails", max_fails),
            ("fail_timeout", fail_timeout),
            ("steps", steps),
        ] = *record
        else {
            panic!("unknown record {record:?}");
        };
        let limit = FailLimit::new(
            max_fails.parse::<NonZeroU32>().unwrap(),
            Duration::from_secs(fail_timeout.parse().unwrap()),
        );
        Self {
            text,
            steps: steps.split(' ').collect(),
            snapshot: servers(text, limit).0,
            limit,
        }
    }

    /// The steps of this crate under nginx's events.
    fn ours(&self, seed: u64) -> Vec<String> {
        let mut bench = Bench::new(Arc::new(WeightedRoundRobin::new()), &self.snapshot);
        bench.rng = SplitMix64::new(seed);
        let mut refusing = BTreeSet::new();
        let mut now = at(0);
        self.steps
            .iter()
            .map(|&step| {
                let mut chars = step.chars();
                match (chars.next().unwrap(), chars.next()) {
                    ('!', Some(letter)) => {
                        refusing.insert(index(letter));
                    }
                    ('^', Some(letter)) => {
                        refusing.remove(&index(letter));
                    }
                    ('~', None) => {
                        let long = 2 * self.limit.fail_timeout;
                        now = now.saturating_add(long + Duration::from_millis(500));
                    }
                    _ => {
                        let (mut tries, mut spelled) = (Vec::new(), Vec::new());
                        loop {
                            let failed_on = tried(tries.iter().copied());
                            let Ok(pick) = bench.pick_at(&failed_on, now) else {
                                break spelled.push(NONE);
                            };
                            let i = number(&pick);
                            assert!(!tries.contains(&i), "{}: {i} tried twice", self.text);
                            tries.push(i);
                            spelled.push(letter(i));
                            if !refusing.contains(&i) {
                                pick.connected(now);
                                break;
                            }
                            let _ = pick.failed(now);
                        }
                        let letters: Vec<String> = spelled.iter().map(char::to_string).collect();
                        return letters.join(">");
                    }
                }
                step.to_owned()
            })
            .collect()
    }

    /// How often each primary server answered in the last lap, which is as many connections as the sum of their weights.
    fn last_lap<S: AsRef<str>>(&self, steps: &[S]) -> Vec<usize> {
        let mut counts = vec![0; self.weights().len()];
        let lap = self.weights().iter().sum();
        for step in steps.iter().rev().map(AsRef::as_ref).take(lap) {
            assert!(!is_event(step), "{}", self.text);
            counts[index(step.chars().next_back().unwrap())] += 1;
        }
        counts
    }

    fn weights(&self) -> Vec<usize> {
        let primary = |b: &&Backend| b.priority == Priority::PRIMARY;
        let primaries = self.snapshot.iter().filter(primary);
        primaries.map(|b| usize::from(b.weight.get())).collect()
    }

    /// The number of connections after the last event.
    fn tail(&self) -> usize {
        let mut backwards = self.steps.iter().rev();
        let tail = backwards.position(|step| is_event(step));
        tail.unwrap_or(self.steps.len())
    }
}

/// Whether a step is no connection.
fn is_event(step: &str) -> bool {
    step.starts_with(['!', '^', '~'])
}

#[test]
fn a_server_that_refused_for_a_while_has_its_share_back_as_in_nginx() {
    let mut compared = 0;
    for line in DampingLine::all() {
        let ours = line.ours(1);
        let lap: usize = line.weights().iter().sum();
        if line.tail() < 2 * lap {
            continue;
        }
        assert_eq!(line.last_lap(&ours), line.weights(), "{}: ours", line.text);
        assert_eq!(
            line.last_lap(&line.steps),
            line.weights(),
            "{}: nginx's",
            line.text
        );
        compared += 1;
    }
    assert!(compared >= 10);
}

#[test]
fn the_damped_order_is_nginxs() {
    let differing = DampingLine::all().into_iter().filter_map(|line| {
        let (ours, theirs) = (line.ours(1).join(" "), line.steps.join(" "));
        (ours != theirs).then(|| format!("{}:\n  nginx {theirs}\n  ours  {ours}", line.text))
    });
    let differing: Vec<String> = differing.collect();
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

/// So that a pick among few is O(1) again.
#[test]
fn the_compiled_order_goes_on_after_a_thousand_undisturbed_turns() {
    let limit = FailLimit::new(NonZeroU32::MIN, Duration::from_secs(1));
    let (snapshot, _) = servers("a=5 b=1 c=1", limit);
    let mut bench = Bench::new(Arc::new(WeightedRoundRobin::new()), &snapshot);
    let _ = bench.pick_at(&tried([1, 2]), at(0)).unwrap().failed(at(0));
    let mut next = || {
        let pick = bench.pick_at(&tried([]), at(3)).unwrap();
        pick.connected(at(3));
        letter(number(&pick))
    };
    let before: String = (0..2000).map(|_| next()).collect();
    let order: String = (0..14).map(|_| next()).collect();
    // nginx's order would be another one of the same shares from the failure on.
    assert!("aabacaaaabacaaaabacaa".contains(&order), "{order}");
    for backend in ['b', 'c'] {
        let count = before.matches(backend).count();
        assert!(count.abs_diff(2000 / 7) <= 3, "{backend}: {count}");
    }
}
