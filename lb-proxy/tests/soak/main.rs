//! Faults, changes of the membership and reloads for a long time: `LB_SOAK_SECONDS=900`, 4 by default; `LB_SOAK_SEED=n` replays the
//! choices of a run.
//!
//! At the end of each round of clients every connection is accounted for, and the process has the descriptors that it had before. Its
//! memory stays what it was after the first rounds. A test binary of its own, because it counts descriptors and memory of the process.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod changes;
mod clients;
mod node;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use lb_core::{Rng, SplitMix64};
use lb_proxy::events::{Connection, Summary};
use lb_proxy::reports::SessionFilter;
use lb_proxy::{Hooks, Workers};
use test_support::deadline::{eventually, within};
use test_support::descriptors;
use test_support::proxy::in_flight;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use changes::Field;
use clients::{Tally, client};

const CLIENTS: usize = 32;

/// Sessions that stay open all the time, to a backend without faults.
const SLEEPERS: usize = 50;

/// The length of a round.
const ROUND: Duration = Duration::from_secs(2);

/// The proxy delivers bytes for a minute to a peer that takes none.
const LONGEST_END: Duration = Duration::from_secs(90);

/// The rounds before the memory is compared: pools, pipes and counters of past backends have been filled.
const WARM_UP: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_and_descriptors_and_bytes_are_accounted_for_after_a_long_time() {
    let setting = |name, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (seconds, seed) = (
        setting("LB_SOAK_SECONDS", 4),
        setting("LB_SOAK_SEED", 0x50AC),
    );
    eprintln!("LB_SOAK_SECONDS={seconds} LB_SOAK_SEED={seed}");
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut rng = SplitMix64::new(seed);

    let closed = Arc::new(Closed::default());
    let workers = Workers::Threads(NonZeroUsize::new(2).unwrap());
    let mut field = Field::start(&mut rng, workers, closed.clone()).await;
    let mut sleepers = Vec::new();
    for _ in 0..SLEEPERS {
        let mut sleeper = TcpStream::connect(field.calm_addr).await.unwrap();
        echo(&mut sleeper, 0).await;
        sleepers.push(sleeper);
    }
    let open = descriptors::without_pipes();
    let tally = Arc::new(Tally::default());
    let (mut memory, mut rounds, mut longest) = (Vec::new(), 0_usize, Duration::ZERO);
    while Instant::now() < end {
        rounds += 1;
        round(&mut field, &mut rng, &tally).await;
        for sleeper in &mut sleepers {
            echo(sleeper, rounds as u8).await;
        }
        let begin = Instant::now();
        while descriptors::without_pipes() != open {
            assert!(
                begin.elapsed() < LONGEST_END,
                "{open} descriptors before, {} now",
                descriptors::without_pipes()
            );
            sleep(Duration::from_millis(5)).await;
        }
        longest = longest.max(begin.elapsed());
        check(&field, &closed).await;
        memory.push(resident_kib());
        if rounds.is_multiple_of(30) {
            eprintln!("round {rounds}: {} KiB, {tally}", memory[rounds - 1]);
        }
    }
    drop(sleepers);
    let metrics = field.end().await;
    eprintln!(
        "{rounds} rounds, {tally}, the last session of a round ended after {longest:?}\n{metrics:?}"
    );
    assert_eq!(closed.0.load(Relaxed), metrics.accepted);
    // The proxy ends a session cleanly before the echo is complete only after a silence.
    assert!(
        tally.short.load(Relaxed) <= metrics.idle_timeouts,
        "{tally}"
    );
    assert!(tally.complete.load(Relaxed) > 0, "{tally}");
    let (first, last) = memory.split_at(WARM_UP.min(memory.len()));
    let peak = |of: &[u64]| of.iter().max().copied().unwrap_or_default();
    eprintln!(
        "memory: at most {} KiB in the first rounds, then {}",
        peak(first),
        peak(last)
    );
    assert!(peak(last) <= peak(first) * 5 / 4 + 8192, "{memory:?}");
}

/// Runs clients and changes for the length of a round, and returns to the begin.
async fn round(field: &mut Field, rng: &mut SplitMix64, tally: &Arc<Tally>) {
    let over = Arc::new(AtomicBool::new(false));
    let mut running = JoinSet::new();
    for _ in 0..CLIENTS {
        let (over, tally, addr, seed) = (over.clone(), tally.clone(), field.addr, rng.next_u64());
        running.spawn(async move {
            let mut rng = SplitMix64::new(seed);
            while !over.load(Relaxed) {
                client(addr, &mut rng, &tally).await;
            }
        });
    }
    let begin = Instant::now();
    while begin.elapsed() < ROUND {
        field.change(rng).await;
    }
    over.store(true, Relaxed);
    field.restore().await;
    while let Some(ended) = within("a client", running.join_next()).await {
        ended.unwrap();
    }
}

/// Asserts that only the sleepers are left.
async fn check(field: &Field, closed: &Closed) {
    let handle = &field.proxy.handle;
    let left = SLEEPERS as u64;
    eventually("the last session", || handle.metrics().active == left).await;
    eventually("the last lease", || in_flight(&field.upstream) == 0).await;
    let metrics = handle.metrics();
    assert_eq!(metrics.accepted, left + metrics.ended(), "{metrics:?}");
    eventually("the hooks", || closed.0.load(Relaxed) == metrics.ended()).await;
    assert_eq!(handle.sessions(&SessionFilter::new()).matched as u64, left);
    assert_eq!(u64::from(in_flight(&field.calm)), left);
}

/// Counts the sessions that have ended.
#[derive(Debug, Default)]
struct Closed(AtomicU64);

impl Hooks for Closed {
    fn close(&self, _: &Connection, _: &Summary<'_>) {
        self.0.fetch_add(1, Relaxed);
    }
}

async fn echo(stream: &mut TcpStream, byte: u8) {
    stream.write_u8(byte).await.unwrap();
    assert_eq!(within("an echo", stream.read_u8()).await.unwrap(), byte);
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap()
}
