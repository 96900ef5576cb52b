//! Links, addresses and routes that are lost and return, in a network namespace.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Stdio;

use lb_core::{Backend, BalancerConfig, CommonOutage, Snapshot};
use lb_discovery::Static;
use lb_proxy::network_watch::{NetworkEvent, NetworkPart, NetworkWatch};
use lb_proxy::{Listener, Proxy, Upstream};
use test_support::deadline::{eventually, ms, within};
use test_support::namespace::Namespace;
use test_support::proxy::{RunningProxy, eager};
use test_support::streams::read_until_reset;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

/// The proxy's end of a link, and the other one.
const NEAR: &str = "192.0.2.1";
const FAR: &str = "192.0.2.2";

/// Two machines with a link between them.
struct Machines {
    here: Namespace,
    there: Namespace,
}

impl Machines {
    fn create() -> Result<Self, String> {
        let (here, there) = (Namespace::create("a")?, Namespace::create("b")?);
        here.link("lb", &there, "lb")?;
        for (machine, address) in [(&here, NEAR), (&there, FAR)] {
            let net = format!("{address}/24");
            machine.ip(&["addr", "add", &net, "dev", "lb"])?;
            machine.ip(&["link", "set", "lb", "up"])?;
        }
        Ok(Self { here, there })
    }

    /// Runs `test` on the first machine, if there are machines.
    fn run(test: impl AsyncFnOnce(&Self) + Send) {
        match Self::create() {
            Ok(machines) => machines.here.inside(|| {
                let runtime = Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(test(&machines));
            }),
            Err(missing) => eprintln!("skipped: {missing}"),
        }
    }

    fn ip(&self, args: &str) {
        let args: Vec<_> = args.split(' ').collect();
        self.here.ip(&args).unwrap();
    }

    /// Runs many commands of `ip` in one process.
    fn batch(&self, commands: &str) {
        let mut command = self.here.command("ip");
        command.args(["-batch", "-"]).stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(commands.as_bytes()).unwrap();
        drop(stdin);
        assert!(child.wait().unwrap().success());
    }

    /// A listener on the other machine.
    fn listen_there(&self) -> TcpListener {
        let bind = || std::net::TcpListener::bind((FAR, 0)).unwrap();
        let listener = self.there.inside(bind);
        listener.set_nonblocking(true).unwrap();
        TcpListener::from_std(listener).unwrap()
    }
}

fn address(ip: &str) -> NetworkPart {
    NetworkPart::Address(ip.parse().unwrap())
}

fn link() -> NetworkPart {
    NetworkPart::Link("lb".into())
}

async fn next(watch: &mut NetworkWatch) -> NetworkEvent {
    within("an event", watch.next()).await.unwrap()
}

/// Waits for the loss of `part`.
async fn lost(watch: &mut NetworkWatch, part: NetworkPart) {
    let expected = NetworkEvent::Lost(part);
    while next(watch).await != expected {}
}

/// Waits for the return of `part`.
async fn returned(watch: &mut NetworkWatch, expected: NetworkPart) {
    loop {
        match next(watch).await {
            NetworkEvent::Returned { part, .. } if part == expected => return,
            _ => {}
        }
    }
}

#[test]
fn links_addresses_and_default_routes_are_seen_to_go_and_to_return() {
    Machines::run(async |machines| {
        machines.ip(&format!("route add default via {FAR}"));
        let mut watch = NetworkWatch::open().unwrap();
        machines.ip("addr add 192.0.2.100/24 dev lb");
        while next(&mut watch).await != NetworkEvent::Appeared(address("192.0.2.100")) {}
        machines.ip("addr del 192.0.2.100/24 dev lb");
        lost(&mut watch, address("192.0.2.100")).await;
        machines.ip("addr add 192.0.2.100/32 dev lo");
        returned(&mut watch, address("192.0.2.100")).await;

        machines.ip(&format!("route replace default via {FAR} metric 9"));
        machines.ip(&format!("route del default via {FAR} metric 0"));
        machines.ip("route del default");
        lost(&mut watch, NetworkPart::DefaultRouteV4).await;
        machines.ip(&format!("route add default via {FAR}"));
        returned(&mut watch, NetworkPart::DefaultRouteV4).await;

        // The kernel removes the route with the link, and says nothing about that.
        machines.ip("link set lb down");
        lost(&mut watch, link()).await;
        lost(&mut watch, NetworkPart::DefaultRouteV4).await;
        machines.ip("link set lb up");
        returned(&mut watch, link()).await;
        machines.ip(&format!("route add default via {FAR}"));
        returned(&mut watch, NetworkPart::DefaultRouteV4).await;

        // The carrier alone.
        machines.there.ip(&["link", "set", "lb", "down"]).unwrap();
        lost(&mut watch, link()).await;
        machines.there.ip(&["link", "set", "lb", "up"]).unwrap();
        returned(&mut watch, link()).await;
        machines.ip("link del lb");
        lost(&mut watch, link()).await;
    });
}

#[test]
fn what_the_socket_had_no_room_for_is_found_by_a_dump() {
    Machines::run(async |machines| {
        machines.ip("addr add 192.0.2.100/32 dev lo");
        let mut watch = NetworkWatch::open().unwrap();
        let mut commands = String::new();
        for i in 0..2000 {
            let (high, low) = (i / 250, i % 250);
            writeln!(commands, "addr add 10.9.{high}.{low}/32 dev lo").unwrap();
        }
        commands.push_str("addr del 192.0.2.100/32 dev lo\n");
        // Nothing is read meanwhile.
        machines.batch(&commands);
        let mut appeared = 0;
        let mut was_lost = false;
        while !was_lost || appeared < 2000 {
            match next(&mut watch).await {
                NetworkEvent::Appeared(NetworkPart::Address(_)) => appeared += 1,
                NetworkEvent::Lost(part) => was_lost |= part == address("192.0.2.100"),
                _ => {}
            }
        }
    });
}

#[test]
fn backends_are_forgiven_when_the_link_returns_without_a_connection() {
    Machines::run(async |machines| {
        let backend = machines.listen_there();
        let port = backend.local_addr().unwrap().port();
        // The other one is on the same machine, where nothing listens.
        let ports = [port, port ^ 1].map(|port| SocketAddr::new(FAR.parse().unwrap(), port));
        let forgiving = BalancerConfig::default().common_outage(Some(CommonOutage::default()));
        let upstream = Upstream::builder("test")
            .discovery(Static::new(Snapshot::from_backends(
                ports.map(Backend::new),
            )))
            .discovery_config(eager())
            .balancer_config(forgiving)
            .build()
            .unwrap();
        let listener = Listener::new(([127, 0, 0, 1], 0).into(), &upstream);
        let proxy = Proxy::builder().listener(listener).drain_timeout(None);
        let proxy = RunningProxy::run(proxy).await;
        let watch = NetworkWatch::open().unwrap();
        let handle = proxy.handle.clone();
        let following = tokio::spawn(async move { handle.follow_network(watch).await });

        machines.ip("link set lb down");
        let ejected = || {
            let set = upstream.backends();
            let status = set.status(upstream.now());
            status.filter(|one| one.ejected_until.is_some()).count()
        };
        read_until_reset(&mut proxy.connect().await).await;
        assert_eq!(ejected(), 2);
        machines.ip("link set lb up");
        eventually("forgiveness", || ejected() == 0).await;
        following.abort();
        proxy.end().await;
    });
}

#[test]
fn sessions_of_an_address_that_moved_away_end() {
    Machines::run(async |machines| {
        machines.ip("addr add 192.0.2.100/32 dev lb");
        let backend = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = test_support::proxy::upstream([Backend::new(backend.local_addr().unwrap())]);
        let listener = Listener::new(([0; 4], 0).into(), &upstream);
        let proxy = Proxy::builder().listener(listener).drain_timeout(None);
        let proxy = RunningProxy::run(proxy.orphan_timeout(Some(ms(100)))).await;
        let watch = NetworkWatch::open().unwrap();
        let handle = proxy.handle.clone();
        let following = tokio::spawn(async move { handle.follow_network(watch).await });
        let connect = |ip: &str| {
            let to = SocketAddr::new(ip.parse().unwrap(), proxy.addr.port());
            let connect = move || std::net::TcpStream::connect(to).unwrap();
            let client = machines.there.inside(connect);
            client.set_nonblocking(true).unwrap();
            TcpStream::from_std(client).unwrap()
        };
        let mut client = connect("192.0.2.100");
        let mut moved = backend.accept().await.unwrap().0;
        let mut other = connect(NEAR);
        let mut stays = backend.accept().await.unwrap().0;
        client.write_all(b"before").await.unwrap();
        other.write_all(b"?").await.unwrap();

        machines.ip("addr del 192.0.2.100/32 dev lb");
        // Bytes for the client that the kernel cannot send: the relay does not wait for their acknowledgement.
        moved.write_all(&[0; 4096]).await.unwrap();
        assert_eq!(read_until_reset(&mut moved).await, b"before");
        eventually("the end", || proxy.metrics().addresses_lost == 1).await;
        assert_eq!(proxy.metrics().active, 1);
        let mut byte = [0];
        within(
            "a byte",
            tokio::io::AsyncReadExt::read_exact(&mut stays, &mut byte),
        )
        .await
        .unwrap();
        drop((other, stays));
        following.abort();
        proxy.end().await;
    });
}
