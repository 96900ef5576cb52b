//! A large Service that changes all the time. Prints figures, so it is not run with the others:
//!
//! `cargo test --release -p lb-discovery --features kubernetes --test kubernetes -- --ignored --nocapture scale`

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use lb_core::policy::P2c;
use lb_core::{Balancer, PickRequest, SplitMix64, Timestamp, Tried, balancer};
use lb_discovery::kubernetes::EndpointSlices;
use lb_discovery::{Driver, DriverConfig};
use serde_json::Value;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use crate::api_server::ApiServer;
use crate::objects::{endpoint, slice};
use crate::sources::Api;

const SLICES: u16 = 100;
const CHANGES: u32 = 1000;
const PACE: Duration = Duration::from_millis(10);

/// The n-th change gives one endpoint an address that tells which change it was.
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

/// What this thread has used of a processor, to a hundredth of a second.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks = |field: &str| field.parse::<u64>().unwrap();
    Duration::from_millis(10 * (ticks(fields[11]) + ticks(fields[12])))
}

fn resident_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    let kib = line.split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() / 1024
}

/// Picks on a thread of its own until told to stop; the nanoseconds of processor time for each.
fn picker(balancer: Balancer, stop: Arc<AtomicBool>) -> thread::JoinHandle<f64> {
    thread::spawn(move || {
        let mut rng = SplitMix64::new(1);
        let (mut picks, begin) = (0_u32, cpu());
        while !stop.load(Ordering::Relaxed) {
            let tried = Tried::default();
            let request = PickRequest::new(&tried);
            drop(balancer.pick(&request, Timestamp::default(), &mut rng));
            picks += 1;
        }
        (cpu() - begin).as_secs_f64() * 1e9 / f64::from(picks)
    })
}

fn pick_for(balancer: &Balancer, time: Duration) -> f64 {
    let stop = Arc::new(AtomicBool::new(false));
    let picking = picker(balancer.clone(), Arc::clone(&stop));
    thread::sleep(time);
    stop.store(true, Ordering::Relaxed);
    picking.join().unwrap()
}

#[test]
#[ignore = "measures"]
fn scale() {
    let (ready, is_ready) = std::sync::mpsc::channel();
    let (go, goes) = std::sync::mpsc::channel::<()>();
    let sent = Arc::new(Mutex::new(HashMap::<IpAddr, Instant>::new()));
    let server = thread::spawn({
        let sent = Arc::clone(&sent);
        move || serve(&ready, &goes, &sent)
    });
    let source: EndpointSlices = is_ready.recv().unwrap();
    let before = resident_mib();

    let (mut updater, balancer) = balancer(Arc::new(P2c::least_conn()));
    let cancel = CancellationToken::new();
    let lags = Arc::new(Mutex::new(Vec::<Duration>::new()));
    let sets = Arc::new(AtomicU64::new(0));
    let client = thread::spawn({
        let (cancel, lags, sets, sent) = (
            cancel.clone(),
            Arc::clone(&lags),
            Arc::clone(&sets),
            Arc::clone(&sent),
        );
        move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            let (mut driver, _handle) = Driver::new(vec![Arc::new(source)], DriverConfig::new());
            let mut at_first = None;
            runtime.block_on(driver.run(
                |set| {
                    updater.apply(&set, Timestamp::default());
                    let now = Instant::now();
                    sets.fetch_add(1, Ordering::Relaxed);
                    at_first.get_or_insert_with(|| (cpu(), now));
                    let mut sent = sent.lock().unwrap();
                    let seen = set.iter().filter_map(|b| sent.remove(&b.addr.ip()));
                    lags.lock().unwrap().extend(seen.map(|sent| now - sent));
                },
                cancel,
            ));
            let (cpu_then, then) = at_first.unwrap();
            (cpu() - cpu_then).as_secs_f64() / then.elapsed().as_secs_f64()
        }
    });
    while balancer.set().snapshot().len() < usize::from(SLICES) * 100 {
        thread::sleep(Duration::from_millis(10));
    }
    eprintln!(
        "memory for 10000 endpoints, from the first byte on: {} MiB",
        resident_mib() - before
    );
    let alone = pick_for(&balancer, Duration::from_secs(2));
    sets.store(0, Ordering::Relaxed);
    go.send(()).unwrap();
    let meanwhile = pick_for(&balancer, PACE * CHANGES);
    server.join().unwrap();
    cancel.cancel();
    let busy = client.join().unwrap();
    let mut lags = lags.lock().unwrap().clone();
    lags.sort();
    eprintln!(
        "changes seen: {} of {CHANGES}, the others were replaced first",
        lags.len()
    );
    eprintln!("sets: {}", sets.load(Ordering::Relaxed));
    eprintln!(
        "lag: median {:?}, 99 % {:?}, most {:?}",
        lags[lags.len() / 2],
        lags[lags.len() * 99 / 100],
        lags[lags.len() - 1]
    );
    eprintln!("processor: {:.0} % of one", busy * 100.0);
    eprintln!("pick: {alone:.0} ns alone, {meanwhile:.0} ns meanwhile");
    assert!(lags[lags.len() - 1] <= Duration::from_secs(1));
}

fn serve(
    ready: &std::sync::mpsc::Sender<EndpointSlices>,
    goes: &std::sync::mpsc::Receiver<()>,
    sent: &Mutex<HashMap<IpAddr, Instant>>,
) {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let api = runtime.block_on(Api::start());
    let put = |server: &ApiServer, number, change| {
        server.put("endpointslices", slice_of(number, change));
    };
    for number in 0..SLICES {
        put(&api.server, number, None);
    }
    ready.send(api.slices()).unwrap();
    goes.recv().unwrap();
    let begin = Instant::now();
    for change in 0..CHANGES {
        thread::sleep((begin + PACE * change).saturating_duration_since(Instant::now()));
        sent.lock().unwrap().insert(marker(change), Instant::now());
        let number = u16::try_from(change % u32::from(SLICES)).unwrap();
        put(&api.server, number, Some(change));
    }
    thread::sleep(Duration::from_secs(1));
}
