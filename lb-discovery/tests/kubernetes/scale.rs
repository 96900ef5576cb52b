//! A large Service that changes all the time. Prints figures, so it is not run with the others:
//!
//! `cargo test --release -p lb-discovery --features kubernetes --test kubernetes -- --ignored --nocapture scale`
//!
//! Picks are paid for in processor time of their thread, so that waiting for a processor does not count, and each phase
//! has the same number of them:
//!
//! - *alone*: nothing changes, no other thread works;
//! - *beside*: the Service changes, but the picks are of a balancer that is not updated: what the neighbours' use of
//!   the caches costs;
//! - *meanwhile*: the picks are of the balancer that follows the Service.
//!
//! Phases take turns, and medians are compared. With two processors or more, the picking thread has one to itself.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use lb_core::policy::P2c;
use lb_core::{Balancer, PickRequest, SplitMix64, Timestamp, Tried, balancer};
use lb_discovery::kubernetes::EndpointSlices;
use lb_discovery::{Driver, DriverConfig};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use crate::sources::Api;
use test_support::kubernetes::objects::{endpoint, slice};

const SLICES: u16 = 100;
const PACE: Duration = Duration::from_millis(10);

const PICKS: u32 = 4_000_000;
const ROUNDS: usize = 9;

/// The n-th change gives one endpoint an address that has the number of the change.
fn marker(change: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0b00_0000 + change))
}

fn slice_of(number: u16, change: Option<u32>) -> Value {
    let endpoints = (0..100_u16).map(|host| {
        let ip = match change {
            Some(change) if host == 0 => marker(change).to_string(),
            _ => format!("10.{number}.0.{host}"),
        };
        endpoint(&ip, &format!("echo-5f6d8c7b9-{number:03}{host:02}"))
    });
    slice(&format!("echo-{number:03}"), &endpoints.collect::<Vec<_>>())
}

/// The processor time of this thread.
fn cpu() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}

fn resident_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mut lines = status.lines();
    let line = lines.find(|line| line.starts_with("VmRSS")).unwrap();
    let kib = line.split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() / 1024
}

/// Confines this thread, and all that it starts, to one processor.
fn stay_on(processor: usize) {
    if thread::available_parallelism().is_ok_and(|count| count.get() > processor) {
        let mut only = CpuSet::new();
        only.set(processor);
        sched_setaffinity(None, &only).unwrap();
    }
}

/// The cost of one pick, and the longest time of one, by the clock.
#[derive(Clone, Copy)]
struct Cost {
    mean: f64,
    worst: Duration,
}

fn pick(balancer: &Balancer) -> Cost {
    let mut rng = SplitMix64::new(1);
    let (begin, mut last, mut worst) = (cpu(), Instant::now(), Duration::ZERO);
    for number in 0..PICKS {
        let tried = Tried::default();
        let request = PickRequest::new(&tried);
        drop(balancer.pick(&request, Timestamp::default(), &mut rng));
        // Reading the clock for each would be a tenth of the cost.
        if number % 16 == 0 {
            let now = Instant::now();
            worst = worst.max(now - last);
            last = now;
        }
    }
    Cost {
        mean: (cpu() - begin).as_secs_f64() * 1e9 / f64::from(PICKS),
        worst,
    }
}

fn report(name: &str, costs: &[Cost]) {
    let mut costs = costs.to_vec();
    costs.sort_by(|a, b| a.mean.total_cmp(&b.mean));
    let at = |share: usize| costs[(costs.len() - 1) * share / 4].mean;
    let mut worst: Vec<_> = costs.iter().map(|cost| cost.worst).collect();
    worst.sort();
    eprintln!(
        "a pick {name}: {:.0} ns (quartiles {:.0} to {:.0}); 16 picks at the worst: {:?}",
        at(2),
        at(1),
        at(3),
        worst[worst.len() / 2],
    );
}

#[test]
#[ignore = "measures"]
fn scale() {
    stay_on(0);
    let changing = Arc::new(AtomicBool::new(false));
    let done = CancellationToken::new();
    let sent = Arc::new(Mutex::new(HashMap::<IpAddr, Instant>::new()));
    let (ready, is_ready) = mpsc::channel();
    let server = thread::spawn({
        let (changing, done, sent) = (Arc::clone(&changing), done.clone(), Arc::clone(&sent));
        move || serve(&ready, &changing, &done, &sent)
    });
    let source: EndpointSlices = is_ready.recv().unwrap();
    let before = resident_mib();

    let (mut updater, followed) = balancer(Arc::new(P2c::least_conn()));
    let lags = Arc::new(Mutex::new(Vec::<Duration>::new()));
    let sets = Arc::new(AtomicU64::new(0));
    let busy = Arc::new(Mutex::new(Duration::ZERO));
    let client = thread::spawn({
        let (done, lags, sets, busy) = (
            done.clone(),
            Arc::clone(&lags),
            Arc::clone(&sets),
            Arc::clone(&busy),
        );
        move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            let (mut driver, _handle) = Driver::new(vec![Arc::new(source)], DriverConfig::new());
            runtime.block_on(driver.run(
                |set| {
                    updater.apply(&set, Timestamp::default());
                    let now = Instant::now();
                    sets.fetch_add(1, Relaxed);
                    let mut sent = sent.lock().unwrap();
                    let seen = set.iter().filter_map(|b| sent.remove(&b.addr.ip()));
                    lags.lock().unwrap().extend(seen.map(|sent| now - sent));
                    *busy.lock().unwrap() = cpu();
                },
                done,
            ));
        }
    });
    while followed.set().snapshot().len() < usize::from(SLICES) * 100 {
        thread::sleep(Duration::from_millis(10));
    }
    let (memory, at_first) = (resident_mib() - before, *busy.lock().unwrap());
    let (mut updater, still) = balancer(Arc::new(P2c::least_conn()));
    updater.apply(followed.set().snapshot(), Timestamp::default());
    let first = sets.load(Relaxed);

    let picker = thread::spawn({
        let (changing, sets) = (Arc::clone(&changing), Arc::clone(&sets));
        move || {
            stay_on(1);
            let (mut alone, mut beside, mut meanwhile) = (Vec::new(), Vec::new(), Vec::new());
            let mut changed = Duration::ZERO;
            for _ in 0..ROUNDS {
                alone.push(pick(&followed));
                changing.store(true, Relaxed);
                let begin = Instant::now();
                let before = sets.load(Relaxed);
                while sets.load(Relaxed) == before {
                    thread::sleep(Duration::from_millis(10));
                }
                beside.push(pick(&still));
                meanwhile.push(pick(&followed));
                changing.store(false, Relaxed);
                changed += begin.elapsed();
                // The last change arrives.
                thread::sleep(Duration::from_millis(500));
            }
            (alone, beside, meanwhile, changed)
        }
    });
    let (alone, beside, meanwhile, changed) = picker.join().unwrap();
    done.cancel();
    let changes = server.join().unwrap();
    client.join().unwrap();

    let mut lags = lags.lock().unwrap().clone();
    lags.sort();
    let at = |percent: usize| lags[(lags.len() - 1) * percent / 100];
    let busy = (*busy.lock().unwrap() - at_first).as_secs_f64() / changed.as_secs_f64();
    eprintln!("memory for 10000 endpoints, from the first byte on: {memory} MiB");
    eprintln!(
        "{changes} changes in {changed:.1?}, {} seen, in {} sets; the others were replaced first",
        lags.len(),
        sets.load(Relaxed) - first
    );
    eprintln!(
        "lag: median {:?}, 99 % {:?}, most {:?}",
        at(50),
        at(99),
        at(100)
    );
    eprintln!("following them: {:.0} % of one processor", busy * 100.0);
    report("alone", &alone);
    report("beside", &beside);
    report("meanwhile", &meanwhile);
    assert!(at(100) <= Duration::from_secs(1));
}

/// Serves until the end is signalled, and changes the Service on request; returns the number of changes.
fn serve(
    ready: &mpsc::Sender<EndpointSlices>,
    changing: &AtomicBool,
    done: &CancellationToken,
    sent: &Mutex<HashMap<IpAddr, Instant>>,
) -> u32 {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let api = runtime.block_on(Api::start());
    let put = |number, change| {
        api.server.put("endpointslices", slice_of(number, change));
    };
    for number in 0..SLICES {
        put(number, None);
    }
    ready.send(api.slices()).unwrap();
    let (mut change, mut next) = (0, Instant::now());
    while !done.is_cancelled() {
        thread::sleep(next.saturating_duration_since(Instant::now()));
        if changing.load(Relaxed) {
            sent.lock().unwrap().insert(marker(change), Instant::now());
            put(
                u16::try_from(change % u32::from(SLICES)).unwrap(),
                Some(change),
            );
            change += 1;
            next += PACE;
        } else {
            next = Instant::now() + PACE;
        }
    }
    change
}
