//! A real Prometheus scrapes a server during chaos. On request: `LB_TEST_PROMETHEUS=/path/to/prometheus`, with promtool beside it.
//!
//! `.ci/prometheus` installs both and runs it.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use lb_core::{Backend, Snapshot};
use lb_discovery::Manual;
use lb_proxy::openmetrics::{Format, ServerCollector, SocketCollector, encode};
use lb_proxy::{Listener, Proxy, Timeouts, Upstream};
use prometheus_client::registry::Registry;
use test_support::deadline::{eventually, within};
use test_support::proxy::{RunningProxy, eager};
use test_support::sockets::{loopback, refusing};
use test_support::streams::reset;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

const SCRAPE_EVERY: Duration = Duration::from_millis(100);

/// What the clients of one listener saw.
#[derive(Debug, Default)]
struct ClientTotals {
    connections: AtomicU64,
    sent: AtomicU64,
    heard: AtomicU64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sums_of_a_real_prometheus_are_what_the_clients_saw() {
    let Some(program) = std::env::var_os("LB_TEST_PROMETHEUS").map(PathBuf::from) else {
        eprintln!("skipped: LB_TEST_PROMETHEUS is not set");
        return;
    };
    let (_held, dead) = refusing();
    let (leaving, staying) = (echo(0).await, echo(5).await);
    // The dead backend is tried again and again.
    let backend = |addr| Backend::new(addr).fail_limit(None);
    let backends = [dead, leaving, staying].map(backend);
    let (source, handle) = Manual::new(Snapshot::from_backends(backends));
    let upstream = Upstream::builder("chaos")
        .discovery(source)
        .discovery_config(eager())
        .build()
        .unwrap();
    let listener = || Listener::new(loopback(), &upstream).timeouts(Timeouts::default());
    let described = Proxy::builder().listener(listener()).listener(listener());
    let proxy = RunningProxy::run(described.detailed_metrics(true).track_sessions(true)).await;
    let mut registry = Registry::default();
    registry.register_collector(Box::new(ServerCollector::new(proxy.handle.clone())));
    let registry = Arc::new(registry);
    check_with_promtool(&program, &encode(&registry, Format::Prometheus));
    let target = serve(Arc::clone(&registry)).await;
    let prometheus = Prometheus::start(&program, target);

    let addrs = proxy.handle.local_addrs();
    let (patient, hasty) = (
        Arc::new(ClientTotals::default()),
        Arc::new(ClientTotals::default()),
    );
    for round in 0..40 {
        let clients = (0..25).map(|number| {
            let (seen, addr, leaves) = match number % 5 {
                0 => (&hasty, addrs[1], true),
                _ => (&patient, addrs[0], false),
            };
            tokio::spawn(client(addr, number * 997, leaves, Arc::clone(seen)))
        });
        for client in clients.collect::<Vec<_>>() {
            within("a client", client).await.unwrap();
        }
        if round % 10 == 5 {
            prometheus.scrapes_more(2).await;
        }
        if round == 20 {
            handle.set(Snapshot::from_backends([dead, staying].map(backend)));
        }
    }
    eventually("the last session", || proxy.metrics().active == 0).await;
    let metrics = proxy.metrics();
    let expected = [
        (
            "lb_server_sessions_accepted_total".to_owned(),
            metrics.accepted,
        ),
        (
            "sum(lb_server_sessions_ended_total)".to_owned(),
            metrics.accepted,
        ),
        (
            "sum(lb_listener_sessions_ended_total)".to_owned(),
            metrics.accepted,
        ),
        (
            "sum(lb_upstream_sessions_ended_total)".to_owned(),
            metrics.accepted,
        ),
        (
            "lb_upstream_session_length_seconds_count".to_owned(),
            metrics.accepted,
        ),
        (
            of("lb_listener_sessions_accepted_total", addrs[0], ""),
            patient.connections.load(Relaxed),
        ),
        (
            of("lb_listener_sessions_accepted_total", addrs[1], ""),
            hasty.connections.load(Relaxed),
        ),
        // A client that leaves does not hear all that its kernel has accepted.
        (
            of(
                "lb_listener_relayed_bytes_total",
                addrs[0],
                "direction=\"to_client\"",
            ),
            patient.heard.load(Relaxed),
        ),
        // With the last values of the backend that left.
        (
            "sum(max_over_time(lb_backend_relayed_bytes_total{direction=\"to_client\"}[1h]))"
                .to_owned(),
            metrics.bytes_to_clients,
        ),
        (
            "sum(lb_upstream_connect_attempts_total)".to_owned(),
            metrics.connect_attempts,
        ),
        (
            "sum(lb_upstream_connect_attempts_total{outcome=\"failed\"})".to_owned(),
            metrics.connect_failures,
        ),
    ];
    for (query, value) in &expected {
        prometheus.wait_for(query, *value).await;
    }
    let heard = patient.heard.load(Relaxed);
    assert!(heard > 0 && heard <= patient.sent.load(Relaxed));
    assert!(
        metrics.connect_failures > 0 && metrics.backend_resets > 0,
        "{metrics:?}"
    );
    // The last values of the backend that left: its sessions, all of which had begun before.
    let left = format!(
        "max_over_time(lb_backend_connect_attempts_total{{backend=\"{leaving}\",outcome=\"connected\"}}[1h])"
    );
    assert!(prometheus.query(&left).await > Some(0.0));
    let now = format!("lb_backend_connect_attempts_total{{backend=\"{leaving}\"}}");
    eventually_gone(&prometheus, &now).await;
    check_with_promtool(&program, &encode(&registry, Format::Prometheus));
    check_sockets(&program, &proxy).await;
    assert_eq!(prometheus.query("up").await, Some(1.0));
    assert_eq!(prometheus.query("min_over_time(up[1h])").await, Some(1.0));
    eprintln!(
        "scrapes {:?}, sums {expected:?}",
        prometheus.query("count_over_time(up[1h])").await
    );
    proxy.end().await;
}

/// Checks the metrics of a sample of sockets while a session is open.
async fn check_sockets(program: &Path, proxy: &RunningProxy) {
    let mut registry = Registry::default();
    let most = std::num::NonZeroUsize::MIN;
    let collector = SocketCollector::new(proxy.handle.clone(), most);
    registry.register_collector(Box::new(collector));
    let text = || encode(&registry, Format::Prometheus);
    let client = proxy.connect().await;
    eventually("a socket", || text().contains("lb_upstream_socket_rtt")).await;
    check_with_promtool(program, &text());
    drop(client);
}

fn of(metric: &str, listener: SocketAddr, labels: &str) -> String {
    format!("{metric}{{listener=\"{listener}\",{labels}}}")
}

async fn eventually_gone(prometheus: &Prometheus, query: &str) {
    let gone = async {
        while prometheus.query(query).await.is_some() {
            sleep(SCRAPE_EVERY).await;
        }
    };
    within("the end of the series", gone).await;
}

/// A backend that echoes. One connection in `resets` is reset after its first bytes; 0 resets none.
pub(crate) async fn echo(resets: u64) -> SocketAddr {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut number = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            number += 1;
            let is_reset = resets > 0 && number % resets == 0;
            tokio::spawn(async move {
                if is_reset {
                    let mut first = [0; 100];
                    let _ = stream.read(&mut first).await;
                    reset(stream);
                    return;
                }
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
                let _ = writer.shutdown().await;
            });
        }
    });
    addr
}

/// A client that sends, and reads to the end or leaves.
async fn client(addr: SocketAddr, bytes: u64, leaves: bool, seen: Arc<ClientTotals>) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    seen.connections.fetch_add(1, Relaxed);
    let said = vec![7; usize::try_from(bytes).unwrap()];
    if leaves {
        let _ = stream.write_all(&said).await;
        reset(stream);
        return;
    }
    let (mut reader, mut writer) = stream.split();
    let speak = async {
        if writer.write_all(&said).await.is_ok() {
            seen.sent.fetch_add(bytes, Relaxed);
        }
        let _ = writer.shutdown().await;
    };
    let listen = async {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = reader.read(&mut buffer).await {
            seen.heard.fetch_add(n as u64, Relaxed);
        }
    };
    tokio::join!(speak, listen);
}

/// Serves the registry's text to scrapers.
async fn serve(registry: Arc<Registry>) -> SocketAddr {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 8192];
            let read = stream.read(&mut request).await.unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..read]).to_lowercase();
            let accept = request
                .lines()
                .find_map(|line| line.strip_prefix("accept:"));
            let format = Format::accepted(accept.unwrap_or_default());
            let (body, kind) = (encode(&registry, format), format.content_type());
            let length = body.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            let _ = stream.write_all((head + &body).as_bytes()).await;
        }
    });
    addr
}

/// `promtool check metrics` accepts the text without a remark.
fn check_with_promtool(prometheus: &Path, text: &str) {
    let mut promtool = Command::new(prometheus.with_file_name("promtool"));
    let mut checking = promtool
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    checking
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let checked = checking.wait_with_output().unwrap();
    let remarks = String::from_utf8_lossy(&checked.stderr);
    assert!(
        checked.status.success() && remarks.is_empty(),
        "{remarks}\n{text}"
    );
}

/// A Prometheus that scrapes one target.
struct Prometheus {
    process: Child,
    addr: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Prometheus {
    fn start(program: &Path, target: SocketAddr) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("prometheus.yml");
        let every = SCRAPE_EVERY.as_millis();
        let text = format!(
            "scrape_configs:\n- job_name: lb\n  scrape_interval: {every}ms\n  scrape_timeout: {every}ms\n  \
             static_configs:\n  - targets: ['{target}']\n"
        );
        std::fs::write(&config, text).unwrap();
        let mut process = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                directory.path().join("data").display()
            ))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let addr = lines.by_ref().find_map(|line| {
            let line = line.unwrap();
            let addr = line.split_once("Listening on\" address=")?.1;
            addr.split_whitespace().next()?.parse().ok()
        });
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            addr: addr.expect("the address of Prometheus"),
            _directory: directory,
        }
    }

    /// The value of the first series of an instant query. `None` without a series.
    async fn query(&self, query: &str) -> Option<f64> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        let request = format!("GET /api/v1/query?query={encoded} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.contains("\"status\":\"success\""),
            "{query}: {answer}"
        );
        let value = answer.split_once("\"value\":[")?.1;
        value.split('"').nth(1)?.parse().ok()
    }

    /// Waits for this number of scrapes.
    async fn scrapes_more(&self, scrapes: u32) {
        let count = || async {
            let count = self.query("count_over_time(up[1h])").await;
            count.unwrap_or(0.0)
        };
        let begin = count().await;
        let scraped = async {
            while count().await < begin + f64::from(scrapes) {
                sleep(SCRAPE_EVERY).await;
            }
        };
        within("the scrapes", scraped).await;
    }

    async fn wait_for(&self, query: &str, value: u64) {
        let reached = async {
            loop {
                let now = self.query(query).await;
                if now == Some(value as f64) {
                    return;
                }
                assert!(
                    now.is_none_or(|now| now <= value as f64),
                    "{query}: {now:?}, not {value}"
                );
                sleep(SCRAPE_EVERY).await;
            }
        };
        within(query, reached).await;
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
