//! nginx's `least_time`: the recorded times are reported at the recorded moments, and every choice is compared.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use lb_core::policy::{LeastConn, LeastTime, WeightedRoundRobin};
use lb_core::{
    AdminState, Backend, FailLimit, Pick, Policy, Priority, ResponseTimer, Snapshot, Timestamp,
    Tried, Weight,
};

use crate::support::Bench;

const RECORDING: &str = include_str!("nginx_least_time.txt");

/// One run of nginx.
struct Run<'a> {
    name: &'a str,
    method: &'a str,
    servers: Vec<&'a str>,
    sessions: Vec<Session<'a>>,
}

struct Session<'a> {
    opened: u64,
    attempts: Vec<Attempt<'a>>,
    /// Its place in the order of the ends.
    ended: usize,
}

/// One attempt, with its times in milliseconds.
struct Attempt<'a> {
    server: &'a str,
    connect: Option<u64>,
    first_byte: Option<u64>,
    whole: u64,
}

fn runs() -> Vec<Run<'static>> {
    let mut runs: Vec<Run<'_>> = Vec::new();
    for record in super::recording::records(RECORDING) {
        match record[..] {
            [("scenario", name), ("method", method), ("servers", servers)] => runs.push(Run {
                name,
                method,
                servers: servers.split(' ').collect(),
                sessions: Vec::new(),
            }),
            [("opened", opened), ("attempts", attempts), ("ended", ended)] => {
                let run = runs.last_mut().expect("a scenario first");
                run.sessions.push(Session {
                    opened: opened.parse().unwrap(),
                    attempts: attempts.split(' ').map(attempt).collect(),
                    ended: ended.parse().unwrap(),
                });
            }
            _ => panic!("unknown record {record:?}"),
        }
    }
    runs
}

fn attempt(text: &str) -> Attempt<'_> {
    let fields: Vec<&str> = text.split('/').collect();
    let [server, connect, first_byte, whole] = fields[..] else {
        panic!("unknown attempt {text}");
    };
    Attempt {
        server,
        connect: connect.parse().ok(),
        first_byte: first_byte.parse().ok(),
        whole: whole.parse().unwrap(),
    }
}

fn policy(method: &str) -> Arc<dyn Policy> {
    let words: Vec<&str> = method.split(' ').collect();
    let (policy, in_flight) = match words[..] {
        ["round_robin"] => return Arc::new(WeightedRoundRobin::new()),
        ["least_conn"] => return Arc::new(LeastConn::new()),
        ["least_time", "connect", ref rest @ ..] => (LeastTime::connect(), rest),
        ["least_time", "first_byte", ref rest @ ..] => (LeastTime::first_byte(), rest),
        ["least_time", "last_byte", ref rest @ ..] => (LeastTime::last_byte(), rest),
        _ => panic!("unknown method {method}"),
    };
    Arc::new(policy.in_flight(*in_flight == ["inflight"]))
}

fn snapshot(servers: &[&str]) -> Snapshot {
    servers.iter().map(|server| backend(server)).collect()
}

fn backend(server: &str) -> Backend {
    let mut words = server.split(',');
    let number: u16 = words.next().unwrap()[1..].parse().unwrap();
    let mut backend = Backend::new(([127, 0, 0, 1], number).into());
    let (mut max_fails, mut fail_timeout) = (1, 10);
    for word in words {
        backend = match word.split_once('=').unwrap_or((word, "")) {
            ("backup", _) => backend.priority(Priority::BACKUP),
            ("down", _) => backend.admin(AdminState::Drain),
            ("weight", n) => backend.weight(Weight::new(n.parse().unwrap())),
            ("max_conns", n) => backend.max_conns(n.parse().unwrap()),
            ("max_fails", n) => {
                max_fails = n.parse().unwrap();
                backend
            }
            ("fail_timeout", n) => {
                fail_timeout = n.trim_end_matches('s').parse().unwrap();
                backend
            }
            _ => panic!("unknown parameter {word}"),
        };
    }
    let max_fails = NonZeroU32::new(max_fails);
    let limit = max_fails.map(|max| FailLimit::new(max, Duration::from_secs(fail_timeout)));
    backend.fail_limit(limit)
}

/// What is reported, in the order of equal moments: what ends, what goes on, what begins.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Report {
    /// A session ended; the first number is its place in the order.
    End(usize),
    Connected,
    FirstByte,
    Attempt,
}

fn ms(millis: u64) -> Timestamp {
    // Away from the edges of the clock's milliseconds and from zero.
    Timestamp::from_nanos((1_000_000 + millis) * 1_000_000)
}

/// A run with its sessions in progress.
struct Replay<'a> {
    run: &'a Run<'a>,
    bench: Bench,
    held: Vec<Option<(Pick, Option<ResponseTimer>)>>,
    tried: Vec<Tried>,
}

impl Replay<'_> {
    /// Replays the run and returns the differences.
    fn differences(&mut self) -> Vec<String> {
        let mut events = Vec::new();
        for (i, session) in self.run.sessions.iter().enumerate() {
            let mut begun = session.opened;
            for (number, attempt) in session.attempts.iter().enumerate() {
                events.push((begun, Report::Attempt, i, number));
                let is_last = number + 1 == session.attempts.len();
                if is_last && let Some(connect) = attempt.connect {
                    events.push((begun + connect, Report::Connected, i, number));
                    let first_byte = attempt.first_byte;
                    events.extend(
                        first_byte.map(|took| (begun + took, Report::FirstByte, i, number)),
                    );
                    let end = Report::End(session.ended);
                    events.push((begun + attempt.whole, end, i, number));
                }
                begun += attempt.whole;
            }
        }
        // A session's own moments stay in their order when they are of the same millisecond.
        let own = |report| match report {
            Report::Attempt => 0,
            Report::Connected => 1,
            Report::FirstByte => 2,
            Report::End(_) => 3,
        };
        events.sort_by_key(|&(time, report, i, _)| (time, report, i));
        let mut differences = Vec::new();
        while !events.is_empty() {
            // The next event that no earlier one of its session waits for.
            let at = (0..events.len()).find(|&at| {
                let (_, report, i, number) = events[at];
                let before = |&(_, other, session, attempt): &(u64, Report, usize, usize)| {
                    session == i && (attempt, own(other)) < (number, own(report))
                };
                !events.iter().any(before)
            });
            let (time, report, i, number) = events.remove(at.expect("sessions have a first event"));
            differences.extend(self.report(time, report, i, number));
        }
        differences
    }

    fn report(&mut self, time: u64, report: Report, i: usize, number: usize) -> Option<String> {
        let (now, session) = (ms(time), &self.run.sessions[i]);
        let timer = |held: &mut Option<(Pick, Option<ResponseTimer>)>,
                     report: fn(&mut ResponseTimer, Timestamp)| {
            let (_, timer) = held.as_mut().expect("picked before");
            timer.iter_mut().for_each(|timer| report(timer, now));
        };
        match report {
            Report::Connected => {
                timer(&mut self.held[i], ResponseTimer::connected);
                self.held[i]
                    .iter()
                    .for_each(|(pick, _)| pick.connected(now));
            }
            Report::FirstByte => timer(&mut self.held[i], ResponseTimer::first_byte),
            Report::End(_) => {
                let (pick, timer) = self.held[i].take().expect("picked before");
                timer.into_iter().for_each(|timer| timer.ended(now));
                drop(pick);
            }
            Report::Attempt => return self.attempt(now, i, number, session),
        }
        None
    }

    /// Picks for an attempt after the one before has failed. On a difference, takes the server that nginx took.
    fn attempt(
        &mut self,
        now: Timestamp,
        i: usize,
        number: usize,
        session: &Session<'_>,
    ) -> Option<String> {
        if let Some((pick, timer)) = self.held[i].take() {
            timer.into_iter().for_each(|timer| timer.failed(now));
            self.tried[i].insert(pick.addr());
            let _ = pick.failed(now);
        }
        let pick = self.bench.pick_at(&self.tried[i], now).unwrap();
        let expected = backend(session.attempts[number].server).addr;
        let found = pick.addr();
        let timer = pick.response_timer();
        self.held[i] = Some((pick, timer));
        (found != expected).then(|| {
            let (found, expected) = (found.port(), expected.port());
            format!("session {}: s{found} instead of s{expected}", i + 1)
        })
    }
}

#[test]
fn every_choice_of_least_time_is_nginxs() {
    let runs = runs();
    assert_eq!(runs.len(), 41, "40 scenarios, one of them in two runs");
    let mut choices = 0;
    let mut differing = Vec::new();
    for run in &runs {
        let sessions = run.sessions.len();
        choices += sessions;
        let mut replay = Replay {
            run,
            bench: Bench::new(policy(run.method), &snapshot(&run.servers)),
            held: (0..sessions).map(|_| None).collect(),
            tried: vec![Tried::new(); sessions],
        };
        let differences = replay.differences();
        if let Some(first) = differences.first() {
            differing.push(format!("{}: {first}", run.name));
        }
    }
    assert!(choices > 600, "only {choices} sessions");
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}
