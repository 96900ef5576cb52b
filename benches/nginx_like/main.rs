//! nginx_like as a process: `cargo build --release -p nginx_like && cargo bench -p benches --bench nginx_like`.
//!
//! - `nginx_like/access_log`: processor time of a session with an access log, as a multiple of that without one. Both proxies
//!   run all the time and get their sessions in turns; `A/A` is the same of two proxies without a log.
//! - `nginx_like/log_that_hangs`: the 99th percentile of a session's time, with its log on a FIFO that nothing reads and on a
//!   full disk, as a multiple of that with a log that works.
//! - `nginx_like/reload`: round trips of open sessions while a reload reads 20000 servers.
//! - `nginx_like/test_config`: `-t` of 20000 servers.
//!
//! `LB_BENCH_NGINX_LIKE` is the binary, by default the release build. `LB_BENCH_RATE` is the number of sessions in a second, by
//! default 10000: more than the proxy serves are refused, and the bench fails. Not criterion's: the figures are those of another process.
//! The load, its servers and the proxies need a processor each; pin them with taskset(1) where others run.

#![expect(clippy::print_stdout, reason = "the figures are the output")]

mod load;
mod process;

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::sleep;

use load::{echo, round_trips, sessions};
use process::{Proxy, binary, placed, write_conf};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;
type Bench = fn(&Runtime, Extent) -> Outcome;

const SERVERS: u32 = 20_000;
/// A format as in nginx's documentation.
const FORMAT: &str =
    "'$remote_addr [$time_local] $protocol $status $bytes_sent $bytes_received $session_time";

/// How much is measured.
#[derive(Clone, Copy)]
struct Extent {
    rounds: usize,
    /// In a round.
    sessions: u32,
    /// Sessions in a second.
    rate: u32,
    reloads: u16,
}

fn main() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<_> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let rate = std::env::var("LB_BENCH_RATE").map_or(Ok(10_000), |rate| rate.parse())?;
    let extent = match args.iter().any(|arg| arg == "--test") {
        true => Extent {
            rounds: 1,
            sessions: 100,
            rate,
            reloads: 1,
        },
        false => Extent {
            rounds: 12,
            sessions: rate,
            rate,
            reloads: 5,
        },
    };
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let benches: [(&str, Bench); 4] = [
        ("nginx_like/access_log", access_log),
        ("nginx_like/log_that_hangs", log_that_hangs),
        ("nginx_like/reload", reload),
        ("nginx_like/test_config", test_config),
    ];
    for (name, bench) in benches {
        if filters.is_empty() || filters.iter().any(|filter| name.contains(*filter)) {
            println!("{name}");
            bench(&runtime, extent)?;
        }
    }
    Ok(())
}

fn access_log(runtime: &Runtime, extent: Extent) -> Outcome {
    let backend = runtime.block_on(echo())?;
    let log = format!("log_format basic {FORMAT}'; access_log DIR/access.log basic;");
    let proxies = ["", &*log, ""].map(|log| Proxy::start(&one_server(log, backend)));
    let [off, on, other] = proxies;
    let proxies = [off?, on?, other?];
    let [log, same] = ratios(extent.rounds, |i| {
        let before = proxies[i].processor_time()?;
        runtime.block_on(sessions(proxies[i].addr, extent.sessions, extent.rate))?;
        // The last lines are written.
        runtime.block_on(async { sleep(Duration::from_millis(100)).await });
        Ok((proxies[i].processor_time()? - before).as_secs_f64())
    })?;
    println!("  on/off {log:.3}, A/A {same:.3}");
    Ok(())
}

fn log_that_hangs(runtime: &Runtime, extent: Extent) -> Outcome {
    let backend = runtime.block_on(echo())?;
    let dir = tempfile::tempdir()?;
    let fifo = dir.path().join("fifo");
    mkfifo(&fifo, Mode::S_IRWXU)?;
    let _reader = fs::OpenOptions::new().read(true).write(true).open(&fifo)?;
    // Lines so long that the queue is full after the warm-up.
    let format = format!("log_format long {FORMAT} {}'; access_log", "x".repeat(1000));
    let to = |path: &str| Proxy::start(&one_server(&format!("{format} {path} long;"), backend));
    let proxies = [
        to("DIR/access.log")?,
        to(&fifo.display().to_string())?,
        to("/dev/full")?,
    ];
    let [fifo, full] = ratios(extent.rounds, |i| {
        let times = runtime.block_on(sessions(proxies[i].addr, extent.sessions, extent.rate))?;
        Ok(percentile_99(times).as_secs_f64())
    })?;
    println!("  99th percentile: FIFO/file {fifo:.3}, full disk/file {full:.3}");
    for proxy in &proxies[1..] {
        let alerts = proxy
            .log()
            .lines()
            .filter(|line| line.contains("[alert]"))
            .count();
        println!("  {alerts} alerts of nginx_like about lost lines");
    }
    Ok(())
}

fn reload(runtime: &Runtime, extent: Extent) -> Outcome {
    let backend = runtime.block_on(echo())?;
    let proxy = Proxy::start(&many_servers(backend, 0))?;
    let (mut all, mut spans) = (Vec::new(), Vec::new());
    for number in 1..=extent.reloads {
        proxy.configure(&many_servers(backend, number))?;
        let (times, span) = runtime.block_on(async {
            let over = Arc::new(AtomicBool::new(false));
            let mut talks = JoinSet::new();
            for _ in 0..8 {
                let stream = TcpStream::connect(proxy.addr).await?;
                talks.spawn(round_trips(stream, Arc::clone(&over)));
            }
            let applied = proxy.log().matches("Configuration applied").count();
            let begin = Instant::now();
            kill(proxy.pid(), Signal::SIGHUP)?;
            while proxy.log().matches("Configuration applied").count() == applied {
                sleep(Duration::from_millis(5)).await;
            }
            let span = begin.elapsed();
            over.store(true, Relaxed);
            let mut times = Vec::new();
            while let Some(talk) = talks.join_next().await {
                times.extend(talk??);
            }
            Outcome::Ok((times, span))
        })?;
        all.extend(times);
        spans.push(span.as_secs_f64());
    }
    let worst = all.iter().max().copied().unwrap_or_default();
    println!(
        "  {} round trips: 99th percentile {:?}, the longest {worst:?}; a reload {:.2} s",
        all.len(),
        percentile_99(all),
        median(spans)
    );
    Ok(())
}

fn test_config(_runtime: &Runtime, extent: Extent) -> Outcome {
    let dir = tempfile::tempdir()?;
    let (addr, backend) = (([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into());
    let stream = many_servers(backend, 0);
    let conf = write_conf(dir.path(), &placed(&stream, addr, dir.path()))?;
    let mut spans = Vec::new();
    for _ in 0..extent.reloads {
        let begin = Instant::now();
        let output = Command::new(binary())
            .arg("-t")
            .arg("-c")
            .arg(&conf)
            .output()?;
        spans.push(begin.elapsed().as_secs_f64());
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
    }
    println!("  {:.2} s", median(spans));
    Ok(())
}

/// What `measure` returns of the proxies 1 and 2 as multiples of that of the proxy 0, the medians of the rounds.
fn ratios(rounds: usize, mut measure: impl FnMut(usize) -> Outcome<f64>) -> Outcome<[f64; 2]> {
    let mut ratios = [const { Vec::new() }; 2];
    for round in 0..=rounds {
        let mut measured = [0.0; 3];
        // Each order as often: what the machine does meanwhile differs from one second to the next.
        for i in if round % 2 == 0 { [0, 1, 2] } else { [2, 1, 0] } {
            measured[i] = measure(i)?;
        }
        // The first round warms up.
        if round > 0 {
            ratios[0].push(measured[1] / measured[0]);
            ratios[1].push(measured[2] / measured[0]);
        }
    }
    Ok(ratios.map(median))
}

fn one_server(settings: &str, backend: SocketAddr) -> String {
    format!("{settings} server {{ listen LISTEN backlog=4096; proxy_pass {backend}; }}")
}

/// An upstream of [`SERVERS`], which all are the loopback interface's. `weight` makes it another one.
fn many_servers(backend: SocketAddr, weight: u16) -> String {
    let mut text = "upstream many {\n".to_owned();
    let (port, weight) = (backend.port(), weight + 1);
    for [.., high, low] in (0..SERVERS).map(u32::to_be_bytes) {
        let down = if (high, low) == (0, 0) { "" } else { " down" };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "server 127.0.{high}.{}:{port} weight={weight}{down};",
            low.max(1)
        );
    }
    text + "} server { listen LISTEN; proxy_pass many; }"
}

fn percentile_99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times
        .get(times.len() * 99 / 100)
        .copied()
        .unwrap_or_default()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
