//! Runs each program against real servers, on ports from the kernel.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use test_support::deadline::{eventually, poll_until, within};
use test_support::nodes::{listening, named};
use test_support::sockets::{loopback, refusing};
use test_support::streams::ask;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStderr, Command};
use tokio_rustls::TlsConnector;

/// A program that runs until it is dropped.
struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
}

impl Program {
    fn start(path: &str, arguments: &[&dyn Display]) -> Self {
        let mut child = Command::new(path)
            .args(arguments.iter().map(|one| one.to_string()))
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let lines = BufReader::new(stderr).lines();
        Self { child, lines }
    }

    /// The next line. `None` at the end.
    async fn line(&mut self) -> Option<String> {
        within("a line", self.lines.next_line()).await.unwrap()
    }

    /// The address that the next line ends with.
    async fn addr(&mut self) -> SocketAddr {
        let line = self.line().await.unwrap();
        let addr = line.rsplit(' ').next().unwrap();
        addr.parse().unwrap_or_else(|_| panic!("{line}"))
    }

    /// All lines until the program ends by itself.
    async fn end(mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(line) = self.line().await {
            all.push(line);
        }
        let status = within("the end", self.child.wait()).await.unwrap();
        assert!(status.success(), "{status}: {all:?}");
        all
    }
}

macro_rules! start {
    ($name:literal $(, $argument:expr)*) => {
        Program::start(env!(concat!("CARGO_BIN_EXE_", $name)), &[$(&$argument as &dyn Display),*])
    };
}

/// The answers of `n` clients, one after the other.
async fn answers(addr: SocketAddr, n: usize) -> String {
    let mut all = String::new();
    for _ in 0..n {
        all += &ask(addr).await.unwrap();
    }
    all
}

/// Waits until a client gets `answer`.
async fn until_answered(addr: SocketAddr, answer: &str) {
    poll_until(answer, || async {
        ask(addr).await.ok().filter(|found| found == answer)
    })
    .await;
}

fn read(path: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(folder.join(path)).unwrap()
}

/// The number of lines of each program, by its name.
fn lines_of_programs() -> BTreeMap<String, usize> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/bin");
    let files = std::fs::read_dir(folder).unwrap();
    let counted = files.map(|file| {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        (name, lines)
    });
    counted.collect()
}

#[test]
fn the_page_has_each_program_with_its_number_of_lines() {
    let page = read("README.md");
    let programs = lines_of_programs();
    for (name, lines) in &programs {
        let row = format!("| [{name}](src/bin/{name}.rs) | {lines} |");
        assert!(page.contains(&row), "no row {row}");
    }
    let rows = page.lines().filter(|line| line.contains("](src/bin/"));
    assert_eq!(rows.count(), programs.len());
}

#[test]
fn each_program_is_run() {
    let tests = read("tests/programs.rs");
    for name in lines_of_programs().keys() {
        let starts = tests.split("start!(").skip(1);
        let mut started = starts.map(str::trim_start);
        let argument = format!("\"{name}\"");
        assert!(started.any(|call| call.starts_with(&argument)), "{name}");
    }
}

#[tokio::test]
async fn minimal() {
    let mut program = start!("minimal", loopback(), named("a").await, named("a").await);
    assert_eq!(answers(program.addr().await, 3).await, "aaa");
    let usage = Command::new(env!("CARGO_BIN_EXE_minimal")).output();
    let usage = usage.await.unwrap();
    assert!(String::from_utf8_lossy(&usage.stderr).contains("minimal LISTEN BACKEND..."));
}

#[tokio::test]
async fn two_sources() {
    let (_held, dead) = refusing();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backups.yaml");
    let list = |addr: SocketAddr| format!("backends:\n  - addr: {addr}\n");
    std::fs::write(&file, list(named("backup").await)).unwrap();
    let mut program = start!("two_sources", loopback(), file.display(), dead);
    let addr = program.addr().await;
    until_answered(addr, "backup").await;
    std::fs::write(&file, list(named("another").await)).unwrap();
    until_answered(addr, "another").await;

    let mut program = start!(
        "two_sources",
        loopback(),
        file.display(),
        named("list").await
    );
    assert_eq!(answers(program.addr().await, 2).await, "listlist");
}

#[tokio::test]
async fn settings() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.yaml");
    let write = |backend: SocketAddr| {
        let text = format!(
            "upstreams: {{nodes: {{sources: [{{static: ['{backend}']}}], policy: weighted_round_robin}}}}\n\
             listeners: [{{listen: '127.0.0.1:0', upstream: nodes}}]\n"
        );
        std::fs::write(&file, text).unwrap();
    };
    write(named("a").await);
    let mut program = start!("settings", file.display());
    let addr = program.addr().await;
    assert_eq!(answers(addr, 2).await, "aa");
    let pid = Pid::from_raw(program.child.id().unwrap() as i32).unwrap();
    write(named("b").await);
    kill_process(pid, Signal::HUP).unwrap();
    assert_eq!(program.line().await.unwrap(), "reloaded");
    until_answered(addr, "b").await;
    std::fs::write(&file, "listeners: 1").unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    let line = program.line().await.unwrap();
    assert!(line.starts_with(&format!("{}: ", file.display())), "{line}");
    assert_eq!(answers(addr, 1).await, "b");
}

#[tokio::test]
async fn own_policy() {
    let backends = (listening("a").await, listening("b").await);
    let mut program = start!("own_policy", loopback(), backends.0, backends.1);
    let addr = program.addr().await;
    let (mut clients, mut names) = (Vec::new(), String::new());
    for _ in 0..4 {
        let mut client = TcpStream::connect(addr).await.unwrap();
        names.push(within("a name", client.read_u8()).await.unwrap().into());
        clients.push(client);
    }
    assert_eq!(names, "aabb");
}

#[tokio::test]
async fn own_source() {
    let registry = TcpListener::bind(loopback()).await.unwrap();
    let at = registry.local_addr().unwrap();
    let lists = [named("a").await, named("b").await];
    tokio::spawn(async move {
        for list in lists {
            let (mut client, _) = registry.accept().await.unwrap();
            let _ = client.write_all(format!("{list}\n").as_bytes()).await;
        }
        // The registry is gone: the last answer stays.
    });
    let mut program = start!("own_source", loopback(), at);
    let addr = program.addr().await;
    assert_eq!(answers(addr, 1).await, "a");
    until_answered(addr, "b").await;
    eventually("the end of the registry", || {
        std::net::TcpStream::connect(at).is_err()
    })
    .await;
    assert_eq!(answers(addr, 2).await, "bb");
}

/// An HTTP server that answers each request with `name`, or an error while `broken` is not 0.
async fn http_server(name: &'static str, broken: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let broken = Arc::clone(&broken);
            let answer = hyper::service::service_fn(move |_| {
                let status = if broken.load(Relaxed) == 0 { 200 } else { 503 };
                let answer = hyper::Response::builder().status(status);
                std::future::ready(answer.body(name.to_owned()))
            });
            let stream = hyper_util::rt::TokioIo::new(stream);
            let http = hyper::server::conn::http1::Builder::new();
            tokio::spawn(http.serve_connection(stream, answer));
        }
    });
    addr
}

#[tokio::test]
async fn health() {
    let broken = Arc::new(AtomicUsize::new(0));
    let backend = http_server("a", Arc::clone(&broken)).await;
    let mut program = start!("health", loopback(), backend);
    program.addr().await;
    broken.store(1, Relaxed);
    let line = program.line().await.unwrap();
    assert_eq!(line, format!("{backend} is unhealthy"));
    broken.store(0, Relaxed);
    let line = program.line().await.unwrap();
    assert_eq!(line, format!("{backend} is healthy"));
}

#[tokio::test]
async fn metrics() {
    let mut program = start!("metrics", loopback(), loopback(), named("a").await);
    let (addr, scrapes) = (program.addr().await, program.addr().await);
    assert_eq!(answers(addr, 2).await, "aa");
    let scrape = || async {
        let mut stream = TcpStream::connect(scrapes).await.unwrap();
        let request = b"GET /metrics HTTP/1.0\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    };
    let counted = poll_until("the counters", || async {
        let found = scrape().await;
        found
            .contains("lb_server_sessions_accepted_total 2")
            .then_some(found)
    })
    .await;
    assert!(counted.contains(r#"upstream="nodes""#));
}

#[tokio::test]
async fn session_log() {
    let backend = named("a").await;
    let mut program = start!("session_log", loopback(), backend);
    assert_eq!(answers(program.addr().await, 1).await, "a");
    let line = program.line().await.unwrap();
    assert!(line.starts_with(r#"{"event":"close""#), "{line}");
    let connected = format!(r#""backend":"{backend}""#);
    assert!(line.contains(&connected), "{line}");
}

#[tokio::test]
async fn http_client() {
    let (works, broken) = (Arc::default(), Arc::new(AtomicUsize::new(1)));
    let (_held, dead) = refusing();
    let backends = (
        http_server("works", works).await,
        http_server("broken", broken).await,
    );
    let program = start!("http_client", 12, backends.0, backends.1, dead);
    let lines = program.end().await;
    let of = |text: &str| lines.iter().filter(|line| line.starts_with(text)).count();
    // One failure ejects a backend, and what the dead one does not get, another one does.
    assert!(of("broken") <= 1, "{lines:?}");
    assert_eq!(of("works") + of("broken"), 12, "{lines:?}");
}

#[tokio::test]
async fn connection_pool() {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    tokio::spawn({
        let accepted = Arc::clone(&accepted);
        async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let number = accepted.fetch_add(1, Relaxed);
                tokio::spawn(async move {
                    let (read, mut write) = stream.split();
                    // The first connection is closed after some lines, as by a server that restarts.
                    let limit = if number == 0 { 4 } else { u64::MAX };
                    tokio::io::copy(&mut read.take(limit), &mut write).await
                });
            }
        }
    });
    let lines = start!("connection_pool", 6, addr).end().await;
    assert_eq!(lines, ["0", "1", "2", "3", "4", "5"]);
    assert_eq!(accepted.load(Relaxed), 2);
}

/// A server that echoes lines, and counts its connections and lines.
async fn counting_echo() -> (SocketAddr, Arc<[AtomicUsize; 2]>) {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let counts = Arc::<[AtomicUsize; 2]>::default();
    let counted = Arc::clone(&counts);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted[0].fetch_add(1, Relaxed);
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                let (read, mut write) = stream.split();
                let mut lines = BufReader::new(read).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    counted[1].fetch_add(1, Relaxed);
                    write.write_all(format!("{line}\n").as_bytes()).await?;
                }
                Ok::<_, std::io::Error>(())
            });
        }
    });
    (addr, counts)
}

#[tokio::test]
async fn connection_pool_balances_the_lines_of_a_sequential_caller() {
    const LINES: usize = 60;
    let (one, of_one) = counting_echo().await;
    let (other, of_other) = counting_echo().await;
    let (_held, dead) = refusing();
    let lines = start!("connection_pool", LINES, one, other, dead)
        .end()
        .await;
    let expected: Vec<_> = (0..LINES).map(|line| line.to_string()).collect();
    assert_eq!(lines, expected);
    let [of_one, of_other] =
        [of_one, of_other].map(|counts| counts.each_ref().map(|count| count.load(Relaxed)));
    assert_eq!((of_one[0], of_other[0]), (1, 1));
    // By chance less than once in a million runs.
    assert!(
        of_one[1].min(of_other[1]) > LINES / 6,
        "{of_one:?} {of_other:?}"
    );
    assert_eq!(of_one[1] + of_other[1], LINES);
}

#[tokio::test]
async fn tls_front() {
    let names = vec!["www.example.com".to_owned()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path: PathBuf = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let certificate = write("certificate.pem", cert.pem());
    let key = write("key.pem", signing_key.serialize_pem());
    let backend = TcpListener::bind(loopback()).await.unwrap();
    let at = backend.local_addr().unwrap();
    let mut program = start!("tls_front", loopback(), certificate, key, at);
    let addr = program.addr().await;

    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = TcpStream::connect(addr).await.unwrap();
    let from = client.local_addr().unwrap();
    let name = ServerName::try_from("www.example.com").unwrap();
    let tls = TlsConnector::from(Arc::new(config));
    let mut client = within("the handshake", tls.connect(name, client))
        .await
        .unwrap();
    client.write_all(b"hello\n").await.unwrap();
    let (server, _) = within("the connection", backend.accept()).await.unwrap();
    let mut server = BufReader::new(server);
    let mut received = String::new();
    server.read_line(&mut received).await.unwrap();
    let mut header = String::new();
    write!(
        header,
        "PROXY TCP4 {} {} {} {}\r\n",
        from.ip(),
        addr.ip(),
        from.port(),
        addr.port()
    )
    .unwrap();
    assert_eq!(received, header);
    received.clear();
    server.read_line(&mut received).await.unwrap();
    assert_eq!(received, "hello\n");
    server.write_all(b"welcome\n").await.unwrap();
    let mut answer = [0; 8];
    within("the answer", client.read_exact(&mut answer))
        .await
        .unwrap();
    assert_eq!(&answer, b"welcome\n");
}

#[tokio::test]
async fn graceful() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ready");
    let backend = listening("a").await;
    let mut program = start!("graceful", loopback(), file.display(), backend);
    let addr = program.addr().await;
    eventually("the readiness", || file.exists()).await;
    let mut open = TcpStream::connect(addr).await.unwrap();
    assert_eq!(within("a name", open.read_u8()).await.unwrap(), b'a');

    let pid = Pid::from_raw(program.child.id().unwrap().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    eventually("the file goes away", || !file.exists()).await;
    let mut late = TcpStream::connect(addr).await.unwrap();
    assert_eq!(within("a name", late.read_u8()).await.unwrap(), b'a');
    drop((open, late));
    let lines = program.end().await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].ends_with("0 were cut"), "{lines:?}");
}

#[tokio::test]
async fn given_socket() {
    let mut program = start!("given_socket", listening("a").await);
    let addr = program.addr().await;
    let mut open = TcpStream::connect(addr).await.unwrap();
    assert_eq!(within("a name", open.read_u8()).await.unwrap(), b'a');
    let pid = Pid::from_raw(program.child.id().unwrap().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let lines = program.end().await;
    assert_eq!(lines, ["0 ended, 1 were cut"]);
}
