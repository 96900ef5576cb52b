//! The article's scenario between machines: three nodes whose pods have addresses of their own, kube_lb with a pool that is local to its
//! machine as a whole (AnyIP), and a client that reaches the pool by a route. Each machine is a network namespace. Needs root.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kube_lb::config::Config;
use serde_json::json;
use test_support::deadline::{DEADLINE, eventually};
use test_support::namespace::Namespace;
use tokio_util::sync::CancellationToken;

use crate::support::{Running, World};

const PORT: u16 = 446;
const POOL: [&str; 2] = ["192.0.2.0/26", "2001:db8:1::/120"];

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// The machines and their links.
struct Lab {
    balancer: Namespace,
    client: Namespace,
    nodes: Vec<Node>,
}

/// A node with one pod, which does not have the node's network: its address is routed.
struct Node {
    pod: SocketAddr,
    stop: CancellationToken,
    pods: Option<JoinHandle<()>>,
    _namespace: Namespace,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(pods) = self.pods.take() {
            // A panic there is a failed test, which has been reported.
            drop(pods.join());
        }
    }
}

impl Lab {
    /// A balancer and a client, linked. The client has a route to the pool.
    fn start() -> Result<Self, String> {
        let balancer = Namespace::create("balancer")?;
        let client = Namespace::create("client")?;
        client.link("eth0", &balancer, "front")?;
        for (machine, device, host) in [(&client, "eth0", 2), (&balancer, "front", 1)] {
            let ipv4 = format!("198.51.100.{host}/24");
            let ipv6 = format!("2001:db8:2::{host}/64");
            machine.ip(&["addr", "add", &ipv4, "dev", device])?;
            machine.ip(&["addr", "add", &ipv6, "dev", device, "nodad"])?;
            machine.ip(&["link", "set", device, "up"])?;
        }
        client.ip(&["route", "add", POOL[0], "via", "198.51.100.1"])?;
        client.ip(&["-6", "route", "add", POOL[1], "via", "2001:db8:2::1"])?;
        Ok(Self {
            balancer,
            client,
            nodes: Vec::new(),
        })
    }

    /// Makes the pool local to the balancer: every address of it, without an entry for each.
    fn make_pool_local(&self) {
        for (family, network) in ["-4", "-6"].into_iter().zip(POOL) {
            let args = [family, "route", "add", "local", network, "dev", "lo"];
            self.balancer.ip(&args).unwrap();
        }
    }

    /// Adds the node `name` with a pod of the echo server.
    fn add_node(&mut self, name: &'static str) {
        let number = self.nodes.len() + 1;
        let namespace = Namespace::create(name).unwrap();
        let device = format!("node{number}");
        namespace.link("eth0", &self.balancer, &device).unwrap();
        let (near, far) = (format!("10.0.{number}.1"), format!("10.0.{number}.2"));
        let pod = format!("10.244.{number}.7");
        let up = |machine: &Namespace, device: &str, ip: &str| {
            let ip = format!("{ip}/24");
            machine.ip(&["addr", "add", &ip, "dev", device]).unwrap();
            machine.ip(&["link", "set", device, "up"]).unwrap();
        };
        up(&namespace, "eth0", &far);
        up(&self.balancer, &device, &near);
        let host = format!("{pod}/32");
        namespace.ip(&["addr", "add", &host, "dev", "lo"]).unwrap();
        let network = format!("10.244.{number}.0/24");
        let route = ["route", "add", &network, "via", &far];
        self.balancer.ip(&route).unwrap();
        let pod = SocketAddr::new(pod.parse().unwrap(), PORT);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let pods = namespace.spawn(move || {
            runtime().block_on(async move {
                let listener = tokio::net::TcpListener::bind(pod).await.unwrap();
                ready.send(()).unwrap();
                tokio::select! {
                    _ = echo_server::serve(listener, name) => {}
                    () = stopped.cancelled() => {}
                }
            });
        });
        is_ready.recv_timeout(DEADLINE).unwrap();
        self.nodes.push(Node {
            pod,
            stop,
            pods: Some(pods),
            _namespace: namespace,
        });
    }

    fn pods(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.pod).collect()
    }

    /// The node that echoes a line of the client, connected to `ip`.
    fn ask(&self, ip: IpAddr) -> Option<String> {
        self.client.inside(|| {
            let addr = SocketAddr::new(ip, PORT);
            let mut stream = TcpStream::connect_timeout(&addr, Duration::from_secs(5)).ok()?;
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            stream.write_all(b"hello\n").ok()?;
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).ok()?;
            let (node, said) = line.trim_end().split_once(": ")?;
            assert_eq!(said, "hello");
            Some(node.to_owned())
        })
    }

    fn ask_until(&self, ip: IpAddr, accepts: impl Fn(&str) -> bool) {
        let began = Instant::now();
        while !self.ask(ip).is_some_and(|node| accepts(&node)) {
            assert!(began.elapsed() < DEADLINE, "no such answer at {ip}");
        }
    }
}

/// The controller and its API server, on the balancer's machine: they see the machine's addresses.
async fn serve(
    pods: Vec<SocketAddr>,
    mut changes: tokio::sync::mpsc::Receiver<Vec<SocketAddr>>,
    events: std::sync::mpsc::Sender<Vec<IpAddr>>,
) {
    let world = World::start(120).await;
    world.serve("tcp-echo", &[PORT], &pods);
    world
        .api
        .change("services", "default", "tcp-echo", |service| {
            service["spec"]["ipFamilies"] = json!(["IPv4", "IPv6"]);
        });
    let [ipv4, ipv6] = POOL;
    let text = format!(
        "cluster: {{kubeconfig: {}}}\npools: [{{name: edge, addresses: [{ipv4}, \"{ipv6}\"]}}]\nworkers: 1\ndrain_timeout: 1s",
        world.kubeconfig().display()
    );
    let running = Running::start(Config::parse(&text).unwrap()).await;
    // The pool is not local yet.
    eventually("the advice", || {
        let serving = world.condition("tcp-echo", "Serving");
        serving.is_some_and(|serving| {
            let message = serving["message"].as_str().unwrap_or_default();
            serving["reason"] == "NotListening" && message.contains("ip route add local")
        })
    })
    .await;
    events.send(Vec::new()).unwrap();
    eventually("the Service", || world.is_served("tcp-echo")).await;
    let addresses = world.addresses("tcp-echo").into_iter();
    let addresses = addresses.map(|ip| ip.parse().unwrap()).collect();
    events.send(addresses).unwrap();
    while let Some(pods) = changes.recv().await {
        world.endpoints("tcp-echo", &[PORT], &pods);
        events.send(Vec::new()).unwrap();
    }
    running.end().await;
}

#[test]
fn a_service_on_a_local_pool_is_reached_by_a_route_and_a_node_added_is_served() {
    let mut lab = match Lab::start() {
        Ok(lab) => lab,
        Err(missing) => return println!("skipped: {missing}"),
    };
    for name in ["node1", "node2", "node3"] {
        lab.add_node(name);
    }
    let (changes, receiver) = tokio::sync::mpsc::channel(1);
    let (sender, events) = std::sync::mpsc::channel();
    let pods = lab.pods();
    let controller = lab
        .balancer
        .spawn(move || runtime().block_on(serve(pods, receiver, sender)));
    let event = || events.recv_timeout(2 * DEADLINE).unwrap();
    event();
    lab.make_pool_local();
    let addresses = event();
    let [ipv4, ipv6] = addresses[..] else {
        panic!("{addresses:?}");
    };

    let answers: Vec<_> = (0..6).map(|_| lab.ask(ipv4).unwrap()).collect();
    assert_eq!(answers[..3], answers[3..], "in turn");
    let mut names = answers[..3].to_vec();
    names.sort();
    assert_eq!(names, ["node1", "node2", "node3"]);
    assert!(lab.ask(ipv6).is_some());

    lab.add_node("node4");
    changes.blocking_send(lab.pods()).unwrap();
    event();
    let began = Instant::now();
    lab.ask_until(ipv4, |node| node == "node4");
    println!("a node that was added answered after {:?}", began.elapsed());
    drop(changes);
    controller.join().unwrap();
}
