//! What the test files share: a proxy in front of backends that the test plays itself.

#![allow(dead_code, reason = "every test file uses its own part")]

#[cfg(target_os = "linux")]
pub(crate) mod kernel;
pub(crate) mod link;
pub(crate) mod log;
pub(crate) mod namespaces;

use std::future::{Future, pending};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use lb_core::policy::{PolicyKind, WeightedRoundRobin};
use lb_core::{Backend, Snapshot, Weight};
use lb_discovery::{DriverConfig, ManualHandle, Static, channel};
use lb_proxy::{
    DrainReport, Handle, Listener, Metrics, Parting, Proxy, ProxyBuilder, ReloadError,
    ReloadReport, Upstream,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long a state may take to come about. Reached only when something is broken.
const DEADLINE: Duration = Duration::from_secs(20);

/// An upstream of the backend at `addr`, which the handle can remove. Its sessions are closed at once then.
pub(crate) fn removable(addr: SocketAddr) -> (Upstream, ManualHandle, Backend) {
    let backend = Backend::new(addr);
    let (sources, manual) = channel([backend.clone()].into_iter().collect());
    let upstream = Upstream::builder("removable")
        .discovery(manual)
        .discovery_config(DriverConfig::default().debounce(Duration::from_millis(1)))
        .on_removed(Parting::Close {
            spread: Duration::ZERO,
        })
        .build()
        .unwrap();
    (upstream, sources, backend)
}

/// Any free port of the loopback address.
pub(crate) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} took too long"))
}

/// Polls until `reached`.
pub(crate) async fn until(what: &str, mut reached: impl FnMut() -> bool) {
    within(what, async {
        while !reached() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// An upstream that publishes without waiting for more changes.
pub(crate) fn upstream(backends: impl IntoIterator<Item = Backend>) -> Upstream {
    Upstream::builder("test")
        .discovery(Static::new(Snapshot::from_backends(backends)))
        .policy(WeightedRoundRobin::new())
        .discovery_config(DriverConfig::default().debounce(Duration::from_millis(1)))
        .build()
        .unwrap()
}

/// An upstream of weighted backends, with a name and a policy.
pub(crate) fn pool(
    name: &str,
    policy: PolicyKind,
    backends: impl IntoIterator<Item = (SocketAddr, u16)>,
) -> Upstream {
    let backends = backends
        .into_iter()
        .map(|(addr, weight)| Backend::new(addr).with_weight(Weight::new(weight)));
    Upstream::builder(name)
        .discovery(Static::new(Snapshot::from_backends(backends)))
        .policy(policy.build())
        .discovery_config(DriverConfig::default().debounce(Duration::from_millis(1)))
        .build()
        .unwrap()
}

pub(crate) fn round_robin(name: &str, backend: SocketAddr) -> Upstream {
    pool(name, PolicyKind::WeightedRoundRobin, [(backend, 1)])
}

/// Makes a running proxy what `to` describes.
pub(crate) async fn reload(proxy: &Running, to: ProxyBuilder) -> Result<ReloadReport, ReloadError> {
    within("the reload", proxy.handle.reload(to.build().unwrap())).await
}

/// A proxy that runs in a task of its own.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    pub(crate) handle: Handle,
    pub(crate) server: JoinHandle<DrainReport>,
}

impl Running {
    /// Runs a proxy with one listener and an optional limit on its drain.
    pub(crate) async fn start(listener: Listener, drain_timeout: Option<Duration>) -> Self {
        let proxy = Proxy::builder().listener(listener);
        Self::run(proxy.drain_timeout(drain_timeout)).await
    }

    /// Runs any proxy; its first listener is the one that tests talk to.
    pub(crate) async fn run(proxy: ProxyBuilder) -> Self {
        let server = proxy.build().unwrap().bind().await.unwrap();
        Self {
            addr: server.local_addrs()[0],
            handle: server.handle(),
            server: tokio::spawn(server.run(pending())),
        }
    }

    pub(crate) async fn over(backends: impl IntoIterator<Item = SocketAddr>) -> Self {
        let upstream = upstream(backends.into_iter().map(Backend::new));
        Self::start(Listener::new(loopback(), &upstream), None).await
    }

    pub(crate) fn metrics(&self) -> Metrics {
        self.handle.metrics()
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    /// Ends the proxy and checks that no session is left, and that each was counted once.
    pub(crate) async fn end(self) -> DrainReport {
        self.handle.shutdown();
        let report = within("the drain", self.server).await.unwrap();
        let metrics = self.handle.metrics();
        assert_eq!(metrics.active, 0);
        assert_eq!(metrics.accepted, metrics.ended(), "{metrics:?}");
        report
    }
}

/// Connections in flight to all backends.
pub(crate) fn in_flight(upstream: &Upstream) -> u32 {
    let set = upstream.backends();
    let status = set.status(upstream.now());
    status.map(|status| status.in_flight).sum()
}

/// How many descriptors the process has, without the pipes that threads keep for the next transfer.
pub(crate) fn descriptors() -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = open.filter_map(|file| std::fs::read_link(file.unwrap().path()).ok());
    let is_pipe = |target: &PathBuf| target.to_string_lossy().starts_with("pipe:");
    targets.filter(|target| !is_pipe(target)).count()
}

/// Both ends of a session: the client's socket and the backend's.
pub(crate) async fn session() -> (Running, TcpStream, TcpStream) {
    session_with(|listener| listener).await
}

pub(crate) async fn session_with(
    settings: impl FnOnce(Listener) -> Listener,
) -> (Running, TcpStream, TcpStream) {
    let backend = TcpListener::bind(loopback()).await.unwrap();
    let upstream = upstream([Backend::new(backend.local_addr().unwrap())]);
    let proxy = Running::start(settings(Listener::new(loopback(), &upstream)), None).await;
    let client = proxy.connect().await;
    let (server, _) = within("the proxy's connection", backend.accept())
        .await
        .unwrap();
    (proxy, client, server)
}

/// A backend that answers every connection with its name and closes it.
pub(crate) async fn named(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    serve(name, listener);
    addr
}

/// Answers every connection with `name`.
pub(crate) fn serve(name: &'static str, listener: TcpListener) {
    tokio::spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(2)).await;
                continue;
            };
            tokio::spawn(async move {
                stream.write_all(name.as_bytes()).await?;
                stream.shutdown().await?;
                // The client's end is waited for, so that neither side closes with bytes unread.
                stream.read_to_end(&mut Vec::new()).await
            });
        }
    });
}

/// A backend that answers every connection with its name and then listens, until the other side ends.
pub(crate) async fn listening(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.write_all(name.as_bytes()).await?;
                stream.read_to_end(&mut Vec::new()).await
            });
        }
    });
    addr
}

/// Expects that a connection to `addr` is reset, which the client may see as soon as it has connected.
pub(crate) async fn assert_refused(addr: SocketAddr) {
    match TcpStream::connect(addr).await {
        Ok(mut client) => assert_reset(&mut client).await,
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
}

/// What one connection is answered until its end.
pub(crate) async fn ask(addr: SocketAddr) -> std::io::Result<String> {
    let mut client = TcpStream::connect(addr).await?;
    let mut answer = String::new();
    within("an answer", client.read_to_string(&mut answer)).await?;
    Ok(answer)
}

/// An address that refuses connections: bound, so that nobody else gets it, but not listening.
pub(crate) fn refusing() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&loopback().into()).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, addr)
}

/// A port that is free in both families. The kernel chooses it for no other socket while the result lives; sockets with
/// `SO_REUSEADDR` may be bound to it.
pub(crate) fn reserved_port() -> (socket2::Socket, u16) {
    let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).unwrap();
    socket.set_only_v6(false).unwrap();
    socket.set_reuse_address(true).unwrap();
    let any = SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 0));
    socket.bind(&any.into()).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, addr.port())
}

/// What another program of the same user does that wants to share `addr`.
pub(crate) fn join(addr: SocketAddr, ipv6_only: bool) -> std::io::Result<socket2::Socket> {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(ipv6_only)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(1)?;
    Ok(socket)
}

/// Expects that another program of the same user cannot listen on `addr` beside the proxy.
pub(crate) fn assert_closed_to_others(addr: SocketAddr, ipv6_only: bool) {
    // More than once: the kernel remembers the address of an attempt that succeeds.
    for _ in 0..2 {
        let error = join(addr, ipv6_only).expect_err("an address that is not shared");
        assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse, "{addr}");
    }
}

/// An address that never answers: it listens, but its queue is full, so the kernel drops further attempts.
pub(crate) struct BlackHole {
    pub(crate) addr: SocketAddr,
    _listener: socket2::Socket,
    _queued: Vec<socket2::Socket>,
}

impl BlackHole {
    pub(crate) fn open() -> Self {
        use socket2::{Domain, Socket, Type};
        let (listener, addr) = refusing();
        listener.listen(0).unwrap();
        let mut queued = Vec::new();
        loop {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let connected = socket.connect_timeout(&addr.into(), Duration::from_millis(100));
            queued.push(socket);
            if connected.is_err() {
                break;
            }
        }
        Self {
            addr,
            _listener: listener,
            _queued: queued,
        }
    }
}

/// Fills the way from `from` until nothing more is taken or it breaks, and says how much went in.
pub(crate) async fn fill(from: &TcpStream) -> usize {
    let block = [7; 64 * 1024];
    let mut sent = 0;
    loop {
        let full = Duration::from_millis(200);
        match timeout(full, from.writable()).await {
            Ok(writable) => writable.unwrap(),
            Err(_) => return sent,
        }
        match from.try_write(&block) {
            Ok(n) => sent += n,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return sent,
        }
    }
}

/// Sends `outgoing` and its end, and receives until the other end.
pub(crate) async fn send_and_receive(stream: TcpStream, outgoing: Vec<u8>) -> (TcpStream, Vec<u8>) {
    let (mut reader, mut writer) = stream.into_split();
    let sending = tokio::spawn(async move {
        writer.write_all(&outgoing).await.unwrap();
        writer.shutdown().await.unwrap();
        writer
    });
    let mut incoming = Vec::new();
    within("a transfer", reader.read_to_end(&mut incoming))
        .await
        .unwrap();
    let writer = sending.await.unwrap();
    (reader.reunite(writer).unwrap(), incoming)
}

/// Closes `stream` with a reset.
pub(crate) fn reset(stream: TcpStream) {
    reset_on_close(&stream);
    drop(stream);
}

/// Makes closing `stream` reset it.
pub(crate) fn reset_on_close(stream: &TcpStream) {
    socket2::SockRef::from(stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

/// Reads to the end, which must be a clean one.
pub(crate) async fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    within("reading to the end", stream.read_to_end(&mut bytes))
        .await
        .unwrap();
    bytes
}

/// Reads until the connection is reset.
pub(crate) async fn assert_reset(stream: &mut TcpStream) {
    read_until_reset(stream).await;
}

/// What can be read until the connection is reset.
pub(crate) async fn read_until_reset(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let error = within("the reset", stream.read_to_end(&mut bytes))
        .await
        .expect_err("a reset, not a clean end");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    bytes
}

/// Pseudo-random bytes of a seed, so that a misplaced block shows.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    use lb_core::Rng;
    let mut rng = lb_core::SplitMix64::new(seed);
    let words = std::iter::repeat_with(|| rng.next_u64().to_le_bytes());
    words.flatten().take(len).collect()
}
