//! The cost of many Services. Run on request, because it takes minutes:
//!
//! ```sh
//! cargo test --release -p kube_lb --test scale -- --ignored --nocapture
//! ```
//!
//! On a quiet machine with two processors, optimised without LTO:
//!
//! | 1000 Services with 10 ports | 10 pods each | 100 pods each: a million backends |
//! |---|---|---|
//! | all ports served, from the start | 13 s | 16 s |
//! | every status written | 26 s | 28 s |
//! | processor time until then | 9.6 s | 11.7 s |
//! | memory, after 10 s with 80 changes of slices a second | 341 MiB | 988 MiB |
//! | memory at its peak, while a plan is applied | 404 MiB | 1053 MiB |
//! | processor during these changes | 16 % of one | 22 % of one |
//! | from a change of endpoints to its effect: median, p99 | 57 ms, 63 ms | 57 ms, 61 ms |
//! | from a new port to a socket that accepts: median, p99 | 215 ms, 335 ms | 192 ms, 316 ms |
//! | from a removed port to a closed socket: median, p99 | 221 ms, 383 ms | 200 ms, 299 ms |
//!
//! `LB_SCALE=1000,10,100` are the Services, the ports of each, and the pods of each. The process is the program alone; the API server
//! is in the test.

#![allow(clippy::print_stdout, reason = "it prints figures")]
#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};
use test_support::kubernetes::ApiServer;
use test_support::nodes::serve;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// The first port of every Service.
const FIRST_PORT: u16 = 20_000;

/// How often each change is made.
const ROUNDS: usize = 100;

struct Scale {
    services: usize,
    ports: u16,
    pods: usize,
}

impl Scale {
    fn of_environment() -> Self {
        let text = std::env::var("LB_SCALE").unwrap_or_else(|_| "1000,10,100".to_owned());
        let numbers: Vec<usize> = text
            .split(',')
            .map(|number| number.parse().unwrap())
            .collect();
        let [services, ports, pods] = numbers[..] else {
            panic!("LB_SCALE=SERVICES,PORTS,PODS");
        };
        Self {
            services,
            ports: ports.try_into().unwrap(),
            pods,
        }
    }
}

fn service(name: &str, ports: u16) -> Value {
    let ports = (0..ports)
        .map(|i| json!({"name": format!("p{i}"), "port": FIRST_PORT + i, "protocol": "TCP"}));
    json!({
        "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}"), "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {
            "type": "LoadBalancer", "loadBalancerClass": "kube-lb.internal/tcp", "ipFamilies": ["IPv4"],
            "selector": {"app": name}, "ports": ports.collect::<Vec<_>>(),
        },
        "status": {"loadBalancer": {}},
    })
}

fn slice(name: &str, ports: u16, pods: impl Iterator<Item = SocketAddr>) -> Value {
    let pods: Vec<_> = pods.collect();
    let number = pods[0].port();
    let endpoints = pods.iter().map(|pod| {
        json!({
            "addresses": [pod.ip()], "conditions": {"ready": true, "serving": true, "terminating": false},
            "nodeName": "node", "zone": "zone",
            "targetRef": {"kind": "Pod", "name": format!("{name}-{pod}"), "uid": format!("uid-{pod}")},
        })
    });
    let ports =
        (0..ports).map(|i| json!({"name": format!("p{i}"), "port": number, "protocol": "TCP"}));
    json!({
        "metadata": {"name": format!("{name}-1"), "namespace": "default", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4", "ports": ports.collect::<Vec<_>>(), "endpoints": endpoints.collect::<Vec<_>>(),
    })
}

/// The program, killed at the end.
struct Process(Child);

impl Process {
    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.0.id())).unwrap()
    }

    /// The resident memory now and at its peak, in MiB.
    fn memory(&self) -> (u64, u64) {
        let status = self.file("status");
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace()
                .nth(1)
                .unwrap()
                .parse::<u64>()
                .unwrap()
                / 1024
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    /// The processor time so far.
    fn processor(&self) -> Duration {
        let stat = self.file("stat");
        let fields: Vec<_> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        let ticks: u64 = [11, 12]
            .map(|i: usize| fields[i].parse::<u64>().unwrap())
            .iter()
            .sum();
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

async fn answer(addr: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(addr).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

/// How long a state may take, on a slow machine.
const LIMIT: Duration = Duration::from_secs(600);

async fn within<F: Future>(what: &str, future: F) -> F::Output {
    let reached = timeout(LIMIT, future).await;
    reached.unwrap_or_else(|_| panic!("{what} took longer than {LIMIT:?}"))
}

async fn until(addr: SocketAddr, wanted: impl Fn(Option<String>) -> bool) -> Duration {
    let began = Instant::now();
    within("an answer", async {
        while !wanted(answer(addr).await) {
            sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    began.elapsed()
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!(
        "{what}: median {:?}, p99 {:?}, most {:?}",
        at(50),
        at(99),
        at(100)
    );
}

async fn pod(name: &'static str, last: u8) -> SocketAddr {
    let listener = TcpListener::bind((IpAddr::from([127, 11, 0, last]), 19_000))
        .await
        .unwrap();
    let addr = listener.local_addr().unwrap();
    serve(name, listener);
    addr
}

async fn start(api: &ApiServer) -> (tempfile::TempDir, Process) {
    let dir = tempfile::tempdir().unwrap();
    let kubeconfig = api.kubeconfig(dir.path(), "", "token: secret");
    let config = dir.path().join("kube_lb.yaml");
    let pool = "pools: [{name: edge, addresses: [127.10.0.1-127.10.39.255]}]";
    std::fs::write(
        &config,
        format!(
            "cluster: {{kubeconfig: {}}}\n{pool}\nworkers: 1\n",
            kubeconfig.display()
        ),
    )
    .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kube_lb"));
    command
        .args(["run", "--config"])
        .arg(&config)
        .stderr(Stdio::null());
    (dir, Process(command.spawn().unwrap()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn many_services() {
    let Scale {
        services,
        ports,
        pods,
    } = Scale::of_environment();
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let api = ApiServer::start().await;
    let (one, other) = (pod("one", 1).await, pod("other", 2).await);
    for i in 0..services {
        let name = format!("s{i:05}");
        api.put("services", service(&name, ports));
        let address = |j: usize| {
            let number = u32::try_from(i * pods + j).unwrap();
            SocketAddr::new(IpAddr::from((0x0a00_0000 + number).to_be_bytes()), 8080)
        };
        api.put(
            "endpointslices",
            slice(&name, ports, (0..pods).map(address)),
        );
    }
    api.put("services", service("probe", 1));
    api.put("endpointslices", slice("probe", 2, [one].into_iter()));
    println!("{services} Services with {ports} ports and {pods} pods each");

    let began = Instant::now();
    let (_dir, process) = start(&api).await;
    let address = |name: &str| {
        let object = api.get("services", "default", name);
        let ip = object["status"]["loadBalancer"]["ingress"][0]["ip"]
            .as_str()?
            .to_owned();
        Some(SocketAddr::new(ip.parse().unwrap(), FIRST_PORT))
    };
    let probe = within("the address of the probe", async {
        loop {
            match address("probe") {
                Some(probe) => return probe,
                None => sleep(Duration::from_millis(10)).await,
            }
        }
    });
    let probe = probe.await;
    until(probe, |answer| answer.as_deref() == Some("one")).await;
    println!("the probe is served after {:?}", began.elapsed());
    let written =
        |name: &str| api.get("services", "default", name)["status"]["conditions"].is_array();
    within("the statuses", async {
        for i in 0..services {
            while !written(&format!("s{i:05}")) {
                sleep(Duration::from_millis(10)).await;
            }
        }
    })
    .await;
    println!("every status is written after {:?}", began.elapsed());
    let (now, peak) = process.memory();
    println!(
        "memory: {now} MiB, at its peak {peak} MiB; processor time so far: {:?}",
        process.processor()
    );

    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let (pod, name) = if round % 2 == 0 {
            (other, "other")
        } else {
            (one, "one")
        };
        api.put("endpointslices", slice("probe", 2, [pod].into_iter()));
        times.push(until(probe, |answer| answer.as_deref() == Some(name)).await);
    }
    print("from a change of endpoints to its effect", times);

    let second = SocketAddr::new(probe.ip(), FIRST_PORT + 1);
    let (mut added, mut removed) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (count, times) in [(2, &mut added), (1, &mut removed)] {
            api.change("services", "default", "probe", |object| {
                object["spec"]["ports"] = service("probe", count)["spec"]["ports"].clone();
            });
            times.push(until(second, |answer| answer.is_some() == (count > 1)).await);
        }
    }
    print("from a new port to a socket that accepts", added);
    print("from a removed port to a socket that is closed", removed);

    let before = process.processor();
    let began = Instant::now();
    let mut changes = 0_u32;
    while began.elapsed() < Duration::from_secs(10) {
        let name = format!("s{:05}", changes as usize % services);
        api.change("endpointslices", "default", &format!("{name}-1"), |slice| {
            let endpoints = slice["endpoints"].as_array_mut().unwrap();
            let first = endpoints.remove(0);
            endpoints.push(first);
            let ready = changes.is_multiple_of(2);
            endpoints[0]["conditions"]["ready"] = json!(ready);
        });
        changes += 1;
        sleep(Duration::from_millis(10)).await;
    }
    let used = (process.processor() - before).as_secs_f64() / began.elapsed().as_secs_f64();
    println!(
        "{changes} changes of slices in 10 s: {:.0} % of a processor",
        used * 100.0
    );
    let (now, peak) = process.memory();
    println!("memory: {now} MiB, at its peak {peak} MiB");
}
