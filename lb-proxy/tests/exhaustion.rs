//! A thousand clients at a process with 256 descriptors. The proxy is a process of its own, this very test binary:
//! limits and processor time are a process's.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use lb_core::Backend;
use lb_proxy::{Listener, Proxy, Timeouts};
use rustix::process::{Resource, getrlimit};
use test_support::deadline::within;
use test_support::descriptors;
use test_support::nodes::named;
use tokio::net::TcpStream;

const BACKEND: &str = "LB_TEST_EXHAUSTION_BACKEND";
const DESCRIPTORS: u64 = 256;
const CLIENTS: usize = 1000;

/// How long silent clients keep their sessions.
const SILENCE: Duration = Duration::from_secs(2);

/// The proxy. Prints its address, serves until a line arrives, and prints its counters.
#[test]
fn the_process_under_test() {
    let Ok(backend) = std::env::var(BACKEND) else {
        return;
    };
    descriptors::set_limit(DESCRIPTORS);
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(async {
        let upstream = test_support::proxy::upstream([Backend::new(backend.parse().unwrap())]);
        let silence = Some(SILENCE);
        let timeouts = Timeouts::default().idle(silence).half_closed(silence);
        let listener = Listener::new(test_support::sockets::loopback(), &upstream).timeouts(timeouts);
        let proxy = Proxy::builder().listener(listener).build().unwrap();
        let server = proxy.bind().await.unwrap();
        let handle = server.handle();
        let sessions = server.descriptors().sessions;
        say(&format!("addr={} sessions={sessions}", server.local_addrs()[0]));
        let told = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0]));
        server.run(async { drop(told.await) }).await;
        let metrics = handle.metrics();
        say(&format!(
            "accepted={} pauses={} exhausted={} shortages={} no_backend={} finished={} silent={} ended={}",
            metrics.accepted,
            metrics.accept_pauses,
            metrics.accept_exhausted,
            metrics.connect_shortages,
            metrics.no_backend,
            metrics.finished,
            metrics.idle_timeouts + metrics.half_closed_timeouts,
            metrics.ended(),
        ));
    });
}

#[tokio::test]
async fn every_client_is_served_in_the_end_and_nothing_spins() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    descriptors::set_limit(maximum.unwrap_or(65536).min(65536));
    let mut proxy = Process::start(named("a").await);
    let sessions: usize = proxy.said["sessions"].parse().unwrap();
    assert!(
        (32..DESCRIPTORS as usize / 2).contains(&sessions),
        "{sessions}"
    );
    let addr: SocketAddr = proxy.said["addr"].parse().unwrap();

    // They take every session and send nothing, so only their time-out frees the sessions.
    let mut silent = Vec::new();
    for _ in 0..sessions {
        silent.push(TcpStream::connect(addr).await.unwrap());
    }
    let clients: Vec<_> = (silent.len()..CLIENTS)
        .map(|_| tokio::spawn(test_support::streams::ask(addr)))
        .collect();
    // All sessions are taken for a while: a loop that spins would use the processor all that time.
    let before = proxy.processor_time();
    tokio::time::sleep(SILENCE / 4).await;
    let used = proxy.processor_time() - before;
    assert!(used < SILENCE / 8, "{used:?} of processor time");
    for client in clients {
        let answer = within("an answer", client).await.unwrap();
        assert_eq!(answer.unwrap(), "a");
    }
    for client in &mut silent {
        assert_eq!(
            within("the end", test_support::streams::read_all(client)).await,
            b"a"
        );
    }

    let said = proxy.end();
    let count = |name: &str| said[name].parse::<usize>().unwrap();
    assert_eq!(count("accepted"), CLIENTS);
    assert_eq!(count("ended"), CLIENTS);
    assert!(count("pauses") > 0);
    assert_eq!(
        (count("exhausted"), count("shortages"), count("no_backend")),
        (0, 0, 0)
    );
    assert_eq!(
        (count("silent"), count("finished")),
        (sessions, CLIENTS - sessions)
    );
}

/// Prints a line between the lines of the test harness.
fn say(text: &str) {
    let text = format!("\nSAID {text}\n");
    std::io::stdout().write_all(text.as_bytes()).unwrap();
    std::io::stdout().flush().unwrap();
}

/// The proxy as a child process.
struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
    said: HashMap<String, String>,
}

impl Process {
    fn start(backend: SocketAddr) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_process_under_test", "--nocapture"])
            .env(BACKEND, backend.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        Self {
            said: heard(&mut output),
            child,
            output,
        }
    }

    /// User and system time of the child.
    fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let (_, rest) = stat.rsplit_once(')').unwrap();
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks: u32 = fields[11..13]
            .iter()
            .map(|field| field.parse::<u32>().unwrap())
            .sum();
        let second = NonZeroU32::new(rustix::param::clock_ticks_per_second() as u32).unwrap();
        Duration::from_secs(1) * ticks / second.get()
    }

    fn end(&mut self) -> HashMap<String, String> {
        drop(self.child.stdin.take());
        let said = heard(&mut self.output);
        assert!(self.child.wait().unwrap().success());
        said
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The next line that the child printed.
fn heard(output: &mut impl BufRead) -> HashMap<String, String> {
    let lines = output.lines().map(Result::unwrap);
    let said = lines.filter_map(|line| line.strip_prefix("SAID ").map(str::to_owned));
    let said = { said }.next().expect("a line from the proxy");
    let pairs = said.split(' ').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
